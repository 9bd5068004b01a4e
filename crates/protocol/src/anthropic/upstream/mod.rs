//! The provider's side: requests written from the canonical form, answers read.

mod adapt;
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
pub use count::Count;
pub use error::decode as decode_error;
pub use request::encode as encode_request;
pub use response::decode as decode_response;
pub use stream::Decoder;
