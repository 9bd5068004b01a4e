//! What a stream of the Responses protocol must be, whatever it says: checked event by event.

use serde_json::{Value, json};

/// The members that every response has.
const REQUIRED: [&str; 27] = [
    "id",
    "object",
    "created_at",
    "status",
    "error",
    "incomplete_details",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "output",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "usage",
    "user",
];

/// The response that a stream ends with. Panics at the first event that may not stand where it stands.
#[track_caller]
pub fn check(stream: &str) -> Value {
    let mut checker = Checker::default();
    for block in stream.split("\n\n").filter(|block| !block.is_empty() && !block.starts_with(':')) {
        let (name, data) = block.split_once('\n').unwrap_or_else(|| panic!("one line: {block}"));
        let name = name.strip_prefix("event: ").unwrap_or_else(|| panic!("no name: {block}"));
        let data = data.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {block}"));
        let event: Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
        assert_eq!(event["type"], name, "the name is the type");
        checker.event(name, &event);
    }
    checker.end.unwrap_or_else(|| panic!("no end: {stream}"))
}

/// Fails unless a response has all its members.
#[track_caller]
pub fn check_response(response: &Value) {
    for key in REQUIRED {
        assert!(response.get(key).is_some(), "no {key} in {response}");
    }
    assert_eq!(response["object"], "response");
    assert!(response["id"].as_str().is_some_and(|id| id.starts_with("resp_") && id.len() <= 64), "{response}");
    assert_eq!(response["status"] == "incomplete", response["incomplete_details"].is_object(), "{response}");
    assert_eq!(response["status"] == "failed", response["error"].is_object(), "{response}");
    if let Some(usage) = response["usage"].as_object() {
        let sum = ["input_tokens", "output_tokens"].map(|key| usage[key].as_u64().unwrap());
        assert_eq!(usage["total_tokens"], sum[0].saturating_add(sum[1]));
        assert!(usage["input_tokens_details"]["cached_tokens"].is_u64());
        assert!(usage["output_tokens_details"]["reasoning_tokens"].is_u64());
    }
    for item in response["output"].as_array().unwrap() {
        check_item(item);
    }
}

#[derive(Default)]
struct Checker {
    number: u64,
    id: Value,
    done: Vec<Value>,
    /// The item that is open, with all that was added to it.
    item: Option<Value>,
    /// Whether the item's last piece is open.
    piece: bool,
    failed: bool,
    end: Option<Value>,
}

impl Checker {
    fn event(&mut self, name: &str, event: &Value) {
        assert_eq!(event["sequence_number"], self.number, "{event}");
        assert!(self.end.is_none(), "after the end: {event}");
        assert!(!self.failed || name == "response.failed", "after the error: {event}");
        self.number += 1;
        match name {
            "response.created" => {
                assert_eq!(self.number, 1);
                self.id = event["response"]["id"].clone();
                self.begun(event);
            }
            "response.in_progress" => {
                assert_eq!(self.number, 2);
                self.begun(event);
            }
            "response.completed" | "response.incomplete" => {
                assert!(self.item.is_none(), "an item is open: {event}");
                self.ended(name, event);
            }
            "response.failed" => {
                assert!(self.failed, "no error event before {event}");
                self.ended(name, event);
            }
            "error" => {
                assert!(event["message"].is_string() && event["code"].is_string() && event.get("param").is_some());
                self.failed = true;
            }
            "response.output_item.added" => self.added(event),
            "response.output_item.done" => self.item_done(event),
            _ => self.inside(name, event),
        }
    }

    fn begun(&self, event: &Value) {
        let response = &event["response"];
        check_response(response);
        assert_eq!(response["status"], "in_progress");
        assert_eq!(response["output"], json!([]));
        assert_eq!(response["id"], self.id);
    }

    fn ended(&mut self, name: &str, event: &Value) {
        let response = &event["response"];
        check_response(response);
        assert!(self.number > 2, "it has not begun: {event}");
        assert_eq!(response["id"], self.id);
        assert_eq!(format!("response.{}", response["status"].as_str().unwrap()), name);
        assert_eq!(response["output"], Value::Array(self.done.clone()), "the output is what was closed");
        self.end = Some(response.clone());
    }

    fn added(&mut self, event: &Value) {
        let item = &event["item"];
        assert!(self.number > 2 && self.item.is_none(), "{event}");
        assert_eq!(event["output_index"], self.done.len(), "{event}");
        assert!(self.done.iter().all(|other| other["id"] != item["id"]), "the id is taken: {event}");
        check_item(item);
        let empty = match item["type"].as_str().unwrap() {
            "message" => item["content"] == json!([]),
            "reasoning" => item["summary"] == json!([]) && item.get("encrypted_content").is_none(),
            "function_call" => item["arguments"] == "",
            "custom_tool_call" => item["input"] == "",
            "image_generation_call" => item["result"].is_null(),
            other => panic!("an item of type {other}"),
        };
        assert!(empty, "{event}");
        if item["type"] != "reasoning" {
            assert_eq!(item["status"], "in_progress");
        }
        self.item = Some(item.clone());
    }

    fn item_done(&mut self, event: &Value) {
        let mut open = self.item.take().unwrap_or_else(|| panic!("nothing is open: {event}"));
        assert_eq!(event["output_index"], self.done.len(), "{event}");
        assert!(!self.piece, "a piece is open: {event}");
        check_item(&event["item"]);
        // What only the end tells.
        for key in ["status", "encrypted_content", "result"] {
            if let Some(value) = event["item"].get(key) {
                open[key] = value.clone();
            }
        }
        assert_ne!(open["status"], "in_progress", "{event}");
        assert_eq!(event["item"], open, "the item is what was added to it");
        self.done.push(open);
    }

    fn inside(&mut self, name: &str, event: &Value) {
        let item = self.item.as_mut().unwrap_or_else(|| panic!("no item is open: {event}"));
        assert_eq!(event["output_index"], self.done.len(), "{event}");
        assert_eq!(event["item_id"], item["id"], "{event}");
        let list = if item["type"] == "reasoning" { "summary" } else { "content" };
        let index = event.get("content_index").or(event.get("summary_index")).and_then(Value::as_u64);
        match name {
            "response.content_part.added" | "response.reasoning_summary_part.added" => {
                let pieces = item[list].as_array_mut().unwrap();
                assert!(!self.piece, "a piece is open: {event}");
                assert_eq!(index, Some(pieces.len() as u64), "{event}");
                assert_eq!(said(&event["part"]), "", "{event}");
                pieces.push(event["part"].clone());
                self.piece = true;
                return;
            }
            "response.function_call_arguments.delta" => return append(&mut item["arguments"], &event["delta"]),
            "response.custom_tool_call_input.delta" => return append(&mut item["input"], &event["delta"]),
            "response.function_call_arguments.done" => return assert_eq!(event["arguments"], item["arguments"]),
            "response.custom_tool_call_input.done" => return assert_eq!(event["input"], item["input"]),
            name if name.starts_with("response.image_generation_call.") => return,
            _ => {}
        }
        assert!(self.piece, "no piece is open: {event}");
        let pieces = item[list].as_array_mut().unwrap();
        assert_eq!(index, Some(pieces.len() as u64 - 1), "{event}");
        let piece = pieces.last_mut().unwrap();
        match name {
            "response.output_text.delta" => {
                append(&mut piece["text"], &event["delta"]);
                let more = event["logprobs"].as_array().unwrap().clone();
                piece["logprobs"].as_array_mut().unwrap().extend(more);
            }
            "response.reasoning_summary_text.delta" => append(&mut piece["text"], &event["delta"]),
            "response.refusal.delta" => append(&mut piece["refusal"], &event["delta"]),
            "response.output_text.annotation.added" => {
                let annotations = piece["annotations"].as_array_mut().unwrap();
                assert_eq!(event["annotation_index"], annotations.len());
                annotations.push(event["annotation"].clone());
            }
            "response.output_text.done" => {
                assert_eq!((&event["text"], &event["logprobs"]), (&piece["text"], &piece["logprobs"]));
            }
            "response.reasoning_summary_text.done" => assert_eq!(event["text"], piece["text"]),
            "response.refusal.done" => assert_eq!(event["refusal"], piece["refusal"]),
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                assert_eq!(event["part"], *piece);
                self.piece = false;
            }
            _ => panic!("no such event: {event}"),
        }
    }
}

fn said(piece: &Value) -> &str {
    piece.get("text").or(piece.get("refusal")).and_then(Value::as_str).unwrap()
}

fn append(whole: &mut Value, more: &Value) {
    *whole = format!("{}{}", whole.as_str().unwrap(), more.as_str().unwrap()).into();
}

fn check_item(item: &Value) {
    let prefix = match item["type"].as_str().unwrap() {
        "message" => "msg_",
        "reasoning" => "rs_",
        "function_call" => "fc_",
        "custom_tool_call" => "ctc_",
        "image_generation_call" => "ig_",
        other => panic!("an item of type {other}"),
    };
    let id = item["id"].as_str().unwrap();
    assert!(id.starts_with(prefix) && id.len() <= 64, "{item}");
    assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{item}");
    if item["type"] == "function_call" {
        assert!(item["call_id"].is_string() && item["name"].is_string());
    }
}
