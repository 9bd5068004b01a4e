//! Reading what operators send: bodies, ids and queries, with errors that name the field and what it takes.

use std::{collections::HashMap, ops::RangeInclusive, sync::Arc};

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::request::Parts,
};
use llm_protocol::ir::{ApiError, ErrorKind};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::error::{invalid, no_such};
use crate::{app::App, clock, http::body::read_body, http::error::Failure};

/// What a body says about one field.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Change<T> {
    /// Nothing.
    #[default]
    Keep,
    /// `null`.
    Clear,
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

impl<T: Clone> Change<T> {
    /// Changes a field that always has a value: `null` puts `default` back.
    pub fn or_default(&self, field: &mut T, default: T) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = default,
            Self::Set(value) => *field = value.clone(),
        }
    }

    /// Changes a field that may be empty.
    pub fn or_none(&self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value.clone()),
        }
    }
}

impl Change<i64> {
    /// The same, if its value is within `range`.
    pub fn within(&self, name: &str, range: RangeInclusive<i64>) -> Result<&Self, ApiError> {
        match self {
            Self::Set(value) if !range.contains(value) => Err(out_of_range(name, &range, value)),
            fine => Ok(fine),
        }
    }
}

impl Change<String> {
    /// Without spaces around it; the empty text that a form sends for an empty field is none.
    pub fn trimmed(&self) -> Self {
        match self {
            Self::Set(text) if text.trim().is_empty() => Self::Clear,
            Self::Set(text) => Self::Set(text.trim().to_owned()),
            other => other.clone(),
        }
    }
}

fn out_of_range(name: &str, range: &RangeInclusive<i64>, value: impl std::fmt::Display) -> ApiError {
    let (start, end) = (range.start(), range.end());
    let expected = if *end == i64::MAX { format!("at least {start}") } else { format!("from {start} to {end}") };
    invalid(name, format!("`{name}` must be an integer {expected}, not {value}"))
}

/// A name that people and logs can live with.
pub fn checked_name(param: &str, name: &str) -> Result<(), ApiError> {
    let problem = if name.is_empty() {
        "must not be empty"
    } else if name.chars().count() > 200 {
        "must not be longer than 200 characters"
    } else if name.chars().any(char::is_control) {
        "must not hold control characters"
    } else if name.trim() != name {
        "must not begin or end with a space"
    } else {
        return Ok(());
    };
    Err(invalid(param, format!("`{param}` {problem}")))
}

/// A JSON object in the body. All fields of `T` must be optional; a missing body is an empty object.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let server = &app.config.server;
        let bytes = read_body(&parts.headers, body, server.max_body_bytes, server.body_timeout).await?;
        Ok(Self(read_object(&bytes)?))
    }
}

/// Reads an object, and if that fails, says which field is to blame.
fn read_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let wrong = |message: String| ApiError::new(ErrorKind::InvalidRequest, message);
    let bytes = match bytes.trim_ascii() {
        b"" => b"{}",
        given => given,
    };
    // serde would take a list as well, its items for the fields in their order.
    if !bytes.starts_with(b"{") {
        return Err(wrong("the body must be a JSON object".into()));
    }
    let error = match serde_json::from_slice(bytes) {
        Ok(object) => return Ok(object),
        Err(error) => error,
    };
    let fields: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| wrong(format!("the body is no valid JSON: {error}")))?;
    for (name, value) in fields {
        let alone = Value::Object([(name.clone(), value)].into_iter().collect());
        if let Err(error) = serde_json::from_value::<T>(alone) {
            let message = plain(&error.to_string());
            let named = message.contains(&format!("`{name}`"));
            return Err(invalid(&name, if named { message } else { format!("`{name}`: {message}") }));
        }
    }
    Err(wrong(plain(&error.to_string())))
}

/// serde's words without Rust's.
fn plain(message: &str) -> String {
    [
        ("expected i64", "expected an integer"),
        ("expected f64", "expected a number"),
        ("expected a sequence", "expected a list"),
    ]
    .iter()
    .fold(message.to_owned(), |message, (theirs, ours)| message.replace(theirs, ours))
}

/// The id in a path. What is no number is no id of anything.
pub struct Id(pub i64);

impl FromRequestParts<Arc<App>> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let text = Path::<String>::from_request_parts(parts, app).await.map_or_else(|_| String::new(), |path| path.0);
        text.parse().map(Self).map_err(|_| no_such("such thing with the id", text))
    }
}

/// The query, by names. Of a name that comes twice the last one counts; an empty value is none.
pub struct Params(HashMap<String, String>);

impl FromRequestParts<Arc<App>> for Params {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let pairs = Query::<Vec<(String, String)>>::from_request_parts(parts, app).await;
        let pairs = pairs.map_err(|_| ApiError::new(ErrorKind::InvalidRequest, "the query cannot be read"))?.0;
        Ok(Self(pairs.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect()))
    }
}

impl Params {
    pub fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| value.trim().to_owned())
    }

    pub fn integer(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| out_of_range(name, &range, format!("`{text}`")))
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Ok(Some(true)),
            "false" | "0" | "no" => Ok(Some(false)),
            _ => Err(invalid(name, format!("`{name}` must be true or false, not `{text}`"))),
        }
    }

    /// A time in any form that [`clock::parse`] reads.
    pub fn time(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let expected = || format!("`{name}` must be a time such as 2026-01-31T08:00:00Z, not `{text}`");
        // A `+` that was not escaped has become a space.
        clock::parse(&text)
            .or_else(|| clock::parse(&text.replace(' ', "+")))
            .map(Some)
            .ok_or_else(|| invalid(name, expected()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        name: Change<String>,
        weight: Change<i64>,
    }

    fn message(body: &str) -> (Option<String>, String) {
        let error = read_object::<Sample>(body.as_bytes()).unwrap_err();
        (error.param, error.message)
    }

    #[test]
    fn left_out_null_and_given_are_three_things() {
        let read = |body: &str| read_object::<Sample>(body.as_bytes()).unwrap();
        assert_eq!(read("{}"), Sample::default());
        assert_eq!(read(""), Sample::default());
        assert_eq!(read(r#"{"name": null, "weight": 5}"#), Sample { name: Change::Clear, weight: Change::Set(5) });
    }

    #[test]
    fn an_error_names_the_field_and_what_it_takes() {
        let (param, text) = message(r#"{"name": "a", "weight": "heavy"}"#);
        assert_eq!(
            (param.as_deref(), text.as_str()),
            (Some("weight"), r#"`weight`: invalid type: string "heavy", expected an integer"#)
        );
        let (param, text) = message(r#"{"wieght": 5}"#);
        assert_eq!(
            (param.as_deref(), text.as_str()),
            (Some("wieght"), "unknown field `wieght`, expected `name` or `weight`")
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert_eq!(message("[]").1, "the body must be a JSON object");
        assert_eq!(message("3").1, "the body must be a JSON object");
        assert!(message("{\"name\"").1.starts_with("the body is no valid JSON: EOF"));
        assert!(message(r#"{"name": "a", "name": "b"}"#).1.contains("duplicate field `name`"));
    }

    #[test]
    fn a_range_is_told_to_who_leaves_it() {
        let error = Change::Set(5000).within("weight", 0..=1000).unwrap_err();
        assert_eq!(error.message, "`weight` must be an integer from 0 to 1000, not 5000");
        let params = Params([("page".to_owned(), "0".to_owned())].into_iter().collect());
        let error = params.integer("page", 1..=i64::MAX).unwrap_err();
        assert_eq!(error.message, "`page` must be an integer at least 1, not `0`");
    }

    #[test]
    fn queries_are_read_leniently_where_there_is_no_doubt() {
        let pairs = [("f", "TRUE"), ("t", "2026-01-01T01:00:00 01:00"), ("x", "maybe")];
        let params = Params(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect());
        assert_eq!(params.flag("f").unwrap(), Some(true));
        assert_eq!(params.time("t").unwrap(), Some(1_767_225_600_000_000));
        assert!(params.flag("x").is_err() && params.time("x").is_err());
        assert_eq!(params.integer("none", 0..=1).unwrap(), None);
    }
}
