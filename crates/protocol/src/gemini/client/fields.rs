//! Reading objects field by field. Google takes each field's name in camel case and in snake case, one item for a list of
//! one, and whole numbers as text.

use crate::{
    ir::{Malformed, Place, Unmapped},
    json::Json,
};

/// An object that is being read: what is taken is spoken for, what is left over is not.
#[derive(Debug)]
pub struct Fields {
    object: Json,
    path: String,
}

impl Fields {
    /// The object at `path`; the body itself has an empty path.
    pub fn of(object: Json, path: impl Into<String>) -> Result<Self, Malformed> {
        let path = path.into();
        if object.members().is_none() {
            return Err(must_be(&path, "an object"));
        }
        Ok(Self { object, path })
    }

    /// The path of one of its fields, as the protocol's definition spells it.
    pub fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Where the object stood.
    pub fn place(&self) -> Place {
        self.path.as_str().into()
    }

    /// "This field must be `expected`".
    pub fn must_be(&self, key: &str, expected: &str) -> Malformed {
        must_be(&self.path(key), expected)
    }

    pub fn has(&self, key: &str) -> bool {
        [key, &snake(key)].iter().any(|key| self.object.get(key).is_some_and(|value| !value.is_null()))
    }

    /// Takes a field that is not null, by its name in camel case.
    pub fn take(&mut self, key: &str) -> Option<Json> {
        let value = self.object.remove(key).or_else(|| self.object.remove(&snake(key)));
        value.filter(|value| !value.is_null())
    }

    pub fn string(&mut self, key: &str) -> Result<Option<String>, Malformed> {
        match self.take(key) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.must_be(key, "a string")),
        }
    }

    /// A string that must be there and hold something.
    pub fn need(&mut self, key: &str, what: &str) -> Result<String, Malformed> {
        match self.take(key) {
            Some(Json::String(text)) if !text.is_empty() => Ok(text),
            _ => Err(self.must_be(key, what)),
        }
    }

    pub fn boolean(&mut self, key: &str) -> Result<Option<bool>, Malformed> {
        self.take(key).map(|value| value.as_bool().ok_or_else(|| self.must_be(key, "true or false"))).transpose()
    }

    pub fn number(&mut self, key: &str) -> Result<Option<f64>, Malformed> {
        self.take(key).map(|value| value.as_f64().ok_or_else(|| self.must_be(key, "a number"))).transpose()
    }

    /// A whole number, however it is written: `2`, `2.0`, `"2"`.
    pub fn whole(&mut self, key: &str) -> Result<Option<i64>, Malformed> {
        self.take(key).map(|value| whole(&value).ok_or_else(|| self.must_be(key, "a whole number"))).transpose()
    }

    /// A whole number of at least `least`.
    pub fn count(&mut self, key: &str, least: u64) -> Result<Option<u64>, Malformed> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match whole(&value).and_then(|value| u64::try_from(value).ok()) {
            Some(count) if count >= least => Ok(Some(count)),
            _ => Err(self.must_be(key, &format!("a whole number of at least {least}"))),
        }
    }

    /// The items of a list.
    pub fn list(&mut self, key: &str) -> Vec<Json> {
        match self.take(key) {
            None => Vec::new(),
            Some(Json::Array(items)) => items,
            Some(one) => vec![one],
        }
    }

    pub fn strings(&mut self, key: &str) -> Result<Vec<String>, Malformed> {
        let text = |value| if let Json::String(text) = value { Some(text) } else { None };
        let texts: Option<Vec<String>> = self.list(key).into_iter().map(text).collect();
        texts.ok_or_else(|| self.must_be(key, "a list of strings"))
    }

    pub fn object(&mut self, key: &str) -> Result<Option<Self>, Malformed> {
        let path = self.path(key);
        self.take(key).map(|value| Self::of(value, path)).transpose()
    }

    /// The object itself, as far as nothing was taken.
    pub fn into_json(self) -> Json {
        self.object
    }

    /// Notes that the object cannot be left out, unless nothing is left of it.
    pub fn refuse(self, why: &'static str, rest: &mut Vec<Unmapped>) {
        if self.object.members().is_some_and(|members| !members.is_empty()) {
            rest.push(Unmapped { path: self.path, refusal: Some(why), ..Unmapped::default() });
        }
    }

    /// Notes what was not taken: nothing in the canonical form speaks for it.
    pub fn leave(self, rest: &mut Vec<Unmapped>) {
        let Self { object, path } = self;
        let Json::Object(members) = object else { return };
        for (key, value) in members {
            if !value.is_null() {
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                rest.push(Unmapped { path, ..Unmapped::default() });
            }
        }
    }
}

/// "`path` must be `expected`".
pub fn must_be(path: &str, expected: &str) -> Malformed {
    let subject = if path.is_empty() { "the body".to_owned() } else { format!("`{path}`") };
    Malformed::new(path, format!("{subject} must be {expected}"))
}

fn whole(value: &Json) -> Option<i64> {
    match value {
        Json::String(text) => text.parse().ok(),
        Json::Number(number) => number.as_i64().or_else(|| {
            let number = number.as_f64()?;
            (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
        }),
        _ => None,
    }
}

/// A field's name in snake case.
pub fn snake(camel: &str) -> String {
    let mut out = String::with_capacity(camel.len() + 4);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields::of(Json::parse(text.as_bytes()).unwrap(), "a").unwrap()
    }

    #[test]
    fn a_field_is_found_in_either_spelling() {
        assert_eq!(snake("parametersJsonSchema"), "parameters_json_schema");
        for text in [r#"{"mimeType":"x"}"#, r#"{"mime_type":"x"}"#] {
            assert!(fields(text).has("mimeType"), "{text}");
            assert_eq!(fields(text).string("mimeType").unwrap().as_deref(), Some("x"), "{text}");
        }
    }

    #[test]
    fn whole_numbers_may_be_written_in_three_ways() {
        for text in [r#"{"n":2}"#, r#"{"n":2.0}"#, r#"{"n":"2"}"#] {
            assert_eq!(fields(text).count("n", 1).unwrap(), Some(2), "{text}");
        }
        for text in [r#"{"n":0}"#, r#"{"n":1.5}"#, r#"{"n":-1}"#, r#"{"n":true}"#] {
            assert_eq!(fields(text).count("n", 1).unwrap_err().param, "a.n", "{text}");
        }
    }

    #[test]
    fn what_is_not_taken_is_told_by_its_path() {
        let mut read = fields(r#"{"b":1,"c":null,"d":{"e":1}}"#);
        read.take("b");
        let mut rest = Vec::new();
        read.leave(&mut rest);
        assert_eq!(rest.iter().map(|field| &*field.path).collect::<Vec<_>>(), ["a.d"]);
    }
}
