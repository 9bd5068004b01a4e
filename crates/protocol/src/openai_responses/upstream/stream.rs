//! Reads a stream.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    item::Item,
    queue::{Place, Queue},
    response::Answer,
    telling::Slot,
};
use crate::{
    StreamDecoder,
    ir::{ApiError, Event},
    openai::{
        error::{self, failed, truncated},
        lenient::{Num, Raw, Str, json_text, read},
    },
    sse::Frame,
};

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    over: bool,
    queue: Queue,
}

/// One event; which of the fields mean something depends on its type.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told<'a> {
    #[serde(rename = "type", borrow)]
    kind: Str<'a>,
    output_index: Num,
    #[serde(borrow)]
    item_id: Str<'a>,
    content_index: Num,
    summary_index: Num,
    #[serde(borrow)]
    delta: Str<'a>,
    #[serde(borrow)]
    text: Str<'a>,
    #[serde(borrow)]
    refusal: Str<'a>,
    #[serde(borrow)]
    arguments: Raw<'a>,
    #[serde(borrow)]
    input: Str<'a>,
    #[serde(borrow)]
    logprobs: Raw<'a>,
    #[serde(borrow)]
    annotation: Raw<'a>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Raw<'a>,
    #[serde(borrow)]
    error: Raw<'a>,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), ApiError> {
        let Some(data) = frame.data.as_deref().filter(|data| !data.is_empty() && !self.over) else { return Ok(()) };
        // Some servers end with the chat protocol's sign, which says nothing about how an answer ended here.
        if data == b"[DONE]" {
            return Err(truncated());
        }
        let told: Told<'_> = serde_json::from_slice(data)
            .map_err(|_| ApiError::malformed("the provider sent an event that could not be read"))?;
        let named = frame.event.as_deref().and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default();
        let kind = if told.kind.is_empty() { named } else { told.kind.as_str() };
        if kind == "error" || kind.is_empty() && told.error.is_some() {
            return Err(error::inside_200(data));
        }
        self.told(kind, &told, out)
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn end(&mut self, _out: &mut Vec<Event>) -> Result<(), ApiError> {
        if self.over { Ok(()) } else { Err(truncated()) }
    }
}

impl Decoder {
    fn told(&mut self, kind: &str, told: &Told<'_>, out: &mut Vec<Event>) -> Result<(), ApiError> {
        match kind {
            "response.created" | "response.queued" | "response.in_progress" => self.start(&told.answer(), out),
            "response.completed" | "response.incomplete" => return self.finish(&told.answer(), out),
            "response.failed" | "response.cancelled" => {
                told.answer().fails()?;
                return Err(failed());
            }
            "response.output_item.added" | "response.output_item.done" => {
                let Some(raw) = told.item else { return Ok(()) };
                self.start(&Answer::default(), out);
                let (place, item) = (told.place(), Item::read(raw));
                if kind.ends_with("added") {
                    self.queue.begin(place, &item, out);
                } else {
                    self.queue.end(place, &item, out);
                }
            }
            _ => self.said(kind, told, out),
        }
        Ok(())
    }

    /// A piece of an item. Events that are not known here are about what is not known here.
    fn said(&mut self, kind: &str, told: &Told<'_>, out: &mut Vec<Event>) {
        let Some((subject, verb)) = kind.strip_prefix("response.").and_then(|kind| kind.split_once('.')) else {
            return;
        };
        let Some((slot, whole)) = told.slot(subject) else { return };
        self.start(&Answer::default(), out);
        self.queue.say(told.place(), slot.kind(), out, |telling, out| match verb {
            "delta" => {
                telling.add(slot, told.delta.as_str(), out);
                telling.logprobs(slot, told.logprobs, out);
            }
            "done" if telling.whole(slot, &whole, out) => telling.logprobs(slot, told.logprobs, out),
            "annotation.added" => telling.cite(slot, told.annotation, out),
            _ => {}
        });
    }

    fn start(&mut self, answer: &Answer<'_>, out: &mut Vec<Event>) {
        if !self.started {
            self.started = true;
            self.queue.name(answer.id.as_str());
            out.push(Event::Start { id: answer.id.as_str().to_owned(), model: answer.model.as_str().to_owned() });
        }
    }

    fn finish(&mut self, answer: &Answer<'_>, out: &mut Vec<Event>) -> Result<(), ApiError> {
        answer.fails()?;
        self.start(answer, out);
        self.queue.conclude(answer.items(), out);
        out.extend(answer.usage().map(Event::Usage));
        out.push(Event::Finish(answer.finish(self.queue.has_calls)));
        self.over = true;
        Ok(())
    }
}

impl<'a> Told<'a> {
    fn place(&self) -> Place<'_> {
        Place { index: self.output_index, id: self.item_id.as_str() }
    }

    fn answer(&self) -> Answer<'a> {
        read(self.response).unwrap_or_default()
    }

    /// The place that an event about `subject` is about, and all that is to stand there if the event tells it whole.
    fn slot(&self, subject: &str) -> Option<(Slot, Cow<'_, str>)> {
        let (content, summary) = (self.content_index.0.unwrap_or(0), self.summary_index.0.unwrap_or(0));
        Some(match subject {
            "output_text" => (Slot::Text(content), self.text.0.as_ref().into()),
            "refusal" => (Slot::Refusal(content), self.refusal.0.as_ref().into()),
            "reasoning_summary_text" => (Slot::Summary(summary), self.text.0.as_ref().into()),
            "reasoning_text" => (Slot::Thought(content), self.text.0.as_ref().into()),
            "function_call_arguments" => (Slot::Arguments, json_text(self.arguments)),
            "custom_tool_call_input" => (Slot::Input, self.input.0.as_ref().into()),
            _ => return None,
        })
    }
}
