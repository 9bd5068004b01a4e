//! Whether a request may run, by all limits that hold for it, and what its client is told of them.

use std::{net::IpAddr, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use llm_protocol::{
    Inbound, ProtocolId, estimate,
    ir::{ApiError, ErrorKind},
};

use crate::{
    app::App,
    catalog::{Caller, Provider},
    clock,
    limits::{Admission, Allowance, Claim, Class, Estimate, Left, Refusal, Standing, Subject},
};

/// An error, and what is left of the limits, if one of them is why.
pub struct Refused {
    pub error: ApiError,
    pub standing: Standing,
}

impl From<ApiError> for Box<Refused> {
    fn from(error: ApiError) -> Self {
        Self::new(Refused { error, standing: Standing::default() })
    }
}

/// Admits a request of `caller` from `address`. How many tokens it will take is asked only where that matters.
pub async fn admit(
    app: &App,
    caller: &Caller,
    address: Option<IpAddr>,
    class: Class,
    estimate: impl FnOnce() -> Estimate,
) -> Result<Admission, Box<Refused>> {
    let claims = claims(app, caller, address, class);
    let by_tokens = claims.iter().any(|claim| claim.allowance.tokens_per_minute.is_some());
    ask(app, &claims, if by_tokens { estimate() } else { Estimate::default() }).await
}

/// Counts a request without a valid key against its address, so that nobody tries keys for long.
pub async fn admit_stranger(app: &App, address: Option<IpAddr>) -> Result<(), Box<Refused>> {
    let allowance = app.config.limits.of_address();
    let claim = address.map(|address| Claim { subject: Subject::of_address(address), class: Class::Work, allowance });
    let claims: Vec<Claim> = claim.into_iter().filter(|claim| !claim.allowance.is_unlimited()).collect();
    ask(app, &claims, Estimate::default()).await.map(drop)
}

/// Counts an attempt against a provider's own limit.
pub async fn admit_attempt(app: &App, provider: &Provider, requests_per_minute: u32) -> Result<(), ApiError> {
    let allowance = Allowance { requests_per_minute: Some(requests_per_minute), ..Allowance::default() };
    let claim = Claim { subject: Subject::Provider(provider.id), class: Class::Work, allowance };
    let refused = ask(app, &[claim], Estimate::default()).await.err();
    refused.map_or(Ok(()), |refused| {
        Err(ApiError { message: format!("provider `{}` is at its rate limit", provider.name), ..refused.error })
    })
}

async fn ask(app: &App, claims: &[Claim], estimate: Estimate) -> Result<Admission, Box<Refused>> {
    app.limits.admit(claims, estimate).await.map_err(|refusal| {
        app.metrics.limit_refused(refusal.subject.scope(), refusal.limit.name());
        let Refusal { standing, wait, .. } = *refusal;
        let error = ApiError::new(ErrorKind::RateLimited, message(&refusal));
        Refused { error: ApiError { retry_after: Some(wait), ..error }, standing }.into()
    })
}

fn message(Refusal { subject, limit, .. }: &Refusal) -> String {
    let whose = match subject {
        Subject::Everyone => "this gateway",
        Subject::Address(_) => "your address",
        Subject::Key(_) => "this API key",
        Subject::Provider(_) => "the provider",
    };
    format!("rate limit reached: {whose} {limit}")
}

/// What holds for a request, the widest first. Nothing where nothing is limited, which costs nothing then.
fn claims(app: &App, caller: &Caller, address: Option<IpAddr>, class: Class) -> Vec<Claim> {
    let limits = &app.config.limits;
    let own = caller.allowance.or(limits.of_key());
    let of_address = limits.of_address();
    // A client without a key is known by its address only.
    let (of_address, own) = match caller.subject {
        Some(Subject::Key(_)) => (of_address, own),
        _ => (of_address.and(own), Allowance::default()),
    };
    let key = caller.subject.filter(|subject| matches!(subject, Subject::Key(_)));
    let subjects =
        [(Some(Subject::Everyone), limits.of_everyone()), (address.map(Subject::of_address), of_address), (key, own)];
    let claim = |(subject, allowance): (Option<Subject>, Allowance)| {
        let limited = subject.filter(|_| !allowance.is_unlimited());
        limited.map(|subject| Claim { subject, class, allowance })
    };
    subjects.into_iter().filter_map(claim).collect()
}

/// Tokens that a generating request in `inbound`'s words will probably take.
pub fn estimate_of(app: &App, inbound: &dyn Inbound, body: &Bytes) -> Estimate {
    match inbound.decode_request(body) {
        Ok(request) => Estimate {
            prompt: estimate::tokens(&request),
            answer: request.max_output_tokens.unwrap_or(app.config.limits.answer_tokens),
        },
        // It may still pass as it is: what it says is measured as text.
        Err(_) => Estimate { prompt: estimate_of_text(body), answer: app.config.limits.answer_tokens },
    }
}

/// Tokens that a request probably takes, by its length alone: four bytes a token, as of English.
pub fn by_length(body: &Bytes) -> u64 {
    body.len() as u64 / 4
}

/// Tokens of a body as a text; none of one that is not.
pub fn estimate_of_text(body: &Bytes) -> u64 {
    std::str::from_utf8(body).map_or(0, estimate::text)
}

/// Begins the names of the headers that tell of requests or tokens.
const OPENAI: &str = "x-ratelimit-";
const ANTHROPIC: &str = "anthropic-ratelimit-";

/// Tells a client what is left of its limits here, instead of what a provider said of its own.
pub fn tell(standing: &Standing, protocol: ProtocolId, headers: &mut HeaderMap) {
    let told = [("requests", standing.requests), ("tokens", standing.tokens)];
    let told: Vec<_> = told.into_iter().filter_map(|(what, left)| Some((what, left?))).collect();
    if told.is_empty() {
        return;
    }
    let foreign = |name: &&HeaderName| [OPENAI, ANTHROPIC].iter().any(|start| name.as_str().starts_with(start));
    let foreign: Vec<_> = headers.keys().filter(foreign).cloned().collect();
    foreign.iter().for_each(|name| drop(headers.remove(name)));
    for (what, Left { limit, remaining, reset }) in told {
        let (names, reset) = match protocol {
            ProtocolId::Anthropic => {
                (["limit", "remaining", "reset"].map(|of| format!("{ANTHROPIC}{what}-{of}")), moment(reset))
            }
            _ => (["limit", "remaining", "reset"].map(|of| format!("{OPENAI}{of}-{what}")), span(reset)),
        };
        for (name, value) in names.into_iter().zip([limit.to_string(), remaining.to_string(), reset]) {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
    }
}

/// As OpenAI writes it: `1m1s`, `59s`, `20ms`.
fn span(time: Duration) -> String {
    let (whole, millis) = (time.as_secs() + u64::from(time.subsec_millis() > 0), time.as_millis());
    match (whole / 60, whole % 60) {
        _ if millis < 1000 => format!("{millis}ms"),
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

/// As Anthropic writes it: the time of day in that much time.
fn moment(time: Duration) -> String {
    clock::rfc3339(clock::now_micros().saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_as_sdks_read_it() {
        let spans = [0, 20, 999, 1_000, 1_001, 59_000, 60_000, 61_000, 360_000];
        let written = spans.map(|millis| span(Duration::from_millis(millis)));
        assert_eq!(written, ["0ms", "20ms", "999ms", "1s", "2s", "59s", "1m0s", "1m1s", "6m0s"]);
    }

    #[test]
    fn where_a_limit_holds_here_a_providers_own_is_not_told() {
        let left = Some(Left { limit: 9, remaining: 4, reset: Duration::from_secs(7) });
        let mut headers = HeaderMap::new();
        for name in ["x-ratelimit-remaining-tokens", "anthropic-ratelimit-requests-limit", "x-request-id"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("8"));
        }
        let untouched = headers.clone();
        tell(&Standing::default(), ProtocolId::OpenAiChat, &mut headers);
        assert_eq!(headers, untouched);
        tell(&Standing { requests: left, tokens: None }, ProtocolId::OpenAiChat, &mut headers);
        let mut names: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        names.sort();
        assert_eq!(
            names,
            [
                "x-ratelimit-limit-requests: 9",
                "x-ratelimit-remaining-requests: 4",
                "x-ratelimit-reset-requests: 7s",
                "x-request-id: 8"
            ]
        );
        tell(&Standing { requests: None, tokens: left }, ProtocolId::Anthropic, &mut headers);
        assert_eq!(headers["anthropic-ratelimit-tokens-remaining"], "4");
        assert!(headers["anthropic-ratelimit-tokens-reset"].to_str().unwrap().ends_with('Z'));
    }
}
