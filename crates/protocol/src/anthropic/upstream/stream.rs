//! Reading a stream.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    error,
    response::{self, Block, Counts, Kind, Seen, Stop},
};
use crate::{
    StreamDecoder, ir,
    ir::{ApiError, Citation, Delta, ErrorKind, Event},
    json::Json,
    sse::Frame,
};

/// Any message of a stream. What belongs to one type only is read when the type is known.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Beginning<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BlockDelta<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    partial_json: Option<String>,
    #[serde(default)]
    citation: Option<Json>,
}

#[derive(Deserialize)]
struct MessageDelta {
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    stop_sequence: Option<String>,
    #[serde(default)]
    stop_details: Option<Json>,
}

/// The sorts of pieces that are understood. Others may hold anything.
const DELTAS: [&str; 5] = ["text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta"];

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    open: Option<Open>,
    counts: Counts,
    seen: Seen,
    stop: Option<Stop>,
    /// Characters of text in the answer so far.
    position: u64,
    finished: bool,
}

/// The block that is being written.
#[derive(Debug)]
struct Open {
    kind: Kind,
    /// Sources of a text block. Only at its end is it known what they support.
    citations: Vec<Citation>,
    /// Where in the answer's text the block began.
    start: u64,
    /// Arguments that came with the block's beginning; they count if none follow.
    arguments: Option<String>,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), ApiError> {
        let Some(data) = frame.data.as_deref() else { return Ok(()) };
        if self.finished || data.trim_ascii().is_empty() || data == b"[DONE]" {
            return Ok(());
        }
        let message: Message<'_> = serde_json::from_slice(data)
            .map_err(|_| ApiError::malformed("a message of the stream could not be read"))?;
        match &*message.kind {
            "message_start" => self.begin(message.message, out),
            "content_block_start" => self.block(message.content_block, out)?,
            "content_block_delta" => self.add(message.delta, out)?,
            "content_block_stop" => self.close(out),
            "message_delta" => self.turn(message.delta, message.usage),
            "message_stop" => self.finish(out)?,
            kind if kind == "error" || message.error.is_some() => return Err(error::within(data)),
            // Pings, and what this protocol may yet learn.
            _ => {}
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.finished
    }

    fn end(&mut self, _out: &mut Vec<Event>) -> Result<(), ApiError> {
        if self.finished {
            return Ok(());
        }
        let message = "the provider's stream broke off before it was complete";
        Err(ApiError { reason: Some("truncated"), ..ApiError::new(ErrorKind::Upstream, message) })
    }
}

impl Decoder {
    fn begin(&mut self, message: Option<&RawValue>, out: &mut Vec<Event>) {
        // Some gateways in front of Anthropic repeat it.
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let beginning = message.and_then(|raw| serde_json::from_str::<Beginning<'_>>(raw.get()).ok());
        let Some(beginning) = beginning else {
            return out.push(Event::Start { id: String::new(), model: String::new() });
        };
        out.push(Event::Start { id: beginning.id.unwrap_or_default(), model: beginning.model.unwrap_or_default() });
        if let Some(usage) = beginning.usage {
            self.counts.merge(usage);
            out.extend(self.counts.usage().map(Event::Usage));
        }
    }

    fn block(&mut self, block: Option<&RawValue>, out: &mut Vec<Event>) -> Result<(), ApiError> {
        self.expect_start()?;
        self.close(out);
        let block =
            block.ok_or_else(|| ApiError::malformed("a block of the stream holds nothing")).and_then(Block::read)?;
        let kind = block.kind;
        self.open(
            kind,
            match kind {
                Kind::Text => ir::Block::Text,
                Kind::Thinking => ir::Block::Reasoning,
                Kind::Redacted => ir::Block::Redacted(response::signed(block.data.unwrap_or_default())),
                Kind::ToolUse => ir::Block::ToolCall {
                    id: block.id.unwrap_or_default(),
                    name: block.name.unwrap_or_default(),
                    custom: false,
                },
                Kind::Other => ir::Block::Opaque,
            },
            out,
        );
        match kind {
            Kind::Text => {
                self.text(block.text, out);
                let citations = response::citations(block.citations);
                if let Some(open) = &mut self.open {
                    open.citations.extend(citations);
                }
            }
            Kind::Thinking => {
                out.extend(filled(block.thinking).map(|text| Event::Delta(Delta::Text(text))));
                out.extend(filled(block.signature).map(signature));
            }
            Kind::ToolUse => {
                if let Some(open) = &mut self.open {
                    open.arguments = block.input.map(|input| input.get().to_owned()).filter(|text| !is_empty(text));
                }
            }
            Kind::Redacted | Kind::Other => {}
        }
        Ok(())
    }

    fn open(&mut self, kind: Kind, block: ir::Block, out: &mut Vec<Event>) {
        self.seen.calls |= kind == Kind::ToolUse;
        self.seen.content = true;
        self.open = Some(Open { kind, citations: Vec::new(), start: self.position, arguments: None });
        out.push(Event::Open(block));
    }

    fn add(&mut self, delta: Option<&RawValue>, out: &mut Vec<Event>) -> Result<(), ApiError> {
        self.expect_start()?;
        let raw = delta.ok_or_else(|| ApiError::malformed("a piece of the stream holds nothing"))?;
        let delta = match serde_json::from_str::<BlockDelta<'_>>(raw.get()) {
            Ok(delta) => delta,
            Err(_) if DELTAS.contains(&&*response::tag(raw)) => {
                return Err(ApiError::malformed("a piece of the stream could not be read"));
            }
            Err(_) => return Ok(()),
        };
        if self.open.is_none() {
            // A server that does not announce its blocks.
            match &*delta.kind {
                "text_delta" => self.open(Kind::Text, ir::Block::Text, out),
                "thinking_delta" => self.open(Kind::Thinking, ir::Block::Reasoning, out),
                _ => {}
            }
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        match (open.kind, &*delta.kind) {
            (Kind::Text, "text_delta") => self.text(delta.text, out),
            (Kind::Text, "citations_delta") => open.citations.extend(delta.citation.as_ref().map(response::citation)),
            (Kind::Thinking, "thinking_delta") => {
                out.extend(filled(delta.thinking).map(|text| Event::Delta(Delta::Text(text))));
            }
            (Kind::Thinking, "signature_delta") => out.extend(filled(delta.signature).map(signature)),
            (Kind::ToolUse, "input_json_delta") => {
                if let Some(json) = filled(delta.partial_json) {
                    open.arguments = None;
                    out.push(Event::Delta(Delta::Arguments(json)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, text: Option<String>, out: &mut Vec<Event>) {
        if let Some(text) = filled(text) {
            self.position += response::length(&text);
            out.push(Event::Delta(Delta::Text(text)));
        }
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        let Some(open) = self.open.take() else { return };
        let span = (open.start, self.position);
        out.extend(open.citations.into_iter().map(|it| Event::Delta(Delta::Citation(response::spanning(it, span)))));
        out.extend(open.arguments.map(|json| Event::Delta(Delta::Arguments(json))));
        out.push(Event::Close);
    }

    fn turn(&mut self, delta: Option<&RawValue>, usage: Option<&RawValue>) {
        if let Some(usage) = usage {
            self.counts.merge(usage);
        }
        let delta = delta.and_then(|raw| serde_json::from_str::<MessageDelta>(raw.get()).ok());
        if let Some(MessageDelta { stop_reason: Some(reason), stop_sequence, stop_details }) = delta {
            self.stop = Some(Stop { reason, sequence: stop_sequence, details: stop_details });
        }
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<(), ApiError> {
        self.expect_start()?;
        self.close(out);
        let stop = self.stop.take().unwrap_or_default();
        if let Some(why) = stop.refusal() {
            out.extend([Event::Open(ir::Block::Refusal), Event::Delta(Delta::Text(why)), Event::Close]);
        }
        let finish = stop.finish(self.seen)?;
        out.extend(self.counts.usage().map(Event::Usage));
        out.push(Event::Finish(finish));
        self.finished = true;
        Ok(())
    }

    fn expect_start(&self) -> Result<(), ApiError> {
        if self.started { Ok(()) } else { Err(ApiError::malformed("the stream does not begin with `message_start`")) }
    }
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn signature(value: String) -> Event {
    Event::Delta(Delta::Signature(response::signed(value)))
}

/// Whether arguments are those that every block of a call begins with.
fn is_empty(arguments: &str) -> bool {
    arguments == "null" || arguments.bytes().all(|byte| byte.is_ascii_whitespace() || matches!(byte, b'{' | b'}'))
}
