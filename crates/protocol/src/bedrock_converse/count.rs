//! Counting tokens without an answer.

use super::model_path;
use crate::{
    Counting, Target,
    ir::ApiError,
    json::Json,
    splice::{Edit, Members},
};

/// What of a generating request is counted.
const COUNTED: [&str; 4] = ["messages", "system", "toolConfig", "additionalModelRequestFields"];

/// `POST /model/{model}/count-tokens`.
#[derive(Clone, Copy, Debug)]
pub struct Count;

impl Counting for Count {
    fn endpoint(&self, model: &str) -> String {
        format!("{}/count-tokens", model_path(model))
    }

    fn request(&self, generating: &[u8], _model: &str) -> Vec<u8> {
        let counted = Members::read(generating).map(|members| members.keep(&COUNTED)).unwrap_or_default();
        [b"{\"input\":{\"converse\":", &counted[..], b"}}"].concat()
    }

    /// No client speaks this protocol.
    fn adapt(&self, _members: &Members<'_>, _target: Target<'_>) -> Vec<Edit> {
        Vec::new()
    }

    fn decode(&self, body: &[u8]) -> Result<u64, ApiError> {
        let tokens = Json::parse(body).ok().and_then(|answer| answer.get("inputTokens")?.as_u64());
        tokens.ok_or_else(|| ApiError::malformed("the provider's count of tokens could not be read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conversation_and_its_tools_are_counted() {
        let generating = br#"{"messages":[],"inferenceConfig":{"maxTokens":9},"toolConfig":{"tools":[]}}"#;
        assert_eq!(
            Count.request(generating, "m"),
            br#"{"input":{"converse":{"messages":[],"toolConfig":{"tools":[]}}}}"#
        );
        assert_eq!(Count.endpoint("anthropic.claude:0"), "/model/anthropic.claude%3A0/count-tokens");
    }

    #[test]
    fn a_count_is_read_and_nonsense_is_an_error() {
        assert_eq!(Count.decode(br#"{"inputTokens":38}"#).unwrap(), 38);
        assert!(Count.decode(b"{}").is_err());
    }
}
