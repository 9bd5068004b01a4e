//! Reads a stream.

use super::{
    assemble::Assembler,
    counts::{self, End},
    extras,
};
use crate::{
    StreamDecoder,
    ir::{ApiError, Event, Usage},
    openai::error::{self, failed, truncated},
    openai_chat::wire::{Answer, Choice},
    sse::Frame,
};

/// Reads one stream. Of several candidates it tells the first.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    finished: bool,
    done: bool,
    assembler: Assembler,
    usage: Option<Usage>,
    /// Perplexity's sources, as it last told them.
    search_results: Option<String>,
    citations: Option<String>,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), ApiError> {
        let Some(data) = frame.data.as_deref().map(<[u8]>::trim_ascii) else { return Ok(()) };
        if self.done || data.is_empty() {
            return Ok(());
        }
        if data == b"[DONE]" {
            self.done = true;
            return self.conclude(out);
        }
        if frame.event.as_deref() == Some(b"error") {
            return Err(error::inside_200(data));
        }
        let answer: Answer<'_> = serde_json::from_slice(data)
            .map_err(|_| ApiError::malformed("the provider sent a chunk that could not be read"))?;
        self.answer(&answer, data, out)
    }

    fn is_over(&self) -> bool {
        self.done
    }

    fn end(&mut self, _out: &mut Vec<Event>) -> Result<(), ApiError> {
        if self.finished || self.done {
            return Ok(());
        }
        Err(truncated())
    }
}

impl Decoder {
    fn answer(&mut self, answer: &Answer<'_>, data: &[u8], out: &mut Vec<Event>) -> Result<(), ApiError> {
        let usage = counts::usage(answer.usage).or_else(|| counts::groq_usage(answer.x_groq));
        if answer.error.is_some() || (answer.choices.0.is_empty() && answer.object.as_str() == "error") {
            return Err(error::inside_200(data));
        }
        let first = answer.choices.0.iter().find(|choice| choice.index.0.unwrap_or(0) == 0);
        // Azure's first chunk has no choices, and neither id nor model.
        if !self.started && !answer.choices.0.is_empty() {
            self.started = true;
            self.assembler.name(answer.id.as_str());
            let (id, model) = (answer.id.0.clone().into_owned(), answer.model.0.clone().into_owned());
            out.push(Event::Start { id, model });
        }
        self.keep_sources(answer);
        if let Some(usage) = usage {
            self.usage = Some(usage);
        }
        match first {
            Some(choice) if !self.finished => self.choice(choice, out),
            _ => {
                if self.finished {
                    out.extend(self.usage.take().map(Event::Usage));
                }
                Ok(())
            }
        }
    }

    fn choice(&mut self, choice: &Choice<'_>, out: &mut Vec<Event>) -> Result<(), ApiError> {
        if let Some(raw) = choice.error {
            return Err(error::inside_200(raw.get().as_bytes()));
        }
        // Perplexity repeats the whole message beside each delta, so the delta goes first.
        if let Some(delta) = choice.delta.as_ref().or(choice.message.as_ref()) {
            self.assembler.message(delta, choice.logprobs, out);
        }
        match choice.finish_reason.as_str() {
            "" | "null" => Ok(()),
            reason => self.finish(reason, counts::stop_sequence(&choice.stop_sequence, choice.stop_reason), out),
        }
    }

    fn finish(&mut self, reason: &str, stop_sequence: Option<String>, out: &mut Vec<Event>) -> Result<(), ApiError> {
        let End::Finish(finish) = counts::end(reason, self.assembler.has_calls(), stop_sequence) else {
            return Err(failed());
        };
        let sources = extras::sources(self.search_results.as_deref(), self.citations.as_deref());
        self.assembler.finish(sources, out);
        out.extend(self.usage.take().map(Event::Usage));
        out.push(Event::Finish(finish));
        self.finished = true;
        Ok(())
    }

    /// `[DONE]` came: a proper end, though some servers give no reason before it.
    fn conclude(&mut self, out: &mut Vec<Event>) -> Result<(), ApiError> {
        match (self.started, self.finished) {
            (false, _) => Err(ApiError::malformed("the provider's stream ended without an answer")),
            (true, false) => self.finish("", None, out),
            (true, true) => Ok(()),
        }
    }

    fn keep_sources(&mut self, answer: &Answer<'_>) {
        if let Some(raw) = answer.search_results {
            self.search_results = Some(raw.get().to_owned());
        }
        if let Some(raw) = answer.citations {
            self.citations = Some(raw.get().to_owned());
        }
    }
}
