//! Reading fields by name, each mistake told with the field's path and what was expected.

use std::ops::RangeInclusive;

use crate::{ir::Malformed, json::Json, splice::Members};

/// What is wrong with `path`: "`path` must be `expected`".
pub fn must_be(path: &str, expected: &str) -> Malformed {
    Malformed::new(path, format!("`{path}` must be {expected}"))
}

fn parse<'a, T: serde::Deserialize<'a>>(members: &Members<'a>, key: &str) -> Option<Option<T>> {
    members.get(key).map(|text| serde_json::from_str(text).ok())
}

/// A number within `range`.
pub fn number(members: &Members<'_>, key: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, Malformed> {
    match parse::<f64>(members, key) {
        None => Ok(None),
        Some(Some(value)) if range.contains(&value) => Ok(Some(value)),
        Some(_) => Err(must_be(key, &format!("a number between {} and {}", range.start(), range.end()))),
    }
}

/// A whole number of at least `least`; `2.0` is one.
pub fn count(members: &Members<'_>, key: &str, least: u64) -> Result<Option<u64>, Malformed> {
    let Some(value) = parse::<Json>(members, key) else { return Ok(None) };
    whole(value.as_ref())
        .filter(|value| *value >= least)
        .map(Some)
        .ok_or_else(|| must_be(key, &format!("a whole number of at least {least}")))
}

fn whole(value: Option<&Json>) -> Option<u64> {
    let value = value?;
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        (number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number)).then_some(number as u64)
    })
}

pub fn integer(members: &Members<'_>, key: &str) -> Result<Option<i64>, Malformed> {
    match parse::<Json>(members, key) {
        None => Ok(None),
        Some(Some(Json::Number(number))) if number.as_i64().is_some() => Ok(number.as_i64()),
        Some(_) => Err(must_be(key, "a whole number")),
    }
}

pub fn boolean(members: &Members<'_>, key: &str) -> Result<Option<bool>, Malformed> {
    match parse::<bool>(members, key) {
        None => Ok(None),
        Some(Some(value)) => Ok(Some(value)),
        Some(None) => Err(must_be(key, "true or false")),
    }
}

pub fn string(members: &Members<'_>, key: &str) -> Result<Option<String>, Malformed> {
    match members.get(key) {
        None => Ok(None),
        Some(_) => members.string(key).map(|text| Some(text.into_owned())).ok_or_else(|| must_be(key, "a string")),
    }
}

/// Any value; `None` if absent or null.
pub fn json(members: &Members<'_>, key: &str) -> Option<Json> {
    parse(members, key).flatten()
}

/// The members of an object.
pub fn object(members: &Members<'_>, key: &str) -> Result<Option<Json>, Malformed> {
    match json(members, key) {
        None => Ok(None),
        Some(value @ Json::Object(_)) => Ok(Some(value)),
        Some(_) => Err(must_be(key, "an object")),
    }
}

/// The items of an array.
pub fn array(members: &Members<'_>, key: &str) -> Result<Option<Vec<Json>>, Malformed> {
    match json(members, key) {
        None => Ok(None),
        Some(Json::Array(items)) => Ok(Some(items)),
        Some(_) => Err(must_be(key, "an array")),
    }
}

/// Takes a member that is not null.
pub fn take(value: &mut Json, key: &str) -> Option<Json> {
    value.remove(key).filter(|value| !value.is_null())
}

/// Takes a string member of the object at `path`.
pub fn take_string(value: &mut Json, key: &str, path: &str) -> Result<Option<String>, Malformed> {
    match take(value, key) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(must_be(&below(path, key), "a string")),
    }
}

/// Takes a member of the object at `path` that is true or false.
pub fn boolean_in(value: &mut Json, key: &str, path: &str) -> Result<Option<bool>, Malformed> {
    match take(value, key) {
        None => Ok(None),
        Some(Json::Bool(value)) => Ok(Some(value)),
        Some(_) => Err(must_be(&below(path, key), "true or false")),
    }
}

/// Takes a string member that the object at `path` must have; it may not be empty.
pub fn need_string(value: &mut Json, key: &str, path: &str, what: &str) -> Result<String, Malformed> {
    match take(value, key) {
        Some(Json::String(text)) if !text.is_empty() => Ok(text),
        _ => Err(must_be(&below(path, key), what)),
    }
}

pub fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
