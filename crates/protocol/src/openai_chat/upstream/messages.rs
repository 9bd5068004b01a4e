//! Writes the conversation for an upstream.

use crate::{
    ProtocolId,
    ir::{
        FOREIGN, Losses, Media, MediaKind, MediaSource, Message, Part, Place, Reasoning, Request, ResponseFormat, Role,
        Signature, StandIn, ToolCall, ToolResult,
    },
    json::Json,
    models::{ModelRules, ToolCallIds},
    openai::{
        self,
        body::speak_of_json,
        content::{self, LONGEST_ID, texts},
        ids,
    },
};

/// Writes messages one after the other.
pub struct Writer<'a> {
    rules: &'a ModelRules,
    losses: &'a mut Losses,
    out: Vec<Json>,
}

impl<'a> Writer<'a> {
    pub fn new(rules: &'a ModelRules, losses: &'a mut Losses) -> Self {
        Self { rules, losses, out: Vec::new() }
    }

    /// All messages; `instruction` says in words what the answer is to look like.
    pub fn write(mut self, request: &Request, instruction: Option<&str>) -> Vec<Json> {
        let parts = request.system.iter().chain(request.messages.iter().flat_map(|message| &message.parts));
        let told = matches!(request.response_format, Some(ResponseFormat::JsonObject)) && speak_of_json(parts);
        let instruction = instruction.filter(|_| !told);
        let system = content::paragraphs(texts(request.system.iter()).chain(instruction));
        if !system.is_empty() {
            self.say("system", Json::from(system));
        }
        content::note_cache(request.system.iter(), self.losses);
        self.note_mute(request.system.iter());
        for message in &request.messages {
            content::note_cache(message.parts.iter(), self.losses);
            match message.role {
                Role::System => self.system(message),
                Role::User => self.user(message),
                Role::Assistant => self.assistant(message),
            }
        }
        self.out
    }

    fn say(&mut self, role: &str, content: Json) {
        self.out.push(Json::object([("role", Json::from(role)), ("content", content)]));
    }

    /// Notes what cannot stand in a message of a system's, which holds text alone.
    fn note_mute<'p>(&mut self, parts: impl Iterator<Item = &'p Part>) {
        for part in parts.filter(|part| !matches!(part, Part::Text(_))) {
            self.losses.dropped(part.place());
        }
    }

    fn system(&mut self, message: &Message) {
        self.note_mute(message.parts.iter());
        let text = content::paragraphs(texts(message.parts.iter()));
        if !text.is_empty() {
            let role = if self.rules.system_in_messages { "system" } else { "user" };
            self.say(role, Json::from(text));
        }
    }

    /// Results of tools first, each a message of its own, then everything else.
    fn user(&mut self, message: &Message) {
        let mut rest = Vec::new();
        for part in &message.parts {
            if let Part::ToolResult(result) = part {
                rest.extend(self.result(result));
            }
        }
        for part in &message.parts {
            rest.extend(self.part(part));
        }
        let answers = message.parts.iter().any(|part| matches!(part, Part::ToolResult(_)));
        match said(rest) {
            Some(content) => self.say("user", content),
            // Somebody who says nothing still takes a turn.
            None if !answers => self.say("user", Json::from("")),
            None => {}
        }
    }

    /// Writes one result, and gives back what must follow in a message of the user's.
    fn result(&mut self, result: &ToolResult) -> Vec<Json> {
        let mut text = content::result_text(result);
        let mut media = Vec::new();
        for part in &result.content {
            if matches!(part, Part::Media(_) | Part::Opaque { .. }) {
                media.extend(self.part(part));
            }
        }
        let id = self.id(&result.id);
        let (content, hoisted) = if media.is_empty() {
            (Json::from(text), Vec::new())
        } else if self.rules.media_in_tool_results {
            if !text.is_empty() {
                media.insert(0, text_part(&text));
            }
            (Json::Array(media), Vec::new())
        } else {
            if text.is_empty() {
                text = "The result follows in the next message of the user.".to_owned();
            }
            let marker = text_part(&format!("Result of the tool call {id}:"));
            (Json::from(text), [marker].into_iter().chain(media).collect())
        };
        let message = [("role", Json::from("tool")), ("tool_call_id", Json::from(id)), ("content", content)];
        self.out.push(Json::object(message));
        hoisted
    }

    fn part(&mut self, part: &Part) -> Option<Json> {
        match part {
            Part::Text(text) => (!text.text.is_empty()).then(|| text_part(&text.text)),
            Part::Media(media) => self.media(media),
            Part::Refusal(text) => Some(text_part(text)),
            Part::Opaque { place, .. } => {
                self.losses.refused(place, FOREIGN);
                None
            }
            Part::Reasoning(_) | Part::ToolCall(_) | Part::ToolResult(_) => None,
        }
    }

    fn media(&mut self, media: &Media) -> Option<Json> {
        let place = &media.place;
        let mime = content::mime(media);
        match (media.kind, &media.source) {
            (MediaKind::Image, MediaSource::Base64(data)) => {
                Some(linked("image_url", content::data_url(mime, data), media.detail.as_deref()))
            }
            (MediaKind::Image, MediaSource::Url(url)) => {
                Some(linked("image_url", url.clone(), media.detail.as_deref()))
            }
            (MediaKind::Video, MediaSource::Base64(data)) => {
                Some(linked("video_url", content::data_url(mime, data), None))
            }
            (MediaKind::Video, MediaSource::Url(url)) => Some(linked("video_url", url.clone(), None)),
            (MediaKind::Audio, MediaSource::Base64(data)) => self.audio(mime, data, place),
            (MediaKind::Document, MediaSource::Base64(data)) => Some(document(media, mime, data)),
            (MediaKind::Document, MediaSource::File { origin, id }) if openai::is_own(*origin) => {
                let inner = Json::object([("file_id", Json::from(id.as_str()))]);
                Some(Json::object([("type", Json::from("file")), ("file", inner)]))
            }
            (_, MediaSource::File { .. }) => self.refuse(place, "the file was uploaded to another provider"),
            (_, MediaSource::Url(_)) => {
                self.refuse(place, "this protocol takes such a file only with its contents, not by its address")
            }
        }
    }

    fn refuse(&mut self, place: &Place, why: &str) -> Option<Json> {
        self.losses.refused(place, why);
        None
    }

    fn audio(&mut self, mime: &str, data: &str, place: &Place) -> Option<Json> {
        let format = match mime {
            "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
            "audio/mpeg" | "audio/mp3" => "mp3",
            _ => return self.refuse(place, "this protocol takes sound as wav and mp3 only"),
        };
        let inner = Json::object([("data", Json::from(data)), ("format", Json::from(format))]);
        Some(Json::object([("type", Json::from("input_audio")), ("input_audio", inner)]))
    }

    fn assistant(&mut self, message: &Message) {
        let text: String = texts(message.parts.iter()).collect();
        let mut refusal = String::new();
        let mut reasoning = String::new();
        let mut calls = Vec::new();
        for part in &message.parts {
            match part {
                Part::Refusal(text) => refusal.push_str(text),
                Part::Reasoning(part) => {
                    if self.rules.reasoning_history.is_none() && part.says_something() {
                        self.losses.dropped(&part.place);
                    }
                    reasoning.push_str(&part.text);
                }
                Part::ToolCall(call) => calls.push(self.call(call)),
                Part::Media(_) | Part::Opaque { .. } => self.losses.dropped(part.place()),
                Part::Text(_) | Part::ToolResult(_) => {}
            }
        }
        if text.is_empty() && refusal.is_empty() && calls.is_empty() && reasoning.is_empty() {
            return;
        }
        let silent = text.is_empty() && (!calls.is_empty() || !refusal.is_empty());
        let content = if silent { Json::Null } else { Json::from(text) };
        let mut members = vec![("role".to_owned(), Json::from("assistant")), ("content".to_owned(), content)];
        let mut put = |key: &str, value: Json| members.push((key.to_owned(), value));
        if !refusal.is_empty() {
            put("refusal", Json::from(refusal));
        }
        match self.rules.reasoning_history.as_deref() {
            Some(field @ "reasoning_details") => details(&message.parts).into_iter().for_each(|list| put(field, list)),
            // DeepSeek wants the field in each turn that called a tool, be it empty.
            Some(field) if !reasoning.is_empty() || !calls.is_empty() => put(field, Json::from(reasoning)),
            _ => {}
        }
        if !calls.is_empty() {
            put("tool_calls", Json::Array(calls));
        }
        if let Some(extra) = message.parts.iter().find_map(|part| match part {
            Part::Text(text) => self.google(text.signature.as_ref()),
            _ => None,
        }) {
            put("extra_content", extra);
        }
        self.out.push(Json::Object(members));
    }

    fn call(&mut self, call: &ToolCall) -> Json {
        let (kind, key, said) = match call.custom {
            true if self.rules.custom_tools => ("custom", "input", Json::from(call.arguments.as_str())),
            true => ("function", "arguments", Json::from(StandIn::arguments(&call.arguments).to_string())),
            false if call.arguments.is_empty() => ("function", "arguments", Json::from("{}")),
            false => ("function", "arguments", Json::from(call.arguments.as_str())),
        };
        let inner = Json::object([("name", Json::from(call.name.as_str())), (key, said)]);
        let mut members = vec![("id", Json::from(self.id(&call.id))), ("type", Json::from(kind)), (kind, inner)];
        members.extend(self.google(call.signature.as_ref()).map(|extra| ("extra_content", extra)));
        Json::object(members)
    }

    /// Gemini's signature, where the model behind the server is Gemini.
    fn google(&self, signature: Option<&Signature>) -> Option<Json> {
        let signature =
            signature.filter(|known| self.rules.thought_signatures && known.origin == ProtocolId::Gemini)?;
        let google = Json::object([("thought_signature", Json::from(signature.value.as_str()))]);
        Some(Json::object([("google", google)]))
    }

    fn id(&self, id: &str) -> String {
        match self.rules.tool_call_ids {
            ToolCallIds::Any => ids::at_most(id, LONGEST_ID),
            ToolCallIds::NineAlphanumerics => ids::nine_alphanumerics(id),
        }
    }
}

/// A turn's reasoning as OpenRouter gave it, with Claude's signatures; it hands others' back by their text alone. `None` if
/// there was none.
fn details(parts: &[Part]) -> Option<Json> {
    let reasoning = parts.iter().filter_map(|part| match part {
        Part::Reasoning(reasoning) => Some(reasoning),
        _ => None,
    });
    let list: Vec<Json> = reasoning.enumerate().map(|(index, reasoning)| detail(index, reasoning)).collect();
    (!list.is_empty()).then_some(Json::Array(list))
}

fn detail(index: usize, reasoning: &Reasoning) -> Json {
    let signature = reasoning.signature.as_ref().filter(|signature| signature.origin == ProtocolId::Anthropic);
    let (kind, text, proof) = match reasoning.redacted {
        true => ("reasoning.encrypted", None, "data"),
        false => ("reasoning.text", Some(reasoning.text.as_str()), "signature"),
    };
    let mut members = vec![("type", Json::from(kind))];
    members.extend(text.map(|text| ("text", Json::from(text))));
    if let Some(signature) = signature {
        members.push((proof, Json::from(signature.value.as_str())));
        members.push(("format", Json::from("anthropic-claude-v1")));
    }
    members.push(("index", Json::from(index as u64)));
    Json::object(members)
}

fn text_part(text: &str) -> Json {
    Json::object([("type", Json::from("text")), ("text", Json::from(text))])
}

fn linked(key: &'static str, url: String, detail: Option<&str>) -> Json {
    let mut inner = vec![("url", Json::from(url))];
    inner.extend(detail.map(|detail| ("detail", Json::from(detail))));
    Json::object([("type", Json::from(key)), (key, Json::object(inner))])
}

/// A file; plain text is written out, since `file` takes PDF alone.
fn document(media: &Media, mime: &str, data: &str) -> Json {
    if let Some(text) = content::plain_text(media) {
        return text_part(&text);
    }
    let name = media.name.as_deref().unwrap_or("document.pdf");
    let inner = [("filename", Json::from(name)), ("file_data", Json::from(content::data_url(mime, data)))];
    Json::object([("type", Json::from("file")), ("file", Json::object(inner))])
}

/// A lone text as a string, which every server takes; else the list.
fn said(mut parts: Vec<Json>) -> Option<Json> {
    if parts.len() == 1 && parts[0].get("type").and_then(Json::as_str) == Some("text") {
        return parts[0].remove("text");
    }
    (!parts.is_empty()).then_some(Json::Array(parts))
}
