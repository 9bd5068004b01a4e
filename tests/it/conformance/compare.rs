//! Whether an answer says what was recorded.

use serde_json::{Value, json};

use super::{
    client::Client,
    fixture::{Fixture, Wire},
    reader::Answer,
};
use crate::support::Reply;

/// The answer of a provider that speaks the client's protocol: the same bytes, but for what the gateway adds.
pub fn same_protocol(client: Client, fixture: &Fixture, reply: &Reply, direct: &Reply, wrong: &mut Vec<String>) {
    if fixture.status >= 400 {
        return failure(client, fixture, reply, wrong);
    }
    if reply.status != 200 {
        // What fails before it says anything is answered with the error's own status.
        let streamed = direct.is_stream() && failed(&frames(&direct.text()));
        if !streamed && !may_fail(&fixture.expect) {
            wrong.push(format!("status {}: {}", reply.status, short(&reply.text())));
        }
        return;
    }
    if fixture.wire == Wire::Counting {
        let count = |reply: &Reply| ["input_tokens", "totalTokens"].map(|name| reply.json()[name].as_u64());
        if count(reply) != count(direct) {
            wrong.push(format!("another count: {}", reply.text()));
        }
        return;
    }
    if reply.is_stream() {
        return same_stream(client, reply, direct, wrong);
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

fn same_stream(client: Client, reply: &Reply, direct: &Reply, wrong: &mut Vec<String>) {
    let (ours, mut theirs) = (frames(&reply.text()), frames(&direct.text()));
    // Some who are compatible end every stream as chat ends.
    theirs.retain(|frame| client == Client::Chat || frame != "data: [DONE]");
    if failed(&theirs) {
        if !failed(&ours) || client == Client::Chat && reply.done() {
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
        if left != right || changed > 1 || client != Client::Chat {
            wrong.push(format!("another frame: {} for {}", short(ours), short(theirs)));
        }
    }
}

fn failed(frames: &[String]) -> bool {
    frames.iter().map(|frame| chunk(frame)).any(|chunk| !chunk["error"].is_null() || chunk["type"] == "error")
}

/// The answer of a provider that speaks another protocol: the same meaning, as far as the client's has words for it.
pub fn translated(client: Client, fixture: &Fixture, reply: &Reply, direct: &Reply, wrong: &mut Vec<String>) {
    let expect = &fixture.expect;
    let finishes = expect["finish_openai_ok"].as_array().cloned().unwrap_or_default();
    if fixture.status >= 400 {
        return failure(client, fixture, reply, wrong);
    }
    if reply.status != 200 {
        if !may_fail(expect) {
            wrong.push(format!("status {}: {}", reply.status, short(&reply.text())));
        }
        return;
    }
    if reply.is_stream() != fixture.stream || !reply.complete {
        wrong.push(format!("no proper answer: {}", short(&reply.text())));
    }
    if fixture.wire == Wire::Embeddings {
        let numbers = |list: &Value, name: &str| -> Vec<Value> {
            list.as_array().into_iter().flatten().map(|item| item[name].clone()).collect()
        };
        if numbers(&reply.json()["data"], "embedding") != numbers(&direct.json()["embeddings"], "values") {
            wrong.push(format!("other embeddings: {}", short(&reply.text())));
        }
        return;
    }
    let answer = Answer::of(client, reply);
    wrong.extend(answer.faults.iter().map(|fault| short(fault)));
    if let Some(error) = &answer.error {
        if !may_fail(expect) {
            wrong.push(format!("failed: {}", short(&error.to_string())));
        }
        return;
    }
    if must_fail(expect) {
        wrong.push(format!("an error was expected: {}", short(&reply.text())));
        return;
    }
    same_meaning(client, expect, &answer, wrong);
    let said = &expect["refusal"];
    let fits = answer.finish.is_some_and(|finish| {
        finishes.contains(&json!(finish))
            // Only chat ends a forced call as it ends a text, and knows calls of an older sort.
            || client != Client::Chat && finish == "tool_calls" && finishes.iter().any(|known| known == "stop" || known == "function_call")
            || !has_refusals(client) && finish == "content_filter" && !said.is_null()
    });
    if !finishes.is_empty() && !fits {
        wrong.push(format!("finish: {:?} for {}", answer.finish, expect["finish_openai_ok"]));
    }
}

/// Anthropic's and Google's models refuse in their text.
fn has_refusals(client: Client) -> bool {
    matches!(client, Client::Chat | Client::Responses)
}

fn same_meaning(client: Client, expect: &Value, answer: &Answer, wrong: &mut Vec<String>) {
    let mut compare = |what: &str, got: Value, wanted: &Value| {
        if got != *wanted {
            wrong.push(format!("{what}: {} for {}", short(&got.to_string()), short(&wanted.to_string())));
        }
    };
    let said = if has_refusals(client) {
        text(&expect["text"]).to_owned()
    } else {
        format!("{}{}", text(&expect["text"]), text(&expect["refusal"]))
    };
    // Why it was withheld may follow.
    let withheld = !has_refusals(client) && answer.finish == Some("content_filter") && answer.text.starts_with(&said);
    if !withheld {
        compare("text", json!(answer.text), &json!(said));
    }
    if has_refusals(client) && !expect["refusal"].is_null() {
        compare("refusal", json!(answer.refusal), &expect["refusal"]);
    }
    compare("reasoning", json!(answer.reasoning), &expect["reasoning_text"]);
    let got: Vec<Value> = answer.named_arguments().iter().map(numbers).collect();
    let wanted = expect["tool_calls"].as_array().into_iter().flatten().map(named_arguments);
    let wanted: Vec<Value> = wanted.map(|call| if has_refusals(client) { call } else { boxed(call) }).collect();
    compare("tool calls", json!(got), &json!(wanted));
    let usage = &expect["usage"];
    // Anthropic counts no reasoning.
    let reasoning = if client == Client::Anthropic { &Value::Null } else { &usage["reasoning"] };
    for (name, got, wanted) in [
        ("input_total", answer.usage.input, &usage["input_total"]),
        ("output_total", answer.usage.output, &usage["output_total"]),
        ("cache_read", answer.usage.cache_read, &usage["cache_read"]),
        ("reasoning", answer.usage.reasoning, reasoning),
    ] {
        // A count of nothing may be left out.
        let nothing = *wanted == 0 && got.is_none();
        if !wanted.is_null() && !nothing {
            compare(name, json!(got), wanted);
        }
    }
}

/// Where arguments must be an object, those that are none are the one member of one.
fn boxed(mut call: Value) -> Value {
    if !call["arguments"].is_object() {
        call["arguments"] = json!({"input": call["arguments"]});
    }
    call
}

/// Whether a client may be told that it failed.
fn may_fail(expect: &Value) -> bool {
    let finishes = expect["finish_openai_ok"].as_array();
    let says_so = finishes.is_some_and(|finishes| finishes.contains(&json!("error")));
    must_fail(expect) || says_so || expect["error"].is_object()
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
fn failure(client: Client, fixture: &Fixture, reply: &Reply, wrong: &mut Vec<String>) {
    let error = &fixture.expect["error"];
    let allowed: &[u16] = match fixture.status {
        400 if fixture.key_refused => &[502],
        401 | 403 => &[502],
        500..=502 => &[500, 502],
        // Anthropic has a status of its own for being overloaded.
        503 | 529 if client == Client::Anthropic => &[503, 529],
        503 | 529 => &[503],
        _ => &[fixture.status],
    };
    if !allowed.contains(&reply.status) {
        wrong.push(format!("status {} for {}: {}", reply.status, fixture.status, short(&reply.text())));
        return;
    }
    let (body, said) = (reply.json(), &reply.error());
    let shaped = match client {
        Client::Chat | Client::Responses => said.get("type").is_some() && said.get("code").is_some(),
        Client::Anthropic => body["type"] == "error" && said["type"].is_string(),
        Client::Gemini => said["code"].is_u64() && said["status"].is_string(),
    };
    if !shaped || !said["message"].is_string() {
        wrong.push(format!("no error of this protocol: {}", short(&reply.text())));
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
    let says = |frame: &&str| !frame.is_empty() && !frame.lines().all(|line| line.starts_with(':'));
    text.split("\n\n").map(str::trim).filter(says).map(str::to_owned).collect()
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

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
