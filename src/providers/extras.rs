//! What an operator adds to all requests to a provider: headers, and fields of the body.

use bytes::Bytes;
use hyper::http::{HeaderMap, HeaderName, HeaderValue, header};
use llm_protocol::{
    json::Json,
    splice::{Edit, Members},
};
use serde_json::{Map, Value};

/// So many headers, and so many fields of the body, may be added at most.
const MOST: usize = 32;
/// Bytes of a header's value.
const LONGEST_VALUE: usize = 8192;

/// Headers that belong to the connection or to the message, not to whoever wants to add something.
const NOT_TO_BE_SET: [&str; 13] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
    "content-type",
    "accept-encoding",
];

/// Fields of a body that say what is asked and how it is answered, and so are the client's.
const NOT_TO_BE_ADDED: [&str; 5] = ["model", "messages", "input", "contents", "stream"];

/// Reads `{"name": "value"}`. `has_key` says whether the provider has a key that stands in `Authorization`. The error says
/// what is wrong with the field.
pub fn headers(given: &Map<String, Value>, has_key: bool) -> Result<HeaderMap, String> {
    if given.len() > MOST {
        return Err(format!("`extra_headers` must hold at most {MOST} headers"));
    }
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let wrong = |what: &str| format!("`extra_headers`: `{name}` {what}");
        let known = HeaderName::try_from(name).map_err(|_| wrong("is no name of a header"))?;
        if NOT_TO_BE_SET.contains(&known.as_str()) {
            return Err(wrong("belongs to the connection and cannot be set"));
        }
        if known == header::AUTHORIZATION && has_key {
            return Err(wrong("is made from `api_key`: clear that first"));
        }
        let text = value.as_str().ok_or_else(|| wrong("must be a string"))?;
        if text.len() > LONGEST_VALUE || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(wrong("must be at most 8192 visible ASCII characters and spaces"));
        }
        let mut value = HeaderValue::from_str(text).map_err(|_| wrong("cannot stand in a header"))?;
        value.set_sensitive(true);
        if headers.insert(known, value).is_some() {
            return Err(wrong("stands there twice"));
        }
    }
    Ok(headers)
}

/// Fields that are added to the body of every generating request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Vec<(String, Json)>);

impl Fields {
    /// Reads an object. The error says what is wrong with the field.
    pub fn read(given: &Map<String, Value>) -> Result<Self, String> {
        if given.len() > MOST {
            return Err(format!("`extra_body` must hold at most {MOST} fields"));
        }
        let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        for name in given.keys() {
            if name.is_empty() || !plain(name) {
                return Err(format!("`extra_body`: the name `{name}` must be letters, digits, `_`, `-` and `.`"));
            }
            if NOT_TO_BE_ADDED.contains(&name.as_str()) {
                return Err(format!("`extra_body`: `{name}` is for the client to say"));
            }
        }
        let read = Json::parse(Value::Object(given.clone()).to_string().as_bytes());
        let read = read.map_err(|error| format!("`extra_body` cannot be read: {error}"))?;
        Ok(Self(read.members().unwrap_or_default().to_vec()))
    }

    /// The body with every field that it does not have; objects on both sides are joined the same way. A body that is no
    /// JSON object stays as it is.
    pub fn add_to(&self, body: Bytes) -> Bytes {
        if self.0.is_empty() {
            return body;
        }
        let Ok(members) = Members::read(&body) else { return body };
        let edits: Vec<Edit> = self.0.iter().filter_map(|(name, value)| addition(&members, name, value)).collect();
        if edits.is_empty() { body } else { members.edit(&edits).into() }
    }
}

fn addition(members: &Members<'_>, name: &str, value: &Json) -> Option<Edit> {
    let set = |value: &Json| Some(Edit::Set(name.to_owned().into(), value.to_string()));
    if !members.contains(name) {
        return set(value);
    }
    let mut there = Json::parse(members.get(name)?.as_bytes()).ok()?;
    join(&mut there, value).then(|| set(&there)).flatten()
}

/// Puts what `there` lacks into it; says whether that was anything.
fn join(there: &mut Json, more: &Json) -> bool {
    let (true, Some(more)) = (there.members().is_some(), more.members()) else { return false };
    let mut changed = false;
    for (name, value) in more {
        changed |= match there.get_mut(name) {
            Some(inner) => join(inner, value),
            None => {
                there.set(name, value.clone());
                true
            }
        };
    }
    changed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn added(extra: Value, body: &str) -> String {
        let fields = Fields::read(&object(extra)).unwrap();
        String::from_utf8(fields.add_to(Bytes::copy_from_slice(body.as_bytes())).to_vec()).unwrap()
    }

    #[test]
    fn a_field_is_added_only_where_the_client_said_nothing() {
        let extra = json!({"top_k": 5, "provider": {"order": ["a"], "zdr": true}});
        assert_eq!(
            added(extra.clone(), r#"{"model":"m"}"#),
            r#"{"model":"m","provider":{"order":["a"],"zdr":true},"top_k":5}"#
        );
        let said = r#"{ "top_k":1.0, "provider":{"order":["b"]} }"#;
        assert_eq!(added(extra.clone(), said), r#"{ "top_k":1.0, "provider":{"order":["b"],"zdr":true} }"#);
        let all = r#"{"provider":null, "top_k" : null}"#;
        assert_eq!(added(extra.clone(), all), all);
        assert_eq!(added(extra, "no json"), "no json");
    }

    #[test]
    fn headers_of_the_connection_and_a_second_key_are_refused() {
        let read = |name: &str, has_key| headers(&object(json!({name: "v"})), has_key);
        for name in ["Host", "content-length", "Transfer-Encoding", "a b", ""] {
            assert!(read(name, false).unwrap_err().contains("extra_headers"), "{name}");
        }
        assert!(read("Authorization", true).unwrap_err().contains("api_key"));
        assert_eq!(read("Authorization", false).unwrap()["authorization"], "v");
        assert!(headers(&object(json!({"x": 1})), false).unwrap_err().contains("must be a string"));
        assert!(headers(&object(json!({"x": "a\nb"})), false).is_err());
        assert!(headers(&object(json!({"x-a": "1", "X-A": "2"})), false).unwrap_err().contains("twice"));
    }

    #[test]
    fn what_is_the_clients_to_say_cannot_be_added() {
        for name in ["model", "stream", "messages", "a\"b", ""] {
            assert!(Fields::read(&object(json!({name: 1}))).unwrap_err().contains("extra_body"), "{name}");
        }
    }
}
