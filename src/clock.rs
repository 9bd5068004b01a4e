//! The time of day: the one place that reads it, and the one way to write it down.
//!
//! Durations are measured with `tokio::time::Instant`; this clock is for what gets stored or shown.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{
    Date, OffsetDateTime, PrimitiveDateTime, format_description::well_known::Rfc3339, macros::format_description,
};

/// Microseconds since the epoch, now.
#[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is sent to")]
pub fn now_micros() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

/// The time of day when `span` has passed since `micros`.
pub fn after(micros: i64, span: Duration) -> i64 {
    micros.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX))
}

/// RFC 3339 in UTC with milliseconds, as in `2026-01-31T08:00:00.250Z`. A time that no calendar holds becomes the epoch.
pub fn rfc3339(micros: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let parts = [
        (0..4, at.year().unsigned_abs()),
        (5..7, u8::from(at.month()).into()),
        (8..10, at.day().into()),
        (11..13, at.hour().into()),
        (14..16, at.minute().into()),
        (17..19, at.second().into()),
        (20..23, at.millisecond().into()),
    ];
    // By hand: every line of the log begins with it.
    for (place, mut number) in parts {
        for digit in text[place].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads what people write as a time: RFC 3339, the same without an offset (then UTC), or a bare date (its midnight).
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let at = OffsetDateTime::parse(text, &Rfc3339).ok().or_else(|| parse_without_offset(text))?;
    i64::try_from(at.unix_timestamp_nanos() / 1000).ok()
}

fn parse_without_offset(text: &str) -> Option<OffsetDateTime> {
    let moment =
        format_description!("[year]-[month]-[day]T[hour]:[minute][optional [:[second][optional [.[subsecond]]]]]");
    let day = format_description!("[year]-[month]-[day]");
    let spelled = text.replacen(' ', "T", 1);
    if let Ok(at) = PrimitiveDateTime::parse(&spelled, moment) {
        return Some(at.assume_utc());
    }
    Date::parse(text, day).ok().map(|date| date.midnight().assume_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_767_225_600_250_999), "2026-01-01T00:00:00.250Z");
        assert_eq!(rfc3339(i64::MAX), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn times_are_read_in_the_forms_people_use() {
        let new_year = 1_767_225_600_000_000;
        for text in [
            "2026-01-01T00:00:00Z",
            "2026-01-01T01:00:00+01:00",
            "2026-01-01",
            "2026-01-01 00:00:00",
            "2026-01-01T00:00",
        ] {
            assert_eq!(parse(text), Some(new_year), "{text}");
        }
        assert_eq!(parse("2026-01-01T00:00:00.25Z"), Some(new_year + 250_000));
        assert_eq!(parse("yesterday"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn what_was_written_can_be_read() {
        let now = now_micros();
        assert_eq!(parse(&rfc3339(now)), Some(now / 1000 * 1000));
    }
}
