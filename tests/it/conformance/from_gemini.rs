//! The chat request that says the same as a recorded request for Gemini. What chat has no words for is left out.

use serde_json::{Value, json};

/// A field by its name in either spelling that Gemini takes.
fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    let snake: String =
        name.chars().flat_map(|c| if c.is_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] }).collect();
    if value[name].is_null() { &value[snake.as_str()] } else { &value[name] }
}

fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    }
}

pub fn convert(body: &Value) -> Value {
    let mut messages = Vec::new();
    let system = field(body, "systemInstruction");
    let texts: Vec<Value> = match system {
        Value::String(_) => vec![system.clone()],
        system => {
            list(&system["parts"]).iter().map(|part| part["text"].clone()).filter(|text| !text.is_null()).collect()
        }
    };
    if !texts.is_empty() {
        let parts: Vec<Value> = texts.iter().map(|text| json!({"type": "text", "text": text})).collect();
        messages.push(json!({"role": "system", "content": parts}));
    }
    let mut calls = Calls::default();
    for content in list(&body["contents"]) {
        let parts = if content.is_string() { vec![json!({"text": content})] } else { list(&content["parts"]) };
        if content["role"] == "model" {
            messages.extend(assistant(&parts, &mut calls));
        } else {
            user(&parts, &mut calls, &mut messages);
        }
    }
    if !messages.iter().any(|message| message["role"] != "system") {
        messages.push(json!({"role": "user", "content": "Go on."}));
    }
    let mut chat = json!({"messages": messages});
    config(field(body, "generationConfig"), &mut chat);
    tools(body, &mut chat);
    chat
}

/// Calls that wait for their results, as (name, id), since older clients send no ids.
#[derive(Default)]
struct Calls {
    made: usize,
    open: Vec<(Value, String)>,
}

impl Calls {
    fn id_of_call(&mut self, call: &Value) -> String {
        self.made += 1;
        let id = call["id"].as_str().map_or_else(|| format!("call_{}", self.made), str::to_owned);
        self.open.push((call["name"].clone(), id.clone()));
        id
    }

    fn id_of_result(&mut self, result: &Value) -> String {
        let known = self.open.iter().position(|(name, id)| match result["id"].as_str() {
            Some(told) => id == told,
            None => *name == result["name"],
        });
        match known {
            Some(position) => self.open.remove(position).1,
            None => result["id"].as_str().unwrap_or("call_unknown").to_owned(),
        }
    }
}

fn assistant(parts: &[Value], calls: &mut Calls) -> Option<Value> {
    let (mut text, mut tool_calls, mut signature) = (String::new(), Vec::new(), Value::Null);
    for part in parts {
        let signed = field(part, "thoughtSignature");
        let call = field(part, "functionCall");
        if call.is_object() {
            let arguments = if call["args"].is_null() { json!({}) } else { call["args"].clone() };
            let mut tool_call = json!({
                "id": calls.id_of_call(call), "type": "function",
                "function": {"name": call["name"], "arguments": arguments.to_string()},
            });
            if !signed.is_null() {
                tool_call["extra_content"] = json!({"google": {"thought_signature": signed}});
            }
            tool_calls.push(tool_call);
        } else if part["text"].is_string() && part["thought"] != true {
            text.push_str(part["text"].as_str().unwrap_or_default());
            if !signed.is_null() {
                signature = signed.clone();
            }
        }
    }
    if text.is_empty() && tool_calls.is_empty() {
        return None;
    }
    let mut message = json!({"role": "assistant", "content": if text.is_empty() { Value::Null } else { json!(text) }});
    if !tool_calls.is_empty() {
        message["tool_calls"] = json!(tool_calls);
    }
    if !signature.is_null() {
        message["extra_content"] = json!({"google": {"thought_signature": signature}});
    }
    Some(message)
}

fn user(parts: &[Value], calls: &mut Calls, messages: &mut Vec<Value>) {
    let mut said = Vec::new();
    for part in parts {
        let result = field(part, "functionResponse");
        if result.is_object() {
            let mut content = vec![json!({"type": "text", "text": result["response"].to_string()})];
            content.extend(list(&result["parts"]).iter().filter_map(media));
            let content = if content.len() == 1 { content[0]["text"].clone() } else { json!(content) };
            messages.push(json!({"role": "tool", "tool_call_id": calls.id_of_result(result), "content": content}));
        } else if part["text"].is_string() {
            said.push(json!({"type": "text", "text": part["text"]}));
        } else {
            said.extend(media(part));
        }
    }
    if !said.is_empty() {
        messages.push(json!({"role": "user", "content": said}));
    }
}

fn media(part: &Value) -> Option<Value> {
    let inline = field(part, "inlineData");
    let mime = field(inline, "mimeType").as_str().unwrap_or_default();
    let data = inline["data"].as_str().unwrap_or_default();
    let url = format!("data:{mime};base64,{data}");
    if inline.is_object() {
        return match mime.split('/').next()? {
            "image" => Some(json!({"type": "image_url", "image_url": {"url": url}})),
            "audio" => {
                let format = if mime.ends_with("wav") { "wav" } else { "mp3" };
                Some(json!({"type": "input_audio", "input_audio": {"data": data, "format": format}}))
            }
            _ if mime == "application/pdf" || mime.starts_with("text/") => {
                Some(json!({"type": "file", "file": {"filename": "document", "file_data": url}}))
            }
            _ => None,
        };
    }
    let file = field(part, "fileData");
    let image = field(file, "mimeType").as_str().is_some_and(|mime| mime.starts_with("image/"));
    image.then(|| json!({"type": "image_url", "image_url": {"url": field(file, "fileUri")}}))
}

fn config(config: &Value, chat: &mut Value) {
    for (theirs, ours) in [
        ("temperature", "temperature"),
        ("topP", "top_p"),
        ("maxOutputTokens", "max_completion_tokens"),
        ("candidateCount", "n"),
        ("seed", "seed"),
        ("presencePenalty", "presence_penalty"),
        ("frequencyPenalty", "frequency_penalty"),
        ("stopSequences", "stop"),
    ] {
        let value = field(config, theirs);
        if !value.is_null() && *value != json!([]) {
            chat[ours] = value.clone();
        }
    }
    let schema =
        [field(config, "responseJsonSchema"), field(config, "responseSchema")].into_iter().find(|s| s.is_object());
    if let Some(schema) = schema {
        let schema = json!({"name": "answer", "schema": lowercase(schema)});
        chat["response_format"] = json!({"type": "json_schema", "json_schema": schema});
    } else if field(config, "responseMimeType") == "application/json" {
        chat["response_format"] = json!({"type": "json_object"});
    }
    let thinking = field(config, "thinkingConfig");
    let effort = match field(thinking, "thinkingBudget").as_i64() {
        Some(0) => Some("none".to_owned()),
        Some(budget) if budget > 0 && budget <= 2048 => Some("low".to_owned()),
        Some(_) => Some("medium".to_owned()),
        None => field(thinking, "thinkingLevel").as_str().map(str::to_lowercase),
    };
    if let Some(effort) = effort {
        chat["reasoning_effort"] = json!(effort);
    }
}

fn tools(body: &Value, chat: &mut Value) {
    let mut tools = Vec::new();
    for group in list(&body["tools"]) {
        for declaration in list(field(&group, "functionDeclarations")) {
            let mut function = json!({"name": declaration["name"]});
            if !declaration["description"].is_null() {
                function["description"] = declaration["description"].clone();
            }
            let parameters = [field(&declaration, "parametersJsonSchema"), &declaration["parameters"]];
            if let Some(parameters) = parameters.into_iter().find(|parameters| parameters.is_object()) {
                function["parameters"] = lowercase(parameters);
            }
            tools.push(json!({"type": "function", "function": function}));
        }
    }
    if tools.is_empty() {
        return;
    }
    let calling = field(field(body, "toolConfig"), "functionCallingConfig");
    let allowed = list(field(calling, "allowedFunctionNames"));
    let choice = match (calling["mode"].as_str().unwrap_or_default().to_uppercase().as_str(), allowed.as_slice()) {
        ("AUTO", _) => json!("auto"),
        ("NONE", _) => json!("none"),
        ("ANY", [only]) => json!({"type": "function", "function": {"name": only}}),
        ("ANY", []) => json!("required"),
        ("ANY", names) => {
            let names: Vec<Value> =
                names.iter().map(|name| json!({"type": "function", "function": {"name": name}})).collect();
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": names}})
        }
        _ => Value::Null,
    };
    if !choice.is_null() {
        chat["tool_choice"] = choice;
    }
    chat["tools"] = json!(tools);
}

/// The same schema with its types written as JSON Schema writes them.
fn lowercase(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let lower = |(name, value): (&String, &Value)| match (name.as_str(), value) {
                ("type", Value::String(kind)) => (name.clone(), json!(kind.to_lowercase())),
                _ => (name.clone(), lowercase(value)),
            };
            Value::Object(fields.iter().map(lower).collect())
        }
        Value::Array(items) => items.iter().map(lowercase).collect(),
        other => other.clone(),
    }
}
