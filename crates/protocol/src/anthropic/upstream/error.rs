//! Reading errors: Anthropic's own, and those of whatever stands between it and this gateway.

use crate::{
    ProtocolId,
    ir::{ApiError, ErrorKind},
    json::Json,
};

/// Longest message that is taken from a body which is no JSON.
const LONGEST_TEXT: usize = 300;

/// Reads an error answer.
pub fn decode(status: u16, body: &[u8]) -> ApiError {
    let told = Told::read(body);
    let message = told.message.clone().or_else(|| plain_text(body)).unwrap_or_else(|| ApiError::unexplained(status));
    let kind = of_status(status, &told.kind, &message);
    let is_own = told.is_own;
    let error = build(kind, message, told, Some(status));
    if is_own { error.verbatim(ProtocolId::Anthropic, body) } else { error }
}

/// Reads an error that stands where an answer should: inside a 200, or in a stream.
pub(super) fn within(body: &[u8]) -> ApiError {
    let told = Told::read(body);
    let message = told.message.clone().unwrap_or_else(|| "the provider failed without saying why".to_owned());
    let kind = of_type(&told.kind, &message).unwrap_or(ErrorKind::Upstream);
    build(kind, message, told, None)
}

fn build(kind: ErrorKind, message: String, told: Told, upstream_status: Option<u16>) -> ApiError {
    let code = match kind {
        ErrorKind::NotFound if message.starts_with("model:") => Some("model_not_found".to_owned()),
        _ => told.code,
    };
    ApiError {
        code,
        param: told.param,
        upstream_status,
        reason: kind.upstream_reason(),
        ..ApiError::new(kind, message)
    }
}

/// What an error body says.
#[derive(Debug, Default)]
struct Told {
    kind: String,
    message: Option<String>,
    code: Option<String>,
    param: Option<String>,
    /// Whether it is said in Anthropic's own shape.
    is_own: bool,
}

impl Told {
    /// Understands `{"error": {…}}`, `{"error": "…"}`, `{"message": "…"}`, `{"detail": "…"}`, and any of them in an
    /// array.
    fn read(body: &[u8]) -> Self {
        let Ok(parsed) = Json::parse(body) else { return Self::default() };
        let body = parsed.items().and_then(<[Json]>::first).unwrap_or(&parsed);
        let error = body.get("error").filter(|error| !error.is_null()).unwrap_or(body);
        let text = |key: &str| error.get(key).and_then(Json::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let message = error.as_str().map(str::to_owned).or_else(|| text("message")).or_else(|| text("detail"));
        let is_own = body.get("type").and_then(Json::as_str) == Some("error") && text("type").is_some();
        Self { kind: text("type").unwrap_or_default(), message, code: text("code"), param: text("param"), is_own }
    }
}

fn of_status(status: u16, kind: &str, message: &str) -> ErrorKind {
    match status {
        400 => of_request(kind, message),
        429 if kind == "billing_error" || is_about_money(message) => ErrorKind::QuotaExceeded,
        _ => match ErrorKind::of_upstream(status) {
            ErrorKind::Upstream => {
                of_type(kind, message).filter(|kind| kind.status() >= 500).unwrap_or(ErrorKind::Upstream)
            }
            known => known,
        },
    }
}

fn of_type(kind: &str, message: &str) -> Option<ErrorKind> {
    Some(match kind {
        "invalid_request_error" => of_request(kind, message),
        "authentication_error" | "permission_error" => ErrorKind::UpstreamAuth,
        "billing_error" => ErrorKind::QuotaExceeded,
        "not_found_error" => ErrorKind::NotFound,
        "request_too_large" => ErrorKind::TooLarge,
        "rate_limit_error" => ErrorKind::RateLimited,
        "timeout_error" => ErrorKind::Timeout,
        "overloaded_error" => ErrorKind::Overloaded,
        "api_error" => ErrorKind::Upstream,
        _ => return None,
    })
}

/// Anthropic says in words only which sort of wrong a request is.
fn of_request(kind: &str, message: &str) -> ErrorKind {
    let text = message.to_ascii_lowercase();
    let any = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    if kind == "billing_error" || is_about_money(message) {
        ErrorKind::QuotaExceeded
    } else if any(&[
        "prompt is too long",
        "input is too long",
        "exceed context limit",
        "exceeds the context",
        "maximum context length",
    ]) {
        ErrorKind::ContextLength
    } else if any(&["content filtering policy", "usage policy", "usage policies"]) {
        ErrorKind::ContentPolicy
    } else {
        ErrorKind::InvalidRequest
    }
}

fn is_about_money(message: &str) -> bool {
    message.to_ascii_lowercase().contains("credit balance is too low")
}

/// A short body in plain words; markup and the rest are nothing to show to anyone.
fn plain_text(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let markup = text.contains('<') || text.starts_with(['{', '[', '"']);
    (!text.is_empty() && text.len() <= LONGEST_TEXT && !markup && !text.contains(char::is_control))
        .then(|| text.to_owned())
}
