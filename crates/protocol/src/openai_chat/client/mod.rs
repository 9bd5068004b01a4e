//! The client's side: requests checked and read, answers written.

mod content;
mod encoder;
mod error;
mod history;
mod messages;
mod passthrough;
mod request;
mod response;
mod tools;
mod validate;

#[cfg(test)]
mod request_tests;
#[cfg(test)]
mod stream_tests;

pub use encoder::Encoder;
pub use error::encode_error;
pub use passthrough::Filter;
pub use request::decode_request;
pub use response::{encode_response, sign};
pub use validate::validate;
