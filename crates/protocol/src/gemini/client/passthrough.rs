//! Forwards a stream that speaks the client's protocol already: byte for byte as events, or its events as one array.

use bytes::Bytes;

use super::{error, framing::Framing};
use crate::{ErrorContext, Passthrough, Served, ir::ApiError, sse::Frame};

/// The filter of one stream.
#[derive(Debug)]
pub struct Filter {
    framing: Framing,
}

impl Filter {
    /// `array` as in [`Envelope::array`](crate::Envelope::array).
    pub fn new(array: bool) -> Self {
        Self { framing: Framing::new(array) }
    }
}

impl Passthrough for Filter {
    fn push(&mut self, frame: Frame, out: &mut Vec<Bytes>) {
        if matches!(self.framing, Framing::Events) {
            return out.push(frame.raw);
        }
        let data = frame.data.filter(|data| !data.is_empty() && &data[..] != b"[DONE]");
        if let Some(data) = data {
            let mut item = Vec::with_capacity(data.len() + 3);
            self.framing.write(&data, &mut item);
            out.push(item.into());
        }
    }

    fn end(&mut self, _: &Served, out: &mut Vec<Bytes>) {
        let mut last = Vec::new();
        self.framing.end(&mut last);
        out.extend((!last.is_empty()).then(|| Bytes::from(last)));
    }

    fn fail(&mut self, error: &ApiError, context: &ErrorContext, out: &mut Vec<Bytes>) {
        let mut last = Vec::new();
        self.framing.write(&error::encode_error(error, error.status(), context), &mut last);
        self.framing.end(&mut last);
        out.push(last.into());
    }
}
