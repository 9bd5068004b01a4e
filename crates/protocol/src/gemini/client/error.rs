//! Writes errors as Google writes them: a status, its word, and details in the shapes of `google.rpc`.

use serde::Serialize;

use crate::{
    ErrorContext, ProtocolId,
    ir::{ApiError, ErrorKind},
};

#[derive(Serialize)]
struct Body<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    code: u16,
    message: &'a str,
    status: &'static str,
    details: Vec<Detail<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "@type")]
enum Detail<'a> {
    #[serde(rename = "type.googleapis.com/google.rpc.ErrorInfo")]
    ErrorInfo { reason: String, domain: &'static str },
    #[serde(rename = "type.googleapis.com/google.rpc.BadRequest", rename_all = "camelCase")]
    BadRequest { field_violations: [Violation<'a>; 1] },
    #[serde(rename = "type.googleapis.com/google.rpc.RetryInfo", rename_all = "camelCase")]
    RetryInfo { retry_delay: String },
    #[serde(rename = "type.googleapis.com/google.rpc.RequestInfo", rename_all = "camelCase")]
    RequestInfo { request_id: &'a str },
}

#[derive(Serialize)]
struct Violation<'a> {
    field: &'a str,
    description: &'a str,
}

/// The body of an answer with this `status`: Google's own, where it was Google that answered.
pub fn encode_error(error: &ApiError, status: u16, context: &ErrorContext) -> Vec<u8> {
    if let Some(told) = error.raw_in(ProtocolId::Gemini) {
        return told.as_bytes().to_vec();
    }
    let error =
        Error { code: status, message: &error.message, status: word(error.kind), details: details(error, context) };
    serde_json::to_vec(&Body { error }).expect("strings and numbers always serialise")
}

fn details<'a>(error: &'a ApiError, context: &'a ErrorContext) -> Vec<Detail<'a>> {
    let violation = |field| Detail::BadRequest { field_violations: [Violation { field, description: &error.message }] };
    let wait = error.retry_after.filter(|_| waits(error.kind));
    let retry = wait.map(|wait| Detail::RetryInfo { retry_delay: format!("{}s", wait.as_secs_f64()) });
    let mut details = vec![Detail::ErrorInfo { reason: reason(error), domain: "llm-orchestrator" }];
    details.extend(error.param.as_deref().map(violation));
    details.extend(retry);
    details.push(Detail::RequestInfo { request_id: &context.request_id });
    details
}

/// Whether waiting helps.
fn waits(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Overloaded)
}

/// What went wrong in one word of capitals, as Google spells it; for a wrong key Google's own, which its clients look for.
fn reason(error: &ApiError) -> String {
    match error.kind {
        ErrorKind::Unauthorized => "API_KEY_INVALID".to_owned(),
        kind => error.reason.unwrap_or(kind.code()).to_ascii_uppercase(),
    }
}

/// The canonical word for a status.
fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest
        | ErrorKind::ContextLength
        | ErrorKind::ContentPolicy
        | ErrorKind::TooLarge
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::Unprocessable => "INVALID_ARGUMENT",
        ErrorKind::Unauthorized => "UNAUTHENTICATED",
        ErrorKind::Forbidden => "PERMISSION_DENIED",
        ErrorKind::NotFound => "NOT_FOUND",
        ErrorKind::MethodNotAllowed => "UNIMPLEMENTED",
        ErrorKind::Conflict => "ABORTED",
        ErrorKind::RateLimited | ErrorKind::QuotaExceeded | ErrorKind::BudgetExceeded => "RESOURCE_EXHAUSTED",
        ErrorKind::Internal | ErrorKind::UpstreamAuth | ErrorKind::Upstream => "INTERNAL",
        ErrorKind::Unavailable | ErrorKind::Overloaded => "UNAVAILABLE",
        ErrorKind::RequestTimeout | ErrorKind::Timeout => "DEADLINE_EXCEEDED",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn encoded(error: &ApiError) -> String {
        let context = ErrorContext { request_id: "req_1".to_owned(), timestamp: "2026-01-01T00:00:00Z".to_owned() };
        String::from_utf8(encode_error(error, error.status(), &context)).unwrap()
    }

    #[test]
    fn an_error_has_googles_shape() {
        let error = ApiError { param: Some("contents".into()), ..ApiError::new(ErrorKind::InvalidRequest, "no") };
        assert_eq!(
            encoded(&error),
            concat!(
                r#"{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT","details":["#,
                r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"INVALID_REQUEST","domain":"llm-orchestrator"},"#,
                r#"{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"contents","description":"no"}]},"#,
                r#"{"@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":"req_1"}]}}"#
            )
        );
    }

    #[test]
    fn a_wait_is_told_where_google_tells_it() {
        let limited = |kind| ApiError { retry_after: Some(Duration::from_millis(1500)), ..ApiError::new(kind, "m") };
        assert!(encoded(&limited(ErrorKind::RateLimited)).contains(r#"google.rpc.RetryInfo","retryDelay":"1.5s""#));
        assert!(!encoded(&limited(ErrorKind::QuotaExceeded)).contains("retryDelay"));
    }

    #[test]
    fn a_fault_of_the_providers_key_is_not_the_clients() {
        let told = encoded(&ApiError::new(ErrorKind::UpstreamAuth, "m"));
        assert!(told.contains(r#""code":502"#) && told.contains(r#""status":"INTERNAL""#), "{told}");
        let own = encoded(&ApiError::new(ErrorKind::Unauthorized, "m"));
        assert!(own.contains(r#""status":"UNAUTHENTICATED""#) && own.contains("API_KEY_INVALID"), "{own}");
    }
}
