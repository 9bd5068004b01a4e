//! A whole answer: what its stream's events fold into.

use super::{
    Block, Citation, Delta, Event, Finish, FinishReason, Media, MediaKind, MediaSource, Part, Place, Reasoning, Text,
    ToolCall, Usage,
};
use crate::json::Json;

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// The upstream's id for it; empty if it gave none.
    pub id: String,
    /// The model that answered, by the upstream's name for it; empty if it did not tell.
    pub model: String,
    /// One per candidate asked for; never empty in an answer that a decoder returns.
    pub outputs: Vec<Output>,
    /// `None` where the upstream did not count.
    pub usage: Option<Usage>,
}

/// One candidate of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// In the order generated.
    pub parts: Vec<Part>,
    /// Sources of the text.
    pub citations: Vec<Citation>,
    /// OpenAI's `logprobs` object.
    pub logprobs: Option<Json>,
    /// `None` only while a stream is being folded.
    pub finish: Option<Finish>,
}

impl Output {
    /// The reason it ended for; an output that does not tell is taken to have stopped.
    pub fn reason(&self) -> FinishReason {
        self.finish.as_ref().map_or(FinishReason::Stop, |finish| finish.reason)
    }
}

impl Response {
    /// Folds the events of a one-candidate stream.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut response = Self { outputs: vec![Output::default()], ..Self::default() };
        for event in events {
            response.apply(event);
        }
        response
    }

    /// Adds one event. Events of an [`Block::Opaque`] block leave no trace.
    pub fn apply(&mut self, event: &Event) {
        if self.outputs.is_empty() {
            self.outputs.push(Output::default());
        }
        let output = &mut self.outputs[0];
        match event {
            Event::Start { id, model } => {
                self.id.clone_from(id);
                self.model.clone_from(model);
            }
            Event::Open(block) => {
                if let Some(part) = empty_part(block) {
                    output.parts.push(part);
                }
            }
            Event::Delta(delta) => output.add(delta),
            Event::Close => {}
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Finish(finish) => output.finish = Some(finish.clone()),
        }
    }
}

impl Output {
    fn add(&mut self, delta: &Delta) {
        match delta {
            Delta::Citation(citation) => return self.citations.push(citation.clone()),
            Delta::Logprobs(logprobs) => {
                self.logprobs = Some(match self.logprobs.take() {
                    Some(known) => known.concat(logprobs.clone()),
                    None => logprobs.clone(),
                });
                return;
            }
            Delta::Text(_) | Delta::Arguments(_) | Delta::Signature(_) => {}
        }
        match (self.parts.last_mut(), delta) {
            (Some(Part::Text(part)), Delta::Text(more)) => part.text.push_str(more),
            (Some(Part::Text(part)), Delta::Signature(signature)) => part.signature = Some(signature.clone()),
            (Some(Part::Reasoning(part)), Delta::Text(more)) => part.text.push_str(more),
            (Some(Part::Reasoning(part)), Delta::Signature(signature)) => match &mut part.signature {
                Some(known) => known.value.push_str(&signature.value),
                none => *none = Some(signature.clone()),
            },
            (Some(Part::Refusal(text)), Delta::Text(more)) => text.push_str(more),
            (Some(Part::ToolCall(call)), Delta::Arguments(more)) => call.arguments.push_str(more),
            (Some(Part::ToolCall(call)), Delta::Signature(signature)) => call.signature = Some(signature.clone()),
            _ => {}
        }
    }
}

fn empty_part(block: &Block) -> Option<Part> {
    Some(match block {
        Block::Text => Part::Text(Text::default()),
        Block::Reasoning => Part::Reasoning(Reasoning::default()),
        Block::Redacted(signature) => {
            Part::Reasoning(Reasoning { signature: Some(signature.clone()), redacted: true, ..Reasoning::default() })
        }
        Block::Refusal => Part::Refusal(String::new()),
        Block::ToolCall { id, name, custom } => {
            Part::ToolCall(ToolCall { id: id.clone(), name: name.clone(), custom: *custom, ..ToolCall::default() })
        }
        Block::Media { mime, data } => Part::Media(Media {
            kind: if mime.starts_with("audio/") { MediaKind::Audio } else { MediaKind::Image },
            source: MediaSource::Base64(data.clone()),
            mime: Some(mime.clone()),
            name: None,
            detail: None,
            cache: None,
            place: Place::default(),
        }),
        Block::Opaque => return None,
    })
}
