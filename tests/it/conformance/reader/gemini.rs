//! Google's Gemini.

use serde_json::Value;

use super::{Answer, Call, Event, Usage, list, text};

pub fn whole(body: &Value) -> Answer {
    let mut answer = Answer::default();
    piece(body, &mut answer);
    end(body, &mut answer);
    answer
}

/// Every event is an answer of its own, which adds to those before.
pub fn stream(events: &[Event]) -> Answer {
    let mut answer = Answer::default();
    let (mut last, mut id) = (Value::Null, None);
    for event in events {
        answer.check(event.name.is_empty(), || format!("an event is named {}", event.name));
        let body = event.json();
        answer.check(answer.error.is_none(), || "something follows the error".into());
        if !body["error"].is_null() {
            answer.error = Some(body["error"].clone());
            continue;
        }
        answer.check(answer.finish.is_none(), || "something follows the reason to finish".into());
        let first = id.get_or_insert_with(|| body["responseId"].clone()).clone();
        answer.check(body["responseId"] == first, || format!("the id changes to {}", body["responseId"]));
        piece(&body, &mut answer);
        last = body;
    }
    if answer.error.is_none() {
        end(&last, &mut answer);
    }
    answer
}

fn piece(body: &Value, answer: &mut Answer) {
    for name in ["responseId", "modelVersion", "candidates"] {
        answer.check(!body[name].is_null(), || format!("the answer has no {name}"));
    }
    let candidate = &body["candidates"][0];
    answer.check(candidate["content"]["role"] == "model", || format!("a role is {}", candidate["content"]["role"]));
    for part in list(&candidate["content"]["parts"]) {
        let call = &part["functionCall"];
        if call.is_object() {
            answer.check(call["args"].is_null() || call["args"].is_object(), || format!("a call's args are {call}"));
            let arguments = if call["args"].is_null() { "{}".into() } else { call["args"].to_string() };
            answer.calls.push(Call { id: text(&call["id"]).into(), name: text(&call["name"]).into(), arguments });
        } else if part["thought"] == true {
            answer.reasoning.push_str(text(&part["text"]));
        } else {
            answer.text.push_str(text(&part["text"]));
        }
    }
    answer.finish = match text(&candidate["finishReason"]) {
        "STOP" if !answer.calls.is_empty() => Some("tool_calls"),
        "STOP" | "CONTINUATION" => Some("stop"),
        "MAX_TOKENS" => Some("length"),
        "SAFETY" => Some("content_filter"),
        "" => None,
        other => {
            answer.faults.push(format!("it finished for {other}"));
            None
        }
    };
}

/// Counts stand in the last piece at the latest.
fn end(body: &Value, answer: &mut Answer) {
    answer.check(answer.finish.is_some(), || "no reason to finish".into());
    let usage = &body["usageMetadata"];
    let count = |name: &str| usage[name].as_u64();
    let thoughts = count("thoughtsTokenCount");
    answer.usage = Usage {
        input: count("promptTokenCount"),
        output: count("candidatesTokenCount").map(|candidates| candidates + thoughts.unwrap_or(0)),
        cache_read: count("cachedContentTokenCount"),
        reasoning: thoughts,
    };
    let total = answer.usage.input.unwrap_or(0) + answer.usage.output.unwrap_or(0);
    answer
        .check(usage.is_null() || count("totalTokenCount") == Some(total), || format!("counts do not add up: {usage}"));
}
