//! Forwards a stream that speaks the client's protocol already: every byte as it came.

use bytes::Bytes;

use super::encode_error;
use crate::{ErrorContext, Passthrough, Served, ir::ApiError, sse::Frame, sse::write_event};

/// The filter of one stream.
#[derive(Debug)]
pub struct Filter;

impl Passthrough for Filter {
    fn push(&mut self, frame: Frame, out: &mut Vec<Bytes>) {
        out.push(frame.raw);
    }

    fn end(&mut self, _: &Served, _: &mut Vec<Bytes>) {}

    fn fail(&mut self, error: &ApiError, context: &ErrorContext, out: &mut Vec<Bytes>) {
        let mut event = Vec::new();
        write_event("error", &encode_error(error, context), &mut event);
        out.push(event.into());
    }
}
