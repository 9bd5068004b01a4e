//! Writes a stream.

use serde::Serialize;

use super::{
    blocks::{
        Block, Counts, Input, Seen, call_id, citation, instead_of_media, message_id, proof, reasoning, stop_reason,
    },
    encode_error,
};
use crate::{
    Envelope, ErrorContext, Served, StreamEncoder,
    ir::{self, ApiError, Carrier, Delta, Event, Finish, Reasoning, Signature, Usage},
    json::Json,
    sse::write_event,
};

/// Writes one stream: `message_start`, blocks that never overlap, `message_delta`, `message_stop`.
#[derive(Debug)]
pub struct Encoder {
    envelope: Envelope,
    /// Tokens of the prompt as long as the upstream does not tell.
    estimated_input: u64,
    /// What the upstream said of itself, until the first message is written: a count may follow that belongs into it.
    start: Option<(String, String)>,
    /// The number of the next block.
    index: usize,
    open: Open,
    seen: Seen,
    usage: Option<Usage>,
    finish: Option<Finish>,
}

/// The block that is being read, and how much of it was written.
#[derive(Debug, Default)]
enum Open {
    #[default]
    Nothing,
    Text {
        written: bool,
        signature: Option<Signature>,
    },
    Reasoning {
        written: bool,
        signature: Option<Signature>,
    },
    Call {
        /// Id and name of a call that was not written yet: its signature may follow, which goes first.
        pending: Option<(String, String)>,
        id: String,
        /// A signature that came too late for that.
        late: Option<Signature>,
        /// Free text so far, which makes sense as an argument only when it is complete.
        free: Option<String>,
    },
}

#[derive(Serialize)]
struct Start<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: [(); 0],
    stop_reason: (),
    stop_sequence: (),
    usage: Counts,
}

/// One event of the stream; its type is its name, too.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    MessageStart { message: Start<'a> },
    Ping,
    ContentBlockStart { index: usize, content_block: Block<'a> },
    ContentBlockDelta { index: usize, delta: Piece<'a> },
    ContentBlockStop { index: usize },
    MessageDelta { delta: End<'a>, usage: Counts },
    MessageStop,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Piece<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
    #[serde(rename = "citations_delta")]
    Citations { citation: Json },
}

#[derive(Serialize)]
struct End<'a> {
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
}

impl Line<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::Ping => "ping",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let data = serde_json::to_vec(self).expect("keys are strings, and numbers finite");
        write_event(self.name(), &data, out);
    }
}

impl Encoder {
    /// `estimated_input` is told as the tokens of the prompt until the upstream tells better.
    pub fn new(envelope: Envelope, estimated_input: u64) -> Self {
        Self {
            envelope,
            estimated_input,
            start: None,
            index: 0,
            open: Open::Nothing,
            seen: Seen::default(),
            usage: None,
            finish: None,
        }
    }

    /// Writes the first message, if that is still to be done.
    fn begin(&mut self, out: &mut Vec<u8>) {
        let Some((id, model)) = self.start.take() else { return };
        let usage = self.usage.clone().unwrap_or(Usage { input: self.estimated_input, ..Usage::default() });
        let message = Start {
            id: message_id(&id, &self.envelope),
            kind: "message",
            role: "assistant",
            model: if model.is_empty() { &self.envelope.model } else { &model },
            content: [],
            stop_reason: (),
            stop_sequence: (),
            usage: Counts::from(&usage),
        };
        Line::MessageStart { message }.write(out);
        Line::Ping.write(out);
    }

    /// Begins a block of the client's.
    fn write_start(&self, content_block: Block<'_>, out: &mut Vec<u8>) {
        Line::ContentBlockStart { index: self.index, content_block }.write(out);
    }

    fn write_piece(&self, delta: Piece<'_>, out: &mut Vec<u8>) {
        Line::ContentBlockDelta { index: self.index, delta }.write(out);
    }

    fn write_stop(&mut self, out: &mut Vec<u8>) {
        Line::ContentBlockStop { index: self.index }.write(out);
        self.index += 1;
    }

    /// A block that comes whole.
    fn write_whole(&mut self, content_block: Block<'_>, out: &mut Vec<u8>) {
        self.write_start(content_block, out);
        self.write_stop(out);
    }

    fn open(&mut self, block: &ir::Block, out: &mut Vec<u8>) {
        self.open = match block {
            ir::Block::Text => Open::Text { written: false, signature: None },
            ir::Block::Refusal => {
                self.seen.refusal = true;
                Open::Text { written: false, signature: None }
            }
            ir::Block::Reasoning => Open::Reasoning { written: false, signature: None },
            ir::Block::ToolCall { id, name, custom } => {
                let id = call_id(id, self.seen.calls, &self.envelope).into_owned();
                self.seen.calls += 1;
                let pending = Some((id.clone(), name.clone()));
                Open::Call { pending, id, late: None, free: custom.then(String::new) }
            }
            ir::Block::Redacted(signature) => {
                let part = Reasoning { signature: Some(signature.clone()), redacted: true, ..Reasoning::default() };
                if let Some(block) = reasoning(&part) {
                    self.write_whole(block, out);
                }
                Open::Nothing
            }
            ir::Block::Media { mime, .. } => {
                let note = instead_of_media(mime);
                self.write_start(Block::text(""), out);
                self.write_piece(Piece::Text { text: &note }, out);
                self.write_stop(out);
                Open::Nothing
            }
            ir::Block::Opaque => Open::Nothing,
        };
    }

    fn add(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Text(text) if text.is_empty() => {}
            Delta::Text(text) => match &self.open {
                Open::Text { .. } => {
                    self.begin_text(out);
                    self.write_piece(Piece::Text { text }, out);
                }
                Open::Reasoning { .. } => {
                    self.begin_thinking(out);
                    self.write_piece(Piece::Thinking { thinking: text }, out);
                }
                Open::Nothing | Open::Call { .. } => {}
            },
            Delta::Arguments(text) => self.arguments(text, out),
            Delta::Signature(signature) => self.sign(signature, out),
            Delta::Citation(source) => {
                if let (Open::Text { .. }, Some(citation)) = (&self.open, citation(source)) {
                    self.begin_text(out);
                    self.write_piece(Piece::Citations { citation }, out);
                }
            }
            Delta::Logprobs(_) => {}
        }
    }

    fn begin_text(&mut self, out: &mut Vec<u8>) {
        if let Open::Text { written, .. } = &mut self.open
            && !std::mem::replace(written, true)
        {
            self.write_start(Block::text(""), out);
        }
    }

    fn begin_thinking(&mut self, out: &mut Vec<u8>) {
        if let Open::Reasoning { written, .. } = &mut self.open
            && !std::mem::replace(written, true)
        {
            self.write_start(Block::Thinking { thinking: "", signature: "".into() }, out);
        }
    }

    fn begin_call(&mut self, out: &mut Vec<u8>) {
        if let Open::Call { pending, .. } = &mut self.open
            && let Some((id, name)) = pending.take()
        {
            self.write_start(Block::ToolUse { id: id.into(), name: &name, input: Input::none() }, out);
        }
    }

    fn arguments(&mut self, text: &str, out: &mut Vec<u8>) {
        match &mut self.open {
            Open::Call { free: Some(free), .. } => free.push_str(text),
            Open::Call { .. } if !text.is_empty() => {
                self.begin_call(out);
                self.write_piece(Piece::InputJson { partial_json: text }, out);
            }
            _ => {}
        }
    }

    fn sign(&mut self, more: &Signature, out: &mut Vec<u8>) {
        match &mut self.open {
            Open::Text { signature, .. } => *signature = Some(more.clone()),
            Open::Reasoning { signature: Some(known), .. } => known.value.push_str(&more.value),
            Open::Reasoning { signature, .. } => *signature = Some(more.clone()),
            Open::Call { pending: Some(_), id, .. } => {
                let carrier = Carrier::ToolCall { id: id.clone(), signature: more.clone() };
                self.write_whole(Block::carrying(&carrier), out);
            }
            Open::Call { late, .. } => *late = Some(more.clone()),
            Open::Nothing => {}
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if matches!(self.open, Open::Call { .. }) {
            self.begin_call(out);
        } else if matches!(&self.open, Open::Reasoning { signature: Some(known), .. } if !known.value.is_empty()) {
            self.begin_thinking(out);
        }
        match std::mem::take(&mut self.open) {
            Open::Nothing => {}
            Open::Text { written, signature } => {
                if written {
                    self.write_stop(out);
                }
                if let Some(signature) = signature {
                    self.write_whole(Block::carrying(&Carrier::Text { signature }), out);
                }
            }
            Open::Reasoning { written, signature } => {
                if written {
                    let signature = proof(signature.as_ref(), false);
                    self.write_piece(Piece::Signature { signature: &signature }, out);
                    self.write_stop(out);
                }
            }
            Open::Call { id, late, free, .. } => {
                if let Some(text) = free {
                    let json = Json::object([("input", Json::from(text))]).to_string();
                    self.write_piece(Piece::InputJson { partial_json: &json }, out);
                }
                self.write_stop(out);
                if let Some(signature) = late {
                    self.write_whole(Block::carrying(&Carrier::ToolCall { id, signature }), out);
                }
            }
        }
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model } => self.start = Some((id.clone(), model.clone())),
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Open(block) => {
                self.begin(out);
                self.open(block, out);
            }
            Event::Delta(delta) => self.add(delta, out),
            Event::Close => self.close(out),
            Event::Finish(finish) => self.finish = Some(finish.clone()),
        }
    }

    fn end(&mut self, _: &Served, out: &mut Vec<u8>) {
        self.begin(out);
        let finish = self.finish.as_ref();
        let delta = End {
            stop_reason: stop_reason(finish, self.seen),
            stop_sequence: finish.and_then(|finish| finish.stop_sequence.as_deref()),
        };
        let usage = self.usage.clone().unwrap_or(Usage { input: self.estimated_input, ..Usage::default() });
        Line::MessageDelta { delta, usage: Counts::from(&usage) }.write(out);
        Line::MessageStop.write(out);
    }

    fn fail(&mut self, error: &ApiError, context: &ErrorContext, out: &mut Vec<u8>) {
        write_event("error", &encode_error(error, context), out);
    }
}
