//! What a request asks of this gateway, read from the top level of its body without parsing the rest.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use llm_protocol::{
    ir::Malformed,
    json::Json,
    splice::{Edit, Members},
};

use super::{Call, drive::Patience};
use crate::{fidelity::Fidelity, routing::Wish};

/// The fields that are this gateway's own, in a body and as a header.
const PROVIDER: (&str, HeaderName) = ("provider", HeaderName::from_static("x-orchestrator-provider"));
const FALLBACKS: (&str, HeaderName) = ("fallback_providers", HeaderName::from_static("x-orchestrator-fallback"));
const TIMEOUT: (&str, HeaderName) = ("timeout", HeaderName::from_static("x-orchestrator-timeout"));
const RETRIES: (&str, HeaderName) = ("retry_count", HeaderName::from_static("x-orchestrator-retries"));
const FIDELITY: HeaderName = HeaderName::from_static("x-orchestrator-fidelity");
const STRICT: HeaderName = HeaderName::from_static("x-orchestrator-strict");

/// Seconds. What a client asks for beyond the configured maximum is lowered to it anyway.
const LONGEST_TIMEOUT: f64 = 1e9;

/// Greatest `retry_count`.
const MAX_RETRIES: u32 = 5;

/// Bytes of a `model`: far more than any has, and few enough for a header and a row in the log.
const LONGEST_MODEL: usize = 1024;

/// A checked request, as far as this gateway must understand it.
#[derive(Debug)]
pub struct Asked {
    pub wish: Wish,
    pub stream: bool,
    /// Seconds for the whole request, at least 1.
    pub timeout: Option<Duration>,
    /// Further attempts per provider, 0..=5.
    pub retries: Option<u32>,
    /// How much of it may be lost, if it says so.
    pub fidelity: Option<Fidelity>,
    /// Takes this gateway's own fields out of the body.
    pub removals: Vec<Edit>,
    /// As in [`Call::echo`].
    pub echo: Vec<(&'static str, Json)>,
}

impl Asked {
    /// Reads a body's top level and the headers. A field that is set in both counts as the body has it.
    pub fn read(call: &Call, members: &Members<'_>, headers: &HeaderMap) -> Result<Self, Malformed> {
        let model = match &call.model {
            Some(model) => Some(model.as_str().into()),
            None => members.string("model"),
        };
        let model = model
            .filter(|model| !model.is_empty())
            .ok_or_else(|| Malformed::new("model", "`model` is required and must be a string that is not empty"))?;
        if model.len() > LONGEST_MODEL {
            return Err(wrong("model", &format!("at most {LONGEST_MODEL} bytes long")));
        }
        Self::about(model.into_owned(), call, members, headers)
    }

    /// As [`Asked::read`], of a request about a model that is known, or about none where its name is empty.
    pub fn about(model: String, call: &Call, members: &Members<'_>, headers: &HeaderMap) -> Result<Self, Malformed> {
        let mut removals = Vec::new();
        let provider = provider(members, headers, &mut removals)?;
        let fallbacks = fallbacks(members, headers, &mut removals)?;
        let timeout = number(members, headers, TIMEOUT, "a number of seconds, at least 1", &mut removals)?
            .map(|seconds| match Duration::try_from_secs_f64(seconds.min(LONGEST_TIMEOUT)) {
                Ok(timeout) if seconds >= 1.0 => Ok(timeout),
                _ => Err(wrong(TIMEOUT.0, "a number of seconds, at least 1")),
            })
            .transpose()?;
        let retries = number(members, headers, RETRIES, "a whole number from 0 to 5", &mut removals)?
            .map(|count| match count as u32 {
                whole if f64::from(whole) == count && whole <= MAX_RETRIES => Ok(whole),
                _ => Err(wrong(RETRIES.0, "a whole number from 0 to 5")),
            })
            .transpose()?;
        let stream = match (call.stream, members.get("stream")) {
            (Some(stream), _) => stream,
            (None, None | Some("false")) => false,
            (None, Some("true")) => true,
            (None, Some(_)) => return Err(wrong("stream", "true or false")),
        };
        let wish = Wish { model, provider, fallbacks, needs: call.inbound.needs(members) };
        let (fidelity, echo) = (fidelity(headers)?, call.echo.clone());
        Ok(Self { wish, stream, timeout, retries, fidelity, removals, echo })
    }

    /// Whether this field is taken out of the body, since it is this gateway's own.
    pub(super) fn removes(&self, field: &str) -> bool {
        self.removals.iter().any(|edit| matches!(edit, Edit::Remove(removed) if removed == field))
    }

    pub(super) fn patience(&self) -> Patience {
        Patience { timeout: self.timeout, retries: self.retries, stream: self.stream }
    }
}

/// The older header knows one policy only, and says nothing where it says no.
fn fidelity(headers: &HeaderMap) -> Result<Option<Fidelity>, Malformed> {
    let strict = match text(headers, STRICT)? {
        Some("true" | "1") => Some(Fidelity::Strict),
        None | Some("false" | "0") => None,
        Some(_) => return Err(wrong(STRICT.as_str(), "true or false")),
    };
    let named = text(headers, FIDELITY)?
        .map(|name| Fidelity::parse(name).ok_or_else(|| wrong(FIDELITY.as_str(), "strict, warn or lenient")))
        .transpose()?;
    Ok(strict.or(named))
}

/// A provider that is an object is OpenRouter's own field, not this gateway's.
fn provider(members: &Members<'_>, headers: &HeaderMap, removals: &mut Vec<Edit>) -> Result<Option<String>, Malformed> {
    if members.get(PROVIDER.0).is_some_and(|value| value.starts_with('{')) {
        return Ok(text(headers, PROVIDER.1)?.map(str::to_owned));
    }
    remove(members, PROVIDER.0, removals);
    match members.get(PROVIDER.0) {
        Some(_) => match members.string(PROVIDER.0) {
            Some(name) if !name.is_empty() => Ok(Some(name.into_owned())),
            _ => Err(wrong(PROVIDER.0, "a provider's name or type")),
        },
        None => Ok(text(headers, PROVIDER.1)?.map(str::to_owned)),
    }
}

fn fallbacks(members: &Members<'_>, headers: &HeaderMap, removals: &mut Vec<Edit>) -> Result<Vec<String>, Malformed> {
    remove(members, FALLBACKS.0, removals);
    match members.get(FALLBACKS.0) {
        Some(list) => serde_json::from_str(list).map_err(|_| wrong(FALLBACKS.0, "a list of providers' names or types")),
        None => Ok(text(headers, FALLBACKS.1)?
            .map(|list| list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect())
            .unwrap_or_default()),
    }
}

fn number(
    members: &Members<'_>,
    headers: &HeaderMap,
    (field, header): (&'static str, HeaderName),
    expected: &str,
    removals: &mut Vec<Edit>,
) -> Result<Option<f64>, Malformed> {
    remove(members, field, removals);
    let given = match members.get(field) {
        Some(json) => Some(json),
        None => text(headers, header)?,
    };
    given.map(|text| text.parse::<f64>().map_err(|_| wrong(field, expected))).transpose()
}

fn remove(members: &Members<'_>, field: &'static str, removals: &mut Vec<Edit>) {
    if members.contains(field) {
        removals.push(Edit::remove(field));
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Malformed> {
    match headers.get(&name).map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value.trim()).filter(|value| !value.is_empty())),
        Some(Err(_)) => Err(wrong(name.as_str(), "printable ASCII")),
    }
}

fn wrong(field: &str, expected: &str) -> Malformed {
    Malformed::new(field, format!("`{field}` must be {expected}"))
}

#[cfg(test)]
mod tests {
    use llm_protocol::{Needs, openai_chat::OpenAiChat};

    use super::*;

    fn read(body: &str, headers: &[(&'static str, &str)]) -> Result<Asked, Malformed> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Asked::read(&Call::of(&OpenAiChat), &Members::read(body.as_bytes()).unwrap(), &headers)
    }

    #[test]
    fn the_four_fields_are_read_and_taken_out() {
        let body = r#"{"model":"m","provider":"a","fallback_providers":["b","c"],"timeout":1.5,"retry_count":0,"x":1}"#;
        let asked = read(body, &[]).unwrap();
        assert_eq!((asked.wish.provider.as_deref(), asked.wish.fallbacks.len()), (Some("a"), 2));
        assert_eq!((asked.timeout, asked.retries), (Some(Duration::from_millis(1500)), Some(0)));
        let left = Members::read(body.as_bytes()).unwrap().edit(&asked.removals);
        assert_eq!(left, br#"{"model":"m","x":1}"#);
    }

    #[test]
    fn headers_say_the_same_and_the_body_wins() {
        let headers = [
            ("x-orchestrator-provider", "h"),
            ("x-orchestrator-fallback", "b, c"),
            ("x-orchestrator-timeout", "2"),
            ("x-orchestrator-retries", "3"),
            ("x-orchestrator-strict", "true"),
        ];
        let asked = read(r#"{"model":"m","provider":"a","timeout":null}"#, &headers).unwrap();
        assert_eq!((asked.wish.provider.as_deref(), asked.wish.fallbacks.len()), (Some("a"), 2));
        assert_eq!((asked.timeout, asked.retries), (Some(Duration::from_secs(2)), Some(3)));
        assert_eq!(asked.fidelity, Some(Fidelity::Strict));
    }

    #[test]
    fn a_policy_is_named_by_its_header_and_the_older_header_asks_for_strictness_only() {
        let fidelity = |headers: &[_]| read(r#"{"model":"m"}"#, headers).map(|asked| asked.fidelity);
        assert_eq!(fidelity(&[]), Ok(None));
        assert_eq!(fidelity(&[("x-orchestrator-fidelity", "lenient")]), Ok(Some(Fidelity::Lenient)));
        assert_eq!(fidelity(&[("x-orchestrator-strict", "false")]), Ok(None));
        let both = [("x-orchestrator-strict", "true"), ("x-orchestrator-fidelity", "lenient")];
        assert_eq!(fidelity(&both), Ok(Some(Fidelity::Strict)));
        let wrong = fidelity(&[("x-orchestrator-fidelity", "loose")]).unwrap_err();
        assert_eq!(wrong.message, "`x-orchestrator-fidelity` must be strict, warn or lenient");
    }

    #[test]
    fn a_provider_that_is_an_object_is_somebody_elses_field_and_passes() {
        let asked = read(r#"{"model":"m","provider":{"order":["x"]}}"#, &[]).unwrap();
        assert!(asked.wish.provider.is_none() && asked.removals.is_empty());
    }

    #[test]
    fn a_wrong_value_names_its_field() {
        for (body, field) in [
            (r#"{}"#, "model"),
            (r#"{"model":""}"#, "model"),
            (r#"{"model":5}"#, "model"),
            (&format!(r#"{{"model":"{}"}}"#, "x".repeat(LONGEST_MODEL + 1)), "model"),
            (r#"{"model":"m","provider":5}"#, "provider"),
            (r#"{"model":"m","fallback_providers":"a"}"#, "fallback_providers"),
            (r#"{"model":"m","timeout":0.5}"#, "timeout"),
            (r#"{"model":"m","timeout":"60"}"#, "timeout"),
            (r#"{"model":"m","retry_count":6}"#, "retry_count"),
            (r#"{"model":"m","retry_count":1.5}"#, "retry_count"),
            (r#"{"model":"m","retry_count":-1}"#, "retry_count"),
            (r#"{"model":"m","stream":"yes"}"#, "stream"),
        ] {
            assert_eq!(read(body, &[]).unwrap_err().param, field, "{body}");
        }
    }

    #[test]
    fn needs_are_seen_without_parsing_contents() {
        let body = r#"{"model":"m","tools":[{}],"response_format":{"type":"json_schema"},"messages":[{"content":[{"type":"image_url"}]}]}"#;
        assert_eq!(
            read(body, &[]).unwrap().wish.needs,
            Needs { tool_call: true, structured_output: true, image: true }
        );
        assert_eq!(read(r#"{"model":"m","tools":[],"messages":[]}"#, &[]).unwrap().wish.needs, Needs::default());
    }
}
