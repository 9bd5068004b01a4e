//! A stream put together to the whole answer that Anthropic would have given.
//!
//! Member by member and not through the canonical form, so that what nobody here knows is in it too.

use std::collections::BTreeMap;

use crate::{anthropic::arguments, json::Json, sse::Frame};

/// The members of these pieces that belong into their block; of any other piece all do. What else a piece of text or of
/// thought tells is about the stream.
const PIECES: [(&str, &str); 2] = [("text_delta", "text"), ("thinking_delta", "thinking")];

/// Puts one stream together.
#[derive(Debug, Default)]
pub struct Assembler {
    message: Json,
    /// By their index.
    blocks: BTreeMap<u64, Block>,
}

#[derive(Debug)]
struct Block {
    block: Json,
    /// What was written of a call's arguments so far.
    arguments: String,
}

impl crate::Assembler for Assembler {
    fn push(&mut self, frame: &Frame) {
        let event = frame.data.as_deref().and_then(|data| Json::parse(data).ok());
        let Some(mut event) = event else { return };
        let kind = event.get("type").and_then(Json::as_str).unwrap_or_default().to_owned();
        let index = event.get("index").and_then(Json::as_u64);
        match kind.as_str() {
            // Some gateways in front of Anthropic repeat it.
            "message_start" if self.message.is_null() => self.message = event.remove("message").unwrap_or_default(),
            "content_block_start" => self.begin(index, event.remove("content_block").unwrap_or_default()),
            "content_block_delta" => self.add(index, event.remove("delta").unwrap_or_default()),
            "message_delta" => self.turn(event),
            _ => {}
        }
    }

    fn whole(self: Box<Self>) -> Vec<u8> {
        let mut message = self.message;
        message.set("content", Json::Array(self.blocks.into_values().map(Block::whole).collect()));
        message.to_string().into_bytes()
    }
}

impl Assembler {
    fn begin(&mut self, index: Option<u64>, block: Json) {
        // The model that took over is the one that answers.
        if let Some(model) = block.at(&["to", "model"]).filter(|_| is(&block, "fallback")) {
            self.message.set("model", model.clone());
        }
        let next = self.blocks.last_key_value().map_or(0, |(last, _)| last + 1);
        self.blocks.insert(index.unwrap_or(next), Block { block, arguments: String::new() });
    }

    fn add(&mut self, index: Option<u64>, delta: Json) {
        let last = self.blocks.last_key_value().map_or(0, |(last, _)| *last);
        let index = index.unwrap_or(last);
        let piece = PIECES.into_iter().find(|(kind, _)| is(&delta, kind));
        if let (Some((_, member)), false) = (piece, self.blocks.contains_key(&index)) {
            // A server that does not announce its blocks.
            self.begin(Some(index), Json::object([("type", Json::from(member)), (member, Json::from(""))]));
        }
        if let Some(block) = self.blocks.get_mut(&index) {
            block.add(delta, piece.map(|(_, member)| member));
        }
    }

    /// What the end of the turn tells replaces what its beginning told, but for what it tells nothing of.
    fn turn(&mut self, event: Json) {
        let Json::Object(members) = event else { return };
        for (key, value) in members {
            match key.as_str() {
                "type" => {}
                "delta" => replace(&mut self.message, value),
                "usage" => match self.message.get_mut("usage") {
                    Some(usage @ Json::Object(_)) => replace(usage, value),
                    _ => self.message.set("usage", value),
                },
                _ => replace(&mut self.message, Json::object([(key, value)])),
            }
        }
    }
}

impl Block {
    /// Adds a piece: its one member, if it has only one that counts.
    fn add(&mut self, delta: Json, only: Option<&str>) {
        let (arguments, signs, cites) =
            (is(&delta, "input_json_delta"), is(&delta, "signature_delta"), is(&delta, "citations_delta"));
        let Json::Object(members) = delta else { return };
        for (key, value) in members.into_iter().filter(|(key, _)| only.map_or(key != "type", |only| key == only)) {
            match value {
                Json::String(json) if arguments => self.arguments.push_str(&json),
                _ if signs => self.block.set(&key, value),
                citation if cites => append(&mut self.block, "citations", Json::Array(vec![citation])),
                _ => append(&mut self.block, &key, value),
            }
        }
    }

    fn whole(mut self) -> Json {
        if !self.arguments.is_empty() {
            self.block.set("input", arguments(&self.arguments));
        }
        self.block
    }
}

fn is(value: &Json, kind: &str) -> bool {
    value.get("type").and_then(Json::as_str) == Some(kind)
}

/// Text behind text and items behind items; anything else takes the place of what was there.
fn append(object: &mut Json, key: &str, more: Json) {
    match (object.get_mut(key), more) {
        (Some(Json::String(text)), Json::String(more)) => text.push_str(&more),
        (Some(Json::Array(items)), Json::Array(more)) => items.extend(more),
        (Some(_), Json::Null) => {}
        (_, more) => object.set(key, more),
    }
}

/// Sets all that is told; `null` tells nothing of what is known.
fn replace(object: &mut Json, told: Json) {
    let Json::Object(members) = told else { return };
    for (key, value) in members {
        if !value.is_null() || object.get(&key).is_none() {
            object.set(&key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Assembler as _, sse::Framer};

    fn assembled(events: &[&str]) -> String {
        let mut assembler = Box::<Assembler>::default();
        let mut framer = Framer::new(usize::MAX);
        events.iter().for_each(|event| framer.push(format!("data: {event}\n\n").as_bytes()));
        while let Some(frame) = framer.next_frame().unwrap() {
            assembler.push(&frame);
        }
        String::from_utf8(assembler.whole()).unwrap()
    }

    const START: &str =
        r#"{"type":"message_start","message":{"id":"m","content":[],"new":{"a":1},"usage":{"input_tokens":3}}}"#;

    #[test]
    fn blocks_are_put_together_with_all_that_only_they_know() {
        let answer = assembled(&[
            START,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"a","estimated_tokens":8}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"Eq=="}}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"server_tool_use","id":"s","input":{},"caller":{"type":"direct"}}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"q\": 1"}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"}"}}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Grü"}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{"url":"u"}}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"ße"}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"of_next_year_delta","notes":["x"]}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"of_next_year_delta","notes":["y"]}}"#,
        ]);
        assert_eq!(
            answer,
            r#"{"id":"m","content":[{"type":"thinking","thinking":"a","signature":"Eq=="},{"type":"server_tool_use","id":"s","input":{"q":1},"caller":{"type":"direct"}},{"type":"text","text":"Grüße","citations":[{"url":"u"}],"notes":["x","y"]}],"new":{"a":1},"usage":{"input_tokens":3}}"#
        );
    }

    #[test]
    fn what_the_end_tells_replaces_what_the_beginning_told() {
        let answer = assembled(&[
            START,
            r#"{"type":"message_start","message":{"id":"again"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null,"container":{"id":"c"}},"usage":{"input_tokens":null,"output_tokens":9},"context_management":{"applied_edits":[]}}"#,
        ]);
        assert_eq!(
            answer,
            r#"{"id":"m","content":[],"new":{"a":1},"usage":{"input_tokens":3,"output_tokens":9},"stop_reason":"end_turn","stop_sequence":null,"container":{"id":"c"},"context_management":{"applied_edits":[]}}"#
        );
    }

    #[test]
    fn arguments_that_were_cut_off_are_kept_as_text() {
        let answer = assembled(&[
            START,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","input":{}}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a"}}"#,
        ]);
        assert!(answer.contains(r#""input":{"input":"{\"a"}"#), "{answer}");
    }

    #[test]
    fn the_model_that_took_over_and_blocks_that_nobody_announced_are_told() {
        let answer = assembled(&[
            r#"{"type":"message_start","message":{"model":"first"}}"#,
            r#"{"type":"content_block_start","content_block":{"type":"fallback","to":{"model":"second"}}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"a"}}"#,
        ]);
        assert_eq!(
            answer,
            r#"{"model":"second","content":[{"type":"fallback","to":{"model":"second"}},{"type":"text","text":"a"}]}"#
        );
    }
}
