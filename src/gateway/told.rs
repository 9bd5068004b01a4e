//! What an upstream's headers tell the client.

use axum::http::{HeaderMap, HeaderName};

/// Where providers put their own id of a request.
const IDS: [HeaderName; 5] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-amzn-requestid"),
    HeaderName::from_static("apim-request-id"),
    HeaderName::from_static("mistral-correlation-id"),
];

/// Carries it to the client.
const UPSTREAM_ID: HeaderName = HeaderName::from_static("x-orchestrator-upstream-request-id");

/// Begin the names of headers that say how much of its limits an account has left.
const LIMITS: [&str; 2] = ["x-ratelimit-", "anthropic-ratelimit-"];

/// Adds to `headers` what of `upstream` means something to the client: the provider's own id of the request, and, to a client
/// of the same protocol, the state of its limits.
pub fn pass_on(upstream: &HeaderMap, same_protocol: bool, headers: &mut HeaderMap) {
    if let Some(id) = IDS.iter().find_map(|name| upstream.get(name)) {
        headers.insert(UPSTREAM_ID, id.clone());
    }
    if same_protocol {
        let limits = upstream.iter().filter(|(name, _)| LIMITS.iter().any(|start| name.as_str().starts_with(start)));
        headers.extend(limits.map(|(name, value)| (name.clone(), value.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_pass_to_clients_of_the_same_protocol_and_ids_to_all() {
        let upstream: HeaderMap = [("request-id", "r"), ("x-ratelimit-remaining-tokens", "9"), ("set-cookie", "c")]
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let told = |same_protocol| {
            let mut headers = HeaderMap::new();
            pass_on(&upstream, same_protocol, &mut headers);
            headers.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(told(false), ["x-orchestrator-upstream-request-id"]);
        assert_eq!(told(true), ["x-orchestrator-upstream-request-id", "x-ratelimit-remaining-tokens"]);
    }
}
