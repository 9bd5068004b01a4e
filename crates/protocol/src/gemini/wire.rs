//! What Gemini answers, as far as it is read. Every field may be missing, and every word may be a new one.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, Visitor},
};
use serde_json::value::RawValue;

use crate::ir::Usage;

/// A whole answer, or one frame of a stream: they have the same shape.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Answer<'a> {
    #[serde(borrow)]
    pub candidates: Option<Vec<Candidate<'a>>>,
    pub prompt_feedback: Option<PromptFeedback>,
    pub usage_metadata: Option<UsageMetadata>,
    pub model_version: Option<String>,
    pub response_id: Option<String>,
    pub error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Candidate<'a> {
    pub index: Option<Count>,
    #[serde(borrow)]
    pub content: Option<Content<'a>>,
    pub finish_reason: Option<Word>,
    pub finish_message: Option<String>,
    /// Raw, like the next two: nothing else of the answer depends on their shape.
    pub grounding_metadata: Option<&'a RawValue>,
    pub citation_metadata: Option<&'a RawValue>,
    pub logprobs_result: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Content<'a> {
    #[serde(borrow)]
    pub parts: Option<Vec<Part<'a>>>,
}

/// One part: a union by which field is set, with two marks that any of them may carry.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Part<'a> {
    pub text: Option<String>,
    pub thought: Option<bool>,
    pub thought_signature: Option<String>,
    #[serde(borrow)]
    pub function_call: Option<FunctionCall<'a>>,
    pub inline_data: Option<Blob>,
    pub executable_code: Option<IgnoredAny>,
    pub code_execution_result: Option<IgnoredAny>,
    pub tool_call: Option<IgnoredAny>,
    pub tool_response: Option<IgnoredAny>,
    pub file_data: Option<IgnoredAny>,
}

impl Part<'_> {
    /// Whether it reports what ran at Google, which no client could answer.
    pub fn is_hosted(&self) -> bool {
        self.executable_code.is_some()
            || self.code_execution_result.is_some()
            || self.tool_call.is_some()
            || self.tool_response.is_some()
            || self.file_data.is_some()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionCall<'a> {
    pub id: Option<String>,
    pub name: Option<String>,
    #[serde(borrow)]
    pub args: Option<&'a RawValue>,
    pub partial_args: Option<Vec<PartialArg>>,
    pub will_continue: Option<bool>,
}

/// A piece of a call's arguments, for the place that `json_path` names.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PartialArg {
    pub json_path: Option<String>,
    pub string_value: Option<String>,
    pub number_value: Option<serde_json::Number>,
    pub bool_value: Option<bool>,
    pub will_continue: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Blob {
    pub mime_type: Option<String>,
    pub data: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PromptFeedback {
    pub block_reason: Option<Word>,
    pub block_reason_message: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UsageMetadata {
    prompt_token_count: Option<Count>,
    tool_use_prompt_token_count: Option<Count>,
    candidates_token_count: Option<Count>,
    thoughts_token_count: Option<Count>,
    cached_content_token_count: Option<Count>,
}

impl From<UsageMetadata> for Usage {
    /// Gemini counts thoughts beside the answer's tokens, and what its own tools read beside the prompt's.
    fn from(counts: UsageMetadata) -> Self {
        let of = |count: Option<Count>| count.map_or(0, |count| count.0);
        Self {
            input: of(counts.prompt_token_count).saturating_add(of(counts.tool_use_prompt_token_count)),
            output: of(counts.candidates_token_count).saturating_add(of(counts.thoughts_token_count)),
            cache_read: of(counts.cached_content_token_count),
            reasoning: counts.thoughts_token_count.map(|count| count.0),
            ..Self::default()
        }
    }
}

/// A number that is never negative, however it is written. Anything odd is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count(pub u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Count;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_u64<E>(self, value: u64) -> Result<Count, E> {
                Ok(Count(value))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Count, E> {
                Ok(Count(0))
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
            fn visit_f64<E>(self, value: f64) -> Result<Count, E> {
                Ok(Count(value as u64))
            }
            fn visit_str<E>(self, text: &str) -> Result<Count, E> {
                Ok(Count(text.parse().unwrap_or(0)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A word of an open list. Some servers write a finish reason by its number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word(pub String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Word;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word or its number")
            }
            fn visit_str<E>(self, word: &str) -> Result<Word, E> {
                Ok(Word(word.to_owned()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Word, E> {
                let known = usize::try_from(number).ok().and_then(|at| NUMBERED.get(at));
                Ok(Word(known.map_or_else(|| number.to_string(), |word| (*word).to_owned())))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Finish reasons by their number in the protocol's definition.
const NUMBERED: [&str; 10] = [
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
];

/// JSON text without the spaces between its tokens; every token as it was written.
pub fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for character in json.chars() {
        if quoted {
            (quoted, escaped) = (escaped || character != '"', character == '\\' && !escaped);
        } else if character.is_ascii_whitespace() {
            continue;
        } else {
            quoted = character == '"';
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compacting_touches_no_token() {
        assert_eq!(compact("{\n \"a b\" : [ 1.50, \"x \\\" y\\\\\" ] }"), r#"{"a b":[1.50,"x \" y\\"]}"#);
    }

    #[test]
    fn thoughts_count_as_output_and_tool_prompts_as_input() {
        let text = r#"{"promptTokenCount":10,"toolUsePromptTokenCount":5,"candidatesTokenCount":2,"thoughtsTokenCount":7,"cachedContentTokenCount":4}"#;
        let usage = Usage::from(serde_json::from_str::<UsageMetadata>(text).unwrap());
        assert_eq!((usage.input, usage.output, usage.cache_read, usage.reasoning), (15, 9, 4, Some(7)));
    }

    #[test]
    fn odd_values_do_not_make_an_answer_unreadable() {
        let text = r#"{"candidates":[{"index":"1","content":null,"finishReason":2,"new":{}}],"usageMetadata":{"promptTokenCount":-1}}"#;
        let answer: Answer<'_> = serde_json::from_str(text).unwrap();
        let candidate = &answer.candidates.unwrap()[0];
        assert_eq!(candidate.finish_reason, Some(Word("MAX_TOKENS".into())));
        assert_eq!(candidate.index, Some(Count(1)));
    }
}
