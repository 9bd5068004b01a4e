//! The chat request that says the same as a recorded request for OpenAI's Responses. What chat has no words for is left out.

use std::collections::HashSet;

use serde_json::{Value, json};

pub fn convert(body: &Value) -> Value {
    let mut messages = Vec::new();
    if let Some(text) = body["instructions"].as_str().filter(|text| !text.is_empty()) {
        messages.push(json!({"role": "system", "content": text}));
    }
    match &body["input"] {
        Value::String(text) => messages.push(json!({"role": "user", "content": text})),
        items => conversation(items.as_array().map_or(&[], Vec::as_slice), &mut messages),
    }
    if !messages.iter().any(|message| message["role"] != "system") {
        messages.push(json!({"role": "user", "content": "Go on."}));
    }
    let mut chat = json!({"messages": messages});
    for (name, theirs) in [
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("max_output_tokens", "max_completion_tokens"),
        ("prompt_cache_key", "prompt_cache_key"),
        ("service_tier", "service_tier"),
    ] {
        if !body[name].is_null() {
            chat[theirs] = body[name].clone();
        }
    }
    if !body["reasoning"]["effort"].is_null() {
        chat["reasoning_effort"] = body["reasoning"]["effort"].clone();
    }
    if body["include"].as_array().is_some_and(|include| include.contains(&json!("message.output_text.logprobs"))) {
        chat["logprobs"] = json!(true);
    }
    tools(body, &mut chat);
    format(&body["text"]["format"], &mut chat);
    chat
}

fn conversation(items: &[Value], messages: &mut Vec<Value>) {
    let mut called = HashSet::new();
    for item in items {
        match item["type"].as_str().unwrap_or("message") {
            "message" => messages.push(message(item)),
            "function_call" | "custom_tool_call" => {
                called.insert(item["call_id"].clone());
                call(item, messages);
            }
            // The call may be in a conversation that the provider remembers.
            "function_call_output" | "custom_tool_call_output" if called.contains(&item["call_id"]) => {
                let content = parts(&item["output"]);
                messages.push(json!({"role": "tool", "tool_call_id": item["call_id"], "content": content}));
            }
            _ => {}
        }
    }
}

fn message(item: &Value) -> Value {
    let content = parts(&item["content"]);
    json!({"role": item["role"], "content": if content == json!([]) { json!("") } else { content }})
}

/// Calls side by side are one message.
fn call(item: &Value, messages: &mut Vec<Value>) {
    let (kind, key) = if item["type"] == "custom_tool_call" { ("custom", "input") } else { ("function", "arguments") };
    let call = json!({"id": item["call_id"], "type": kind, kind: {"name": item["name"], key: item[key]}});
    match messages.last_mut().filter(|last| last["role"] == "assistant") {
        Some(last) if last["tool_calls"].is_array() => last["tool_calls"].as_array_mut().expect("a list").push(call),
        Some(last) => last["tool_calls"] = json!([call]),
        None => messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]})),
    }
}

fn parts(content: &Value) -> Value {
    match content.as_array() {
        Some(parts) => parts.iter().filter_map(part).collect(),
        None => content.clone(),
    }
}

fn part(part: &Value) -> Option<Value> {
    Some(match part["type"].as_str()? {
        "input_text" | "output_text" => json!({"type": "text", "text": part["text"]}),
        "refusal" => json!({"type": "refusal", "refusal": part["refusal"]}),
        "input_image" if part["image_url"].is_string() => {
            json!({"type": "image_url", "image_url": {"url": part["image_url"]}})
        }
        "input_file" if part["file_data"].is_string() => {
            json!({"type": "file", "file": {"filename": part["filename"], "file_data": part["file_data"]}})
        }
        "input_file" if part["file_id"].is_string() => json!({"type": "file", "file": {"file_id": part["file_id"]}}),
        _ => return None,
    })
}

fn tools(body: &Value, chat: &mut Value) {
    let tools: Vec<Value> = body["tools"].as_array().into_iter().flatten().filter_map(tool).collect();
    if tools.is_empty() {
        return;
    }
    chat["tools"] = json!(tools);
    let choice = &body["tool_choice"];
    match choice["type"].as_str() {
        Some("function") => chat["tool_choice"] = json!({"type": "function", "function": {"name": choice["name"]}}),
        Some("allowed_tools") => {
            let named = |tool: &Value| json!({"type": "function", "function": {"name": tool["name"]}});
            let tools: Vec<Value> = choice["tools"].as_array().into_iter().flatten().map(named).collect();
            chat["tool_choice"] =
                json!({"type": "allowed_tools", "allowed_tools": {"mode": choice["mode"], "tools": tools}});
        }
        Some(_) => {}
        None if choice.is_string() => chat["tool_choice"] = choice.clone(),
        None => {}
    }
    if !body["parallel_tool_calls"].is_null() {
        chat["parallel_tool_calls"] = body["parallel_tool_calls"].clone();
    }
}

fn tool(tool: &Value) -> Option<Value> {
    let kind = tool["type"].as_str().filter(|kind| matches!(*kind, "function" | "custom"))?;
    let mut inner = json!({"name": tool["name"]});
    for name in ["description", "parameters", "strict", "format"] {
        if !tool[name].is_null() {
            inner[name] = tool[name].clone();
        }
    }
    Some(json!({"type": kind, kind: inner}))
}

fn format(format: &Value, chat: &mut Value) {
    match format["type"].as_str() {
        Some("json_schema") => {
            let mut inner = format.clone();
            inner.as_object_mut().expect("an object").remove("type");
            chat["response_format"] = json!({"type": "json_schema", "json_schema": inner});
        }
        Some(kind) => chat["response_format"] = json!({"type": kind}),
        None => {}
    }
}
