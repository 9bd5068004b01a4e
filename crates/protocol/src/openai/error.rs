//! Reads errors in every shape that servers which call themselves compatible have for them.

use std::{borrow::Cow, time::Duration};

use crate::{
    ProtocolId,
    ir::{ApiError, ErrorKind},
    json::Json,
};

/// What an error body tells, wherever it hides it.
#[derive(Debug, Default)]
struct Told {
    message: Option<String>,
    code: Option<String>,
    kind: String,
    param: Option<String>,
    /// A status inside the body: OpenRouter's and llama.cpp's `code`, Groq's `status_code`.
    status: Option<u16>,
}

/// Reads the error that came with `status` from an upstream that speaks `protocol`, whose own words it keeps if they are in
/// OpenAI's shape.
pub fn decode_error(protocol: ProtocolId, status: u16, body: &[u8]) -> ApiError {
    let told = read(body);
    let kind = kind_of(status, &told);
    let error = ApiError { upstream_status: Some(status), ..error(kind, told, status) };
    if is_usual(body, kind) { error.verbatim(protocol, body) } else { error }
}

/// Whether a body is what OpenAI's clients can read, and nobody's secret. They shorten a conversation by one code alone.
fn is_usual(body: &[u8], kind: ErrorKind) -> bool {
    let parsed = Json::parse(body).ok();
    let Some(error) = parsed.as_ref().and_then(|body| body.get("error")) else { return false };
    let code = error.get("code");
    let text = String::from_utf8_lossy(body);
    let secret = |(at, _): (usize, &str)| !text[..at].ends_with(|before: char| before.is_ascii_alphanumeric());
    error.get("message").is_some_and(|message| message.as_str().is_some())
        && error.get("type").is_some_and(|kind| kind.as_str().is_some())
        && code.is_some_and(|code| code.is_null() || code.as_str().is_some())
        && (kind != ErrorKind::ContextLength || code.and_then(Json::as_str) == Some(kind.code()))
        && !SIGNS.iter().any(|sign| text.match_indices(sign).any(secret))
}

/// Reads an error that came where an answer was promised, after a status of 200.
pub fn inside_200(body: &[u8]) -> ApiError {
    let told = read(body);
    let status = told.status.unwrap_or_else(|| status_of(&told));
    error(kind_of(status, &told), told, status)
}

/// The error message in `body`, if it has one.
pub fn message_of(body: &[u8]) -> Option<String> {
    read(body).message
}

/// The provider ended the answer by saying that it failed, and no more.
pub fn failed() -> ApiError {
    ApiError {
        reason: Some("server_error"),
        ..ApiError::new(ErrorKind::Upstream, "the provider failed while it was answering")
    }
}

/// The stream ended without its protocol's own sign of an end.
pub fn truncated() -> ApiError {
    ApiError {
        reason: Some("truncated"),
        ..ApiError::new(ErrorKind::Upstream, "the provider broke off in the middle of its answer")
    }
}

fn error(kind: ErrorKind, told: Told, status: u16) -> ApiError {
    let message = told.message.unwrap_or_else(|| ApiError::unexplained(status));
    let retry_after = matches!(kind, ErrorKind::RateLimited | ErrorKind::Overloaded).then(|| wait(&message)).flatten();
    ApiError {
        code: told.code,
        param: told.param,
        retry_after,
        reason: kind.upstream_reason(),
        ..ApiError::new(kind, without_secrets(&message))
    }
}

fn read(body: &[u8]) -> Told {
    let Ok(json) = Json::parse(body) else { return Told::default() };
    // Gemini's compatible server wraps its errors in an array.
    let outer = match &json {
        Json::Array(items) => items.first().unwrap_or(&Json::Null),
        other => other,
    };
    let inner = match outer.get("error") {
        Some(inner @ Json::Object(_)) => inner,
        _ => outer,
    };
    Told {
        message: message(outer, inner),
        code: inner.get("code").and_then(Json::as_str).filter(|code| !code.is_empty()).map(str::to_owned),
        kind: inner.get("type").and_then(Json::as_str).unwrap_or_default().to_owned(),
        param: inner.get("param").and_then(Json::as_str).map(str::to_owned),
        status: ["status_code", "raw_status_code", "code", "status"].iter().find_map(|key| status(inner.get(key)?)),
    }
}

fn status(value: &Json) -> Option<u16> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|status| (400..600).contains(status))
}

fn message(outer: &Json, inner: &Json) -> Option<String> {
    let text = |value: &Json| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let plain = inner.get("message").and_then(text).or_else(|| outer.get("error").and_then(text));
    // OpenRouter's own message says no more than that somebody failed.
    let raw = inner.at(&["metadata", "raw"]).and_then(text);
    match (plain, raw) {
        (Some(plain), Some(raw)) => Some(format!("{plain}: {}", message_of(raw.as_bytes()).unwrap_or(raw))),
        (Some(plain), None) => Some(plain),
        (None, _) => outer.get("detail").or_else(|| outer.get("message")).and_then(detail),
    }
}

/// FastAPI's `detail`: text, an object with a message, or a list of what is wrong where.
fn detail(value: &Json) -> Option<String> {
    match value {
        Json::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Json::Object(_) => {
            value.get("message").or_else(|| value.get("detail")).or_else(|| value.get("msg")).and_then(detail)
        }
        Json::Array(items) => {
            let all: Vec<String> = items.iter().filter_map(placed_detail).collect();
            (!all.is_empty()).then(|| all.join("; "))
        }
        _ => None,
    }
}

fn placed_detail(item: &Json) -> Option<String> {
    let message = detail(item)?;
    let place = item.get("loc").and_then(Json::items).unwrap_or_default();
    let place: Vec<Cow<'_, str>> = place
        .iter()
        .map(|step| step.as_str().map_or_else(|| Cow::Owned(step.to_string()), Cow::Borrowed))
        .filter(|step| step != "body")
        .collect();
    Some(if place.is_empty() { message } else { format!("{}: {message}", place.join(".")) })
}

fn kind_of(status: u16, told: &Told) -> ErrorKind {
    let message = told.message.as_deref().unwrap_or_default().to_ascii_lowercase();
    let code = told.code.as_deref().unwrap_or_default();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let named = |names: &[&str]| names.contains(&code) || names.contains(&told.kind.as_str());
    // llama.cpp answers 500 for what is the client's mistake.
    if matches!(status, 400 | 413 | 422 | 500) && (named(TOO_LONG) || says(TOO_LONG_WORDS)) {
        return ErrorKind::ContextLength;
    }
    if matches!(status, 400 | 403 | 422) && (named(POLICY) || says(POLICY_WORDS)) {
        return ErrorKind::ContentPolicy;
    }
    if matches!(status, 400..=402 | 429) && named(QUOTA) {
        return ErrorKind::QuotaExceeded;
    }
    // xAI and Gemini's compatible server answer 400 for a wrong key.
    if status == 400 && (named(WRONG_KEY) || says(&["incorrect api key", "api key not valid", "invalid api key"])) {
        return ErrorKind::UpstreamAuth;
    }
    // The Responses protocol has no 404 for a model that does not exist.
    if status == 400 && code == "model_not_found" {
        return ErrorKind::NotFound;
    }
    ErrorKind::of_upstream(status)
}

const TOO_LONG: &[&str] = &["context_length_exceeded", "exceed_context_size_error", "string_above_max_length"];
const TOO_LONG_WORDS: &[&str] = &[
    "maximum context length",
    "context length exceeded",
    "context window",
    "prompt is too long",
    "exceeds the available context size",
    "input token count",
    "input tokens exceeded",
    "too large for model with",
    "reduce the length of the messages",
];
const POLICY: &[&str] = &[
    "content_policy_violation",
    "content_filter",
    "content_filter_error",
    "moderation_blocked",
    "ResponsibleAIPolicyViolation",
    "bio_policy",
    "misalignment_policy_violation",
    "image_content_policy_violation",
];
const POLICY_WORDS: &[&str] =
    &["content management policy", "content policy", "was flagged", "moderation and your input"];
const QUOTA: &[&str] = &[
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_balance",
    "insufficient_credits",
    "exceeded_current_quota_error",
    "quota_exceeded",
];
const WRONG_KEY: &[&str] = &["invalid_api_key", "API_KEY_INVALID", "authentication_error", "invalid_authentication"];

/// What the Responses protocol says of a picture that cannot be used.
const WRONG_PICTURE: &[&str] = &[
    "invalid_image",
    "invalid_image_format",
    "invalid_base64_image",
    "invalid_image_url",
    "invalid_image_mode",
    "image_too_large",
    "image_too_small",
    "image_parse_error",
    "image_file_too_large",
    "image_file_not_found",
    "empty_image_file",
    "unsupported_image_media_type",
    "failed_to_download_image",
];

/// The status that an error without one would have had, by its words.
fn status_of(told: &Told) -> u16 {
    let names = [told.code.as_deref().unwrap_or_default(), told.kind.as_str()];
    let is = |list: &[&str]| names.iter().any(|name| list.contains(name));
    if is(QUOTA) {
        429
    } else if is(WRONG_KEY) || is(&["permission_error", "permission_denied"]) {
        401
    } else if is(TOO_LONG) || is(POLICY) || is(WRONG_PICTURE) {
        400
    } else if is(&["not_found_error", "model_not_found", "not_found"]) {
        404
    } else if is(&["rate_limit_error", "rate_limit_exceeded", "too_many_requests", "tokens", "requests"]) {
        429
    } else if is(&[
        "overloaded_error",
        "overloaded",
        "service_unavailable",
        "service_unavailable_error",
        "engine_overloaded",
    ]) {
        503
    } else if is(&["timeout", "timeout_error", "upstream_timeout", "vector_store_timeout"]) {
        504
    } else if is(&["invalid_request_error", "invalid_request", "BadRequestError", "invalid_prompt", "tool_use_failed"])
    {
        400
    } else {
        500
    }
}

/// "Please try again in 6m0.5s", "retry after 20 seconds": how long that is.
fn wait(message: &str) -> Option<Duration> {
    let lower = message.to_ascii_lowercase();
    let at = ["try again in ", "retry in ", "retry after ", "wait "]
        .iter()
        .find_map(|words| lower.find(words).map(|at| at + words.len()))?;
    let mut rest = &lower[at..];
    let mut total = 0.0;
    let mut found = false;
    loop {
        let number = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let Ok(amount) = rest[..number].trim_end_matches('.').parse::<f64>() else { break };
        rest = rest[number..].trim_start();
        let unit = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        total += amount
            * match &rest[..unit] {
                "ms" | "millisecond" | "milliseconds" => 0.001,
                "" | "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
                "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
                "h" | "hour" | "hours" => 3600.0,
                "d" | "day" | "days" => 86400.0,
                _ => break,
            };
        found = true;
        rest = &rest[unit..];
    }
    found.then(|| Duration::try_from_secs_f64(total).ok()).flatten()
}

/// How keys begin, and names of accounts.
const SIGNS: [&str; 9] = ["sk-", "sk_", "gsk_", "xai-", "pplx-", "org-", "org_", "proj_", "AIza"];

/// The message with keys and the names of accounts made unreadable.
fn without_secrets(message: &str) -> String {
    let hidden = |word: &str| {
        let bare = word.trim_start_matches(['`', '"', '\'', '(', ':']);
        SIGNS.iter().any(|sign| bare.starts_with(sign) && bare.len() > sign.len() + 3)
    };
    if !message.split(' ').any(hidden) {
        return message.to_owned();
    }
    message.split(' ').map(|word| if hidden(word) { "***" } else { word }).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> ApiError {
        decode_error(ProtocolId::OpenAiChat, status, body.as_bytes())
    }

    #[test]
    fn an_upstreams_own_words_are_kept_if_clients_can_read_them_and_they_tell_no_secret() {
        let kept = |status, body: &str| read(status, body).raw.is_some();
        assert!(kept(400, r#"{"error":{"message":"m","type":"t","code":null,"param":"n","inner":{"a":1}}}"#));
        assert!(kept(400, r#"{"error":{"message":"too long","type":"t","code":"context_length_exceeded"}}"#));
        for (status, other) in [
            (400, r#"{"detail":"m"}"#),
            (400, r#"{"error":{"message":"m","code":400}}"#),
            (400, r#"{"error":{"message":"maximum context length is 5","type":"t","code":null}}"#),
            (400, r#"{"error":{"message":"m","type":"t","code":null,"project":"proj_abcdef"}}"#),
            (401, r#"{"error":{"message":"wrong key","type":"t","code":null}}"#),
            (500, r#"{"error":{"message":"m","type":"t","code":null}}"#),
        ] {
            assert!(!kept(status, other), "{other}");
        }
    }

    #[test]
    fn every_shape_of_an_error_gives_its_message() {
        for (body, message) in [
            (r#"{"error":{"message":"m","type":"t"}}"#, "m"),
            (r#"[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]"#, "m"),
            (r#"{"code":"c","error":"m"}"#, "m"),
            (r#"{"detail":"m"}"#, "m"),
            (r#"{"detail":[{"loc":["body","messages",0],"msg":"m"}]}"#, "messages.0: m"),
            (r#"{"object":"error","message":"m","code":"3051"}"#, "m"),
            (r#"{"message":{"detail":[{"loc":["body","n"],"msg":"m"}]}}"#, "n: m"),
            (
                r#"{"error":{"message":"failed","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"m\"}}"}}}"#,
                "failed: m",
            ),
        ] {
            assert_eq!(read(400, body).message, message, "{body}");
        }
    }

    #[test]
    fn what_is_unreadable_is_said_plainly_and_never_shown() {
        for body in ["<html><h1>Bad Gateway</h1></html>", "", "null", "[]", "\"x\""] {
            let error = read(502, body);
            assert_eq!(error.message, "the provider answered 502 with no readable error");
            assert_eq!((error.kind, error.reason), (ErrorKind::Upstream, Some("server_error")));
        }
    }

    #[test]
    fn statuses_and_codes_become_kinds() {
        for (status, body, kind) in [
            (401, r#"{"error":{"message":"no"}}"#, ErrorKind::UpstreamAuth),
            (400, r#"{"code":"x","error":"Incorrect API key provided"}"#, ErrorKind::UpstreamAuth),
            (402, "{}", ErrorKind::QuotaExceeded),
            (429, r#"{"error":{"code":"insufficient_quota","message":"m"}}"#, ErrorKind::QuotaExceeded),
            (429, r#"{"error":{"message":"slow down"}}"#, ErrorKind::RateLimited),
            (400, r#"{"error":{"code":"context_length_exceeded","message":"m"}}"#, ErrorKind::ContextLength),
            (
                400,
                r#"{"error":{"message":"This model's maximum context length is 8192 tokens."}}"#,
                ErrorKind::ContextLength,
            ),
            (
                500,
                r#"{"error":{"code":500,"message":"the request exceeds the available context size"}}"#,
                ErrorKind::ContextLength,
            ),
            (400, r#"{"error":{"code":"content_filter","message":"m"}}"#, ErrorKind::ContentPolicy),
            (404, "{}", ErrorKind::NotFound),
            (400, r#"{"error":{"code":"model_not_found","message":"m"}}"#, ErrorKind::NotFound),
            (408, "{}", ErrorKind::Timeout),
            (409, "{}", ErrorKind::Conflict),
            (413, "{}", ErrorKind::TooLarge),
            (422, "{}", ErrorKind::Unprocessable),
            (418, "{}", ErrorKind::InvalidRequest),
            (500, "{}", ErrorKind::Upstream),
            (503, "{}", ErrorKind::Overloaded),
            (529, "{}", ErrorKind::Overloaded),
            (504, "{}", ErrorKind::Timeout),
        ] {
            let error = read(status, body);
            assert_eq!(error.kind, kind, "{status} {body}");
            assert_eq!(error.upstream_status, Some(status));
        }
    }

    #[test]
    fn a_code_is_kept_and_a_status_that_poses_as_one_is_not() {
        let error = read(404, r#"{"error":{"message":"m","code":"model_not_found","param":"model"}}"#);
        assert_eq!((error.code.as_deref(), error.param.as_deref()), (Some("model_not_found"), Some("model")));
        assert_eq!(read(400, r#"{"error":{"message":"m","code":400}}"#).code, None);
    }

    #[test]
    fn an_error_inside_a_200_is_judged_by_its_words() {
        for (body, kind) in [
            (r#"{"error":{"code":429,"message":"m"}}"#, ErrorKind::RateLimited),
            (
                r#"{"error":{"type":"invalid_request_error","message":"m","status_code":400}}"#,
                ErrorKind::InvalidRequest,
            ),
            (r#"{"error":{"type":"server_error","message":"m"}}"#, ErrorKind::Upstream),
            (r#"{"error":{"type":"overloaded_error","message":"m"}}"#, ErrorKind::Overloaded),
            (r#"{"error":"m"}"#, ErrorKind::Upstream),
            (r#"{"type":"error","code":"server_error","message":"m","param":null}"#, ErrorKind::Upstream),
            (r#"{"code":"rate_limit_exceeded","message":"m"}"#, ErrorKind::RateLimited),
            (r#"{"code":"invalid_image_url","message":"m"}"#, ErrorKind::InvalidRequest),
            (r#"{"code":"bio_policy","message":"m"}"#, ErrorKind::ContentPolicy),
        ] {
            let error = inside_200(body.as_bytes());
            assert_eq!((error.kind, error.upstream_status), (kind, None), "{body}");
        }
    }

    #[test]
    fn waits_are_read_from_the_message() {
        for (text, seconds) in [
            ("Please try again in 23.03s. Visit", 23.03),
            ("try again in 6m0.5s", 360.5),
            ("Please try again in 480ms.", 0.48),
            ("Please retry after 20 seconds.", 20.0),
        ] {
            assert_eq!(wait(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        assert_eq!(wait("try again in a while"), None);
    }

    #[test]
    fn keys_and_accounts_are_not_shown() {
        let error =
            read(429, r#"{"error":{"message":"Limit reached for gpt-5 in organization org-abcdef on tokens"}}"#);
        assert_eq!(error.message, "Limit reached for gpt-5 in organization *** on tokens");
    }
}
