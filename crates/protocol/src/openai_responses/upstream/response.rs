//! Reads a whole answer, and what a stream's last event has in common with it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    item::{Item, Kind},
    queue::Queue,
};
use crate::{
    ProtocolId,
    ir::{ApiError, Finish, FinishReason, Output, Part, Place, Response, Usage},
    json::Json,
    openai::{
        error::{self, failed},
        lenient::{List, Num, Raw, Str, read},
    },
};

/// An answer, whole or as far as it has come about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Answer<'a> {
    #[serde(borrow)]
    pub id: Str<'a>,
    #[serde(borrow)]
    pub model: Str<'a>,
    #[serde(borrow)]
    status: Str<'a>,
    #[serde(borrow)]
    output: Option<List<&'a RawValue>>,
    #[serde(borrow)]
    usage: Raw<'a>,
    #[serde(borrow)]
    error: Raw<'a>,
    #[serde(borrow)]
    incomplete_details: Option<Incomplete<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Incomplete<'a> {
    #[serde(borrow)]
    reason: Str<'a>,
}

pub fn decode_response(body: &[u8]) -> Result<Response, ApiError> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| no_answer(body))?;
    if answer.output.is_none() && answer.status.is_empty() {
        return Err(no_answer(body));
    }
    answer.fails()?;
    let mut queue = Queue::default();
    queue.name(answer.id.as_str());
    let mut response = Response { outputs: vec![Output::default()], ..Response::default() };
    let mut events = Vec::new();
    for raw in answer.items() {
        let item = Item::read(raw);
        queue.add(&item, &mut events);
        events.drain(..).for_each(|event| response.apply(&event));
        if item.kind() == Kind::Other
            && let Ok(raw) = Json::parse(raw.get().as_bytes())
        {
            response.outputs[0].parts.push(Part::Opaque {
                origin: ProtocolId::OpenAiResponses,
                raw,
                place: Place::default(),
            });
        }
    }
    response.outputs[0].finish = Some(answer.finish(queue.has_calls));
    response.usage = answer.usage();
    Ok(Response { id: answer.id.0.into_owned(), model: answer.model.0.into_owned(), ..response })
}

/// What a 200 is that is no answer: an error in one of its other shapes, or nonsense.
fn no_answer(body: &[u8]) -> ApiError {
    if error::message_of(body).is_some() {
        return error::inside_200(body);
    }
    ApiError::malformed("the provider's answer could not be read")
}

impl<'a> Answer<'a> {
    pub fn items(&self) -> &[&'a RawValue] {
        self.output.as_ref().map_or(&[], |output| &output.0)
    }

    /// Fails if the answer says that it did.
    pub fn fails(&self) -> Result<(), ApiError> {
        match self.error {
            Some(raw) if raw.get() != "null" => Err(error::inside_200(raw.get().as_bytes())),
            _ if matches!(self.status.as_str(), "failed" | "cancelled") => Err(failed()),
            _ => Ok(()),
        }
    }

    /// Why it ended. There is no word of its own for an answer that ends in calls, and one that was put off until later has
    /// not ended at all.
    pub fn finish(&self, has_calls: bool) -> Finish {
        let why = self.incomplete_details.as_ref().map_or("", |details| details.reason.as_str());
        let reason = match (self.status.as_str(), why) {
            ("incomplete", "content_filter") => FinishReason::ContentFilter,
            ("incomplete", _) => FinishReason::Length,
            ("queued" | "in_progress", _) => FinishReason::Pause,
            _ if has_calls => FinishReason::ToolCalls,
            _ => FinishReason::Stop,
        };
        let raw = if why.is_empty() { self.status.as_str() } else { why };
        Finish { reason, raw: raw.to_owned(), stop_sequence: None }
    }

    pub fn usage(&self) -> Option<Usage> {
        let counts: Counts<'_> = read(self.usage)?;
        if counts.input_tokens.0.is_none() && counts.output_tokens.0.is_none() {
            return None;
        }
        let input: Details = read(counts.input_tokens_details).unwrap_or_default();
        let output: Details = read(counts.output_tokens_details).unwrap_or_default();
        Some(Usage {
            input: counts.input_tokens.0.unwrap_or(0),
            output: counts.output_tokens.0.unwrap_or(0),
            cache_read: input.cached_tokens.0.unwrap_or(0),
            cache_write: input.cache_write_tokens.0.unwrap_or(0),
            reasoning: output.reasoning_tokens.0,
            ..Usage::default()
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts<'a> {
    input_tokens: Num,
    output_tokens: Num,
    #[serde(borrow)]
    input_tokens_details: Raw<'a>,
    #[serde(borrow)]
    output_tokens_details: Raw<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Num,
    cache_write_tokens: Num,
    reasoning_tokens: Num,
}
