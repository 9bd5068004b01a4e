//! The client's side: requests read, answers written.

mod answer;
mod contents;
mod encoder;
mod error;
mod evidence;
mod fields;
mod framing;
mod generation;
mod media;
mod pairing;
mod parts;
mod passthrough;
mod proof;
mod request;
mod response;
mod schema;
mod tools;
mod validate;

#[cfg(test)]
mod request_tests;
#[cfg(test)]
mod response_tests;
#[cfg(test)]
mod stream_tests;

pub use encoder::Encoder;
pub use error::encode_error;
pub use fields::Fields;
pub use passthrough::Filter;
pub use request::decode_request;
pub use response::encode_response;
pub use validate::{needs, validate, validate_count};
