//! The streams of operations: completions, transcriptions, pictures and speech as server-sent events. Their bytes pass; what
//! matters is whether they ended, and what they took.

use bytes::Bytes;

use super::usage;
use crate::{
    ErrorContext, Passthrough, Served, StreamDecoder,
    ir::{ApiError, Block, ErrorKind, Event},
    json::Json,
    openai_chat::{encode_error, inside_200},
    splice::Members,
    sse::{Frame, write_data},
};

/// Watches one stream.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    /// The upstream said that this was all.
    ended: bool,
    done: bool,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), ApiError> {
        let Some(data) = frame.data.as_deref().map(<[u8]>::trim_ascii).filter(|data| !data.is_empty()) else {
            return Ok(());
        };
        if data == b"[DONE]" {
            (self.ended, self.done) = (true, true);
            return Ok(());
        }
        if frame.event.as_deref() == Some(b"error") {
            return Err(inside_200(data));
        }
        let members = Members::read(data)
            .map_err(|_| ApiError::malformed("the provider sent an event that could not be read"))?;
        if members.get("error").is_some() {
            return Err(inside_200(data));
        }
        if !self.started {
            self.started = true;
            let model = members.string("model").unwrap_or_default().into_owned();
            out.extend([Event::Start { id: String::new(), model }, Event::Open(Block::Opaque), Event::Close]);
        }
        out.extend(usage(&members).map(Event::Usage));
        self.ended |= ends(&members);
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.done
    }

    fn end(&mut self, _: &mut Vec<Event>) -> Result<(), ApiError> {
        if self.ended {
            return Ok(());
        }
        Err(ApiError {
            reason: Some("truncated"),
            ..ApiError::new(ErrorKind::Upstream, "the provider broke off in the middle of its answer")
        })
    }
}

/// Whether an event is the last that matters: a chunk with a reason for the end, or one that says so by its type, such as
/// `transcript.text.done` and `image_generation.completed`.
fn ends(members: &Members<'_>) -> bool {
    if let Some(kind) = members.string("type") {
        return kind.ends_with(".done") || kind.ends_with(".completed");
    }
    let choices = members.get("choices").and_then(|text| Json::parse(text.as_bytes()).ok());
    let finished = |choice: &Json| choice.get("finish_reason").is_some_and(|reason| !reason.is_null());
    choices.as_ref().and_then(Json::items).unwrap_or_default().iter().any(finished)
}

/// Forwards one stream. A chunk that counts tokens and that only this gateway asked for is left out.
#[derive(Debug)]
pub struct Filter {
    include_usage: bool,
}

impl Filter {
    /// `include_usage` says whether the client asked for the chunk that counts tokens.
    pub fn new(include_usage: bool) -> Self {
        Self { include_usage }
    }
}

impl Passthrough for Filter {
    fn push(&mut self, frame: Frame, out: &mut Vec<Bytes>) {
        if self.include_usage || !frame.data.as_deref().is_some_and(only_counts) {
            out.push(frame.raw);
        }
    }

    fn end(&mut self, _: &Served, _: &mut Vec<Bytes>) {}

    fn fail(&mut self, error: &ApiError, context: &ErrorContext, out: &mut Vec<Bytes>) {
        let mut event = Vec::new();
        write_data(&encode_error(error, context), &mut event);
        out.push(event.into());
    }
}

fn only_counts(data: &[u8]) -> bool {
    let Ok(members) = Members::read(data) else { return false };
    let empty = |list: &str| list.bytes().filter(|byte| !byte.is_ascii_whitespace()).eq(*b"[]");
    members.get("usage").is_some() && members.get("choices").is_some_and(empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Grammar;

    fn frame(data: &str) -> Frame {
        let raw = Bytes::from(format!("data: {data}\n\n"));
        Frame { raw, event: None, data: Some(Bytes::copy_from_slice(data.as_bytes())) }
    }

    fn watched(chunks: &[&str]) -> (Vec<Event>, Result<(), ApiError>) {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        for chunk in chunks {
            if let Err(error) = decoder.push(&frame(chunk), &mut out) {
                return (out, Err(error));
            }
        }
        let end = decoder.end(&mut out);
        let mut grammar = Grammar::default();
        assert!(out.iter().all(|event| grammar.accept(event).is_ok()), "{out:?}");
        (out, end)
    }

    const TEXT: &str = r#"{"choices":[{"text":"a","finish_reason":null}],"usage":null}"#;
    const COUNTS: &str = r#"{"choices":[ ],"usage":{"prompt_tokens":2,"completion_tokens":1}}"#;

    #[test]
    fn every_operations_own_sign_is_an_end_and_nothing_else_is() {
        for last in [
            "[DONE]",
            r#"{"choices":[{"text":"","finish_reason":"stop"}]}"#,
            r#"{"type":"transcript.text.done","text":"hi"}"#,
            r#"{"type":"image_generation.completed","b64_json":""}"#,
            r#"{"type":"speech.audio.done"}"#,
        ] {
            assert!(watched(&[TEXT, last]).1.is_ok(), "{last}");
        }
        for last in [TEXT, r#"{"type":"transcript.text.delta","delta":"hi"}"#] {
            assert_eq!(watched(&[last]).1.unwrap_err().reason, Some("truncated"), "{last}");
        }
    }

    #[test]
    fn counts_and_errors_are_seen() {
        let (events, end) = watched(&[TEXT, COUNTS, "[DONE]"]);
        assert!(matches!(events.last(), Some(Event::Usage(usage)) if usage.input == 2 && usage.output == 1));
        assert!(end.is_ok());
        assert!(watched(&[TEXT, r#"{"error":{"message":"Oops"}}"#]).1.is_err());
        assert_eq!(watched(&["nonsense"]).1.unwrap_err().reason, Some("malformed"));
    }

    #[test]
    fn counts_that_nobody_asked_for_are_left_out() {
        let passed = |include_usage| {
            let (mut filter, mut out) = (Filter::new(include_usage), Vec::new());
            [TEXT, COUNTS, "[DONE]"].iter().for_each(|chunk| filter.push(frame(chunk), &mut out));
            out.concat()
        };
        let all = [TEXT, COUNTS, "[DONE]"].map(|chunk| frame(chunk).raw).concat();
        assert_eq!(passed(true), all);
        assert_eq!(passed(false), [TEXT, "[DONE]"].map(|chunk| frame(chunk).raw).concat());
    }
}
