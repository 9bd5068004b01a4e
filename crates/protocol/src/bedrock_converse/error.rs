//! Reading errors: those of Bedrock, of the models behind it, and exceptions inside a stream.

use crate::{
    ir::{ApiError, ErrorKind},
    json::Json,
};

/// Reads an error answer.
pub(super) fn decode(status: u16, body: &[u8]) -> ApiError {
    let message = told(body).unwrap_or_else(|| ApiError::unexplained(status));
    let kind = of_status(status, &message);
    ApiError { upstream_status: Some(status), ..build(kind, message) }
}

/// Reads an exception inside a stream, by its name such as `throttlingException`.
pub(super) fn exception(name: &str, body: &[u8]) -> ApiError {
    let message = told(body).unwrap_or_else(|| format!("the provider broke off with `{name}`"));
    let kind = of_name(name, &message);
    build(kind, message)
}

/// An answer that is an error although its status says otherwise.
pub(super) fn within(body: &[u8]) -> ApiError {
    match told(body) {
        Some(message) => build(ErrorKind::Upstream, message),
        None => ApiError::malformed("the provider's answer holds no output"),
    }
}

fn build(kind: ErrorKind, message: String) -> ApiError {
    let code = (kind == ErrorKind::NotFound).then(|| "model_not_found".to_owned());
    ApiError { code, reason: kind.upstream_reason(), ..ApiError::new(kind, message) }
}

/// `{"message": "…"}`; what guards the address writes `Message`.
fn told(body: &[u8]) -> Option<String> {
    let body = Json::parse(body).ok()?;
    let text = |key: &str| body.get(key).and_then(Json::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    text("message").or_else(|| text("Message")).or_else(|| text("originalMessage"))
}

fn of_status(status: u16, message: &str) -> ErrorKind {
    match status {
        400 => of_request(message),
        // That one model, or the list of models, is not open to this account says nothing against its key.
        403 if any(message, &["access to the model", "not authorized to perform: bedrock:list"]) => ErrorKind::NotFound,
        _ => ErrorKind::of_upstream(status),
    }
}

fn of_name(name: &str, message: &str) -> ErrorKind {
    match name.to_ascii_lowercase().trim_end_matches("exception") {
        "throttling" | "modelnotready" => ErrorKind::RateLimited,
        "validation" => of_request(message),
        "serviceunavailable" => ErrorKind::Overloaded,
        "modeltimeout" => ErrorKind::Timeout,
        "servicequotaexceeded" => ErrorKind::QuotaExceeded,
        "accessdenied" | "unrecognizedclient" | "expiredtoken" => ErrorKind::UpstreamAuth,
        "resourcenotfound" => ErrorKind::NotFound,
        _ => ErrorKind::Upstream,
    }
}

/// Bedrock says in words only which sort of wrong a request is.
fn of_request(message: &str) -> ErrorKind {
    if any(message, &["input is too long", "prompt is too long", "too many input tokens", "maximum context length"]) {
        ErrorKind::ContextLength
    } else if any(message, &["model identifier is invalid", "on-demand throughput isn"]) {
        ErrorKind::NotFound
    } else if any(message, &["content filtering policy", "content filters"]) {
        ErrorKind::ContentPolicy
    } else {
        ErrorKind::InvalidRequest
    }
}

fn any(message: &str, phrases: &[&str]) -> bool {
    let message = message.to_ascii_lowercase();
    phrases.iter().any(|phrase| message.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_status_and_words() {
        let kind = |status, message: &str| decode(status, format!(r#"{{"message":"{message}"}}"#).as_bytes()).kind;
        assert_eq!(kind(400, "Input is too long for requested model."), ErrorKind::ContextLength);
        assert_eq!(kind(400, "The provided model identifier is invalid."), ErrorKind::NotFound);
        assert_eq!(kind(400, "Malformed input request"), ErrorKind::InvalidRequest);
        assert_eq!(kind(403, "The security token included in the request is invalid."), ErrorKind::UpstreamAuth);
        assert_eq!(kind(403, "You don't have access to the model with the specified model ID."), ErrorKind::NotFound);
        assert_eq!(
            kind(403, "User: arn is not authorized to perform: bedrock:ListFoundationModels"),
            ErrorKind::NotFound
        );
        assert_eq!(kind(408, "Model timeout"), ErrorKind::Timeout);
        assert_eq!(kind(424, "The model failed"), ErrorKind::Upstream);
        assert_eq!(kind(429, "Too many requests"), ErrorKind::RateLimited);
        assert_eq!(kind(500, "oops"), ErrorKind::Upstream);
        assert_eq!(kind(503, "busy"), ErrorKind::Overloaded);
    }

    #[test]
    fn exceptions_are_told_apart_by_name() {
        for (name, kind) in [
            ("throttlingException", ErrorKind::RateLimited),
            ("modelTimeoutException", ErrorKind::Timeout),
            ("serviceUnavailableException", ErrorKind::Overloaded),
            ("modelStreamErrorException", ErrorKind::Upstream),
            ("internalServerException", ErrorKind::Upstream),
            ("validationException", ErrorKind::InvalidRequest),
            ("laterException", ErrorKind::Upstream),
        ] {
            let error = exception(name, br#"{"message":"because"}"#);
            assert_eq!((error.kind, &*error.message), (kind, "because"), "{name}");
        }
        assert!(exception("error", b"\xff").message.contains("`error`"));
    }

    #[test]
    fn what_is_no_error_body_is_an_error_all_the_same() {
        assert_eq!(decode(502, b"<html>").kind, ErrorKind::Upstream);
        assert_eq!(decode(403, br#"{"Message":"signature"}"#).message, "signature");
    }
}
