//! The client's side: requests checked and read, answers written.

mod content;
mod encoder;
mod events;
mod input;
mod item;
mod names;
mod passthrough;
mod request;
mod response;
mod tools;
mod validate;

#[cfg(test)]
mod request_tests;

pub use encoder::Encoder;
pub use passthrough::Filter;
pub use request::decode_request;
pub use response::{answer_of, encode_response};
pub use validate::validate;
