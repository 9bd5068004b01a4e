//! Counting tokens without an answer.

use super::adapt::adapt_request;
use crate::counted::{InputTokens, Takes};

/// `POST /responses/input_tokens`.
pub(crate) static COUNT: InputTokens = InputTokens {
    endpoint: "/responses/input_tokens",
    takes: Takes::Only(&[
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
    ]),
    adapt: adapt_request,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counting as _;

    #[test]
    fn only_what_is_counted_is_asked_about() {
        let generating = br#"{"model":"m","input":[ ],"store":false,"tools":[],"max_output_tokens":9,"include":[]}"#;
        assert_eq!(COUNT.request(generating, "m"), br#"{"model":"m","input":[ ],"tools":[]}"#);
    }
}
