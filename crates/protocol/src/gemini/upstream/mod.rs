//! The upstream's side: requests written, answers read.

mod adapt;
mod body;
mod contents;
mod count;
mod error;
mod evidence;
mod generation;
mod media;
mod names;
mod partial;
mod reader;
mod request;
#[cfg(test)]
mod request_tests;
mod response;
#[cfg(test)]
mod response_tests;
mod stream;
mod tools;

pub use adapt::adapt as adapt_request;
pub use count::{Count, flat as flat_count};
pub use error::decode as decode_error;
pub use names::in_path;
pub use request::encode as encode_request;
pub use response::decode as decode_response;
pub use stream::Decoder;

/// The path and query of the generating call.
pub fn endpoint(model: &str, stream: bool) -> String {
    let model = in_path(model);
    match stream {
        // Without `alt=sse` the stream is one long JSON array.
        true => format!("/models/{model}:streamGenerateContent?alt=sse"),
        false => format!("/models/{model}:generateContent"),
    }
}
