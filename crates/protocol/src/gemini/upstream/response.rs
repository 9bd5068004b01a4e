//! Reads a whole answer.

use super::{error, reader::Reader};
use crate::{
    fnv,
    gemini::wire::{Answer, Candidate},
    ir::{ApiError, Event, Output, Response, Usage},
};

pub fn decode(body: &[u8]) -> Result<Response, ApiError> {
    let answer = error::answer(body)?;
    let seed = seed(&answer, body);
    let candidates = answer.candidates.unwrap_or_default();
    let mut outputs = Vec::with_capacity(candidates.len());
    for (at, candidate) in (0u64..).zip(candidates) {
        outputs.push(output(candidate, seed.wrapping_add(at))?);
    }
    if outputs.is_empty() {
        let mut events = Vec::new();
        let finish = Reader::new(seed)
            .blocked(answer.prompt_feedback, &mut events)
            .ok_or_else(|| ApiError::malformed("the provider answered with no candidate and no reason"))?;
        outputs.push(folded(events, Event::Finish(finish)));
    }
    Ok(Response {
        id: answer.response_id.unwrap_or_default(),
        model: answer.model_version.unwrap_or_default(),
        outputs,
        usage: answer.usage_metadata.map(Usage::from),
    })
}

/// What tells this answer's made-up ids from those of any other: its id, else its bytes.
pub fn seed(answer: &Answer<'_>, bytes: &[u8]) -> u64 {
    fnv::hash(0, answer.response_id.as_deref().filter(|id| !id.is_empty()).map_or(bytes, str::as_bytes))
}

fn output(candidate: Candidate<'_>, seed: u64) -> Result<Output, ApiError> {
    let mut events = Vec::new();
    let mut reader = Reader::new(seed);
    let finish = match reader.candidate(candidate, &mut events)? {
        Some(finish) => finish,
        None => reader.finish(String::new(), None, &mut events)?,
    };
    Ok(folded(events, Event::Finish(finish)))
}

fn folded(events: Vec<Event>, finish: Event) -> Output {
    Response::fold(events.iter().chain([&finish])).outputs.pop().unwrap_or_default()
}
