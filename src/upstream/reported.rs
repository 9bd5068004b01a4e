//! What upstreams say of their rate limits in the headers of their answers.

use std::time::Duration;

use hyper::http::{HeaderMap, HeaderName};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    Requests,
    Tokens,
    InputTokens,
    OutputTokens,
}

impl Limited {
    pub const ALL: [Self; 4] = [Self::Requests, Self::Tokens, Self::InputTokens, Self::OutputTokens];

    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "requests" => Self::Requests,
            "tokens" => Self::Tokens,
            "input-tokens" => Self::InputTokens,
            "output-tokens" => Self::OutputTokens,
            _ => return None,
        })
    }
}

/// One limit, as far as an answer told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    pub limit: Option<u64>,
    pub remaining: Option<u64>,
    /// In how long there is as much as the limit again.
    pub reset: Option<Duration>,
}

/// No reset that is further away is believed.
pub const LONGEST_RESET: Duration = Duration::from_secs(60);

/// The limits that an answer tells of, in the order of [`Limited::ALL`]; `None` where it tells of none. What makes no sense is
/// as if it were not there. `now` is in microseconds since the epoch.
pub fn reported(headers: &HeaderMap, now: i64) -> Option<[Reported; 4]> {
    let mut found: Option<[Reported; 4]> = None;
    for (name, value) in headers {
        let Some((part, of)) = which(name) else { continue };
        let Some(text) = value.to_str().ok().map(str::trim) else { continue };
        let report = &mut found.get_or_insert_default()[of as usize];
        match part {
            "limit" => report.limit = text.parse().ok(),
            "remaining" => report.remaining = text.parse().ok(),
            _ => report.reset = span(text).or_else(|| until(text, now)).map(|reset| reset.min(LONGEST_RESET)),
        }
    }
    found
}

/// What of which limit a header tells: OpenAI's `x-ratelimit-PART-OF`, Anthropic's `anthropic-ratelimit-OF-PART`.
fn which(name: &HeaderName) -> Option<(&str, Limited)> {
    let name = name.as_str();
    let (part, of) = match name.strip_prefix("x-ratelimit-") {
        Some(rest) => rest.split_once('-')?,
        None => name.strip_prefix("anthropic-ratelimit-")?.rsplit_once('-').map(|(of, part)| (part, of))?,
    };
    let of = Limited::parse(of)?;
    matches!(part, "limit" | "remaining" | "reset").then_some((part, of))
}

/// A span as OpenAI writes it (`6m0s`, `20ms`, `1h2m3.5s`), or a bare number of seconds.
fn span(text: &str) -> Option<Duration> {
    let (mut total, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let letters = unit.find(|letter: char| letter.is_ascii_digit()).unwrap_or(unit.len());
        total += number
            * match &unit[..letters] {
                "d" => 86_400.0,
                "h" => 3600.0,
                "m" => 60.0,
                "s" | "" => 1.0,
                "ms" => 0.001,
                "us" | "µs" => 0.000_001,
                "ns" => 0.000_000_001,
                _ => return None,
            };
        rest = &unit[letters..];
    }
    Duration::try_from_secs_f64(total).ok().filter(|_| !text.is_empty())
}

/// How long it is until a moment in RFC 3339; nothing where that has passed.
fn until(text: &str, now: i64) -> Option<Duration> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos() / 1000;
    Some(Duration::from_micros(u64::try_from(moment - i128::from(now)).unwrap_or(0)))
}

/// For tests of whoever learns from them.
#[cfg(test)]
pub fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), hyper::http::HeaderValue::from_str(value).expect("tests send what can be sent"))
    };
    pairs.iter().map(header).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn openais_spans_are_read() {
        let spans =
            [("6m0s", 360_000), ("20ms", 20), ("1s", 1000), ("1h2m3.5s", 3_723_500), ("7.66s", 7660), ("2", 2000)];
        for (text, millis) in spans {
            assert_eq!(span(text).map(|span| span.as_millis()), Some(millis), "{text}");
        }
        for nonsense in ["", "-1s", "soon", "1x", "s", "1..2s", "1e9", "9999999999999999999999999999h"] {
            assert_eq!(span(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn both_vendors_headers_are_read_and_what_makes_no_sense_is_not() {
        let told = headers(&[
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "20ms"),
            ("x-ratelimit-remaining-tokens", "-5"),
            ("x-ratelimit-reset-tokens", "tomorrow"),
            ("anthropic-ratelimit-input-tokens-remaining", "12"),
            ("anthropic-ratelimit-input-tokens-reset", "1970-01-01T00:00:09Z"),
            ("anthropic-ratelimit-output-tokens-reset", "2999-01-01T00:00:00Z"),
            ("x-ratelimit-reset", "17"),
        ]);
        let [requests, tokens, input, output] = reported(&told, 2_000_000).unwrap();
        let report = |limit, remaining, reset| Reported { limit, remaining, reset };
        assert_eq!(requests, report(Some(60), Some(0), Some(Duration::from_millis(20))));
        assert_eq!(tokens, Reported::default());
        assert_eq!(input, report(None, Some(12), Some(Duration::from_secs(7))));
        assert_eq!(output, report(None, None, Some(LONGEST_RESET)));
        assert_eq!(reported(&headers(&[("retry-after", "3")]), 0), None);
    }

    proptest! {
        #[test]
        fn no_text_is_read_as_more_than_the_longest_reset(text in "[ -~]{0,20}", now in any::<i64>()) {
            let told = headers(&[("x-ratelimit-reset-tokens", &text), ("x-ratelimit-remaining-tokens", &text)]);
            let [_, tokens, ..] = reported(&told, now).unwrap();
            prop_assert!(tokens.reset.is_none_or(|reset| reset <= LONGEST_RESET));
        }
    }
}
