//! The cheap check of a request whose bytes pass.

use serde::{Deserialize, de::IgnoredAny};

use super::fields::must_be;
use crate::{Needs, ir::Malformed, splice::Members};

/// What the model must be able to do.
pub fn needs(members: &Members<'_>) -> Needs {
    let holds = |key: &str, words: &[&str]| {
        member(members, key).is_some_and(|text| words.iter().any(|word| text.contains(word)))
    };
    Needs {
        tool_call: holds("tools", &["\"functionDeclarations\"", "\"function_declarations\""]),
        structured_output: holds(
            "generationConfig",
            &["\"responseSchema\"", "\"response_schema\"", "\"responseJsonSchema\"", "\"response_json_schema\""],
        ),
        image: holds("contents", &["\"image/"]),
    }
}

/// Checks that there is a conversation. All else Google checks itself.
pub fn validate(members: &Members<'_>) -> Result<(), Malformed> {
    const PATH: &str = "contents";
    let Some(text) = members.get(PATH) else {
        return Err(Malformed::new(PATH, "`contents` is required: a list of at least one content"));
    };
    if text.starts_with('{') {
        return Ok(());
    }
    match Vec::<Content>::deserialize(&mut serde_json::Deserializer::from_str(text)) {
        Ok(contents) if !contents.is_empty() => Ok(()),
        _ => Err(must_be(PATH, "a list of at least one content, each an object")),
    }
}

/// The request inside a request that asks for a count: all of it, or just its conversation.
pub const WHOLE: &str = "generateContentRequest";

/// Checks that there is something to count.
pub fn validate_count(members: &Members<'_>) -> Result<(), Malformed> {
    match member(members, WHOLE) {
        None => validate(members),
        Some(text) if text.starts_with('{') => Ok(()),
        Some(_) => Err(must_be(WHOLE, "an object")),
    }
}

/// Any object.
#[derive(Deserialize)]
struct Content {
    #[serde(rename = "parts", default)]
    _parts: Option<IgnoredAny>,
}

/// A member by its name in either spelling.
fn member<'a>(members: &Members<'a>, key: &str) -> Option<&'a str> {
    members.get(key).or_else(|| members.get(&super::fields::snake(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(body: &str, read: impl Fn(&Members<'_>) -> T) -> T {
        read(&Members::read(body.as_bytes()).unwrap())
    }

    #[test]
    fn a_conversation_is_required() {
        for body in
            [r#"{}"#, r#"{"contents":null}"#, r#"{"contents":[]}"#, r#"{"contents":"hi"}"#, r#"{"contents":["hi"]}"#]
        {
            assert_eq!(read(body, validate).unwrap_err().param, "contents", "{body}");
        }
        assert_eq!(read(r#"{"generateContentRequest":{}}"#, validate_count), Ok(()));
        assert_eq!(read("{}", validate_count).unwrap_err().param, "contents");
        for body in [r#"{"contents":[{}]}"#, r#"{"contents":{"parts":{"text":"hi"}}}"#] {
            assert_eq!(read(body, validate), Ok(()), "{body}");
        }
    }

    #[test]
    fn needs_are_seen_in_either_spelling() {
        let camel = r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png"}}]}],"tools":[{"functionDeclarations":[]}],"generationConfig":{"responseSchema":{}}}"#;
        let snaked = r#"{"contents":[{"parts":[{"inline_data":{"mime_type":"image/png"}}]}],"tools":[{"function_declarations":[]}],"generation_config":{"response_schema":{}}}"#;
        for body in [camel, snaked] {
            let all = Needs { tool_call: true, structured_output: true, image: true };
            assert_eq!(read(body, needs), all, "{body}");
        }
        assert_eq!(read(r#"{"contents":[],"tools":[{"googleSearch":{}}]}"#, needs), Needs::default());
    }
}
