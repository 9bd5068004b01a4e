//! Anthropic's Messages.

use serde_json::{Value, json};

use super::{Answer, Call, Event, Usage, list, text};

pub fn whole(message: &Value) -> Answer {
    let mut answer = Answer { usage: usage(&message["usage"]), ..Answer::default() };
    answer.check(message["type"] == "message", || format!("type is {}", message["type"]));
    answer.check(message["role"] == "assistant", || format!("role is {}", message["role"]));
    for name in ["id", "model", "content", "stop_reason", "usage"] {
        answer.check(!message[name].is_null(), || format!("the message has no {name}"));
    }
    for block in list(&message["content"]) {
        said(block, &mut answer);
    }
    answer.finish = finish(&message["stop_reason"]);
    answer
}

fn said(block: &Value, answer: &mut Answer) {
    match text(&block["type"]) {
        "text" => answer.text.push_str(text(&block["text"])),
        "thinking" => {
            answer.check(!text(&block["signature"]).is_empty(), || "a thought without a signature".into());
            answer.reasoning.push_str(text(&block["thinking"]));
        }
        "redacted_thinking" => {
            answer.check(!text(&block["data"]).is_empty(), || "a redacted thought of nothing".into())
        }
        "tool_use" => {
            answer.check(block["input"].is_object(), || format!("a call's input is {}", block["input"]));
            let id = text(&block["id"]);
            answer.check(!id.is_empty(), || "a call without an id".into());
            let name = text(&block["name"]).to_owned();
            answer.calls.push(Call { id: id.to_owned(), name, arguments: block["input"].to_string() });
        }
        _ => {}
    }
}

fn finish(reason: &Value) -> Option<&'static str> {
    Some(match text(reason) {
        "end_turn" | "stop_sequence" | "pause_turn" => "stop",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => return None,
    })
}

fn usage(usage: &Value) -> Usage {
    let count = |name: &str| usage[name].as_u64();
    let cached = count("cache_read_input_tokens").unwrap_or(0) + count("cache_creation_input_tokens").unwrap_or(0);
    Usage {
        input: count("input_tokens").map(|fresh| fresh + cached),
        output: count("output_tokens"),
        cache_read: count("cache_read_input_tokens"),
        reasoning: None,
    }
}

/// Puts the message together that a stream tells of, and reads that.
pub fn stream(events: &[Event]) -> Answer {
    let (mut message, mut open, mut faults) = (Value::Null, None, Vec::new());
    let (mut stage, mut error) = (Stage::Before, None);
    let mut said = String::new();
    for event in events {
        let body = event.json();
        if body["type"] != event.name.as_str() {
            faults.push(format!("{} is named {}", body["type"], event.name));
        }
        if stage == Stage::Over || error.is_some() {
            faults.push(format!("{} after the end", event.name));
        }
        let expected = match event.name.as_str() {
            "ping" => continue,
            "error" => {
                error = Some(body["error"].clone());
                continue;
            }
            "message_start" => {
                message = body["message"].clone();
                std::mem::replace(&mut stage, Stage::Content) == Stage::Before
            }
            "content_block_start" => {
                let index = list(&message["content"]).len();
                said.clear();
                open.replace(body["content_block"].clone()).is_none()
                    && stage == Stage::Content
                    && body["index"] == index
            }
            "content_block_delta" => {
                let fits = open.as_mut().is_some_and(|block| add(block, &body["delta"], &mut said));
                fits && body["index"] == list(&message["content"]).len()
            }
            "content_block_stop" => {
                let fits = body["index"] == list(&message["content"]).len();
                let block = open.take().map(|block| close(block, &said));
                let content = message["content"].as_array_mut();
                fits && content.zip(block).map(|(content, block)| content.push(block)).is_some()
            }
            "message_delta" => {
                merge(&mut message, &body["delta"]);
                merge(&mut message["usage"], &body["usage"]);
                std::mem::replace(&mut stage, Stage::Told) == Stage::Content && open.is_none()
            }
            "message_stop" => std::mem::replace(&mut stage, Stage::Over) == Stage::Told,
            _ => false,
        };
        if !expected {
            faults.push(format!("{} out of place: {body}", event.name));
        }
    }
    if error.is_none() && stage != Stage::Over {
        faults.push("no message_stop at the end".into());
    }
    let mut answer = if error.is_none() { whole(&message) } else { Answer::default() };
    answer.error = error;
    answer.faults.extend(faults);
    answer
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Before,
    Content,
    /// The reason to stop was told.
    Told,
    Over,
}

/// Whether the delta is one that this block may have.
fn add(block: &mut Value, delta: &Value, json: &mut String) -> bool {
    let (kind, field) = match text(&delta["type"]) {
        "text_delta" => ("text", "text"),
        "thinking_delta" => ("thinking", "thinking"),
        "signature_delta" => ("thinking", "signature"),
        "citations_delta" => return block["type"] == "text",
        "input_json_delta" => {
            json.push_str(text(&delta["partial_json"]));
            return block["type"] == "tool_use" || block["type"] == "server_tool_use";
        }
        _ => return false,
    };
    block[field] = json!(format!("{}{}", text(&block[field]), text(&delta[field])));
    block["type"] == kind
}

/// What is left of arguments that were cut off is a text.
fn close(mut block: Value, json: &str) -> Value {
    if block["type"] == "tool_use" && !json.is_empty() {
        block["input"] = serde_json::from_str(json).unwrap_or_else(|_| json!({"input": json}));
    }
    block
}

fn merge(into: &mut Value, from: &Value) {
    for (name, value) in from.as_object().into_iter().flatten() {
        into[name.as_str()] = value.clone();
    }
}
