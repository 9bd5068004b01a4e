//! Which error means what: the one table of it.

use std::time::{Duration, UNIX_EPOCH};

use hyper::http::{HeaderMap, header};
use llm_protocol::ir::{ApiError, ErrorKind};

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request itself is at fault: nobody else would take it.
    GiveUp,
    /// Another provider may serve it; this one will not.
    Elsewhere,
    /// Another provider may serve it, and so may this one, a little later.
    Again,
}

/// The table.
pub fn verdict(error: &ApiError) -> Verdict {
    match error.kind {
        ErrorKind::InvalidRequest
        | ErrorKind::ContextLength
        | ErrorKind::ContentPolicy
        | ErrorKind::Unauthorized
        | ErrorKind::BudgetExceeded
        | ErrorKind::Forbidden
        | ErrorKind::MethodNotAllowed
        | ErrorKind::RequestTimeout
        | ErrorKind::Conflict
        | ErrorKind::TooLarge
        | ErrorKind::UnsupportedMediaType
        | ErrorKind::Unprocessable
        | ErrorKind::Internal => Verdict::GiveUp,
        ErrorKind::NotFound | ErrorKind::QuotaExceeded | ErrorKind::UpstreamAuth | ErrorKind::Timeout => {
            Verdict::Elsewhere
        }
        ErrorKind::RateLimited | ErrorKind::Upstream | ErrorKind::Unavailable | ErrorKind::Overloaded => Verdict::Again,
    }
}

/// Whether the provider is to blame, so that its health suffers. Being busy (429) is no fault.
pub fn blames_upstream(error: &ApiError) -> bool {
    matches!(
        error.kind,
        ErrorKind::Upstream
            | ErrorKind::UpstreamAuth
            | ErrorKind::QuotaExceeded
            | ErrorKind::Overloaded
            | ErrorKind::Unavailable
            | ErrorKind::Timeout
    )
}

/// How long an answer's headers say to wait: `retry-after-ms`, else `Retry-After` in seconds or as a date (RFC 9110).
/// Nonsense, negative numbers included, is no wait at all.
/// `now` is in microseconds since the epoch.
pub fn retry_after(headers: &HeaderMap, now: i64) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let seconds = |text: &str| text.parse::<f64>().ok().filter(|number| *number >= 0.0);
    // Azure sends `retry-after-ms: 0` beside a `retry-after` that means something.
    if let Some(millis) = text("retry-after-ms").and_then(seconds).filter(|millis| *millis > 0.0) {
        return Duration::try_from_secs_f64(millis / 1000.0).ok();
    }
    let text = text(header::RETRY_AFTER.as_str())?;
    match seconds(text) {
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        None => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(UNIX_EPOCH + Duration::from_micros(now.unsigned_abs()))
            .ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_fault_is_never_tried_elsewhere_and_never_blamed_on_the_provider() {
        for kind in [
            ErrorKind::InvalidRequest,
            ErrorKind::ContextLength,
            ErrorKind::ContentPolicy,
            ErrorKind::TooLarge,
            ErrorKind::Unprocessable,
        ] {
            let error = ApiError::new(kind, "");
            assert_eq!((verdict(&error), blames_upstream(&error)), (Verdict::GiveUp, false), "{kind:?}");
        }
    }

    #[test]
    fn what_only_this_provider_refuses_goes_elsewhere() {
        for (kind, blamed) in [
            (ErrorKind::NotFound, false),
            (ErrorKind::QuotaExceeded, true),
            (ErrorKind::UpstreamAuth, true),
            (ErrorKind::Timeout, true),
        ] {
            let error = ApiError::new(kind, "");
            assert_eq!((verdict(&error), blames_upstream(&error)), (Verdict::Elsewhere, blamed), "{kind:?}");
        }
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for (kind, blamed) in
            [(ErrorKind::RateLimited, false), (ErrorKind::Upstream, true), (ErrorKind::Overloaded, true)]
        {
            let error = ApiError::new(kind, "");
            assert_eq!((verdict(&error), blames_upstream(&error)), (Verdict::Again, blamed), "{kind:?}");
        }
    }

    #[test]
    fn retry_after_is_read_in_every_form_and_nonsense_is_none() {
        let wait = |name: &'static str, value: &str| {
            retry_after(&HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]), 0)
        };
        assert_eq!(wait("retry-after", "2"), Some(Duration::from_secs(2)));
        assert_eq!(wait("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(wait("retry-after-ms", "1500"), Some(Duration::from_millis(1500)));
        assert_eq!(wait("retry-after", "Thu, 01 Jan 1970 00:00:09 GMT"), Some(Duration::from_secs(9)));
        for nonsense in ["-1", "soon", "", "nan", "1e400"] {
            assert_eq!(wait("retry-after", nonsense), None, "{nonsense}");
        }
    }
}
