//! Reads a whole answer.

use super::{
    assemble::Assembler,
    counts::{self, End},
    extras,
};
use crate::{
    ir::{ApiError, Event, Output, Response},
    json::Json,
    openai::error,
    openai_chat::wire::{Answer, Choice},
};

pub fn decode_response(body: &[u8]) -> Result<Response, ApiError> {
    let text = simdutf8::basic::from_utf8(body).map_err(|_| no_answer(body))?;
    let answer: Answer<'_> = serde_json::from_str(text).map_err(|_| no_answer(body))?;
    if answer.error.is_some() || answer.object.as_str() == "error" {
        return Err(error::inside_200(body));
    }
    if answer.choices.0.is_empty() {
        return Err(no_answer(body));
    }
    let seed = answer.id.as_str();
    let sources = || extras::sources(answer.search_results.map(|raw| raw.get()), answer.citations.map(|raw| raw.get()));
    let mut outputs = Vec::with_capacity(answer.choices.0.len());
    for choice in &answer.choices.0 {
        outputs.push(output(choice, seed, sources())?);
    }
    let usage = counts::usage(answer.usage).or_else(|| counts::groq_usage(answer.x_groq));
    Ok(Response { id: answer.id.0.into_owned(), model: answer.model.0.into_owned(), outputs, usage })
}

fn output(choice: &Choice<'_>, seed: &str, sources: Vec<crate::ir::Citation>) -> Result<Output, ApiError> {
    if let Some(raw) = choice.error {
        return Err(error::inside_200(raw.get().as_bytes()));
    }
    let message = choice.message.as_ref().or(choice.delta.as_ref());
    // Azure leaves the message out of what it filtered.
    if message.is_none() && choice.finish_reason.is_empty() {
        return Err(ApiError::malformed("the provider's answer holds a choice without a message"));
    }
    let mut assembler = Assembler::default();
    assembler.name(&format!("{seed}/{}", choice.index.0.unwrap_or(0)));
    let mut events = Vec::new();
    if let Some(message) = message {
        assembler.message(message, None, &mut events);
    }
    assembler.finish(sources, &mut events);
    let stop_sequence = counts::stop_sequence(&choice.stop_sequence, choice.stop_reason);
    match counts::end(choice.finish_reason.as_str(), assembler.has_calls(), stop_sequence) {
        End::Finish(finish) => events.push(Event::Finish(finish)),
        End::Failed => return Err(error::failed()),
    }
    let mut output = Response::fold(&events).outputs.swap_remove(0);
    output.logprobs = choice.logprobs.and_then(|raw| Json::parse(raw.get().as_bytes()).ok());
    Ok(output)
}

/// What a 200 is that holds no choices: an error in one of its other shapes, or nonsense.
fn no_answer(body: &[u8]) -> ApiError {
    if error::message_of(body).is_some() {
        return error::inside_200(body);
    }
    ApiError::malformed("the provider's answer could not be read")
}
