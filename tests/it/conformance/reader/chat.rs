//! OpenAI's chat.

use serde_json::Value;

use super::{Answer, Call, Event, Usage, list, text};

pub fn whole(body: &Value) -> Answer {
    let mut answer = Answer { usage: usage(&body["usage"]), ..Answer::default() };
    answer.check(body["object"] == "chat.completion", || format!("object is {}", body["object"]));
    answer.check(!text(&body["id"]).is_empty(), || "no id".into());
    let choice = &body["choices"][0];
    said(&choice["message"], &mut answer);
    answer.finish = finish(&choice["finish_reason"]);
    let ids = answer.calls.iter().all(|call| !call.id.is_empty());
    answer.check(ids, || "a call without an id".into());
    answer
}

pub fn stream(events: &[Event]) -> Answer {
    let mut answer = Answer::default();
    let (mut first, mut counted) = (None, 0);
    for event in events {
        let chunk = event.json();
        if event.data == "[DONE]" || !chunk["error"].is_null() {
            answer.error = (!chunk["error"].is_null()).then(|| chunk["error"].clone());
            continue;
        }
        answer.check(chunk["object"] == "chat.completion.chunk", || format!("object is {}", chunk["object"]));
        let id = first.get_or_insert_with(|| chunk["id"].clone()).clone();
        answer.check(chunk["id"] == id, || format!("the id changes to {}", chunk["id"]));
        for choice in list(&chunk["choices"]) {
            let delta = &choice["delta"];
            let silent = delta.as_object().is_none_or(|delta| delta.is_empty());
            answer.check(answer.finish.is_none() || silent, || format!("{delta} after the reason to finish"));
            said(delta, &mut answer);
            answer.finish = answer.finish.or(finish(&choice["finish_reason"]));
        }
        if chunk["usage"].is_object() {
            counted += 1;
            answer.usage = usage(&chunk["usage"]);
        }
    }
    let done = events.iter().filter(|event| event.data == "[DONE]").count();
    let last = events.last().is_some_and(|event| event.data == "[DONE]");
    match answer.error {
        Some(_) => answer.check(done == 0, || "a failed stream ends as if it were complete".into()),
        None => {
            answer.check(done == 1 && last, || "no [DONE] at the end".into());
            answer.check(counted <= 1, || format!("{counted} times usage"));
            let whole = answer.calls.iter().all(|call| !call.id.is_empty());
            answer.check(whole, || "a call without an id".into());
        }
    }
    answer
}

fn said(message: &Value, answer: &mut Answer) {
    answer.text.push_str(text(&message["content"]));
    answer.reasoning.push_str(text(&message["reasoning_content"]));
    if let Some(more) = message["refusal"].as_str() {
        answer.refusal.get_or_insert_default().push_str(more);
    }
    for (position, call) in list(&message["tool_calls"]).iter().enumerate() {
        let at = call["index"].as_u64().map_or(position, |index| index as usize);
        answer.check(at <= answer.calls.len(), || format!("call {at} comes before one that precedes it"));
        if at >= answer.calls.len() {
            answer.calls.push(Call::default());
        }
        let Some(known) = answer.calls.get_mut(at) else { continue };
        let (inner, arguments) = match call["custom"].is_object() {
            true => (&call["custom"], "input"),
            false => (&call["function"], "arguments"),
        };
        known.id.push_str(text(&call["id"]));
        known.name.push_str(text(&inner["name"]));
        known.arguments.push_str(text(&inner[arguments]));
    }
}

fn finish(reason: &Value) -> Option<&'static str> {
    ["stop", "length", "tool_calls", "content_filter", "function_call"].into_iter().find(|known| reason == known)
}

fn usage(usage: &Value) -> Usage {
    Usage {
        input: usage["prompt_tokens"].as_u64(),
        output: usage["completion_tokens"].as_u64(),
        cache_read: usage["prompt_tokens_details"]["cached_tokens"].as_u64(),
        reasoning: usage["completion_tokens_details"]["reasoning_tokens"].as_u64(),
    }
}
