//! Writes a stream: every piece of it in the shape of a whole answer.

use super::{
    answer::{Answer, Candidate, Content, Counts, finish_reason, model_version, response_id},
    error::encode_error,
    evidence,
    framing::Framing,
    parts::Parts,
};
use crate::{
    Envelope, ErrorContext, Served, StreamEncoder,
    gemini::part::Part,
    ir::{ApiError, Block, Citation, Delta, Event, FinishReason, Reasoning, Request, Signature, ToolCall, Usage},
    json::Json,
};

/// Writes one stream of one candidate.
#[derive(Debug)]
pub struct Encoder {
    envelope: Envelope,
    framing: Framing,
    id: String,
    model: String,
    parts: Parts,
    open: Open,
    /// Calls that have ended. They wait for what comes next, since an answer's last parts stand beside its finish reason.
    held: Vec<Part<'static>>,
    /// What was said so far, which sources point into.
    said: String,
    citations: Vec<Citation>,
    usage: Option<Usage>,
    finish: FinishReason,
}

#[derive(Debug, Default)]
enum Open {
    #[default]
    Nothing,
    Text,
    Refusal,
    Reasoning(Reasoning),
    Call(ToolCall),
}

/// What stands beside a piece's parts.
#[derive(Default)]
struct Beside {
    finish_reason: Option<&'static str>,
    grounding_metadata: Option<Json>,
    logprobs_result: Option<Json>,
    usage_metadata: Option<Counts>,
}

impl Encoder {
    pub fn new(request: &Request, envelope: Envelope) -> Self {
        Self {
            framing: Framing::new(envelope.array),
            id: response_id("", &envelope),
            model: model_version("", &envelope).to_owned(),
            envelope,
            parts: Parts::new(request),
            open: Open::Nothing,
            held: Vec::new(),
            said: String::new(),
            citations: Vec::new(),
            usage: None,
            finish: FinishReason::Stop,
        }
    }

    fn piece(&mut self, parts: Vec<Part<'_>>, beside: Beside, out: &mut Vec<u8>) {
        let candidate = Candidate {
            content: Content::from(parts),
            finish_reason: beside.finish_reason,
            index: 0,
            grounding_metadata: beside.grounding_metadata,
            logprobs_result: beside.logprobs_result,
        };
        let answer = Answer {
            candidates: vec![candidate],
            usage_metadata: beside.usage_metadata,
            model_version: &self.model,
            response_id: &self.id,
        };
        let json = serde_json::to_vec(&answer).expect("keys are strings, and numbers finite");
        self.framing.write(&json, out);
    }

    fn part(&mut self, part: Option<Part<'_>>, out: &mut Vec<u8>) {
        if let Some(part) = part {
            self.piece(vec![part], Beside::default(), out);
        }
    }

    fn open(&mut self, block: &Block, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.piece(held, Beside::default(), out);
        }
        self.open = match block {
            Block::Text => Open::Text,
            Block::Refusal => Open::Refusal,
            Block::Reasoning => Open::Reasoning(Reasoning::default()),
            Block::ToolCall { id, name, custom } => {
                let call = ToolCall { id: id.clone(), name: name.clone(), custom: *custom, ..ToolCall::default() };
                Open::Call(call)
            }
            Block::Redacted(signature) => {
                let signature = Some(signature.clone());
                self.parts.thought(Reasoning { signature, redacted: true, ..Reasoning::default() });
                Open::Nothing
            }
            Block::Media { mime, data } => {
                let part = self.parts.media(mime, data);
                self.part(Some(part), out);
                Open::Nothing
            }
            Block::Opaque => Open::Nothing,
        };
    }

    fn add(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match (&mut self.open, delta) {
            (Open::Text, Delta::Text(text)) => {
                self.said.push_str(text);
                let part = self.parts.text(text, None);
                self.part(part, out);
            }
            (Open::Refusal, Delta::Text(text)) => {
                let part = self.parts.text(text, None);
                self.part(part, out);
            }
            (Open::Text, Delta::Signature(signature)) => {
                let part = self.parts.text("", Some(signature.clone()));
                self.part(part, out);
            }
            (Open::Reasoning(reasoning), Delta::Text(text)) => {
                reasoning.text.push_str(text);
                let part = self.parts.shown(text);
                self.part(part, out);
            }
            (Open::Reasoning(reasoning), Delta::Signature(more)) => grow(&mut reasoning.signature, more),
            (Open::Call(call), Delta::Arguments(more)) => call.arguments.push_str(more),
            (Open::Call(call), Delta::Signature(signature)) => call.signature = Some(signature.clone()),
            (_, Delta::Citation(citation)) => self.citations.push(citation.clone()),
            (_, Delta::Logprobs(logprobs)) => {
                let logprobs_result = evidence::logprobs(logprobs);
                self.piece(Vec::new(), Beside { logprobs_result, ..Beside::default() }, out);
            }
            _ => {}
        }
    }

    fn close(&mut self) {
        match std::mem::take(&mut self.open) {
            Open::Reasoning(reasoning) => self.parts.thought(reasoning),
            Open::Call(call) => {
                let part = self.parts.call(call);
                self.held.push(part);
            }
            Open::Nothing | Open::Text | Open::Refusal => {}
        }
    }
}

fn grow(signature: &mut Option<Signature>, more: &Signature) {
    match signature {
        Some(known) => known.value.push_str(&more.value),
        none => *none = Some(more.clone()),
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, model } => {
                self.id = response_id(id, &self.envelope);
                self.model = model_version(model, &self.envelope).to_owned();
            }
            Event::Open(block) => self.open(block, out),
            Event::Delta(delta) => self.add(delta, out),
            Event::Close => self.close(),
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Finish(finish) => self.finish = finish.reason,
        }
    }

    /// The last piece says why the answer ended and what it took; its parts are the calls it ended with, if any.
    fn end(&mut self, _: &Served, out: &mut Vec<u8>) {
        let beside = Beside {
            finish_reason: Some(finish_reason(self.finish)),
            grounding_metadata: evidence::grounding(&self.citations, &self.said),
            logprobs_result: None,
            usage_metadata: self.usage.as_ref().map(Counts::from),
        };
        let held = std::mem::take(&mut self.held);
        self.piece(held, beside, out);
        self.framing.end(out);
    }

    fn fail(&mut self, error: &ApiError, context: &ErrorContext, out: &mut Vec<u8>) {
        self.framing.write(&encode_error(error, error.status(), context), out);
        self.framing.end(out);
    }
}
