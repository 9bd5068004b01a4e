//! Counting tokens without an answer.

use super::adapt::adapt_request;
use crate::{
    Counting, Target,
    ir::ApiError,
    json::Json,
    splice::{Edit, Members},
};

/// What a request of this call may hold.
const COUNTED: [&str; 11] = [
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "text",
    "reasoning",
    "truncation",
    "previous_response_id",
    "conversation",
];

/// `POST /responses/input_tokens`.
#[derive(Clone, Copy, Debug)]
pub struct Count;

impl Counting for Count {
    fn endpoint(&self, _model: &str) -> String {
        "/responses/input_tokens".to_owned()
    }

    fn request(&self, generating: &[u8], _model: &str) -> Vec<u8> {
        Members::read(generating).map_or_else(|_| generating.to_vec(), |members| members.keep(&COUNTED))
    }

    fn adapt(&self, members: &Members<'_>, target: Target<'_>) -> Vec<Edit> {
        adapt_request(members, target)
    }

    fn decode(&self, body: &[u8]) -> Result<u64, ApiError> {
        let tokens = Json::parse(body).ok().and_then(|answer| answer.get("input_tokens")?.as_u64());
        tokens.ok_or_else(|| ApiError::malformed("the provider's count of tokens could not be read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_counted_is_asked_about() {
        let generating = br#"{"model":"m","input":[ ],"store":false,"tools":[],"max_output_tokens":9,"include":[]}"#;
        assert_eq!(Count.request(generating, "m"), br#"{"model":"m","input":[ ],"tools":[]}"#);
    }

    #[test]
    fn a_count_is_read_and_an_answer_is_none() {
        assert_eq!(Count.decode(br#"{"object":"response.input_tokens","input_tokens":11}"#).unwrap(), 11);
        assert!(Count.decode(br#"{"object":"response","usage":{"input_tokens":11}}"#).is_err());
    }
}
