//! Reads a stream: frames in the shape of whole answers, each with the next parts of one candidate.

use super::{error, reader::Reader, response};
use crate::{
    StreamDecoder,
    gemini::wire::Count,
    ir::{ApiError, ErrorKind, Event, Finish, Usage},
    sse::Frame,
};

/// The state of one stream.
#[derive(Debug, Default)]
pub struct Decoder {
    /// `None` before the first message.
    reader: Option<Reader>,
    usage: Option<Usage>,
    finished: bool,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), ApiError> {
        let data = match &frame.data {
            Some(data) if !data.is_empty() && &data[..] != b"[DONE]" => data,
            _ => return Ok(()),
        };
        let answer = error::answer(data)?;
        let usage = answer.usage_metadata.map(Usage::from);
        let grown = usage.is_some() && usage != self.usage;
        self.usage = usage.or(self.usage.take());
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => {
                let seed = response::seed(&answer, data);
                let (id, model) = (answer.response_id, answer.model_version);
                out.push(Event::Start { id: id.unwrap_or_default(), model: model.unwrap_or_default() });
                // What the prompt cost is known now, and is owed even if nothing more comes.
                out.extend(self.usage.clone().map(Event::Usage));
                none.insert(Reader::new(seed))
            }
        };
        if self.finished {
            out.extend(self.usage.clone().filter(|_| grown).map(Event::Usage));
            return Ok(());
        }
        let mut finish = None;
        for candidate in answer.candidates.unwrap_or_default() {
            // More than one candidate is never asked of a stream.
            if candidate.index.is_none_or(|index| index == Count(0)) && finish.is_none() {
                finish = reader.candidate(candidate, out)?;
            }
        }
        if finish.is_none() {
            finish = reader.blocked(answer.prompt_feedback, out);
        }
        if let Some(finish) = finish {
            self.finish(finish, out);
        }
        Ok(())
    }

    fn end(&mut self, _: &mut Vec<Event>) -> Result<(), ApiError> {
        if self.finished {
            return Ok(());
        }
        let message = "the provider's stream broke off before the answer was complete";
        Err(ApiError { reason: Some("truncated"), ..ApiError::new(ErrorKind::Upstream, message) })
    }
}

impl Decoder {
    fn finish(&mut self, finish: Finish, out: &mut Vec<Event>) {
        out.extend(self.usage.clone().map(Event::Usage));
        out.push(Event::Finish(finish));
        self.finished = true;
    }
}
