//! Who calls: a key is looked up by its hash, in memory.

use std::{net::IpAddr, sync::Arc};

use axum::http::{HeaderMap, header};
use llm_protocol::ir::{ApiError, ErrorKind};

use crate::{app::App, catalog::Caller, clock, limits::Subject, secret::KeyHash};

/// The caller behind a request's key, wherever its protocol puts it. `Authorization: Bearer` wins over the others.
///
/// Missing, unknown, expired and revoked keys get the same answer: who tries keys learns nothing from it.
pub fn caller(
    app: &App,
    headers: &HeaderMap,
    query: Option<&str>,
    address: Option<IpAddr>,
) -> Result<Arc<Caller>, ApiError> {
    let presented = key(headers).or(query.and_then(key_in_query));
    let known = presented.and_then(|key| app.catalog().caller(&KeyHash::of(key)).cloned());
    match known {
        Some(caller) if caller.expires_at.is_none_or(|at| clock::now_micros() < at) => Ok(caller),
        None if presented.is_none() && app.config.auth.allow_anonymous => {
            Ok(Arc::new(Caller { subject: address.map(Subject::of_address), ..Caller::default() }))
        }
        _ => Err(ApiError::new(ErrorKind::Unauthorized, "missing or invalid API key")),
    }
}

/// The key that a request presents.
pub fn key(headers: &HeaderMap) -> Option<&str> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    match text(header::AUTHORIZATION) {
        Some(authorization) => bearer(authorization),
        None => HEADERS
            .into_iter()
            .find_map(|name| text(header::HeaderName::from_static(name)).filter(|key| !key.is_empty())),
    }
}

/// Where Anthropic's, Azure's and Google's clients put their key.
const HEADERS: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// The `key` of a query, as Google's older clients send it.
fn key_in_query(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("key=")).filter(|key| !key.is_empty())
}

/// The token of an `Authorization` header of the Bearer scheme (RFC 6750), whatever case the scheme is written in.
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(headers: &[(&'static str, &str)]) -> Option<String> {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        key(&headers).map(str::to_owned)
    }

    #[test]
    fn bearer_in_any_case_wins_over_the_other_header() {
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert_eq!(presented(&[("authorization", &format!("{scheme} k")), ("x-api-key", "x")]).unwrap(), "k");
        }
        assert_eq!(presented(&[("x-api-key", " x ")]).unwrap(), "x");
        assert_eq!(presented(&[("authorization", "Basic k"), ("x-api-key", "x")]), None);
        assert_eq!(presented(&[("authorization", "Bearer ")]), None);
        assert_eq!(presented(&[]), None);
    }
}
