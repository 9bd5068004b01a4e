//! Turns deltas, in whatever order they come, into blocks that never overlap.
//!
//! A tool call stays open until its arguments are a whole object; what comes meanwhile waits in line, so that parallel
//! calls whose pieces are interleaved come out one after the other and prose between calls keeps its place.

use std::collections::VecDeque;

use serde_json::value::RawValue;

use super::{calls, calls::Calls, extras};
use crate::{
    ProtocolId,
    ir::{Block, Citation, Delta, Event, Signature},
    json::Json,
    openai::lenient::{Raw, Str, json_text, read},
    openai_chat::wire::{Content, Message, Piece},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prose {
    Text,
    Reasoning,
    Refusal,
}

impl Prose {
    fn block(self) -> Block {
        match self {
            Self::Text => Block::Text,
            Self::Reasoning => Block::Reasoning,
            Self::Refusal => Block::Refusal,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Nothing,
    Prose(Prose),
    Call(usize),
}

#[derive(Debug)]
enum Waiting {
    Prose(Prose, String),
    /// A block that came whole.
    Whole(Vec<Event>),
    Call(usize),
}

/// The state of one candidate.
#[derive(Debug)]
pub struct Assembler {
    open: Open,
    waiting: VecDeque<Waiting>,
    calls: Calls,
    pub annotated: bool,
    /// `reasoning_details` hold text that no plain field repeats.
    details_only: bool,
}

impl Default for Assembler {
    fn default() -> Self {
        Self {
            open: Open::Nothing,
            waiting: VecDeque::new(),
            calls: Calls::default(),
            annotated: false,
            details_only: true,
        }
    }
}

impl Assembler {
    /// Names the answer, so that ids made up for its calls differ from other answers'.
    pub fn name(&mut self, seed: &str) {
        if self.calls.seed.is_empty() {
            self.calls.seed = seed.to_owned();
        }
    }

    pub fn has_calls(&self) -> bool {
        !self.calls.list.is_empty()
    }

    /// Takes one delta, or a whole message.
    pub fn message(&mut self, message: &Message<'_>, logprobs: Raw<'_>, out: &mut Vec<Event>) {
        self.reasoning(message, out);
        match &message.content {
            Content::None => {}
            Content::Text(text) => self.prose(Prose::Text, text, out),
            Content::List(pieces) => pieces.iter().for_each(|piece| self.piece(piece, out)),
        }
        self.prose(Prose::Refusal, message.refusal.as_str(), out);
        self.logprobs(logprobs, out);
        for citation in extras::annotations(message.annotations) {
            self.annotated = true;
            self.cite(citation, out);
        }
        for media in extras::media(message) {
            self.whole(vec![Event::Open(media), Event::Close], out);
        }
        let whose = message.extra_content.and_then(|raw| extras::thought_signature(Some(raw)));
        for (ordinal, call) in message.tool_calls.0.iter().enumerate() {
            let arguments = match (&call.function, &call.custom) {
                (_, Some(custom)) => custom.input.0.clone(),
                (Some(function), None) => json_text(function.arguments),
                (None, None) => "".into(),
            };
            let signature = extras::thought_signature(call.extra_content)
                .or_else(|| if ordinal == 0 { whose.clone() } else { None });
            self.call(&calls::read(call, &arguments), signature, out);
        }
        if let Some(function) = &message.function_call {
            let arguments = json_text(function.arguments);
            let piece = calls::Piece { name: function.name.as_str(), arguments: &arguments, ..calls::Piece::default() };
            self.call(&piece, None, out);
        }
        if let Some(signature) = whose
            && message.tool_calls.0.is_empty()
            && !self.must_wait()
        {
            self.switch(Prose::Text, out);
            out.push(Event::Delta(Delta::Signature(signature)));
        }
    }

    /// The stream is over: hands out what waited and closes what is open. `sources` are cited if nothing else was.
    pub fn finish(&mut self, sources: Vec<Citation>, out: &mut Vec<Event>) {
        self.drain(true, out);
        if !self.annotated && !sources.is_empty() && self.open == Open::Prose(Prose::Text) {
            out.extend(sources.into_iter().map(|source| Event::Delta(Delta::Citation(source))));
        }
        self.close(out);
    }

    fn reasoning(&mut self, message: &Message<'_>, out: &mut Vec<Event>) {
        let mut blocks = message.thinking_blocks.map(extras::thinking_blocks).unwrap_or_default();
        // In a stream the text came before, and a block tells no more than its signature.
        if self.open == Open::Prose(Prose::Reasoning)
            && let Some((_, Some(signature), false)) = blocks.first()
        {
            out.push(Event::Delta(Delta::Signature(signature.clone())));
            self.close(out);
            blocks.remove(0);
        }
        blocks.retain(|(_, signature, _)| signature.is_some());
        if !blocks.is_empty() {
            return blocks.into_iter().for_each(|block| self.whole(reasoning_block(block), out));
        }
        let plain = [&message.reasoning_content, &message.reasoning].into_iter().find(|text| !text.is_empty());
        if let Some(text) = plain {
            self.details_only = false;
            self.prose(Prose::Reasoning, text.as_str(), out);
        }
        let (text, signature) = extras::reasoning_details(message.reasoning_details);
        if self.details_only {
            self.prose(Prose::Reasoning, &text, out);
        }
        if let Some(signature) = signature
            && self.open == Open::Prose(Prose::Reasoning)
        {
            out.push(Event::Delta(Delta::Signature(signature)));
        }
    }

    fn piece(&mut self, piece: &Piece<'_>, out: &mut Vec<Event>) {
        self.prose(Prose::Text, piece.text.as_str(), out);
        self.prose(Prose::Refusal, piece.refusal.as_str(), out);
        match piece.thinking.map(RawValue::get) {
            Some(text) if text.starts_with('"') => {
                let text: Str<'_> = read(piece.thinking).unwrap_or_default();
                self.prose(Prose::Reasoning, text.as_str(), out);
            }
            Some(_) => {
                let pieces: Vec<Piece<'_>> = read(piece.thinking).unwrap_or_default();
                pieces.iter().for_each(|piece| self.prose(Prose::Reasoning, piece.text.as_str(), out));
            }
            None => {}
        }
    }

    fn prose(&mut self, prose: Prose, text: &str, out: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        if self.must_wait() {
            match self.waiting.back_mut() {
                Some(Waiting::Prose(last, waiting)) if *last == prose => waiting.push_str(text),
                _ => self.waiting.push_back(Waiting::Prose(prose, text.to_owned())),
            }
            return;
        }
        self.switch(prose, out);
        out.push(Event::Delta(Delta::Text(text.to_owned())));
    }

    fn whole(&mut self, events: Vec<Event>, out: &mut Vec<Event>) {
        if self.must_wait() {
            return self.waiting.push_back(Waiting::Whole(events));
        }
        self.close(out);
        out.extend(events);
    }

    fn call(&mut self, piece: &calls::Piece<'_>, signature: Option<Signature>, out: &mut Vec<Event>) {
        let before = self.calls.list.len();
        let at = self.calls.place(piece);
        if at == before {
            self.waiting.push_back(Waiting::Call(at));
        }
        let call = &mut self.calls.list[at];
        if call.closed {
            return;
        }
        call.note(piece.arguments);
        if self.open == Open::Call(at) {
            out.extend(signature.map(|signature| Event::Delta(Delta::Signature(signature))));
            if !piece.arguments.is_empty() {
                out.push(Event::Delta(Delta::Arguments(piece.arguments.to_owned())));
            }
        } else {
            call.signature = signature.or(call.signature.take());
            call.buffer.push_str(piece.arguments);
        }
        self.drain(false, out);
    }

    /// Whether an unfinished call is open, or something waits already.
    fn must_wait(&self) -> bool {
        !self.waiting.is_empty() || matches!(self.open, Open::Call(at) if !self.calls.list[at].complete())
    }

    /// Hands out what waits, up to a call that is not finished; everything at the `end`.
    fn drain(&mut self, end: bool, out: &mut Vec<Event>) {
        while let Some(next) = self.waiting.front() {
            let unfinished = matches!(self.open, Open::Call(at) if !self.calls.list[at].complete());
            let nameless = matches!(next, Waiting::Call(at) if !self.calls.list[*at].named());
            if !end && (unfinished || nameless) {
                return;
            }
            match self.waiting.pop_front() {
                Some(Waiting::Prose(prose, text)) => {
                    self.switch(prose, out);
                    out.push(Event::Delta(Delta::Text(text)));
                }
                Some(Waiting::Whole(events)) => {
                    self.close(out);
                    out.extend(events);
                }
                Some(Waiting::Call(at)) => self.open_call(at, out),
                None => {}
            }
        }
    }

    fn open_call(&mut self, at: usize, out: &mut Vec<Event>) {
        let call = &self.calls.list[at];
        // Nothing but a place was ever sent of it.
        if !call.named() && call.buffer.is_empty() {
            return;
        }
        self.close(out);
        self.calls.settle_id(at);
        let call = &mut self.calls.list[at];
        out.push(Event::Open(Block::ToolCall { id: call.id.clone(), name: call.name.clone(), custom: call.custom }));
        out.extend(call.signature.take().map(|signature| Event::Delta(Delta::Signature(signature))));
        if !call.buffer.is_empty() {
            out.push(Event::Delta(Delta::Arguments(std::mem::take(&mut call.buffer))));
        }
        self.open = Open::Call(at);
    }

    fn switch(&mut self, prose: Prose, out: &mut Vec<Event>) {
        if self.open != Open::Prose(prose) {
            self.close(out);
            out.push(Event::Open(prose.block()));
            self.open = Open::Prose(prose);
        }
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        match self.open {
            Open::Nothing => return,
            Open::Call(at) => self.calls.list[at].closed = true,
            Open::Prose(_) => {}
        }
        out.push(Event::Close);
        self.open = Open::Nothing;
    }

    fn cite(&mut self, citation: Citation, out: &mut Vec<Event>) {
        if self.must_wait() {
            return;
        }
        self.switch(Prose::Text, out);
        out.push(Event::Delta(Delta::Citation(citation)));
    }

    /// Log probabilities belong to the text that is open; those of a call's tokens have no place.
    fn logprobs(&mut self, raw: Raw<'_>, out: &mut Vec<Event>) {
        let Some(logprobs) = raw else { return };
        if !matches!(self.open, Open::Prose(Prose::Text | Prose::Refusal)) {
            return;
        }
        if let Ok(logprobs) = Json::parse(logprobs.get().as_bytes())
            && logprobs.members().is_some_and(|members| members.iter().any(|(_, value)| holds_tokens(value)))
        {
            out.push(Event::Delta(Delta::Logprobs(logprobs)));
        }
    }
}

fn reasoning_block((text, signature, redacted): extras::Thinking) -> Vec<Event> {
    match signature {
        Some(signature) if redacted => vec![Event::Open(Block::Redacted(signature)), Event::Close],
        signature => {
            let text = (!text.is_empty()).then_some(Event::Delta(Delta::Text(text)));
            let signature = signature.map(|signature| Event::Delta(Delta::Signature(signature)));
            let inner = text.into_iter().chain(signature);
            [Event::Open(Block::Reasoning)].into_iter().chain(inner).chain([Event::Close]).collect()
        }
    }
}

fn holds_tokens(value: &Json) -> bool {
    value.items().is_some_and(|tokens| !tokens.is_empty())
}

/// A signature that Anthropic issued.
pub fn anthropic(value: String) -> Signature {
    Signature { origin: ProtocolId::Anthropic, value }
}
