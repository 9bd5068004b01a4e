//! The chat request that says the same as a recorded request for Bedrock's Converse: first in Anthropic's words, which are
//! nearly the same, and then as any request in those. What chat has no words for is left out.

use serde_json::{Value, json};

use super::from_anthropic;

pub fn convert(body: &Value) -> Value {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let messages: Vec<Value> = list(&body["messages"])
        .iter()
        .map(|message| json!({"role": message["role"], "content": blocks(&list(&message["content"]))}))
        .collect();
    let mut said = json!({"messages": messages, "system": blocks(&list(&body["system"]))});
    for (name, theirs) in [
        ("temperature", "temperature"),
        ("topP", "top_p"),
        ("maxTokens", "max_tokens"),
        ("stopSequences", "stop_sequences"),
    ] {
        said[theirs] = body["inferenceConfig"][name].clone();
    }
    let config = &body["toolConfig"];
    let specs = list(&config["tools"]).into_iter().map(|tool| tool["toolSpec"].clone()).filter(Value::is_object);
    said["tools"] = specs
        .map(|spec| {
            let mut tool = json!({"name": spec["name"], "input_schema": spec["inputSchema"]["json"]});
            for name in ["description", "strict"] {
                tool[name] = spec[name].clone();
            }
            tool
        })
        .collect();
    let choice = config["toolChoice"].as_object().and_then(|choice| choice.iter().next());
    if let Some((kind, choice)) = choice {
        said["tool_choice"] = json!({"type": kind, "name": choice["name"]});
    }
    let fields = &body["additionalModelRequestFields"];
    said["thinking"] =
        [&fields["thinking"], &fields["reasoning_config"]].into_iter().find(|it| !it.is_null()).cloned().into();
    let format = &body["outputConfig"]["textFormat"];
    if format["type"] == "json_schema" {
        let schema = format["structure"]["jsonSchema"]["schema"].as_str().unwrap_or_default();
        let schema: Value = serde_json::from_str(schema).unwrap_or_default();
        said["output_format"] = json!({"type": "json_schema", "schema": schema});
    }
    from_anthropic::convert(&said)
}

/// A point for caching marks the block before it.
fn blocks(theirs: &[Value]) -> Vec<Value> {
    let mut ours: Vec<Value> = Vec::new();
    for (at, block) in theirs.iter().enumerate() {
        if !block["cachePoint"].is_null() {
            if let Some(last) = ours.last_mut() {
                last["cache_control"] = json!({"type": "ephemeral"});
            }
            continue;
        }
        // A tool that ran at the provider is told there only.
        let ran = block["toolUse"]["type"] == "server_tool_use" || block["toolResult"]["type"].is_string();
        let named = block.as_object().and_then(|block| block.iter().next());
        if let Some((kind, value)) = named.filter(|_| !ran) {
            ours.extend(block_of(kind, value).or_else(|| (at == 0).then(|| json!({"type": "text", "text": "Look."}))));
        }
    }
    ours
}

fn block_of(kind: &str, value: &Value) -> Option<Value> {
    let bytes = &value["source"]["bytes"];
    Some(match kind {
        "text" => json!({"type": "text", "text": value}),
        "guardContent" => json!({"type": "text", "text": value["text"]["text"]}),
        "image" if bytes.is_string() => {
            let mime = format!("image/{}", value["format"].as_str()?);
            json!({"type": "image", "source": {"type": "base64", "media_type": mime, "data": bytes}})
        }
        "document" if value["source"]["text"].is_string() => {
            json!({"type": "document", "source": {"type": "text", "data": value["source"]["text"]}})
        }
        "document" if bytes.is_string() => {
            let mime = if value["format"] == "pdf" { "application/pdf" } else { "text/plain" };
            let source = json!({"type": "base64", "media_type": mime, "data": bytes});
            json!({"type": "document", "source": source, "title": value["name"]})
        }
        "toolUse" => {
            json!({"type": "tool_use", "id": value["toolUseId"], "name": value["name"], "input": value["input"]})
        }
        "toolResult" => {
            let content = blocks(value["content"].as_array()?);
            json!({"type": "tool_result", "tool_use_id": value["toolUseId"], "content": content})
        }
        "reasoningContent" => {
            let text = &value["reasoningText"];
            json!({"type": "thinking", "thinking": text["text"], "signature": text["signature"]})
        }
        _ => return None,
    })
}
