//! Writes an error.

use serde::Serialize;

use super::request::THREAD;
use crate::{
    ErrorContext, ProtocolId,
    ir::{ApiError, ErrorKind},
};

/// The words by which agents know that they have to shorten the conversation.
const TOO_LONG: &str = "prompt is too long";

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: Error<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Error<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: String,
    details: Details<'a>,
}

#[derive(Serialize)]
struct Details<'a> {
    error_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// Writes an error body; what an upstream of this protocol said about the request stays as it said it.
pub fn encode_error(error: &ApiError, context: &ErrorContext) -> Vec<u8> {
    match error.raw_in(ProtocolId::Anthropic) {
        Some(body) => body.as_bytes().to_vec(),
        None => own(error, context),
    }
}

fn own(error: &ApiError, context: &ErrorContext) -> Vec<u8> {
    let details = Details { error_code: code(error), param: error.param.as_deref(), reason: error.reason };
    let body = Body {
        kind: "error",
        error: Error { kind: kind(error.kind), message: message(error), details },
        request_id: &context.request_id,
    };
    serde_json::to_vec(&body).expect("strings and options always serialise")
}

/// The SDKs' message threads send the whole conversation again when they are told that nobody keeps it.
fn code(error: &ApiError) -> &str {
    match error.param.as_deref() {
        Some(THREAD) => "thread_not_found",
        _ => error.code.as_deref().unwrap_or(error.kind.code()),
    }
}

fn message(error: &ApiError) -> String {
    let unsaid = error.kind == ErrorKind::ContextLength && !error.message.to_ascii_lowercase().contains(TOO_LONG);
    if unsaid { format!("{TOO_LONG}: {}", error.message) } else { error.message.clone() }
}

/// Anthropic has a status of its own for being overloaded.
pub fn status(error: &ApiError) -> u16 {
    match error.kind {
        ErrorKind::Overloaded => 529,
        _ => error.status(),
    }
}

fn kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest
        | ErrorKind::ContextLength
        | ErrorKind::ContentPolicy
        | ErrorKind::MethodNotAllowed
        | ErrorKind::Conflict
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::Unprocessable => "invalid_request_error",
        ErrorKind::TooLarge => "request_too_large",
        ErrorKind::Unauthorized => "authentication_error",
        ErrorKind::Forbidden => "permission_error",
        ErrorKind::NotFound => "not_found_error",
        ErrorKind::RateLimited => "rate_limit_error",
        ErrorKind::QuotaExceeded | ErrorKind::BudgetExceeded => "billing_error",
        ErrorKind::RequestTimeout | ErrorKind::Timeout => "timeout_error",
        ErrorKind::Unavailable | ErrorKind::Overloaded => "overloaded_error",
        ErrorKind::Internal | ErrorKind::UpstreamAuth | ErrorKind::Upstream => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Outbound, anthropic::Anthropic};

    fn encoded(error: &ApiError) -> String {
        let context = ErrorContext { request_id: "req_1".into(), timestamp: "2026-01-01T00:00:00Z".into() };
        String::from_utf8(encode_error(error, &context)).unwrap()
    }

    #[test]
    fn an_error_has_anthropics_shape() {
        let error = ApiError { param: Some("max_tokens".into()), ..ApiError::new(ErrorKind::InvalidRequest, "no") };
        assert_eq!(
            encoded(&error),
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"no","details":{"error_code":"invalid_request","param":"max_tokens"}},"request_id":"req_1"}"#
        );
    }

    #[test]
    fn a_thread_that_nobody_keeps_is_told_in_the_word_that_makes_sdks_send_it_whole() {
        let error = ApiError { param: Some("thread".into()), ..ApiError::new(ErrorKind::InvalidRequest, "no") };
        assert!(encoded(&error).contains(r#""error_code":"thread_not_found""#));
    }

    #[test]
    fn every_kind_has_its_type_and_overload_its_status() {
        for (kind, word, code) in [
            (ErrorKind::Unauthorized, "authentication_error", 401),
            (ErrorKind::Forbidden, "permission_error", 403),
            (ErrorKind::NotFound, "not_found_error", 404),
            (ErrorKind::TooLarge, "request_too_large", 413),
            (ErrorKind::RateLimited, "rate_limit_error", 429),
            (ErrorKind::QuotaExceeded, "billing_error", 429),
            (ErrorKind::BudgetExceeded, "billing_error", 402),
            (ErrorKind::UpstreamAuth, "api_error", 502),
            (ErrorKind::Upstream, "api_error", 502),
            (ErrorKind::Unavailable, "overloaded_error", 503),
            (ErrorKind::Overloaded, "overloaded_error", 529),
            (ErrorKind::Timeout, "timeout_error", 504),
        ] {
            let error = ApiError::new(kind, "m");
            assert!(encoded(&error).contains(&format!(r#""error":{{"type":"{word}""#)), "{kind:?}");
            assert_eq!(status(&error), code, "{kind:?}");
        }
    }

    #[test]
    fn a_prompt_that_is_too_long_is_told_in_the_words_that_agents_look_for() {
        let error = |message| ApiError::new(ErrorKind::ContextLength, message);
        assert!(encoded(&error("maximum context length is 8192")).contains("\"prompt is too long: maximum"));
        assert!(encoded(&error("Prompt is too long: 9 tokens")).contains("\"Prompt is too long: 9 tokens\""));
    }

    #[test]
    fn an_upstreams_own_words_about_the_request_stay_as_they_are() {
        let body = br#"{ "type": "error", "error": {"type": "invalid_request_error", "message": "messages.1.role: no", "new": 1}}"#;
        let error = Anthropic.decode_error(400, body);
        assert_eq!(encoded(&error).as_bytes(), body);
    }

    #[test]
    fn what_an_upstream_says_of_this_gateways_account_is_not_passed_on() {
        for status in [401, 403, 429, 500, 529] {
            let body = br#"{"type":"error","error":{"type":"authentication_error","message":"bad key"},"secret":1}"#;
            assert!(!encoded(&Anthropic.decode_error(status, body)).contains("secret"), "{status}");
        }
        let long = format!(r#"{{"error":{{"message":"x"}},"secret":"{}"}}"#, "x".repeat(70_000));
        assert!(!encoded(&Anthropic.decode_error(400, long.as_bytes())).contains("secret"));
    }
}
