//! The provider's side: requests written from the canonical form, answers read from whatever came.

mod adapt;
mod assemble;
mod calls;
mod counts;
mod extras;
mod messages;
mod request;
mod response;
mod stream;
mod summary;

#[cfg(test)]
mod request_tests;
#[cfg(test)]
mod stream_tests;

pub use adapt::adapt_request;
pub use request::encode_request;
pub use response::decode_response;
pub use stream::Decoder;
pub use summary::summary;
