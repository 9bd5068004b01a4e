//! Forwards a stream that speaks the client's protocol already.
//!
//! Bytes pass untouched but for three things: the last data chunk carries the two additions, a usage chunk that the
//! client did not ask for is left out, and nothing follows `[DONE]`.

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;

use super::{error::encode_error, response::additions};
use crate::{
    ErrorContext, Passthrough, Served,
    ir::ApiError,
    openai::lenient::{List, Raw, Str},
    splice::Members,
    sse::{Frame, write_data},
};

/// The filter of one stream.
#[derive(Debug)]
pub struct Filter {
    include_usage: bool,
    /// A finish chunk has come, so that any chunk may be the last.
    finished: bool,
    /// The chunk that is the last so far, and whether it says why the model stopped.
    held: Option<(Frame, bool)>,
    done: Option<Bytes>,
}

impl Filter {
    pub fn new(include_usage: bool) -> Self {
        Self { include_usage, finished: false, held: None, done: None }
    }
}

/// What of a chunk decides how it is forwarded.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Peek<'a> {
    #[serde(borrow)]
    choices: Option<List<Choice<'a>>>,
    #[serde(borrow)]
    usage: Raw<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice<'a> {
    #[serde(borrow)]
    finish_reason: Str<'a>,
}

impl Peek<'_> {
    fn finishes(&self) -> bool {
        self.choices.iter().flat_map(|choices| &choices.0).any(|choice| !choice.finish_reason.is_empty())
    }

    fn usage_only(&self) -> bool {
        self.usage.is_some() && self.choices.as_ref().is_some_and(|choices| choices.0.is_empty())
    }
}

/// Whether a member `key` stands anywhere in `data` with a value other than null. Text inside strings cannot pose as
/// one, since its quotes are escaped.
fn has_value(data: &[u8], key: &[u8]) -> bool {
    memmem::find_iter(data, key).any(|at| {
        let rest = data[at + key.len()..].trim_ascii_start();
        rest.strip_prefix(b":").is_some_and(|value| !value.trim_ascii_start().starts_with(b"null"))
    })
}

impl Passthrough for Filter {
    fn push(&mut self, frame: Frame, out: &mut Vec<Bytes>) {
        if self.done.is_some() {
            return;
        }
        let Some(data) = &frame.data else { return out.push(frame.raw) };
        if data.trim_ascii() == b"[DONE]" {
            self.done = Some(frame.raw);
            return;
        }
        let (may_finish, may_count) = (has_value(data, b"\"finish_reason\""), has_value(data, b"\"usage\""));
        let mut finishes = false;
        if may_finish || may_count {
            let peek: Peek<'_> = serde_json::from_slice(data).unwrap_or_default();
            if peek.usage_only() && !self.include_usage {
                return;
            }
            finishes = peek.finishes();
        }
        self.finished |= finishes;
        if !self.finished {
            return out.push(frame.raw);
        }
        if let Some((last, _)) = self.held.replace((frame, finishes)) {
            out.push(last.raw);
        }
    }

    fn end(&mut self, served: &Served, out: &mut Vec<Bytes>) {
        if let Some((frame, _)) = self.held.take() {
            out.push(signed(&frame, served).unwrap_or(frame.raw));
        }
        out.extend(self.done.take());
    }

    fn fail(&mut self, error: &ApiError, context: &ErrorContext, out: &mut Vec<Bytes>) {
        // A chunk that says that the model stopped would make the failure look like an end.
        if let Some((frame, false)) = self.held.take() {
            out.push(frame.raw);
        }
        self.done = Some(Bytes::new());
        let mut event = Vec::new();
        write_data(&encode_error(error, context), &mut event);
        out.push(event.into());
    }
}

/// The frame with the two additions in its data, its other bytes as they were.
fn signed(frame: &Frame, served: &Served) -> Option<Bytes> {
    let data = frame.data.as_ref()?;
    let edited = Members::read(data).ok()?.edit(&additions(served));
    let mut out = Vec::with_capacity(frame.raw.len() + 64);
    match memmem::find(&frame.raw, data) {
        Some(at) => {
            out.extend_from_slice(&frame.raw[..at]);
            out.extend_from_slice(&edited);
            out.extend_from_slice(&frame.raw[at + data.len()..]);
        }
        // The data stood on several lines, which is no different to JSON.
        None => {
            let line: Vec<u8> = edited.into_iter().filter(|byte| *byte != b'\n').collect();
            write_data(&line, &mut out);
        }
    }
    Some(out.into())
}
