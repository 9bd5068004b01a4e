//! Writes a stream.
//!
//! Pieces of text that follow one another are one piece of one message, however many blocks they came in. An item is
//! closed when the next begins or the answer ends, since only then it is known whether it was cut short.
//!
//! What another protocol signed besides reasoning has no place in this one: it travels in reasoning items of its own,
//! before a call that it belongs to and after a text, where it comes.

use std::{collections::HashMap, mem};

use super::{
    events::{Body, Sequence},
    item::{Content, Item, Status, annotation, proof},
    response::{Head, State, code, ending},
};
use crate::{
    Envelope, ErrorContext, ProtocolId, Served, StreamEncoder,
    ir::{ApiError, Block, Carrier, Citation, Delta, Event, Finish, FinishReason, Request, Signature, Tool, Usage},
    json::Json,
};

/// What is told of a picture between its beginning and its end.
const PICTURE: [&str; 3] = [
    "response.image_generation_call.in_progress",
    "response.image_generation_call.generating",
    "response.image_generation_call.completed",
];

/// Writes one stream of events.
#[derive(Debug)]
pub struct Encoder {
    head: Head,
    /// The namespaces of tools that stand in any, and their names there.
    namespaces: HashMap<String, (String, String)>,
    sequence: Sequence,
    started: bool,
    /// The items that are closed.
    output: Vec<Item>,
    /// The item that is open, which stands at the end of the output.
    item: Option<Item>,
    /// What is to follow that item.
    after: Option<Carrier>,
    block: Open,
    /// Which part of the answer the open text is.
    phase: Option<String>,
    usage: Option<Usage>,
    finish: Option<Finish>,
}

/// The block that is open.
#[derive(Debug, Default)]
enum Open {
    #[default]
    Nothing,
    Text,
    Refusal,
    Reasoning(Option<Signature>),
    /// A call that is not shown yet: a signature may follow that goes before it.
    Announced {
        id: String,
        name: String,
        custom: bool,
    },
    Call,
}

impl Encoder {
    pub fn new(request: &Request, envelope: Envelope) -> Self {
        let namespaced = request.tools.iter().filter_map(|tool| match tool {
            Tool::Function(function) => Some((function.name.clone(), function.namespace.clone()?)),
            Tool::Custom { name, namespace, .. } => Some((name.clone(), namespace.clone()?)),
            Tool::Hosted { .. } => None,
        });
        Self {
            head: Head::new(request, envelope),
            namespaces: namespaced.collect(),
            sequence: Sequence::default(),
            started: false,
            output: Vec::new(),
            item: None,
            after: None,
            block: Open::Nothing,
            phase: None,
            usage: None,
            finish: None,
        }
    }

    /// Writes what one event means.
    pub fn take(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { model, .. } => self.start(model, out),
            Event::Open(block) => self.open(block, out),
            Event::Delta(delta) => self.add(delta, out),
            Event::Close => self.close(out),
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Finish(finish) => {
                let whole = ending(finish.reason).2.is_none();
                self.settle(if whole { Status::Completed } else { Status::Incomplete }, out);
                self.finish = Some(finish.clone());
            }
        }
    }

    /// The response as it is now that all was said.
    pub fn result(&self) -> String {
        let (_, status, reason) = self.ending();
        self.head.object(State { status, reason, output: &self.output, usage: self.usage.as_ref(), error: None })
    }

    fn ending(&self) -> (&'static str, &'static str, Option<&'static str>) {
        ending(self.finish.as_ref().map_or(FinishReason::Stop, |finish| finish.reason))
    }

    fn start(&mut self, model: &str, out: &mut Vec<u8>) {
        self.started = true;
        self.head.answered_by(model);
        let response = self.head.object(State { status: "in_progress", ..State::default() });
        self.sequence.write_response("response.created", &response, out);
        self.sequence.write_response("response.in_progress", &response, out);
    }

    fn open(&mut self, block: &Block, out: &mut Vec<u8>) {
        match block {
            Block::Text => {
                self.phase = None;
                self.block = Open::Text;
            }
            Block::Refusal => self.block = Open::Refusal,
            Block::Reasoning => self.block = Open::Reasoning(None),
            Block::ToolCall { id, name, custom } => {
                self.block = Open::Announced { id: id.clone(), name: name.clone(), custom: *custom };
            }
            Block::Redacted(signature) => self.prove(proof(signature.clone(), true), out),
            Block::Media { mime, data } if mime.starts_with("image/") => self.picture(mime, data, out),
            // There is no item that sounds.
            Block::Media { .. } | Block::Opaque => {}
        }
    }

    fn add(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match (&mut self.block, delta) {
            (_, Delta::Text(text) | Delta::Arguments(text)) if text.is_empty() => {}
            (Open::Text, Delta::Text(text)) => self.say(text, false, out),
            (Open::Refusal, Delta::Text(text)) => self.say(text, true, out),
            (Open::Text, Delta::Citation(citation)) => self.cite(citation, out),
            (Open::Text, Delta::Logprobs(logprobs)) => self.weigh(logprobs, out),
            (Open::Text, Delta::Signature(Signature { origin: ProtocolId::OpenAiResponses, value })) => {
                self.phase = Some(value.clone());
            }
            (Open::Text, Delta::Signature(signature)) => {
                let carrier = Carrier::Text { signature: signature.clone() };
                self.follow(carrier, out);
            }
            (Open::Reasoning(_), Delta::Text(text)) => self.think(text, out),
            (Open::Reasoning(Some(known)), Delta::Signature(more)) => known.value.push_str(&more.value),
            (Open::Reasoning(none), Delta::Signature(signature)) => *none = Some(signature.clone()),
            (Open::Announced { id, .. }, Delta::Signature(signature)) => {
                let carrier = Carrier::ToolCall { id: id.clone(), signature: signature.clone() };
                self.prove(carrier.wrap(), out);
            }
            (Open::Announced { .. }, Delta::Arguments(text)) => {
                self.call(out);
                self.argue(text, out);
            }
            (Open::Call, Delta::Arguments(text)) => self.argue(text, out),
            (Open::Call, Delta::Signature(signature)) => {
                if let Some(Item::FunctionCall { call_id, .. } | Item::CustomToolCall { call_id, .. }) = &self.item {
                    self.after = Some(Carrier::ToolCall { id: call_id.clone(), signature: signature.clone() });
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match mem::take(&mut self.block) {
            Open::Reasoning(signature) => {
                let proof = signature.map(|signature| proof(signature, false));
                match (&mut self.item, proof) {
                    (Some(Item::Reasoning { encrypted_content, .. }), proof) => {
                        *encrypted_content = proof;
                        self.settle(Status::Completed, out);
                    }
                    (_, Some(proof)) => self.prove(proof, out),
                    (_, None) => {}
                }
            }
            announced @ Open::Announced { .. } => {
                self.block = announced;
                self.call(out);
                self.block = Open::Nothing;
            }
            Open::Nothing | Open::Text | Open::Refusal | Open::Call => {}
        }
    }

    // === Items ===

    /// Shows a new item, after the one before it is closed.
    fn show(&mut self, item: impl FnOnce(String) -> Item, prefix: &str, out: &mut Vec<u8>) {
        self.settle(Status::Completed, out);
        let index = self.output.len();
        let item = self.item.insert(item(self.head.item_id(prefix, index)));
        let body = Body { output_index: Some(index), item: Some(item), ..Body::default() };
        self.sequence.write("response.output_item.added", body, out);
    }

    /// Closes the item that is open, and shows what is to follow it.
    fn settle(&mut self, status: Status, out: &mut Vec<u8>) {
        if let Some(mut item) = self.item.take() {
            if let Item::FunctionCall { arguments, .. } = &item
                && arguments.is_empty()
            {
                self.sequence.argue(&mut item, self.output.len(), "{}", out);
            }
            self.sequence.finish(&item, self.output.len(), out);
            item.set_status(status);
            let body = Body { output_index: Some(self.output.len()), item: Some(&item), ..Body::default() };
            self.sequence.write("response.output_item.done", body, out);
            self.output.push(item);
        }
        if let Some(carrier) = self.after.take() {
            self.prove(carrier.wrap(), out);
        }
    }

    /// An item that holds proof and nothing to read.
    fn prove(&mut self, proof: String, out: &mut Vec<u8>) {
        self.show(|id| Item::Reasoning { id, summary: Vec::new(), encrypted_content: None }, "rs", out);
        if let Some(Item::Reasoning { encrypted_content, .. }) = &mut self.item {
            *encrypted_content = Some(proof);
        }
        self.settle(Status::Completed, out);
    }

    /// Lets a carrier follow the open item.
    fn follow(&mut self, carrier: Carrier, out: &mut Vec<u8>) {
        if self.after.is_some() {
            self.settle(Status::Completed, out);
        }
        self.after = Some(carrier);
    }

    fn picture(&mut self, mime: &str, data: &str, out: &mut Vec<u8>) {
        let output_format = mime.strip_prefix("image/").map(str::to_owned);
        let item = |id| Item::ImageGenerationCall { id, status: Status::InProgress, result: None, output_format };
        self.show(item, "ig", out);
        let index = self.output.len();
        if let Some(Item::ImageGenerationCall { id, result, .. }) = &mut self.item {
            for kind in PICTURE {
                self.sequence.write(kind, Body::of(id, index), out);
            }
            *result = Some(data.to_owned());
        }
        self.settle(Status::Completed, out);
    }

    // === Messages ===

    /// The piece of the open message that text or a refusal goes on in, and the place of that piece.
    fn piece(&mut self, refusal: bool, out: &mut Vec<u8>) -> Option<(&mut Content, Body<'_>, &mut Sequence)> {
        let goes_on = match &self.item {
            Some(Item::Message { phase, .. }) => self.after.is_none() && (refusal || *phase == self.phase),
            _ => false,
        };
        if !goes_on {
            let (status, phase) = (Status::InProgress, self.phase.clone());
            let message = |id| Item::Message { id, status, role: "assistant", content: Vec::new(), phase };
            self.show(message, "msg", out);
        }
        let index = self.output.len();
        if let Some(Item::Message { id, content, .. }) = &mut self.item
            && content.last().is_none_or(|last| last.is_refusal() != refusal)
        {
            if let Some(last) = content.last() {
                self.sequence.finish_piece(last, Body::piece(id, index, content.len() - 1), out);
            }
            content.push(Content::empty(refusal));
            let body = Body { part: content.last(), ..Body::piece(id, index, content.len() - 1) };
            self.sequence.write("response.content_part.added", body, out);
        }
        let Some(Item::Message { id, content, .. }) = &mut self.item else { return None };
        let place = Body::piece(id, index, content.len() - 1);
        Some((content.last_mut()?, place, &mut self.sequence))
    }

    fn say(&mut self, more: &str, refusal: bool, out: &mut Vec<u8>) {
        let Some((piece, place, sequence)) = self.piece(refusal, out) else { return };
        let body = Body { delta: Some(more), ..place };
        match piece {
            Content::OutputText { text, .. } => {
                text.push_str(more);
                sequence.write("response.output_text.delta", Body { logprobs: Some(&[]), ..body }, out);
            }
            Content::Refusal { refusal } => {
                refusal.push_str(more);
                sequence.write("response.refusal.delta", body, out);
            }
            Content::SummaryText { .. } => {}
        }
    }

    fn cite(&mut self, citation: &Citation, out: &mut Vec<u8>) {
        let Some((Content::OutputText { annotations, .. }, place, sequence)) = self.piece(false, out) else { return };
        let annotation = annotation(citation);
        let body = Body { annotation_index: Some(annotations.len()), annotation: Some(&annotation), ..place };
        sequence.write("response.output_text.annotation.added", body, out);
        annotations.push(annotation);
    }

    /// Probabilities come after the text that they are of, in a delta of their own.
    fn weigh(&mut self, weights: &Json, out: &mut Vec<u8>) {
        let tokens = weights.get("content").and_then(Json::items).unwrap_or_default();
        if tokens.is_empty() {
            return;
        }
        let Some((Content::OutputText { logprobs, .. }, place, sequence)) = self.piece(false, out) else { return };
        sequence.write("response.output_text.delta", Body { delta: Some(""), logprobs: Some(tokens), ..place }, out);
        logprobs.extend_from_slice(tokens);
    }

    // === Reasoning ===

    fn think(&mut self, more: &str, out: &mut Vec<u8>) {
        if !self.is_thinking() {
            self.show(|id| Item::Reasoning { id, summary: Vec::new(), encrypted_content: None }, "rs", out);
        }
        let index = self.output.len();
        let Some(Item::Reasoning { id, summary, .. }) = &mut self.item else { return };
        let place = Body::summary(id, index);
        if summary.is_empty() {
            summary.push(Content::SummaryText { text: String::new() });
            self.sequence.write("response.reasoning_summary_part.added", Body { part: summary.last(), ..place }, out);
        }
        if let Some(Content::SummaryText { text }) = summary.last_mut() {
            text.push_str(more);
        }
        self.sequence.write("response.reasoning_summary_text.delta", Body { delta: Some(more), ..place }, out);
    }

    /// A reasoning item is closed with its block, so that an open one belongs to the open block.
    fn is_thinking(&self) -> bool {
        matches!(self.item, Some(Item::Reasoning { .. }))
    }

    // === Calls ===

    /// Shows the call that was announced.
    fn call(&mut self, out: &mut Vec<u8>) {
        let Open::Announced { id: call_id, name, custom } = mem::replace(&mut self.block, Open::Call) else { return };
        let (name, namespace) = match self.namespaces.get(&name) {
            Some((namespace, plain)) => (plain.clone(), Some(namespace.clone())),
            None => (name, None),
        };
        let status = Status::InProgress;
        if custom {
            let input = String::new();
            self.show(|id| Item::CustomToolCall { id, status, call_id, name, namespace, input }, "ctc", out);
        } else {
            let arguments = String::new();
            self.show(|id| Item::FunctionCall { id, status, call_id, name, namespace, arguments }, "fc", out);
        }
    }

    fn argue(&mut self, more: &str, out: &mut Vec<u8>) {
        if let Some(item) = &mut self.item {
            self.sequence.argue(item, self.output.len(), more, out);
        }
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        self.take(event, out);
    }

    fn end(&mut self, _: &Served, out: &mut Vec<u8>) {
        if !self.started {
            self.start("", out);
        }
        self.settle(Status::Completed, out);
        let (kind, ..) = self.ending();
        let response = self.result();
        self.sequence.write_response(kind, &response, out);
    }

    fn fail(&mut self, error: &ApiError, _: &ErrorContext, out: &mut Vec<u8>) {
        if !self.started {
            self.start("", out);
        }
        self.sequence.write_error(code(error), &error.message, error.param.as_deref(), out);
        let state = State {
            status: "failed",
            output: &self.output,
            usage: self.usage.as_ref(),
            error: Some(error),
            reason: None,
        };
        let response = self.head.object(state);
        self.sequence.write_response("response.failed", &response, out);
    }
}
