//! A stream as a language.
//!
//! ```text
//! Start ( Open Delta* Close )* Usage? Finish Usage?       blocks never overlap
//! ```

use super::{Signature, Usage};

/// One thing that happened in an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The upstream began to answer. Either field may be empty where it does not tell.
    Start { id: String, model: String },
    /// A block begins.
    Open(Block),
    /// Something is added to the open block.
    Delta(Delta),
    /// The open block ends.
    Close,
    /// Token counts as known so far; a later one replaces an earlier one.
    Usage(Usage),
    /// The model stopped.
    Finish(Finish),
}

/// What sort of block begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    Text,
    Reasoning,
    /// Encrypted reasoning, whole: Anthropic's `redacted_thinking`.
    Redacted(Signature),
    Refusal,
    ToolCall {
        id: String,
        name: String,
        custom: bool,
    },
    /// A generated picture or sound, whole; base64.
    Media {
        mime: String,
        data: String,
    },
    /// A block that only its own protocol understands, such as a tool that ran at the provider. It has no deltas; others
    /// pass over it.
    Opaque,
}

/// What is added to a block.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// To a text, reasoning or refusal block.
    Text(String),
    /// A piece of a tool call's arguments: JSON text, or free text for a custom tool.
    Arguments(String),
    /// To a reasoning, text or tool call block.
    Signature(Signature),
    /// To a text block: where what it says comes from.
    Citation(Citation),
    /// To a text block: OpenAI's `logprobs` object for the last tokens.
    Logprobs(crate::json::Json),
}

/// A source that an answer names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Citation {
    pub url: Option<String>,
    pub title: Option<String>,
    /// The words of the source.
    pub quote: Option<String>,
    /// Characters of the answer's text that it supports.
    pub span: Option<(u64, u64)>,
}

/// Why the model stopped: in common words, and in the upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    pub reason: FinishReason,
    /// Empty where the upstream gave no word.
    pub raw: String,
    /// The stop sequence that was met, where the upstream tells.
    pub stop_sequence: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    Stop,
    Length,
    ToolCalls,
    /// The model or its provider refused, or content was filtered.
    ContentFilter,
    /// A turn of a provider-run tool was paused and can be continued.
    Pause,
}

impl FinishReason {
    /// Whether the model had said all that it wanted to say.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::Stop | Self::ToolCalls)
    }
}

/// Checks that events follow the grammar. Runs in every test and, in debug builds, beside every stream.
#[derive(Clone, Debug, Default)]
pub struct Grammar {
    started: bool,
    open: bool,
    finished: bool,
}

/// An event that may not stand where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ungrammatical(pub &'static str);

impl Grammar {
    pub fn accept(&mut self, event: &Event) -> Result<(), Ungrammatical> {
        let wrong = match event {
            Event::Start { .. } => self.started.then_some("Start twice"),
            _ if !self.started => Some("an event before Start"),
            Event::Usage(_) => self.open.then_some("Usage inside a block"),
            _ if self.finished => Some("an event after Finish"),
            Event::Open(_) => self.open.then_some("Open inside a block"),
            Event::Delta(_) => (!self.open).then_some("Delta outside a block"),
            Event::Close => (!self.open).then_some("Close outside a block"),
            Event::Finish(_) => self.open.then_some("Finish inside a block"),
        };
        match event {
            Event::Start { .. } => self.started = true,
            Event::Open(_) => self.open = true,
            Event::Close => self.open = false,
            Event::Finish(_) => self.finished = true,
            Event::Delta(_) | Event::Usage(_) => {}
        }
        wrong.map_or(Ok(()), |why| Err(Ungrammatical(why)))
    }

    /// Whether the upstream said why it stopped.
    pub fn finished(&self) -> bool {
        self.finished
    }
}
