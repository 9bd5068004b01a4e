//! Writes the conversation: a list of items, in which a call and its result stand beside the messages.

use std::collections::HashSet;

use crate::{
    ProtocolId,
    ir::{
        FOREIGN, Losses, Media, MediaKind, MediaSource, Message, Part, Reasoning, Request, ResponseFormat, Role, Text,
        ToolCall, ToolResult,
    },
    json::Json,
    openai::{
        self,
        body::{Format, speak_of_json},
        content::{self, LONGEST_ID, texts},
        ids,
    },
};

/// What stands before the conversation, and the conversation.
pub struct Conversation {
    pub instructions: Option<String>,
    pub items: Vec<Json>,
}

pub fn write(request: &Request, format: Option<&Format<'_>>, losses: &mut Losses) -> Conversation {
    content::note_cache(request.system.iter(), losses);
    note_mute(&request.system, losses);
    let calls = request.messages.iter().flat_map(|message| &message.parts).filter_map(|part| match part {
        Part::ToolCall(call) if call.custom => Some(call.id.as_str()),
        _ => None,
    });
    let mut writer = Writer { losses, custom: calls.collect(), thoughts: Vec::new(), items: Vec::new() };
    if let Some(Format::Object { instruction }) = format {
        writer.instruct(instruction, request);
    }
    for message in &request.messages {
        writer.message(message);
    }
    let instructions = content::paragraphs(texts(request.system.iter()));
    let mut items = writer.items;
    // Instructions alone are no input, which there must be.
    if items.is_empty() && !instructions.is_empty() {
        items.push(say("system", Json::from(instructions)));
        return Conversation { instructions: None, items };
    }
    Conversation { instructions: (!instructions.is_empty()).then_some(instructions), items }
}

struct Writer<'a> {
    losses: &'a mut Losses,
    /// The ids of calls of free-text tools, whose results are items of another sort.
    custom: HashSet<&'a str>,
    /// Reasoning that waits for what it led to: the API refuses it without.
    thoughts: Vec<Json>,
    items: Vec<Json>,
}

impl Writer<'_> {
    /// Asks for JSON in words. The API looks for the word JSON in the input alone, not in the instructions.
    fn instruct(&mut self, instruction: &str, request: &Request) {
        let described = matches!(request.response_format, Some(ResponseFormat::JsonSchema { .. }));
        if described || !speak_of_json(request.messages.iter().flat_map(|message| &message.parts)) {
            self.items.push(say("system", Json::from(instruction)));
        }
    }

    fn message(&mut self, message: &Message) {
        content::note_cache(message.parts.iter(), self.losses);
        match message.role {
            Role::System => {
                note_mute(&message.parts, self.losses);
                let text = content::paragraphs(texts(message.parts.iter()));
                if !text.is_empty() {
                    self.push(say("system", Json::from(text)));
                }
            }
            Role::User => self.user(message),
            Role::Assistant => self.assistant(message),
        }
    }

    /// Adds what somebody else than the model said: reasoning that led to nothing is left behind.
    fn push(&mut self, item: Json) {
        self.thoughts.clear();
        self.items.push(item);
    }

    /// Results of tools first, then everything else as one message.
    fn user(&mut self, message: &Message) {
        for part in &message.parts {
            match part {
                Part::ToolResult(result) => self.result(result),
                Part::Opaque { origin: ProtocolId::OpenAiResponses, raw, .. } => self.push(raw.clone()),
                _ => {}
            }
        }
        let rest = self.content(&message.parts);
        let answers = message.parts.iter().any(|part| matches!(part, Part::ToolResult(_) | Part::Opaque { .. }));
        if !rest.is_empty() || !answers {
            self.push(say("user", lone_text(rest)));
        }
    }

    fn result(&mut self, result: &ToolResult) {
        let text = content::result_text(result);
        let output = if result.content.iter().any(|part| matches!(part, Part::Media(_))) {
            let error = result.is_error.then(|| text_part("input_text", "Error:"));
            Json::Array(error.into_iter().chain(self.content(&result.content)).collect())
        } else {
            Json::from(text)
        };
        let kind =
            if self.custom.contains(result.id.as_str()) { "custom_tool_call_output" } else { "function_call_output" };
        self.push(Json::object([
            ("type", Json::from(kind)),
            ("call_id", Json::from(ids::at_most(&result.id, LONGEST_ID))),
            ("output", output),
        ]));
    }

    /// The parts that a message or a result may hold.
    fn content(&mut self, parts: &[Part]) -> Vec<Json> {
        let mut written = Vec::new();
        for part in parts {
            match part {
                Part::Text(text) if text.text.is_empty() => {}
                Part::Text(text) => written.push(text_part("input_text", &text.text)),
                Part::Refusal(text) => written.push(text_part("input_text", text)),
                Part::Media(media) => match file(media) {
                    Ok(part) => written.push(part),
                    Err(why) => self.losses.refused(&media.place, why),
                },
                Part::Opaque { origin: ProtocolId::OpenAiResponses, .. } => {}
                Part::Opaque { place, .. } => self.losses.refused(place, FOREIGN),
                Part::Reasoning(_) | Part::ToolCall(_) | Part::ToolResult(_) => {}
            }
        }
        written
    }

    /// Items in the order in which they came about; pieces of text side by side are one message, if they are of one phase.
    fn assistant(&mut self, message: &Message) {
        let mut said = Said::default();
        for part in &message.parts {
            match part {
                // Some clients keep what signs a text apart from it, in front.
                Part::Text(text) if text.text.is_empty() => self.turn_to(phase(text), &mut said),
                Part::Text(text) => {
                    if phase(text).is_some() {
                        self.turn_to(phase(text), &mut said);
                    }
                    said.pieces.push(text_part("output_text", &text.text));
                }
                Part::Refusal(text) => {
                    said.pieces
                        .push(Json::object([("type", Json::from("refusal")), ("refusal", Json::from(text.as_str()))]));
                }
                Part::Reasoning(reasoning) => {
                    self.said(&mut said);
                    let thought = thought(reasoning);
                    if thought.is_none() && reasoning.says_something() {
                        self.losses.dropped(&reasoning.place);
                    }
                    self.thoughts.extend(thought);
                }
                Part::ToolCall(call) => {
                    self.said(&mut said);
                    self.follow(tool_call(call));
                }
                Part::Opaque { origin: ProtocolId::OpenAiResponses, raw, .. } => {
                    self.said(&mut said);
                    self.follow(raw.clone());
                }
                Part::Media(_) | Part::Opaque { .. } => self.losses.dropped(part.place()),
                Part::ToolResult(_) => {}
            }
        }
        self.said(&mut said);
    }

    /// Writes what the model has said up to here.
    fn said(&mut self, said: &mut Said) {
        let Said { pieces, phase } = std::mem::take(said);
        if !pieces.is_empty() {
            let mut item = say("assistant", lone_text(pieces));
            phase.into_iter().for_each(|phase| item.set("phase", Json::from(phase)));
            self.follow(item);
        }
    }

    /// What follows is of this phase.
    fn turn_to(&mut self, phase: Option<String>, said: &mut Said) {
        if phase != said.phase {
            self.said(said);
            said.phase = phase;
        }
    }

    /// Adds an item of the model's behind the reasoning that led to it.
    fn follow(&mut self, item: Json) {
        self.items.append(&mut self.thoughts);
        self.items.push(item);
    }
}

/// What the model says in one message.
#[derive(Default)]
struct Said {
    pieces: Vec<Json>,
    phase: Option<String>,
}

/// Which part of an answer this protocol said that a text is. Its models want to be told again.
fn phase(text: &Text) -> Option<String> {
    let signature = text.signature.as_ref().filter(|known| known.origin == ProtocolId::OpenAiResponses)?;
    Some(signature.value.clone())
}

/// Notes what cannot stand among instructions, which are text alone.
fn note_mute(parts: &[Part], losses: &mut Losses) {
    parts.iter().filter(|part| !matches!(part, Part::Text(_))).for_each(|part| losses.dropped(part.place()));
}

fn say(role: &str, content: Json) -> Json {
    Json::object([("type", Json::from("message")), ("role", Json::from(role)), ("content", content)])
}

/// A lone text as a string, which every server takes; else the list. Somebody who says nothing still takes a turn.
fn lone_text(mut parts: Vec<Json>) -> Json {
    match parts.as_mut_slice() {
        [] => Json::from(""),
        [only] if only.get("text").is_some() => only.remove("text").unwrap_or_default(),
        _ => Json::Array(parts),
    }
}

fn text_part(kind: &str, text: &str) -> Json {
    Json::object([("type", Json::from(kind)), ("text", Json::from(text))])
}

/// Reasoning that this protocol issued, without the id by which a provider that keeps answers would look for it. What
/// nobody signed, or somebody else did, means nothing here.
fn thought(reasoning: &Reasoning) -> Option<Json> {
    let signature = reasoning.signature.as_ref().filter(|known| known.origin == ProtocolId::OpenAiResponses)?;
    let summary: Vec<Json> =
        if reasoning.text.is_empty() { Vec::new() } else { vec![text_part("summary_text", &reasoning.text)] };
    Some(Json::object([
        ("type", Json::from("reasoning")),
        ("summary", Json::Array(summary)),
        ("encrypted_content", Json::from(signature.value.as_str())),
    ]))
}

fn tool_call(call: &ToolCall) -> Json {
    let arguments = if call.arguments.is_empty() && !call.custom { "{}" } else { &call.arguments };
    let (kind, key) = if call.custom { ("custom_tool_call", "input") } else { ("function_call", "arguments") };
    Json::object([
        ("type", Json::from(kind)),
        ("call_id", Json::from(ids::at_most(&call.id, LONGEST_ID))),
        ("name", Json::from(call.name.as_str())),
        (key, Json::from(arguments)),
    ])
}

/// A picture or a document; the API takes no sound and no film. Plain text is written out.
fn file(media: &Media) -> Result<Json, &'static str> {
    let (kind, source) = match (media.kind, &media.source) {
        (MediaKind::Audio, _) => return Err("this protocol takes no sound"),
        (MediaKind::Video, _) => return Err("this protocol takes no video"),
        (_, MediaSource::File { origin, .. }) if !openai::is_own(*origin) => {
            return Err("the file was uploaded to another provider");
        }
        (MediaKind::Image, MediaSource::File { id, .. }) => ("input_image", ("file_id", id.clone())),
        (MediaKind::Image, MediaSource::Url(url)) => ("input_image", ("image_url", url.clone())),
        (MediaKind::Image, MediaSource::Base64(data)) => {
            ("input_image", ("image_url", content::data_url(content::mime(media), data)))
        }
        (MediaKind::Document, MediaSource::File { id, .. }) => ("input_file", ("file_id", id.clone())),
        (MediaKind::Document, MediaSource::Url(url)) => ("input_file", ("file_url", url.clone())),
        (MediaKind::Document, MediaSource::Base64(data)) => {
            if let Some(text) = content::plain_text(media) {
                return Ok(text_part("input_text", &text));
            }
            ("input_file", ("file_data", content::data_url(content::mime(media), data)))
        }
    };
    let mut members = vec![("type", Json::from(kind))];
    if source.0 == "file_data" {
        members.push(("filename", Json::from(media.name.as_deref().unwrap_or("document.pdf"))));
    }
    members.push((source.0, Json::from(source.1)));
    if media.kind == MediaKind::Image {
        members.push(("detail", Json::from(media.detail.as_deref().unwrap_or("auto"))));
    }
    Ok(Json::object(members))
}
