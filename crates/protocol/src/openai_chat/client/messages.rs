//! Reads the conversation.

use super::{content, history::History};
use crate::{
    ProtocolId,
    fields::{below, must_be, need_string, take, take_string},
    ir::{
        Carrier, Malformed, Message, Part, Reasoning, Request, Role, Signature, Text, ToolCall, ToolResult, Unmapped,
        carrier::MARK,
    },
    json::Json,
    openai::cache,
};

/// Reads `messages` into the request's system text and conversation.
pub fn read(messages: Vec<Json>, request: &mut Request) -> Result<(), Malformed> {
    let mut reader = Reader { request, history: History::default(), after_tool: false };
    for (at, message) in messages.into_iter().enumerate() {
        reader.message(message, &format!("messages[{at}]"))?;
    }
    Ok(())
}

struct Reader<'a> {
    request: &'a mut Request,
    history: History,
    /// Whether the last message was a tool's result, which the next may join.
    after_tool: bool,
}

impl Reader<'_> {
    fn message(&mut self, mut message: Json, path: &str) -> Result<(), Malformed> {
        let role = need_string(&mut message, "role", path, "a role")?;
        let joins = std::mem::take(&mut self.after_tool);
        match role.as_str() {
            "system" | "developer" => self.system(message, path),
            "assistant" => self.assistant(message, path),
            "tool" | "function" => {
                let result = self.result(message, path, role == "function")?;
                self.after_tool = true;
                match self.request.messages.last_mut().filter(|_| joins) {
                    Some(last) => last.parts.push(result),
                    None => self.say(Role::User, vec![result], path),
                }
                Ok(())
            }
            _ => self.user(message, path),
        }
    }

    fn say(&mut self, role: Role, parts: Vec<Part>, path: &str) {
        self.request.messages.push(Message { role, parts, place: path.into() });
    }

    fn system(&mut self, mut message: Json, path: &str) -> Result<(), Malformed> {
        let parts = self.content(&mut message, path)?;
        if self.request.messages.is_empty() {
            self.request.system.extend(parts);
        } else {
            self.say(Role::System, parts, path);
        }
        Ok(())
    }

    fn user(&mut self, mut message: Json, path: &str) -> Result<(), Malformed> {
        let parts = self.content(&mut message, path)?;
        self.say(Role::User, parts, path);
        self.unmapped(&message, path, &["name"]);
        Ok(())
    }

    /// The content of a message, with the message's own cache hint on its last part.
    fn content(&mut self, message: &mut Json, path: &str) -> Result<Vec<Part>, Malformed> {
        let mut parts = content::read(take(message, "content"), &below(path, "content"), &mut self.request.rest)?;
        if let Some(hint) = cache(message, path) {
            match parts.last_mut() {
                Some(Part::Text(text)) => text.cache = Some(hint),
                Some(Part::Media(media)) => media.cache = Some(hint),
                _ => {}
            }
        }
        Ok(parts)
    }

    fn assistant(&mut self, mut message: Json, path: &str) -> Result<(), Malformed> {
        let mut parts = reasoning(&mut message, path);
        parts.extend(self.content(&mut message, path)?);
        if let Some(refusal) = take_string(&mut message, "refusal", path)?.filter(|text| !text.is_empty()) {
            parts.push(Part::Refusal(refusal));
        }
        let images = take(&mut message, "images").filter(|images| images.items().is_some());
        parts.extend(content::read(images, &below(path, "images"), &mut self.request.rest)?);
        let phase = phase(&mut message);
        let signature = thought_signature(&message).or(phase);
        let calls = self.calls(&mut message, path)?;
        if let Some(signature) = signature {
            sign(&mut parts, signature, calls.is_empty());
        }
        parts.extend(calls);
        self.say(Role::Assistant, parts, path);
        if take(&mut message, "audio").is_some() {
            let refusal = Some("an earlier spoken answer is known to OpenAI only");
            self.request.rest.push(Unmapped { path: below(path, "audio"), refusal, ..Unmapped::default() });
        }
        self.unmapped(&message, path, &["name", "prefix"]);
        Ok(())
    }

    fn calls(&mut self, message: &mut Json, path: &str) -> Result<Vec<Part>, Malformed> {
        let list = match take(message, "tool_calls") {
            None => Vec::new(),
            Some(Json::Array(list)) => list,
            Some(_) => return Err(must_be(&below(path, "tool_calls"), "an array")),
        };
        let mut parts = Vec::with_capacity(list.len());
        for (at, value) in list.into_iter().enumerate() {
            let call = call(value, &format!("{path}.tool_calls[{at}]"))?;
            self.history.called(&call.id, &call.name);
            parts.push(Part::ToolCall(call));
        }
        if let Some(mut legacy) = take(message, "function_call") {
            let path = below(path, "function_call");
            let name = need_string(&mut legacy, "name", &path, "the function's name")?;
            let id = self.history.called_legacy(&name);
            let arguments = arguments(take(&mut legacy, "arguments"));
            parts.push(Part::ToolCall(ToolCall { id, name, arguments, place: path.into(), ..ToolCall::default() }));
        }
        Ok(parts)
    }

    fn result(&mut self, mut message: Json, path: &str, legacy: bool) -> Result<Part, Malformed> {
        let named = take_string(&mut message, "name", path)?;
        let (id, name) = if legacy {
            let name =
                named.ok_or_else(|| must_be(&below(path, "name"), "the name of the function that was called"))?;
            (self.history.answered_legacy(&name), Some(name))
        } else {
            let id = need_string(&mut message, "tool_call_id", path, "the id of the tool call that it answers")?;
            let name = self.history.name_of(&id).or(named);
            (id, name)
        };
        let is_error = take(&mut message, "is_error").and_then(|flag| flag.as_bool()).unwrap_or(false);
        let outer = cache(&mut message, path);
        let mut content =
            content::read(take(&mut message, "content"), &below(path, "content"), &mut self.request.rest)?;
        content.retain(|part| !matches!(part, Part::Text(text) if text.text.is_empty()));
        let cache = outer.or_else(|| content.iter_mut().filter_map(take_cache).last());
        Ok(Part::ToolResult(ToolResult { id, name, content, is_error, cache, place: path.into() }))
    }

    fn unmapped(&mut self, message: &Json, path: &str, keys: &[&str]) {
        let present = keys
            .iter()
            .filter(|key| message.get(key).is_some_and(|value| !value.is_null() && *value != Json::Bool(false)));
        self.request.rest.extend(present.map(|key| Unmapped {
            path: below(path, key),
            refusal: None,
            ..Unmapped::default()
        }));
    }
}

fn take_cache(part: &mut Part) -> Option<crate::ir::Cache> {
    match part {
        Part::Text(text) => text.cache.take(),
        Part::Media(media) => media.cache.take(),
        _ => None,
    }
}

fn call(mut value: Json, path: &str) -> Result<ToolCall, Malformed> {
    let id = need_string(&mut value, "id", path, "the call's id")?;
    let signature = thought_signature(&value);
    if let Some(mut custom) = take(&mut value, "custom") {
        let path = below(path, "custom");
        let name = need_string(&mut custom, "name", &path, "the tool's name")?;
        let arguments = take_string(&mut custom, "input", &path)?.unwrap_or_default();
        return Ok(ToolCall { id, name, arguments, signature, custom: true, place: path.into() });
    }
    let Some(mut function) = take(&mut value, "function") else {
        return Err(must_be(&below(path, "function"), "an object with a name and arguments"));
    };
    let path = below(path, "function");
    let name = need_string(&mut function, "name", &path, "the function's name")?;
    let arguments = arguments(take(&mut function, "arguments"));
    Ok(ToolCall { id, name, arguments, signature, custom: false, place: path.into() })
}

/// Arguments are JSON text; some clients send the object itself.
fn arguments(value: Option<Json>) -> String {
    match value {
        None => String::new(),
        Some(Json::String(text)) => text,
        Some(other) => other.to_string(),
    }
}

/// What the model thought, by the richest of the fields that carry it back.
fn reasoning(message: &mut Json, path: &str) -> Vec<Part> {
    let blocks = take(message, "thinking_blocks");
    let plain = [take(message, "reasoning_content"), take(message, "reasoning")];
    let blocks: Vec<Part> = blocks
        .as_ref()
        .and_then(Json::items)
        .unwrap_or_default()
        .iter()
        .filter_map(|block| thinking(block, path))
        .collect();
    if !blocks.is_empty() {
        return blocks;
    }
    let text =
        plain.into_iter().flatten().find_map(|value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned));
    text.map(|text| Part::Reasoning(Reasoning { text, place: path.into(), ..Reasoning::default() }))
        .into_iter()
        .collect()
}

fn thinking(block: &Json, path: &str) -> Option<Part> {
    let text = |key: &str| block.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    // One of ours that was damaged on the way proves nothing.
    let proof = |value: String, redacted| match Carrier::unwrap(&value) {
        Some(Carrier::Reasoning { signature, redacted }) => (Some(signature), redacted),
        _ if value.is_empty() || value.starts_with(MARK) => (None, redacted),
        _ => (Some(Signature { origin: ProtocolId::Anthropic, value }), redacted),
    };
    match block.get("type").and_then(Json::as_str)? {
        "thinking" => {
            let (signature, redacted) = proof(text("signature"), false);
            Some(Part::Reasoning(Reasoning { text: text("thinking"), signature, redacted, place: path.into() }))
        }
        "redacted_thinking" => {
            let (signature, redacted) = proof(text("data"), true);
            Some(Part::Reasoning(Reasoning {
                text: String::new(),
                signature: Some(signature?),
                redacted,
                place: path.into(),
            }))
        }
        _ => None,
    }
}

/// Gemini's signature, where its own compatible server puts it.
fn thought_signature(value: &Json) -> Option<Signature> {
    let text = value.at(&["extra_content", "google", "thought_signature"])?.as_str()?;
    Some(Signature { origin: ProtocolId::Gemini, value: text.to_owned() })
}

/// Which part of an answer a model of OpenAI's said that the message is.
fn phase(message: &mut Json) -> Option<Signature> {
    match take(message, "phase")? {
        Json::String(value) => Some(Signature { origin: ProtocolId::OpenAiResponses, value }),
        _ => None,
    }
}

/// Puts a message's signature on its last text; where there is none, and nothing else was said, on an empty one.
fn sign(parts: &mut Vec<Part>, signature: Signature, alone: bool) {
    let text = parts.iter_mut().rev().find_map(|part| if let Part::Text(text) = part { Some(text) } else { None });
    match text {
        Some(text) => text.signature = Some(signature),
        None if alone => parts.push(Part::Text(Text { signature: Some(signature), ..Text::default() })),
        None => {}
    }
}
