//! Reads errors: `{"error": {"code", "message", "status", "details"}}`, alone, in an array, or inside a 200.

use std::time::Duration;

use memchr::memmem;
use serde_json::value::RawValue;

use crate::{
    ProtocolId,
    gemini::wire::Answer,
    ir::{ApiError, ErrorKind},
    json::Json,
};

/// How every key of Google's begins.
const KEY: &str = "AIza";

/// Reads an error answer, whatever it holds.
pub fn decode(status: u16, body: &[u8]) -> ApiError {
    let told = Json::parse(body).ok().and_then(unwrapped);
    let mut error = read(&told.unwrap_or_default(), Some(status));
    error.upstream_status = Some(status);
    // A body that repeats a key is told in words only.
    if memmem::find(body, KEY.as_bytes()).is_some() { error } else { error.verbatim(ProtocolId::Gemini, body) }
}

/// Reads an answer or a frame of one that came with a 200, and fails if it is an error all the same.
pub fn answer(body: &[u8]) -> Result<Answer<'_>, ApiError> {
    let unreadable = || ApiError::malformed("the provider answered something that is no answer of its protocol");
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(match Json::parse(body).ok().and_then(unwrapped) {
            Some(error) => read(&error, None),
            None => unreadable(),
        });
    }
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| unreadable())?;
    match answer.error.map(RawValue::get).and_then(|raw| Json::parse(raw.as_bytes()).ok()) {
        Some(error) => Err(read(&error, None)),
        None => Ok(answer),
    }
}

/// The error itself, without what is around it.
fn unwrapped(body: Json) -> Option<Json> {
    let mut body = match body {
        Json::Array(items) => items.into_iter().next()?,
        body => body,
    };
    match body.remove("error") {
        Some(Json::Null) | None => body.get("message").is_some().then_some(body),
        error => error,
    }
}

/// `status` is that of the answer; an error inside a 200 tells its own.
fn read(error: &Json, status: Option<u16>) -> ApiError {
    let word = error.get("status").and_then(Json::as_str);
    let own = error.get("code").and_then(Json::as_u64).and_then(|code| u16::try_from(code).ok());
    let status = status.or(own.filter(|code| *code >= 400)).or(word.and_then(status_of)).unwrap_or(500);
    let message = match error.get("message").and_then(Json::as_str).or(error.as_str()).filter(|text| !text.is_empty()) {
        Some(message) => without_keys(message),
        None => ApiError::unexplained(status),
    };
    let details = error.get("details").and_then(Json::items).unwrap_or_default();
    let cause = details.iter().find_map(|detail| detail.get("reason")).and_then(Json::as_str);
    let (kind, reason) = kind(status, &message, word, cause, details);
    let code = match kind {
        ErrorKind::ContextLength | ErrorKind::ContentPolicy => None,
        ErrorKind::NotFound if message.starts_with("models/") => Some("model_not_found"),
        _ => cause.or(word),
    };
    ApiError {
        code: code.map(str::to_owned),
        param: param(details),
        retry_after: retry_after(&message, details),
        reason,
        ..ApiError::new(kind, message)
    }
}

fn kind(
    status: u16,
    message: &str,
    word: Option<&str>,
    cause: Option<&str>,
    details: &[Json],
) -> (ErrorKind, Option<&'static str>) {
    let said = |words: &str| message.contains(words);
    match status {
        // Gemini answers 400 where others answer 401.
        400 if cause.is_some_and(|cause| cause.starts_with("API_KEY_"))
            || said("API key not valid")
            || said("API key expired") =>
        {
            (ErrorKind::UpstreamAuth, Some("auth"))
        }
        400 if word == Some("FAILED_PRECONDITION") && said("billing") => (ErrorKind::QuotaExceeded, None),
        // It is this gateway that stands in the wrong country, not the client.
        400 if said("User location is not supported") => (ErrorKind::Upstream, Some("location")),
        400 if said("exceeds the maximum number of tokens") || said("nput token count") => {
            (ErrorKind::ContextLength, None)
        }
        400 if said("PROHIBITED_CONTENT") || said("safety polic") => (ErrorKind::ContentPolicy, None),
        429 if said("credits are depleted") || said(", limit: 0") || spent_for_today(details) => {
            (ErrorKind::QuotaExceeded, None)
        }
        // A redirection, or the like.
        ..400 => (ErrorKind::InvalidRequest, None),
        _ => {
            let kind = ErrorKind::of_upstream(status);
            (kind, kind.upstream_reason())
        }
    }
}

/// The HTTP status of a canonical status word.
fn status_of(word: &str) -> Option<u16> {
    Some(match word {
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => 400,
        "UNAUTHENTICATED" => 401,
        "PERMISSION_DENIED" => 403,
        "NOT_FOUND" => 404,
        "ABORTED" | "ALREADY_EXISTS" => 409,
        "RESOURCE_EXHAUSTED" => 429,
        "UNAVAILABLE" => 503,
        "DEADLINE_EXCEEDED" => 504,
        _ => return None,
    })
}

/// Whether every limit that was hit is one by the day, so that no wait worth its name helps.
fn spent_for_today(details: &[Json]) -> bool {
    let mut ids = violations(details).filter_map(|violation| violation.get("quotaId")?.as_str()).peekable();
    ids.peek().is_some() && ids.all(|id| id.contains("PerDay"))
}

/// What `QuotaFailure` and `BadRequest` details list.
fn violations(details: &[Json]) -> impl Iterator<Item = &Json> {
    let lists = details.iter().filter_map(|detail| detail.get("violations").or_else(|| detail.get("fieldViolations")));
    lists.filter_map(Json::items).flatten()
}

fn param(details: &[Json]) -> Option<String> {
    violations(details).find_map(|violation| violation.get("field")?.as_str()).map(str::to_owned)
}

/// The longer of the two waits that Gemini tells: the one in the details is rounded down.
fn retry_after(message: &str, details: &[Json]) -> Option<Duration> {
    let told = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str()).and_then(duration);
    let said = message.split_once("retry in ").and_then(|(_, rest)| duration(rest));
    told.max(said)
}

/// The duration that a text begins with: `34.4s`, `2m3s`, `250ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = None;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let Ok(amount) = rest[..digits].parse::<f64>() else { return total };
        let tail = &rest[digits..];
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let unit = match &tail[..letters] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "ns" => 0.0,
            _ => return total,
        };
        let part = Duration::try_from_secs_f64(amount * unit).ok()?;
        total = total.unwrap_or_default().checked_add(part);
        total?;
        rest = &tail[letters..];
    }
}

/// A message without the API keys that Google repeats in some of them.
fn without_keys(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find(KEY) {
        let key = &rest[at..];
        let end = key.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').unwrap_or(key.len());
        out.push_str(&rest[..at]);
        out.push_str(if end >= 20 { "[key]" } else { &key[..end] });
        rest = &key[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> ApiError {
        decode(status, body.as_bytes())
    }

    #[test]
    fn a_bad_key_is_this_gateways_fault_though_gemini_says_400() {
        let body = r#"[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}]"#;
        let error = error(400, body);
        assert_eq!((error.kind, error.reason), (ErrorKind::UpstreamAuth, Some("auth")));
        assert_eq!((error.code.as_deref(), error.upstream_status), (Some("API_KEY_INVALID"), Some(400)));
    }

    #[test]
    fn the_wait_is_read_from_the_details_and_from_the_message() {
        let told = r#"{"error":{"message":"x","details":[{"retryDelay":"34.4s"}]}}"#;
        assert_eq!(error(429, told).retry_after, Some(Duration::from_millis(34_400)));
        let said = r#"{"error":{"message":"Please retry in 48.5s.","details":[{"retryDelay":"48s"}]}}"#;
        assert_eq!(error(429, said).retry_after, Some(Duration::from_millis(48_500)));
        assert_eq!(duration("1h2m3s"), Some(Duration::from_secs(3723)));
        assert_eq!(duration("250ms or so"), Some(Duration::from_millis(250)));
        assert_eq!((duration("soon"), duration("9e99s"), duration("1.2.3s")), (None, None, None));
    }

    #[test]
    fn a_daily_quota_is_spent_and_a_minutes_limit_is_not() {
        let body =
            |id: &str| format!(r#"{{"error":{{"message":"m","details":[{{"violations":[{{"quotaId":"{id}"}}]}}]}}}}"#);
        assert_eq!(error(429, &body("RequestsPerDayPerProject")).kind, ErrorKind::QuotaExceeded);
        assert_eq!(error(429, &body("RequestsPerMinutePerProject")).kind, ErrorKind::RateLimited);
    }

    #[test]
    fn each_status_has_its_kind() {
        let said = |status, message: &str| error(status, &format!(r#"{{"error":{{"message":"{message}"}}}}"#)).kind;
        let long = "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).";
        assert_eq!(said(400, long), ErrorKind::ContextLength);
        assert_eq!(said(400, "Invalid value"), ErrorKind::InvalidRequest);
        assert_eq!(said(403, "denied"), ErrorKind::UpstreamAuth);
        assert_eq!(said(404, "models/x is not found"), ErrorKind::NotFound);
        assert_eq!(said(500, "x"), ErrorKind::Upstream);
        assert_eq!(said(503, "overloaded"), ErrorKind::Overloaded);
        assert_eq!(said(504, "x"), ErrorKind::Timeout);
    }

    #[test]
    fn pages_and_nothing_are_not_shown() {
        for body in ["<html>502 Bad Gateway</html>", "", "[]", "{}", "null", "[[[]]]"] {
            assert_eq!(error(502, body).message, "the provider answered 502 with no readable error", "{body}");
        }
    }

    #[test]
    fn a_key_in_a_message_is_not_passed_on() {
        let body =
            r#"{"error":{"message":"Consumer 'api_key:AIzaSyA1234567890_abcdefghijklmnopqrst' was suspended. AIza"}}"#;
        assert_eq!(error(403, body).message, "Consumer 'api_key:[key]' was suspended. AIza");
    }

    #[test]
    fn an_error_inside_a_200_tells_its_own_status() {
        let error = answer(br#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#).unwrap_err();
        assert_eq!((error.kind, error.upstream_status), (ErrorKind::Overloaded, None));
        let error = answer(br#"[{"error":{"status":"RESOURCE_EXHAUSTED"}}]"#).unwrap_err();
        assert_eq!(error.kind, ErrorKind::RateLimited);
        assert_eq!(answer(b"<html>").unwrap_err().reason, Some("malformed"));
        assert_eq!(answer(b"[]").unwrap_err().reason, Some("malformed"));
    }
}
