//! Reads the conversation: items in a row, where other protocols have messages that hold parts.
//!
//! Everything the model produced between two of its client's turns is one turn of the model. What only a provider of
//! this protocol understands is told by its place in the list: calls of tools that ran there are left out, since the text
//! that followed holds what came of them; calls of its tools that the client runs become plain calls, and messages between
//! agents plain text. The rest cannot be told to others, and the request is refused.

use std::collections::HashMap;

use super::{
    content::{self, unreadable},
    names::Names,
    request::{effort, text_format},
    tools,
};
use crate::{
    ProtocolId, base64,
    fields::{below, must_be, need_string, take, take_string},
    ir::{
        Carrier, Malformed, Media, MediaKind, MediaSource, Message, Part, Reasoning, Request, Role, Signature, Text,
        ToolCall, ToolResult, Unmapped,
    },
    json::Json,
};

/// Reads `input` into the request's system text and conversation.
pub fn read(input: Json, request: &mut Request, names: Names) -> Result<(), Malformed> {
    let items = match input {
        Json::String(text) => {
            let place = || "input".into();
            let parts = vec![Part::Text(Text { text, place: place(), ..Text::default() })];
            request.messages.push(Message { role: Role::User, parts, place: place() });
            return Ok(());
        }
        Json::Array(items) => items,
        _ => return Err(must_be("input", "a string or an array of items")),
    };
    let mut reader = Reader { request, names, calls: HashMap::new(), signatures: HashMap::new(), after_result: false };
    for (at, item) in items.into_iter().enumerate() {
        reader.item(item, &format!("input[{at}]"))?;
    }
    reader.sign_calls();
    Ok(())
}

struct Reader<'a> {
    request: &'a mut Request,
    names: Names,
    /// The name of each tool that was called, by the call's id.
    calls: HashMap<String, String>,
    /// What belongs to calls, by their ids.
    signatures: HashMap<String, Signature>,
    /// Whether the last item was a tool's result, which the next may join.
    after_result: bool,
}

impl Reader<'_> {
    fn item(&mut self, mut item: Json, path: &str) -> Result<(), Malformed> {
        if item.members().is_none() {
            return Err(must_be(path, "an object"));
        }
        let kind = match take_string(&mut item, "type", path)? {
            Some(kind) => kind,
            None if item.get("role").is_some() => "message".to_owned(),
            // Only such a thing has neither.
            None if item.get("id").is_some() => "item_reference".to_owned(),
            None => return Err(must_be(&below(path, "type"), "a string such as `message`")),
        };
        let joins = std::mem::take(&mut self.after_result);
        match kind.as_str() {
            "message" => self.message(item, path),
            "function_call" => self.call(item, path, false),
            "custom_tool_call" => self.call(item, path, true),
            "reasoning" => self.reasoning(&mut item, path),
            "function_call_output"
            | "custom_tool_call_output"
            | "local_shell_call_output"
            | "shell_call_output"
            | "apply_patch_call_output"
            | "computer_call_output" => self.result(item, path, joins),
            "local_shell_call" | "shell_call" | "apply_patch_call" | "computer_call" => {
                self.stand_in(item, path, &kind)
            }
            "image_generation_call" => self.picture(&mut item, path),
            "agent_message" => self.agent_message(item, path),
            "additional_tools" | "tool_search_output" => self.tools(&mut item, path),
            "configuration_update" => self.configuration(&mut item, path),
            "web_search_call"
            | "file_search_call"
            | "code_interpreter_call"
            | "mcp_list_tools"
            | "mcp_call"
            | "tool_search_call" => {
                self.after_result = joins;
                self.unmapped(path, None);
                Ok(())
            }
            "item_reference" => {
                self.unmapped(path, Some("an item is named that is kept elsewhere; it must be sent whole"));
                Ok(())
            }
            kind => Err(unreadable(path, kind)),
        }
    }

    fn unmapped(&mut self, path: &str, refusal: Option<&'static str>) {
        self.request.rest.push(Unmapped { path: path.to_owned(), refusal, hint: None });
    }

    /// An item's `id` and `status` mean something to the provider that issued it only; its `phase` to that provider's models.
    fn message(&mut self, mut item: Json, path: &str) -> Result<(), Malformed> {
        let role = need_string(&mut item, "role", path, "one of user, assistant, system, developer")?;
        let mut parts = content::read(take(&mut item, "content"), &below(path, "content"))?;
        if let Some(value) = take_string(&mut item, "phase", path)?.filter(|_| role == "assistant") {
            let texts = parts.iter_mut().filter_map(|part| if let Part::Text(text) = part { Some(text) } else { None });
            let phase = Signature { origin: ProtocolId::OpenAiResponses, value };
            texts.for_each(|text| text.signature = Some(phase.clone()));
        }
        match role.as_str() {
            "system" | "developer" if self.request.messages.is_empty() => self.request.system.extend(parts),
            "system" | "developer" => self.say(Role::System, parts, path),
            "user" => self.say(Role::User, parts, path),
            "assistant" => parts.into_iter().for_each(|part| self.said(part, path)),
            _ => return Err(must_be(&below(path, "role"), "one of user, assistant, system, developer")),
        }
        Ok(())
    }

    fn say(&mut self, role: Role, parts: Vec<Part>, path: &str) {
        self.request.messages.push(Message { role, parts, place: path.into() });
    }

    /// Adds to the model's turn.
    fn said(&mut self, part: Part, path: &str) {
        match self.request.messages.last_mut().filter(|last| last.role == Role::Assistant) {
            Some(last) => last.parts.push(part),
            None => self.say(Role::Assistant, vec![part], path),
        }
    }

    fn call(&mut self, mut item: Json, path: &str, custom: bool) -> Result<(), Malformed> {
        let id = need_string(&mut item, "call_id", path, "the call's id")?;
        let name = need_string(&mut item, "name", path, "the tool's name")?;
        let name = match take_string(&mut item, "namespace", path)? {
            Some(namespace) => self.names.flat(&namespace, &name),
            None => name,
        };
        let arguments = match take(&mut item, if custom { "input" } else { "arguments" }) {
            None => String::new(),
            Some(Json::String(text)) => text,
            Some(other) => other.to_string(),
        };
        self.called(ToolCall { id, name, arguments, signature: None, custom, place: path.into() }, path);
        Ok(())
    }

    fn called(&mut self, call: ToolCall, path: &str) {
        self.calls.insert(call.id.clone(), call.name.clone());
        self.said(Part::ToolCall(call), path);
    }

    /// A call of a tool of OpenAI's that the client runs: the tool's name, and all that the item says as arguments.
    fn stand_in(&mut self, mut item: Json, path: &str, kind: &str) -> Result<(), Malformed> {
        let id = need_string(&mut item, "call_id", path, "the call's id")?;
        for key in ["id", "status"] {
            item.remove(key);
        }
        let name = kind.strip_suffix("_call").unwrap_or(kind).to_owned();
        let arguments = item.to_string();
        self.called(ToolCall { id, name, arguments, place: path.into(), ..ToolCall::default() }, path);
        Ok(())
    }

    fn result(&mut self, mut item: Json, path: &str, joins: bool) -> Result<(), Malformed> {
        let own = take(&mut item, "id");
        let id = match take(&mut item, "call_id").or(own) {
            Some(Json::String(id)) if !id.is_empty() => id,
            _ => return Err(must_be(&below(path, "call_id"), "the id of the call that it answers")),
        };
        let name = self.calls.get(&id).cloned().or(take_string(&mut item, "name", path)?);
        let is_error = item.get("status").and_then(Json::as_str) == Some("failed");
        let mut content = output(take(&mut item, "output"), &below(path, "output"))?;
        let cache = content.iter_mut().filter_map(|part| match part {
            Part::Text(text) => text.cache.take(),
            Part::Media(media) => media.cache.take(),
            _ => None,
        });
        let cache = cache.last();
        content.retain(|part| !matches!(part, Part::Text(text) if text.text.is_empty()));
        let result = Part::ToolResult(ToolResult { id, name, content, is_error, cache, place: path.into() });
        match self.request.messages.last_mut().filter(|_| joins) {
            Some(last) => last.parts.push(result),
            None => self.say(Role::User, vec![result], path),
        }
        self.after_result = true;
        Ok(())
    }

    fn reasoning(&mut self, item: &mut Json, path: &str) -> Result<(), Malformed> {
        let text = thoughts(take(item, "content")).or_else(|| thoughts(take(item, "summary"))).unwrap_or_default();
        let proof = take_string(item, "encrypted_content", path)?.filter(|proof| !proof.is_empty());
        let (signature, redacted) = match proof.map(|proof| Carrier::unwrap(&proof).ok_or(proof)) {
            None => (None, false),
            Some(Err(value)) => (Some(Signature { origin: ProtocolId::OpenAiResponses, value }), false),
            Some(Ok(Carrier::Reasoning { signature, redacted })) => (Some(signature), redacted),
            Some(Ok(Carrier::ToolCall { id, signature })) => {
                self.signatures.insert(id, signature);
                (None, false)
            }
            Some(Ok(Carrier::Text { signature })) => {
                self.sign_text(signature, path);
                (None, false)
            }
        };
        if !text.is_empty() || signature.is_some() {
            self.said(Part::Reasoning(Reasoning { text, signature, redacted, place: path.into() }), path);
        }
        Ok(())
    }

    /// Signs the text that was said last; where none was, or it is signed, an empty one.
    fn sign_text(&mut self, signature: Signature, path: &str) {
        let turn = self.request.messages.last_mut().filter(|last| last.role == Role::Assistant);
        match turn.and_then(|turn| turn.parts.last_mut()) {
            Some(Part::Text(text)) if text.signature.is_none() => text.signature = Some(signature),
            _ => {
                let signature = Some(signature);
                self.said(Part::Text(Text { signature, place: path.into(), ..Text::default() }), path);
            }
        }
    }

    fn sign_calls(&mut self) {
        let parts = self.request.messages.iter_mut().flat_map(|message| &mut message.parts);
        for call in parts.filter_map(|part| if let Part::ToolCall(call) = part { Some(call) } else { None }) {
            call.signature = self.signatures.remove(&call.id);
        }
    }

    /// A picture that the model made is one that it has seen.
    fn picture(&mut self, item: &mut Json, path: &str) -> Result<(), Malformed> {
        let Some(data) = take_string(item, "result", path)? else { return Ok(()) };
        let told = take_string(item, "output_format", path)?.map(|format| format!("image/{format}"));
        let mime = told.or_else(|| base64::sniff(&data).map(str::to_owned)).unwrap_or_else(|| "image/png".to_owned());
        let picture = Media {
            kind: MediaKind::Image,
            source: MediaSource::Base64(data),
            mime: Some(mime),
            name: None,
            detail: None,
            cache: None,
            place: path.into(),
        };
        self.said(Part::Media(picture), path);
        Ok(())
    }

    /// What one agent told another, as text of the user's that says who spoke.
    fn agent_message(&mut self, mut item: Json, path: &str) -> Result<(), Malformed> {
        let mut heading = "Message".to_owned();
        for (key, word) in [("author", "from"), ("recipient", "to")] {
            if let Some(name) = take_string(&mut item, key, path)? {
                heading = format!("{heading} {word} {name}");
            }
        }
        let mut parts = vec![Part::text(format!("[{heading}]"))];
        parts.extend(content::read(take(&mut item, "content"), &below(path, "content"))?);
        self.say(Role::User, parts, path);
        Ok(())
    }

    fn tools(&mut self, item: &mut Json, path: &str) -> Result<(), Malformed> {
        match take(item, "tools") {
            Some(Json::Array(list)) => tools::join(list, &below(path, "tools"), self.request, &mut self.names),
            _ => Err(must_be(&below(path, "tools"), "an array of tools")),
        }
    }

    /// What is wanted from here on; the model's answer is all that comes.
    fn configuration(&mut self, item: &mut Json, path: &str) -> Result<(), Malformed> {
        if let Some(mut reasoning) = take(item, "reasoning") {
            let path = below(path, "reasoning");
            if let Some(word) = take_string(&mut reasoning, "effort", &path)? {
                let asked = self.request.reasoning.get_or_insert_default();
                asked.effort = Some(effort(&word, &below(&path, "effort"))?);
            }
        }
        if let Some(mut text) = take(item, "text")
            && let Some(format) = take(&mut text, "format")
        {
            self.request.response_format = Some(text_format(format, &below(path, "text.format"))?);
        }
        Ok(())
    }
}

/// The text of a list of thoughts; `None` if there is none.
fn thoughts(list: Option<Json>) -> Option<String> {
    let list = list?;
    let texts = list.items()?.iter().filter_map(|item| item.get("text")?.as_str());
    let texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// What a tool answered. The outputs of OpenAI's own tools are objects, which are told as they are.
fn output(value: Option<Json>, path: &str) -> Result<Vec<Part>, Malformed> {
    match value {
        Some(Json::Array(items)) if items.iter().any(|item| item.get("type").is_none()) => {
            Ok(vec![Part::text(Json::Array(items).to_string())])
        }
        Some(screenshot @ Json::Object(_)) if screenshot.get("type").is_some() => {
            content::part(screenshot, path).map(|part| vec![part])
        }
        Some(object @ Json::Object(_)) => Ok(vec![Part::text(object.to_string())]),
        other => content::read(other, path),
    }
}
