//! Forwards a stream that speaks the client's protocol already, byte for byte. Only a stream that breaks is given an
//! end, in which the response is shown as its beginning showed it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

use super::{events::Sequence, response::code};
use crate::{
    ErrorContext, Passthrough, Served,
    ir::ApiError,
    json::Json,
    splice::{Edit, Members},
    sse::Frame,
};

/// The filter of one stream.
#[derive(Debug, Default)]
pub struct Filter {
    /// The first event, which shows the response.
    first: Option<Bytes>,
    /// The number of the last event.
    last: Option<u64>,
    over: bool,
}

/// Events after which a stream says nothing more.
const ENDS: [&str; 3] = ["response.completed", "response.incomplete", "response.failed"];

/// What of an event must be known to end a stream that broke after it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Peek<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    sequence_number: Option<u64>,
}

impl Passthrough for Filter {
    fn push(&mut self, frame: Frame, out: &mut Vec<Bytes>) {
        if self.over {
            return;
        }
        if let Some(data) = &frame.data {
            if self.first.is_none() {
                self.first = Some(data.clone());
            }
            let peek: Peek<'_> = serde_json::from_slice(data).unwrap_or_default();
            self.last = peek.sequence_number.or(self.last);
            self.over = ENDS.contains(&&*peek.kind);
        }
        out.push(frame.raw);
    }

    fn end(&mut self, _: &Served, _: &mut Vec<Bytes>) {}

    fn fail(&mut self, error: &ApiError, _: &ErrorContext, out: &mut Vec<Bytes>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let mut sequence = Sequence::after(self.last);
        let mut event = Vec::new();
        sequence.write_error(code(error), &error.message, error.param.as_deref(), &mut event);
        if let Some(response) = self.first.as_deref().and_then(|first| failed(first, error)) {
            sequence.write_response("response.failed", &response, &mut event);
        }
        out.push(event.into());
    }
}

/// The response that an event shows, as one that failed.
fn failed(event: &[u8], error: &ApiError) -> Option<String> {
    let members = Members::read(event).ok()?;
    let response = Members::read(members.get("response")?.as_bytes()).ok()?;
    let said = [("code", Json::from(code(error))), ("message", Json::from(error.message.as_str()))];
    let edits = [Edit::set("status", "\"failed\""), Edit::set("error", Json::object(said).to_string())];
    String::from_utf8(response.edit(&edits)).ok()
}
