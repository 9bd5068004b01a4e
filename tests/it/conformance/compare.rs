//! Whether an answer says what was recorded.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fixture::Fixture;
use crate::support::Reply;

/// The answer of a provider that speaks the client's protocol: the same bytes, but for what the gateway adds.
pub fn same_protocol(fixture: &Fixture, reply: &Reply, direct: &Reply, wrong: &mut Vec<String>) {
    if fixture.status >= 400 {
        return failure(fixture, reply, wrong);
    }
    if reply.status != 200 {
        wrong.push(format!("status {}: {}", reply.status, short(&reply.text())));
        return;
    }
    if reply.is_stream() {
        return same_stream(reply, direct, wrong);
    }
    let (mut ours, mut theirs) = (reply.json(), direct.json());
    for side in [&mut ours, &mut theirs] {
        remove_additions(side);
    }
    if ours != theirs {
        wrong.push(format!("another answer: {}", short(&reply.text())));
    }
    if let Some(head) = direct.text().trim_end().strip_suffix('}')
        && theirs == direct.json()
        && !reply.text().starts_with(head)
    {
        wrong.push(format!("other bytes: {}", short(&reply.text())));
    }
}

fn same_stream(reply: &Reply, direct: &Reply, wrong: &mut Vec<String>) {
    let (ours, theirs) = (frames(&reply.text()), frames(&direct.text()));
    let failed = |frames: &[String]| frames.iter().any(|frame| !chunk(frame)["error"].is_null());
    if failed(&theirs) {
        if !failed(&ours) || reply.done() {
            wrong.push(format!("the error is lost: {}", short(&reply.text())));
        }
        return;
    }
    if ours.len() != theirs.len() {
        wrong.push(format!("{} frames for {}: {}", ours.len(), theirs.len(), short(&reply.text())));
        return;
    }
    let mut changed = 0;
    for (ours, theirs) in ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs) {
        let (mut left, mut right) = (chunk(ours), chunk(theirs));
        for side in [&mut left, &mut right] {
            remove_additions(side);
        }
        changed += 1;
        if left != right || changed > 1 {
            wrong.push(format!("another frame: {} for {}", short(ours), short(theirs)));
        }
    }
}

/// The answer of a provider that speaks another protocol: the same meaning.
pub fn translated(fixture: &Fixture, reply: &Reply, wrong: &mut Vec<String>) {
    let expect = &fixture.expect;
    let finishes = expect["finish_openai_ok"].as_array().cloned().unwrap_or_default();
    if fixture.status >= 400 {
        return failure(fixture, reply, wrong);
    }
    let failed = reply.status != 200 || reply.is_stream() && !reply.stream_error().is_null();
    if failed {
        if !must_fail(expect) && !finishes.contains(&json!("error")) {
            wrong.push(format!("status {}: {}", reply.status, short(&reply.text())));
        } else if reply.is_stream() && reply.done() {
            wrong.push("a failed stream ends as if it were complete".into());
        }
        return;
    }
    if must_fail(expect) {
        wrong.push(format!("an error was expected: {}", short(&reply.text())));
        return;
    }
    if reply.is_stream() != fixture.stream || reply.is_stream() && !reply.done() {
        wrong.push(format!("no proper stream: {}", short(&reply.text())));
    }
    let answer = Answer::of(reply);
    let mut compare = |what: &str, got: Value, wanted: &Value| {
        if got != *wanted {
            wrong.push(format!("{what}: {} for {}", short(&got.to_string()), short(&wanted.to_string())));
        }
    };
    compare("text", json!(answer.text), &expect["text"]);
    compare("reasoning", json!(answer.reasoning), &expect["reasoning_text"]);
    if !expect["refusal"].is_null() {
        compare("refusal", answer.refusal.clone(), &expect["refusal"]);
    }
    let wanted: Vec<Value> = expect["tool_calls"].as_array().into_iter().flatten().map(named_arguments).collect();
    compare("tool calls", json!(answer.calls), &json!(wanted));
    compare("call ids", json!(answer.ids_are_unique), &json!(true));
    let usage = &expect["usage"];
    for (name, got) in [
        ("input_total", &answer.usage["prompt_tokens"]),
        ("output_total", &answer.usage["completion_tokens"]),
        ("cache_read", &answer.usage["prompt_tokens_details"]["cached_tokens"]),
        ("reasoning", &answer.usage["completion_tokens_details"]["reasoning_tokens"]),
    ] {
        // A count of nothing may be left out.
        let nothing = usage[name] == 0 && got.is_null();
        if !usage[name].is_null() && !nothing {
            compare(name, got.clone(), &usage[name]);
        }
    }
    if !finishes.is_empty() && !finishes.contains(&answer.finish) {
        wrong.push(format!("finish: {} for {}", answer.finish, expect["finish_openai_ok"]));
    }
}

/// Whether there is nothing that a client could take for an answer: no reason to have stopped, or one that says that the
/// provider itself failed. A reason that the recording has only a number for binds nobody.
fn must_fail(expect: &Value) -> bool {
    let failures = ["", "failed", "MISSING_THOUGHT_SIGNATURE", "TOO_MANY_TOOL_CALLS"];
    expect["finish_openai_ok"].is_null()
        && failures.contains(&expect["finish_native"].as_str().unwrap_or_default())
        && !expect["finish_native"].is_number()
}

/// A provider's error: the status that it stands for here, and its own words.
fn failure(fixture: &Fixture, reply: &Reply, wrong: &mut Vec<String>) {
    let error = &fixture.expect["error"];
    let allowed: &[u16] = match fixture.status {
        400 if fixture.key_refused => &[502],
        401 | 403 => &[502],
        500..=502 => &[500, 502],
        503 | 529 => &[503],
        _ => &[fixture.status],
    };
    if !allowed.contains(&reply.status) {
        wrong.push(format!("status {} for {}: {}", reply.status, fixture.status, short(&reply.text())));
        return;
    }
    let texts = [&error["message"], &error[0]["error"]["message"], error];
    let Some(message) = texts.into_iter().find_map(Value::as_str) else { return };
    if reply.status != 502 && !reply.message().contains(message.trim()) {
        wrong.push(format!("message: {} for {}", short(&reply.message()), short(message)));
    }
}

/// The tokens that the log counted.
pub fn row(fixture: &Fixture, row: &Value) -> Vec<String> {
    let usage = &fixture.expect["usage"];
    let counts =
        [("input_total", "prompt_tokens"), ("output_total", "completion_tokens"), ("cache_read", "cached_tokens")];
    if fixture.status >= 400 || row["status_code"] != 200 || !row["error_code"].is_null() {
        return Vec::new();
    }
    let differs = |(wanted, got): &(&str, &str)| {
        let nothing = usage[wanted] == 0 && row[got].is_null();
        !usage[wanted].is_null() && !nothing && usage[wanted] != row[got]
    };
    let wrong = counts.iter().filter(|count| differs(count));
    wrong.map(|(wanted, got)| format!("log: {got} is {} for {}", row[got], usage[wanted])).collect()
}

/// What a chat answer says, whole or streamed.
#[derive(Default)]
struct Answer {
    text: String,
    reasoning: String,
    refusal: Value,
    calls: Vec<Value>,
    ids_are_unique: bool,
    finish: Value,
    usage: Value,
}

impl Answer {
    fn of(reply: &Reply) -> Self {
        let mut answer = Self::default();
        let mut calls: BTreeMap<u64, (String, String, String)> = BTreeMap::new();
        let chunks = if reply.is_stream() { reply.chunks() } else { vec![reply.json()] };
        for chunk in &chunks {
            let choice = &chunk["choices"][0];
            let message = if reply.is_stream() { &choice["delta"] } else { &choice["message"] };
            let text = |name: &str| message[name].as_str().unwrap_or_default();
            answer.text.push_str(text("content"));
            answer.reasoning.push_str(text("reasoning_content"));
            if message["refusal"].is_string() {
                let so_far = answer.refusal.as_str().unwrap_or_default();
                answer.refusal = json!(format!("{so_far}{}", text("refusal")));
            }
            for (position, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
                let entry = calls.entry(call["index"].as_u64().unwrap_or(position as u64)).or_default();
                let (inner, said) = match call["custom"].is_object() {
                    true => (&call["custom"], "input"),
                    false => (&call["function"], "arguments"),
                };
                for (part, value) in
                    [(&mut entry.0, &call["id"]), (&mut entry.1, &inner["name"]), (&mut entry.2, &inner[said])]
                {
                    part.push_str(value.as_str().unwrap_or_default());
                }
            }
            for (place, value) in [(&mut answer.finish, &choice["finish_reason"]), (&mut answer.usage, &chunk["usage"])]
            {
                if !value.is_null() {
                    *place = value.clone();
                }
            }
        }
        let ids: std::collections::BTreeSet<&String> = calls.values().map(|call| &call.0).collect();
        answer.ids_are_unique = ids.len() == calls.len() && !ids.contains(&String::new());
        let parsed = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        answer.calls =
            calls.values().map(|call| json!({"name": call.1, "arguments": numbers(&parsed(&call.2))})).collect();
        answer
    }
}

/// A call of a free-text tool is recorded with its text, one that was cut off with what there is of its arguments.
fn named_arguments(call: &Value) -> Value {
    let said = [&call["input"], &call["arguments"]["__unparsed__"]].into_iter().find(|said| said.is_string());
    json!({"name": call["name"], "arguments": numbers(said.unwrap_or(&call["arguments"]))})
}

/// The same with all numbers as floats: 1 and 1.0 are one number.
fn numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(numbers).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), numbers(value))).collect(),
        other => other.clone(),
    }
}

fn remove_additions(value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove("provider");
        fields.remove("latency_ms");
    }
}

fn frames(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    text.split("\n\n").map(str::trim).filter(|frame| !frame.is_empty()).map(str::to_owned).collect()
}

fn chunk(frame: &str) -> Value {
    let data = frame.lines().find_map(|line| line.strip_prefix("data:")).unwrap_or_default();
    serde_json::from_str(data).unwrap_or_default()
}

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(300).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
