//! Counting tokens without an answer.

use super::adapt_request;
use crate::{
    Counting, Target,
    ir::ApiError,
    json::Json,
    splice::{Edit, Members},
};

/// Fields of a generating request that Anthropic refuses where it only counts.
const ONLY_GENERATING: [&str; 9] = [
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "service_tier",
    "inference_geo",
];

/// `POST /messages/count_tokens`.
#[derive(Clone, Copy, Debug)]
pub struct Count;

impl Counting for Count {
    fn endpoint(&self, _model: &str) -> String {
        "/messages/count_tokens".to_owned()
    }

    fn request(&self, generating: &[u8], _model: &str) -> Vec<u8> {
        let edits = ONLY_GENERATING.map(Edit::remove);
        Members::read(generating).map_or_else(|_| generating.to_vec(), |members| members.edit(&edits))
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
    fn what_only_generating_takes_is_left_out() {
        let generating = br#"{"model":"m","max_tokens":9,"messages":[],"tools":[],"stream":true,"temperature":1}"#;
        assert_eq!(Count.request(generating, "m"), br#"{"model":"m","messages":[],"tools":[]}"#);
    }

    #[test]
    fn a_count_is_read_and_nonsense_is_an_error() {
        assert_eq!(Count.decode(br#"{"input_tokens":43}"#).unwrap(), 43);
        for nonsense in ["", "{}", r#"{"input_tokens":-1}"#, r#"{"input_tokens":"43"}"#, "[]"] {
            assert!(Count.decode(nonsense.as_bytes()).is_err(), "{nonsense}");
        }
    }
}
