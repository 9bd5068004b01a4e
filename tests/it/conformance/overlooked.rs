//! What the reader of the recordings overlooked, read from the recorded answers themselves.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::fixture::Wire;

/// What a recorded answer means, given what its reader took it to mean.
pub fn corrected(wire: Wire, response: &Value, mut expect: Value) -> Value {
    match wire {
        Wire::Chat => oldest_calls(response, &mut expect),
        Wire::Bedrock => {
            cited_text(response, &mut expect);
            calls_answered_there(response, &mut expect);
        }
        Wire::Responses => summaries(response, &mut expect),
        _ => {}
    }
    cached_at_most(&mut expect);
    expect
}

/// Calls of OpenAI's oldest sort are calls.
fn oldest_calls(response: &Value, expect: &mut Value) {
    let call = &response["body"]["choices"][0]["message"]["function_call"];
    let (Some(name), Some(calls)) = (call["name"].as_str(), expect["tool_calls"].as_array_mut()) else { return };
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap_or("{}")).unwrap_or_default();
    calls.push(json!({"id": null, "name": name, "arguments": arguments}));
}

/// A block of text with its sources says that text.
fn cited_text(response: &Value, expect: &mut Value) {
    let blocks = response["body"]["output"]["message"]["content"].as_array().into_iter().flatten();
    let cited = blocks.flat_map(|block| block["citationsContent"]["content"].as_array().into_iter().flatten());
    let text: String = cited.filter_map(|piece| piece["text"].as_str()).collect();
    if expect["text"] == "" {
        expect["text"] = json!(text);
    }
}

/// A tool that ran at the provider was not called for the client to run.
fn calls_answered_there(response: &Value, expect: &mut Value) {
    let binary = response["body_base64"].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
    let told = match &binary {
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        None => response["body"].to_string(),
    };
    if let Some(calls) = expect["tool_calls"].as_array_mut() {
        calls.retain(|call| !told.contains(&format!(r#""toolUseId":{},"type":"server_tool_use""#, call["id"])));
    }
}

/// The parts of a summary are paragraphs.
fn summaries(response: &Value, expect: &mut Value) {
    let last = response["sse_text"].as_str().and_then(|text| {
        let mut frames =
            text.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?).ok());
        frames.next_back()
    });
    let answer = last.as_ref().map_or(&response["body"], |last| &last["response"]);
    let items = answer["output"].as_array().into_iter().flatten().filter(|item| item["type"] == "reasoning");
    let parts: Vec<&str> = items
        .flat_map(|item| item["summary"].as_array().into_iter().flatten())
        .filter_map(|part| part["text"].as_str())
        .collect();
    if parts.len() > 1 && expect["reasoning_text"] == json!(parts.concat()) {
        expect["reasoning_text"] = json!(parts.join("\n\n"));
    }
}

/// Some of Azure's answers count more tokens as cached than the prompt has. No more than those can have been.
fn cached_at_most(expect: &mut Value) {
    let usage = &mut expect["usage"];
    if let (Some(cached), Some(input)) = (usage["cache_read"].as_u64(), usage["input_total"].as_u64()) {
        usage["cache_read"] = json!(cached.min(input));
    }
}
