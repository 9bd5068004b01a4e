//! Counting a request's tokens by a call that takes the request and answers `{"input_tokens": 43}`.

use crate::{
    Counting, Target,
    ir::ApiError,
    json::Json,
    splice::{Edit, Members},
};

/// Such a call.
pub(crate) struct InputTokens {
    pub endpoint: &'static str,
    pub takes: Takes,
    /// As in [`Outbound::adapt_request`](crate::Outbound::adapt_request).
    pub adapt: fn(&Members<'_>, Target<'_>) -> Vec<Edit>,
}

/// Which fields of a generating request it takes.
pub(crate) enum Takes {
    Only(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

impl Counting for InputTokens {
    fn endpoint(&self, _model: &str) -> String {
        self.endpoint.to_owned()
    }

    fn request(&self, generating: &[u8], _model: &str) -> Vec<u8> {
        let Ok(members) = Members::read(generating) else { return generating.to_vec() };
        match self.takes {
            Takes::Only(fields) => members.keep(fields),
            Takes::AllBut(fields) => members.edit(&fields.iter().copied().map(Edit::remove).collect::<Vec<_>>()),
        }
    }

    fn adapt(&self, members: &Members<'_>, target: Target<'_>) -> Vec<Edit> {
        (self.adapt)(members, target)
    }

    fn decode(&self, body: &[u8]) -> Result<u64, ApiError> {
        let tokens = Json::parse(body).ok().and_then(|answer| answer.get("input_tokens")?.as_u64());
        tokens.ok_or_else(|| ApiError::malformed("the provider's count of tokens could not be read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: InputTokens = InputTokens { endpoint: "/count", takes: Takes::AllBut(&[]), adapt: |_, _| Vec::new() };

    #[test]
    fn a_count_is_read_and_nonsense_is_an_error() {
        assert_eq!(OTHER.decode(br#"{"object":"response.input_tokens","input_tokens":43}"#).unwrap(), 43);
        for nonsense in ["", "{}", r#"{"input_tokens":-1}"#, r#"{"input_tokens":"43"}"#, "[]"] {
            assert!(OTHER.decode(nonsense.as_bytes()).is_err(), "{nonsense}");
        }
        assert!(OTHER.decode(br#"{"object":"response","usage":{"input_tokens":11}}"#).is_err());
    }
}
