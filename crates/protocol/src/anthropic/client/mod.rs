//! The client's side: requests checked and read, answers written.

mod blocks;
mod content;
mod encoder;
mod error;
mod messages;
mod passthrough;
mod request;
mod response;
mod thinking;
mod tools;
mod validate;

#[cfg(test)]
mod request_tests;
#[cfg(test)]
mod response_tests;
#[cfg(test)]
mod stream_tests;

use crate::{fields, ir::Unmapped, json::Json};

pub use encoder::Encoder;
pub use error::{encode_error, status};
pub use passthrough::Filter;
pub use request::decode_request;
pub use response::encode_response;
pub use validate::{validate, validate_count};

/// Notes a field that has no place in the canonical form, each path once.
fn unmapped(path: String, rest: &mut Vec<Unmapped>) {
    if !rest.iter().any(|known| known.path == path) {
        rest.push(Unmapped { path, ..Unmapped::default() });
    }
}

/// Notes what is left of an object when all that is understood was taken out of it. What says nothing is no loss.
fn leftovers(value: &Json, path: &str, rest: &mut Vec<Unmapped>) {
    for (key, value) in value.members().unwrap_or_default() {
        let empty = value.is_null() || value.items().is_some_and(<[_]>::is_empty);
        if key != "type" && !empty {
            unmapped(fields::below(path, key), rest);
        }
    }
}
