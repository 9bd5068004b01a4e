//! OpenAI's Responses.

use serde_json::Value;

use super::{Answer, Call, Event, Usage, list, text};

pub fn whole(response: &Value) -> Answer {
    let usage = &response["usage"];
    let mut answer = Answer {
        usage: Usage {
            input: usage["input_tokens"].as_u64(),
            output: usage["output_tokens"].as_u64(),
            cache_read: usage["input_tokens_details"]["cached_tokens"].as_u64(),
            reasoning: usage["output_tokens_details"]["reasoning_tokens"].as_u64(),
        },
        ..Answer::default()
    };
    answer.check(response["object"] == "response", || format!("object is {}", response["object"]));
    for name in ["id", "created_at", "status", "model", "output", "tools", "tool_choice", "parallel_tool_calls"] {
        answer.check(!response[name].is_null(), || format!("the response has no {name}"));
    }
    for item in list(&response["output"]) {
        said(item, &mut answer);
    }
    answer.finish = match (text(&response["status"]), text(&response["incomplete_details"]["reason"])) {
        ("completed", _) if !answer.calls.is_empty() => Some("tool_calls"),
        ("completed", _) => Some("stop"),
        ("incomplete", "max_output_tokens") => Some("length"),
        ("incomplete", "content_filter") => Some("content_filter"),
        _ => None,
    };
    answer
}

fn said(item: &Value, answer: &mut Answer) {
    answer.check(!text(&item["id"]).is_empty(), || format!("an item without an id: {}", item["type"]));
    match text(&item["type"]) {
        "message" => {
            for part in list(&item["content"]) {
                match text(&part["type"]) {
                    "output_text" => answer.text.push_str(text(&part["text"])),
                    "refusal" => answer.refusal.get_or_insert_default().push_str(text(&part["refusal"])),
                    other => answer.faults.push(format!("a part of type {other:?}")),
                }
            }
        }
        "reasoning" => {
            let pieces = list(&item["summary"]).iter().chain(list(&item["content"]));
            pieces.for_each(|piece| answer.reasoning.push_str(text(&piece["text"])));
        }
        kind @ ("function_call" | "custom_tool_call") => {
            let said = if kind == "function_call" { "arguments" } else { "input" };
            let owned = |name: &str| text(&item[name]).to_owned();
            let call = Call { id: owned("call_id"), name: owned("name"), arguments: owned(said) };
            answer.check(!call.id.is_empty(), || "a call without an id".into());
            answer.calls.push(call);
        }
        _ => {}
    }
}

/// Reads the last response that a stream shows, after the stream was found to say the same.
pub fn stream(events: &[Event]) -> Answer {
    let mut watch = Watch::default();
    for (position, event) in events.iter().enumerate() {
        let body = event.json();
        watch.check(body["type"] == event.name.as_str(), || format!("{} is named {}", body["type"], event.name));
        watch
            .check(body["sequence_number"] == position, || format!("{} is number {position}", body["sequence_number"]));
        watch.take(position, &event.name, &body);
    }
    let mut answer = whole(&watch.last);
    if watch.error.is_none() {
        let (shown, done) = (list(&watch.last["output"]), &watch.done);
        watch.faults.extend((shown != done).then(|| "the last response is not what was streamed".to_owned()));
        watch.faults.extend(watch.open.as_ref().map(|_| "an item is left open".to_owned()));
    }
    answer.error = watch.error;
    answer.faults.extend(watch.faults);
    answer
}

#[derive(Default)]
struct Watch {
    open: Option<Value>,
    /// What the deltas of the open piece add up to.
    piece: String,
    done: Vec<Value>,
    /// The response of the final event.
    last: Value,
    error: Option<Value>,
    faults: Vec<String>,
}

impl Watch {
    fn check(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }

    fn take(&mut self, position: usize, name: &str, body: &Value) {
        self.check(self.last.is_null(), || format!("{name} after the end"));
        let first = ["response.created", "response.in_progress"].get(position);
        self.check(first.is_none_or(|first| *first == name), || format!("{name} at position {position}"));
        if body["output_index"].is_u64() {
            self.check(body["output_index"] == self.done.len(), || format!("{name} of item {}", body["output_index"]));
        }
        if body["item_id"].is_string() {
            let open = self.open.as_ref().map(|item| &item["id"]);
            let belongs = open == Some(&body["item_id"]);
            self.check(belongs, || format!("{name} of {}, which is not open", body["item_id"]));
        }
        match name.strip_prefix("response.").unwrap_or(name) {
            "created" | "in_progress" => {
                self.check(body["response"]["status"] == "in_progress", || format!("{name} is not in progress"));
            }
            "output_item.added" => {
                self.check(self.open.is_none(), || "an item inside another".into());
                self.open = Some(body["item"].clone());
                self.piece.clear();
            }
            "output_item.done" => {
                let id = self.open.take().unwrap_or_default()["id"].clone();
                self.check(id == body["item"]["id"], || format!("{} ends as {}", id, body["item"]["id"]));
                self.done.push(body["item"].clone());
            }
            "completed" | "incomplete" => self.last = body["response"].clone(),
            "failed" => {
                self.check(self.error.is_some(), || "it failed without an error".into());
                self.last = body["response"].clone();
            }
            "error" => self.error = Some(body.clone()),
            kind if kind.ends_with("part.added") => self.piece.clear(),
            kind if kind.ends_with(".delta") => self.piece.push_str(text(&body["delta"])),
            kind if kind.ends_with(".done") && !kind.contains("part") => {
                let whole = ["text", "refusal", "arguments", "input"].into_iter().find_map(|name| body[name].as_str());
                let same = whole == Some(self.piece.as_str());
                self.check(same, || format!("{name} says what its deltas do not"));
            }
            _ => {}
        }
    }
}
