//! Reading a stream, whose frames are named by what they hold.

use serde::Deserialize;

use super::{
    error,
    response::{self, Counts, Seen, Stop, ToolUse},
};
use crate::{
    StreamDecoder,
    ir::{ApiError, Block, Citation, Delta, ErrorKind, Event},
    json::Json,
    sse::Frame,
};

/// The beginning or a piece of a block.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Piece<'a> {
    content_block_index: u64,
    #[serde(borrow)]
    start: Option<Beginning<'a>>,
    delta: Option<More>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Beginning<'a> {
    #[serde(borrow)]
    tool_use: Option<ToolUse<'a>>,
    image: Option<Format>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Format {
    format: Option<String>,
}

/// What is added to a block. What is not understood may hold anything.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct More {
    text: Option<String>,
    tool_use: Option<Input>,
    reasoning_content: Option<Thought>,
    citation: Option<Json>,
    image: Option<Picture>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Input {
    input: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Thought {
    text: Option<String>,
    signature: Option<String>,
    redacted_content: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Picture {
    source: Option<Bytes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Bytes {
    bytes: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MessageStop {
    stop_reason: String,
    additional_model_response_fields: Option<Json>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    usage: Option<Counts>,
}

/// Reads one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    started: bool,
    open: Option<Open>,
    seen: Seen,
    stop: Option<Stop>,
    /// Characters of text in the answer so far.
    position: u64,
    finished: bool,
}

/// The block that is being written.
#[derive(Debug)]
struct Open {
    index: u64,
    kind: Kind,
    /// Sources of a text block. Only at its end is it known what they support.
    citations: Vec<Citation>,
    /// Where in the answer's text the block began.
    start: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    ToolCall,
    /// Encrypted reasoning so far, which is handed on whole.
    Redacted(String),
    /// A picture so far, likewise.
    Image {
        mime: String,
        data: String,
    },
    /// Only Bedrock's own, such as a tool that ran there.
    Other,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), ApiError> {
        let (Some(name), Some(data)) = (frame.event.as_deref(), frame.data.as_deref()) else { return Ok(()) };
        if self.finished {
            return Ok(());
        }
        match name {
            b"messageStart" => self.begin(out),
            b"contentBlockStart" => self.block(read(data)?, out)?,
            b"contentBlockDelta" => self.add(read(data)?, out)?,
            b"contentBlockStop" => self.close(out),
            b"messageStop" => self.stop(read(data)?, out)?,
            b"metadata" => self.finish(read(data)?, out)?,
            b"error" => return Err(error::exception("error", data)),
            name if name.ends_with(b"Exception") => {
                return Err(error::exception(&String::from_utf8_lossy(name), data));
            }
            // What this protocol may yet learn.
            _ => {}
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.finished
    }

    /// The counts come last: a stream that lacks nothing else was complete.
    fn end(&mut self, out: &mut Vec<Event>) -> Result<(), ApiError> {
        if self.finished {
            return Ok(());
        }
        if self.stop.is_some() {
            return self.finish(Metadata::default(), out);
        }
        let message = "the provider's stream broke off before it was complete";
        Err(ApiError { reason: Some("truncated"), ..ApiError::new(ErrorKind::Upstream, message) })
    }
}

fn read<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(data).map_err(|_| ApiError::malformed("a message of the stream could not be read"))
}

impl Decoder {
    fn begin(&mut self, out: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.started, true) {
            out.push(Event::Start { id: String::new(), model: String::new() });
        }
    }

    fn block(&mut self, piece: Piece<'_>, out: &mut Vec<Event>) -> Result<(), ApiError> {
        self.expect_content()?;
        self.close(out);
        let index = piece.content_block_index;
        match piece.start.unwrap_or_default() {
            Beginning { tool_use: Some(call), .. } if !call.ran() => {
                let (id, name) = (call.tool_use_id.unwrap_or_default(), call.name.unwrap_or_default());
                self.open(index, Kind::ToolCall, Some(Block::ToolCall { id, name, custom: false }), out);
            }
            Beginning { image: Some(Format { format }), .. } => {
                let kind = Kind::Image { mime: response::image_type(format.as_deref()), data: String::new() };
                self.open(index, kind, None, out);
            }
            _ => self.open(index, Kind::Other, Some(Block::Opaque), out),
        }
        Ok(())
    }

    /// Opens a block; one that is handed on whole is told of at its end.
    fn open(&mut self, index: u64, kind: Kind, block: Option<Block>, out: &mut Vec<Event>) {
        self.seen.calls |= kind == Kind::ToolCall;
        self.seen.content = true;
        self.open = Some(Open { index, kind, citations: Vec::new(), start: self.position });
        out.extend(block.map(Event::Open));
    }

    fn add(&mut self, piece: Piece<'_>, out: &mut Vec<Event>) -> Result<(), ApiError> {
        self.expect_content()?;
        let more = piece.delta.unwrap_or_default();
        if self.open.as_ref().is_some_and(|open| open.index != piece.content_block_index) {
            self.close(out);
        }
        if self.open.is_none() {
            self.open_for(piece.content_block_index, &more, out);
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        match (&mut open.kind, more) {
            (Kind::Text, More { citation: Some(item), .. }) => open.citations.push(response::citation(&item)),
            (Kind::Text, More { text: Some(text), .. }) if !text.is_empty() => {
                self.position += response::length(&text);
                out.push(Event::Delta(Delta::Text(text)));
            }
            (Kind::ToolCall, More { tool_use: Some(Input { input: Some(json) }), .. }) if !json.is_empty() => {
                out.push(Event::Delta(Delta::Arguments(json)));
            }
            (Kind::Reasoning, More { reasoning_content: Some(thought), .. }) => {
                let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
                out.extend(filled(thought.text).map(|text| Event::Delta(Delta::Text(text))));
                let signature = filled(thought.signature).map(response::signed);
                out.extend(signature.map(|signature| Event::Delta(Delta::Signature(signature))));
            }
            (Kind::Redacted(data), More { reasoning_content: Some(thought), .. }) => {
                data.push_str(&thought.redacted_content.unwrap_or_default());
            }
            (Kind::Image { data, .. }, More { image: Some(Picture { source: Some(Bytes { bytes }) }), .. }) => {
                data.push_str(&bytes.unwrap_or_default());
            }
            _ => {}
        }
        Ok(())
    }

    /// Texts and thoughts begin with their first piece.
    fn open_for(&mut self, index: u64, more: &More, out: &mut Vec<Event>) {
        match more {
            More { reasoning_content: Some(Thought { redacted_content: Some(_), .. }), .. } => {
                self.open(index, Kind::Redacted(String::new()), None, out);
            }
            More { reasoning_content: Some(_), .. } => self.open(index, Kind::Reasoning, Some(Block::Reasoning), out),
            More { text: Some(_), .. } | More { citation: Some(_), .. } => {
                self.open(index, Kind::Text, Some(Block::Text), out);
            }
            _ => {}
        }
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        let Some(open) = self.open.take() else { return };
        match open.kind {
            Kind::Redacted(data) => out.push(Event::Open(Block::Redacted(response::redacted(data)))),
            Kind::Image { mime, data } => out.push(Event::Open(Block::Media { mime, data })),
            Kind::Text | Kind::Reasoning | Kind::ToolCall | Kind::Other => {}
        }
        let span = Some((open.start, self.position));
        out.extend(open.citations.into_iter().map(|it| Event::Delta(Delta::Citation(Citation { span, ..it }))));
        out.push(Event::Close);
    }

    fn stop(&mut self, stop: MessageStop, out: &mut Vec<Event>) -> Result<(), ApiError> {
        self.expect_start()?;
        self.close(out);
        let sequence = stop.additional_model_response_fields.as_ref().and_then(response::stop_sequence);
        self.stop = Some(Stop { reason: stop.stop_reason, sequence });
        Ok(())
    }

    fn finish(&mut self, metadata: Metadata, out: &mut Vec<Event>) -> Result<(), ApiError> {
        self.expect_start()?;
        let stop = self.stop.take().ok_or_else(|| ApiError::malformed("the stream ends without `messageStop`"))?;
        let finish = stop.finish(self.seen)?;
        out.extend(metadata.usage.and_then(Counts::usage).map(Event::Usage));
        out.push(Event::Finish(finish));
        self.finished = true;
        Ok(())
    }

    fn expect_start(&self) -> Result<(), ApiError> {
        if self.started { Ok(()) } else { Err(ApiError::malformed("the stream does not begin with `messageStart`")) }
    }

    fn expect_content(&self) -> Result<(), ApiError> {
        match self.stop {
            None => self.expect_start(),
            Some(_) => Err(ApiError::malformed("the stream goes on after `messageStop`")),
        }
    }
}
