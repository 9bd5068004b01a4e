//! The chat request that says the same as a recorded request for Anthropic's messages. What chat has no words for is left out.

use serde_json::{Map, Value, json};

pub fn convert(body: &Value) -> Value {
    let mut messages = Vec::new();
    system(&body["system"], &mut messages);
    for message in body["messages"].as_array().into_iter().flatten() {
        turn(message, &mut messages);
    }
    if !messages.iter().any(|message| message["role"] != "system") {
        messages.push(json!({"role": "user", "content": "Go on."}));
    }
    let mut chat = json!({"messages": messages});
    for (name, theirs) in [("temperature", "temperature"), ("top_p", "top_p"), ("max_tokens", "max_completion_tokens")]
    {
        if !body[name].is_null() {
            chat[theirs] = body[name].clone();
        }
    }
    if let Some(stop) = body["stop_sequences"].as_array().filter(|stop| !stop.is_empty()) {
        chat["stop"] = json!(stop);
    }
    tools(body, &mut chat);
    thinking(body, &mut chat);
    let format =
        if body["output_format"].is_null() { &body["output_config"]["format"] } else { &body["output_format"] };
    if format["type"] == "json_schema" {
        chat["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": format["schema"], "strict": true}});
    }
    chat
}

fn system(system: &Value, messages: &mut Vec<Value>) {
    match system {
        Value::String(text) => messages.push(json!({"role": "system", "content": text})),
        Value::Array(blocks) if !blocks.is_empty() => {
            let parts: Vec<Value> = blocks.iter().filter_map(part).collect();
            messages.push(json!({"role": "system", "content": parts}));
        }
        _ => {}
    }
}

fn turn(message: &Value, messages: &mut Vec<Value>) {
    let role = message["role"].as_str().unwrap_or_default();
    let Some(blocks) = message["content"].as_array() else {
        messages.push(json!({"role": role, "content": message["content"]}));
        return;
    };
    if role == "assistant" {
        messages.extend(assistant(blocks));
        return;
    }
    for result in blocks.iter().filter(|block| block["type"] == "tool_result") {
        messages.push(tool_message(result));
    }
    let parts: Vec<Value> = blocks.iter().filter_map(part).collect();
    if !parts.is_empty() {
        messages.push(json!({"role": role, "content": parts}));
    }
}

fn tool_message(result: &Value) -> Value {
    let content = match &result["content"] {
        Value::Array(blocks) => json!(blocks.iter().filter_map(part).collect::<Vec<_>>()),
        Value::Null => json!(""),
        text => text.clone(),
    };
    let content = if content == json!([]) { json!("") } else { content };
    let mut message = json!({"role": "tool", "tool_call_id": result["tool_use_id"], "content": content});
    keep_cache(result, &mut message);
    message
}

fn assistant(blocks: &[Value]) -> Option<Value> {
    let (mut texts, mut calls, mut thoughts) = (Vec::new(), Vec::new(), Vec::new());
    for block in blocks {
        match block["type"].as_str().unwrap_or_default() {
            "text" => texts.extend(part(block)),
            "tool_use" => calls.push(json!({
                "id": block["id"], "type": "function",
                "function": {"name": block["name"], "arguments": block["input"].to_string()},
            })),
            "thinking" | "redacted_thinking" => thoughts.push(block.clone()),
            _ => {}
        }
    }
    if texts.is_empty() && calls.is_empty() {
        return None;
    }
    let mut message = Map::from_iter([("role".to_owned(), json!("assistant"))]);
    message.insert("content".into(), if texts.is_empty() { Value::Null } else { json!(texts) });
    for (name, list) in [("tool_calls", calls), ("thinking_blocks", thoughts)] {
        if !list.is_empty() {
            message.insert(name.into(), json!(list));
        }
    }
    Some(Value::Object(message))
}

/// A content part of the same meaning.
fn part(block: &Value) -> Option<Value> {
    let source = &block["source"];
    let data_url = || format!("data:{};base64,{}", text(&source["media_type"]), text(&source["data"]));
    let mut part = match (block["type"].as_str()?, source["type"].as_str().unwrap_or_default()) {
        ("text", _) => json!({"type": "text", "text": block["text"]}),
        ("image", "base64") => json!({"type": "image_url", "image_url": {"url": data_url()}}),
        ("image", "url") => json!({"type": "image_url", "image_url": {"url": source["url"]}}),
        ("document", "base64") => {
            let name = block["title"].as_str().unwrap_or("document.pdf");
            json!({"type": "file", "file": {"filename": name, "file_data": data_url()}})
        }
        ("document", "text") => {
            use base64::Engine;
            let data = base64::engine::general_purpose::STANDARD.encode(text(&source["data"]));
            json!({"type": "file", "file": {"filename": "document.txt", "file_data": format!("data:text/plain;base64,{data}")}})
        }
        _ => return None,
    };
    keep_cache(block, &mut part);
    Some(part)
}

fn keep_cache(from: &Value, to: &mut Value) {
    if !from["cache_control"].is_null() {
        to["cache_control"] = from["cache_control"].clone();
    }
}

fn tools(body: &Value, chat: &mut Value) {
    let own = body["tools"].as_array().into_iter().flatten().filter(|tool| tool["input_schema"].is_object());
    let tools: Vec<Value> = own.map(tool).collect();
    if tools.is_empty() {
        return;
    }
    chat["tools"] = json!(tools);
    let choice = &body["tool_choice"];
    match choice["type"].as_str().unwrap_or_default() {
        "auto" => chat["tool_choice"] = json!("auto"),
        "any" => chat["tool_choice"] = json!("required"),
        "none" => chat["tool_choice"] = json!("none"),
        "tool" => chat["tool_choice"] = json!({"type": "function", "function": {"name": choice["name"]}}),
        _ => {}
    }
    if choice["disable_parallel_tool_use"] == true {
        chat["parallel_tool_calls"] = json!(false);
    }
}

fn tool(tool: &Value) -> Value {
    let mut function = json!({"name": tool["name"], "parameters": tool["input_schema"]});
    for name in ["description", "strict"] {
        if !tool[name].is_null() {
            function[name] = tool[name].clone();
        }
    }
    let mut converted = json!({"type": "function", "function": function});
    keep_cache(tool, &mut converted);
    converted
}

fn thinking(body: &Value, chat: &mut Value) {
    let effort = match body["thinking"]["type"].as_str().unwrap_or_default() {
        "enabled" if body["thinking"]["budget_tokens"].as_u64() <= Some(2048) => json!("low"),
        "enabled" => json!("medium"),
        "adaptive" => json!("high"),
        "disabled" => json!("none"),
        _ => Value::Null,
    };
    let told = &body["output_config"]["effort"];
    let effort = if told.is_null() { effort } else { told.clone() };
    if !effort.is_null() {
        chat["reasoning_effort"] = effort;
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
