//! The provider's side: requests written from the canonical form, answers read.

mod adapt;
mod assemble;
mod cache;
mod count;
mod dialect;
mod error;
mod ids;
mod media;
mod request;
mod response;
mod schema;
mod stream;
mod thinking;
mod tools;
mod turns;
pub(crate) mod wire;

#[cfg(test)]
mod request_tests;
#[cfg(test)]
mod response_tests;
#[cfg(test)]
mod turns_tests;

pub(crate) use self::{dialect::Dialect, request::body, turns::NOTHING};
pub use adapt::adapt_request;
pub use assemble::Assembler;
pub(crate) use count::COUNT;
pub use error::decode as decode_error;
pub use request::encode as encode_request;
pub use response::decode as decode_response;
pub use stream::Decoder;

/// Most tokens of an answer that is asked for whole. Anthropic reckons with 128,000 tokens an hour, and lets a whole answer
/// take ten minutes: its own libraries refuse to ask for more than a sixth of that without a stream.
const MOST_WHOLE: u64 = 128_000 / 6;

/// Whether an answer of so many tokens could take longer than Anthropic lets a whole one take.
pub(crate) fn takes_long(max_tokens: u64) -> bool {
    max_tokens > MOST_WHOLE
}
