//! Counting tokens without an answer.

use super::adapt_request;
use crate::counted::{InputTokens, Takes};

/// `POST /messages/count_tokens`, which refuses what only a generating request has.
pub(crate) static COUNT: InputTokens = InputTokens {
    endpoint: "/messages/count_tokens",
    takes: Takes::AllBut(&[
        "max_tokens",
        "stream",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "metadata",
        "service_tier",
        "inference_geo",
    ]),
    adapt: adapt_request,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counting as _;

    #[test]
    fn what_only_generating_takes_is_left_out() {
        let generating = br#"{"model":"m","max_tokens":9,"messages":[],"tools":[],"stream":true,"temperature":1}"#;
        assert_eq!(COUNT.request(generating, "m"), br#"{"model":"m","messages":[],"tools":[]}"#);
    }
}
