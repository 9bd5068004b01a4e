//! Writes a whole answer.

use std::borrow::Cow;

use serde::Serialize;

use super::blocks::{
    Block, Counts, Input, Seen, call_id, citation, instead_of_media, message_id, reasoning, stop_reason,
};
use crate::{
    Envelope, ProtocolId,
    ir::{Carrier, Citation, Output, Part, Response, Text, ToolCall},
    json::Json,
};

#[derive(Serialize)]
struct Message<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: &'static str,
    stop_sequence: Option<&'a str>,
    usage: Counts,
}

pub fn encode_response(response: &Response, envelope: &Envelope) -> Vec<u8> {
    let none = Output::default();
    let output = response.outputs.first().unwrap_or(&none);
    let (content, seen) = content(output, envelope);
    let finish = output.finish.as_ref();
    let message = Message {
        id: message_id(&response.id, envelope),
        kind: "message",
        role: "assistant",
        model: if response.model.is_empty() { &envelope.model } else { &response.model },
        content,
        stop_reason: stop_reason(finish, seen),
        stop_sequence: finish.and_then(|finish| finish.stop_sequence.as_deref()),
        usage: response.usage.as_ref().map(Counts::from).unwrap_or_default(),
    };
    serde_json::to_vec(&message).expect("keys are strings, and numbers finite")
}

fn content<'a>(output: &'a Output, envelope: &Envelope) -> (Vec<Block<'a>>, Seen) {
    let (mut blocks, mut seen) = (Vec::with_capacity(output.parts.len()), Seen::default());
    let mut sources = Sources { left: output.citations.iter().collect(), position: 0 };
    for part in &output.parts {
        match part {
            Part::Text(part) => {
                blocks.extend(text(part, &mut sources));
                let signature = part.signature.clone();
                blocks.extend(signature.map(|signature| Block::carrying(&Carrier::Text { signature })));
            }
            Part::Refusal(text) => {
                seen.refusal = true;
                blocks.extend((!text.is_empty()).then(|| Block::text(text)));
            }
            Part::Reasoning(part) => blocks.extend(reasoning(part)),
            Part::ToolCall(part) => {
                let id = call_id(&part.id, seen.calls, envelope);
                seen.calls += 1;
                if let Some(signature) = part.signature.clone() {
                    blocks.push(Block::carrying(&Carrier::ToolCall { id: id.clone().into_owned(), signature }));
                }
                blocks.push(call(part, id));
            }
            Part::Media(media) => {
                let mime = media.mime.as_deref().unwrap_or("application/octet-stream");
                blocks.push(Block::text(instead_of_media(mime)));
            }
            Part::Opaque { origin: ProtocolId::Anthropic, raw, .. } => blocks.push(Block::Raw(raw)),
            Part::Opaque { .. } | Part::ToolResult(_) => {}
        }
    }
    sources.settle(&mut blocks);
    (blocks, seen)
}

fn call<'a>(call: &'a ToolCall, id: Cow<'a, str>) -> Block<'a> {
    let input = if call.custom { Input::wrapped(&call.arguments) } else { Input::of(&call.arguments) };
    Block::ToolUse { id, name: &call.name, input }
}

/// No block for an empty text.
fn text<'a>(part: &'a Text, sources: &mut Sources<'_>) -> Option<Block<'a>> {
    let citations = sources.within(part.text.chars().count() as u64);
    (!part.text.is_empty()).then(|| Block::Text { text: Cow::Borrowed(&part.text), citations })
}

/// The sources of an answer's text that stand in no block yet.
struct Sources<'a> {
    left: Vec<&'a Citation>,
    /// Characters of the text so far.
    position: u64,
}

impl Sources<'_> {
    /// Those of the next text, which is so many characters long.
    fn within(&mut self, length: u64) -> Vec<Json> {
        let end = self.position + length;
        self.position = end;
        let here = |source: &mut &Citation| source.span.is_some_and(|(start, _)| start < end);
        self.left.extract_if(.., here).filter_map(citation).collect()
    }

    /// Those of no particular text go to the last one.
    fn settle(self, blocks: &mut [Block<'_>]) {
        let last = blocks.iter_mut().rev().find_map(|block| match block {
            Block::Text { citations, .. } => Some(citations),
            _ => None,
        });
        if let Some(citations) = last {
            citations.extend(self.left.into_iter().filter_map(citation));
        }
    }
}
