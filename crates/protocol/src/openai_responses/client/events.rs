//! The events of a stream, numbered.

use serde::Serialize;

use super::item::{Content, Item};
use crate::{json::Json, sse::write_event};

/// What an event says: whatever of these it has.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<&'a [Json]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<&'a Content>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<&'a Item>,
}

impl<'a> Body<'a> {
    /// An event about the item at `index`.
    pub fn of(id: &'a str, index: usize) -> Self {
        Self { item_id: Some(id), output_index: Some(index), ..Self::default() }
    }

    /// An event about a piece of a message.
    pub fn piece(id: &'a str, index: usize, content: usize) -> Self {
        Self { content_index: Some(content), ..Self::of(id, index) }
    }

    /// An event about what is shown of reasoning, which is one piece.
    pub fn summary(id: &'a str, index: usize) -> Self {
        Self { summary_index: Some(0), ..Self::of(id, index) }
    }
}

#[derive(Serialize)]
struct Numbered<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    #[serde(flatten)]
    body: Body<'a>,
}

/// Writes events with consecutive numbers.
#[derive(Debug, Default)]
pub struct Sequence {
    next: u64,
}

impl Sequence {
    /// Goes on after events that somebody else has written.
    pub fn after(last: Option<u64>) -> Self {
        Self { next: last.map_or(0, |last| last.saturating_add(1)) }
    }

    pub fn write(&mut self, kind: &'static str, body: Body<'_>, out: &mut Vec<u8>) {
        let event = Numbered { kind, sequence_number: self.number(), body };
        let json = serde_json::to_vec(&event).expect("keys are strings, and numbers finite");
        write_event(kind, &json, out);
    }

    /// Writes an event that shows the response, given as JSON.
    pub fn write_response(&mut self, kind: &str, response: &str, out: &mut Vec<u8>) {
        let number = self.number();
        let json = format!(r#"{{"type":"{kind}","sequence_number":{number},"response":{response}}}"#);
        write_event(kind, json.as_bytes(), out);
    }

    /// Writes the event that says what went wrong.
    pub fn write_error(&mut self, code: &str, message: &str, param: Option<&str>, out: &mut Vec<u8>) {
        let members = [
            ("type", Json::from("error")),
            ("sequence_number", Json::from(self.number())),
            ("code", Json::from(code)),
            ("message", Json::from(message)),
            ("param", param.map_or(Json::Null, Json::from)),
        ];
        write_event("error", Json::object(members).to_string().as_bytes(), out);
    }

    /// Adds to the arguments of a call at `index`, and writes so.
    pub fn argue(&mut self, call: &mut Item, index: usize, more: &str, out: &mut Vec<u8>) {
        let (kind, id, known) = match call {
            Item::FunctionCall { id, arguments, .. } => ("response.function_call_arguments.delta", id, arguments),
            Item::CustomToolCall { id, input, .. } => ("response.custom_tool_call_input.delta", id, input),
            _ => return,
        };
        known.push_str(more);
        self.write(kind, Body { delta: Some(more), ..Body::of(id, index) }, out);
    }

    /// Writes of what the item at `index` holds that it is all there is.
    pub fn finish(&mut self, item: &Item, index: usize, out: &mut Vec<u8>) {
        match item {
            Item::Message { id, content, .. } => {
                if let Some(last) = content.last() {
                    self.finish_piece(last, Body::piece(id, index, content.len() - 1), out);
                }
            }
            Item::Reasoning { id, summary, .. } => {
                if let Some(Content::SummaryText { text }) = summary.last() {
                    let place = Body::summary(id, index);
                    self.write("response.reasoning_summary_text.done", Body { text: Some(text), ..place }, out);
                    self.write("response.reasoning_summary_part.done", Body { part: summary.last(), ..place }, out);
                }
            }
            Item::FunctionCall { id, arguments, .. } => {
                let body = Body { arguments: Some(arguments), ..Body::of(id, index) };
                self.write("response.function_call_arguments.done", body, out);
            }
            Item::CustomToolCall { id, input, .. } => {
                let body = Body { input: Some(input), ..Body::of(id, index) };
                self.write("response.custom_tool_call_input.done", body, out);
            }
            Item::ImageGenerationCall { .. } => {}
        }
    }

    /// Writes of a piece of a message that it is whole.
    pub fn finish_piece(&mut self, piece: &Content, place: Body<'_>, out: &mut Vec<u8>) {
        match piece {
            Content::OutputText { text, logprobs, .. } => {
                let body = Body { text: Some(text), logprobs: Some(logprobs), ..place };
                self.write("response.output_text.done", body, out);
            }
            Content::Refusal { refusal } => {
                self.write("response.refusal.done", Body { refusal: Some(refusal), ..place }, out);
            }
            Content::SummaryText { .. } => {}
        }
        self.write("response.content_part.done", Body { part: Some(piece), ..place }, out);
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}
