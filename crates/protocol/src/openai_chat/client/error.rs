//! Writes errors in OpenAI's shape, with this gateway's additions, and with what an upstream of this protocol said besides.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    ErrorContext, ProtocolId,
    ir::{ApiError, ErrorKind},
    json::Json,
};

#[derive(Serialize)]
struct Body<'a> {
    error: Error<'a>,
    timestamp: &'a str,
    request_id: &'a str,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    details: Details<'a>,
    /// What the upstream said besides, such as Azure's `innererror` and Groq's `failed_generation`.
    #[serde(flatten)]
    more: BTreeMap<String, Json>,
}

#[derive(Serialize)]
struct Details<'a> {
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

pub fn encode_error(error: &ApiError, context: &ErrorContext) -> Vec<u8> {
    let body = Body {
        error: Error {
            code: code(error),
            message: &error.message,
            kind: kind(error.kind),
            param: error.param.as_deref(),
            details: Details { request_id: &context.request_id, reason: error.reason },
            more: more(error),
        },
        timestamp: &context.timestamp,
        request_id: &context.request_id,
    };
    serde_json::to_vec(&body).expect("strings and options always serialise")
}

fn more(error: &ApiError) -> BTreeMap<String, Json> {
    const SAID: [&str; 5] = ["code", "message", "type", "param", "details"];
    let told = error.raw_in(ProtocolId::OpenAiChat).and_then(|body| Json::parse(body.as_bytes()).ok());
    let Some(Json::Object(members)) = told.and_then(|mut body| body.remove("error")) else { return BTreeMap::new() };
    members.into_iter().filter(|(key, _)| !SAID.contains(&key.as_str())).collect()
}

/// The upstream's own code where it tells the client something about its request; this gateway's code where the
/// fault lies behind the gateway, so that clients see one word for it whatever the provider.
fn code(error: &ApiError) -> &str {
    match error.kind {
        ErrorKind::ContextLength
        | ErrorKind::UpstreamAuth
        | ErrorKind::Upstream
        | ErrorKind::Overloaded
        | ErrorKind::Unavailable
        | ErrorKind::Timeout
        | ErrorKind::Internal => error.kind.code(),
        _ => error.code.as_deref().unwrap_or(error.kind.code()),
    }
}

fn kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest
        | ErrorKind::ContextLength
        | ErrorKind::ContentPolicy
        | ErrorKind::MethodNotAllowed
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::Unprocessable => "invalid_request_error",
        ErrorKind::Unauthorized => "authentication_error",
        ErrorKind::Forbidden => "permission_error",
        ErrorKind::NotFound => "not_found_error",
        ErrorKind::RateLimited => "rate_limit_error",
        ErrorKind::QuotaExceeded | ErrorKind::BudgetExceeded => "insufficient_quota",
        ErrorKind::RequestTimeout | ErrorKind::Timeout => "timeout_error",
        ErrorKind::Internal
        | ErrorKind::UpstreamAuth
        | ErrorKind::Upstream
        | ErrorKind::Unavailable
        | ErrorKind::Overloaded => "server_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> ErrorContext {
        ErrorContext { request_id: "req_1".to_owned(), timestamp: "2026-01-01T00:00:00Z".to_owned() }
    }

    fn encoded(error: &ApiError) -> String {
        String::from_utf8(encode_error(error, &context())).unwrap()
    }

    #[test]
    fn an_error_has_the_contracts_shape() {
        let error = ApiError { param: Some("n".into()), ..ApiError::new(ErrorKind::InvalidRequest, "no") };
        assert_eq!(
            encoded(&error),
            r#"{"error":{"code":"invalid_request","message":"no","type":"invalid_request_error","param":"n","details":{"request_id":"req_1"}},"timestamp":"2026-01-01T00:00:00Z","request_id":"req_1"}"#
        );
    }

    #[test]
    fn what_an_upstream_of_this_protocol_said_besides_is_kept() {
        let body = br#"{"error":{"message":"m","type":"invalid_request_error","param":"tools","code":"tool_use_failed","failed_generation":"<f>"}}"#;
        let told = crate::Outbound::decode_error(&crate::openai_chat::OpenAiChat, 400, body);
        let told = encoded(&told);
        assert!(told.contains(r#""details":{"request_id":"req_1"},"failed_generation":"<f>"}"#), "{told}");
        assert!(told.contains(r#""code":"tool_use_failed","message":"m""#), "{told}");
        let theirs = crate::Outbound::decode_error(&crate::openai_responses::OpenAiResponses, 400, body);
        assert!(!encoded(&theirs).contains("failed_generation"), "another protocol's words");
        let own = crate::Inbound::encode_error(&crate::openai_responses::OpenAiResponses, &theirs, &context());
        assert_eq!(own, body);
    }

    #[test]
    fn the_upstreams_code_shows_only_where_it_speaks_of_the_request() {
        let with_code = |kind| ApiError { code: Some("theirs".into()), ..ApiError::new(kind, "m") };
        assert!(encoded(&with_code(ErrorKind::NotFound)).contains(r#""code":"theirs""#));
        assert!(encoded(&with_code(ErrorKind::ContextLength)).contains(r#""code":"context_length_exceeded""#));
        let auth = ApiError { reason: Some("auth"), ..with_code(ErrorKind::UpstreamAuth) };
        assert!(encoded(&auth).contains(r#""code":"upstream_error""#));
        assert!(encoded(&auth).contains(r#""details":{"request_id":"req_1","reason":"auth"}"#));
    }
}
