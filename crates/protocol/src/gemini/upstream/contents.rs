//! Writes the conversation: who may speak after whom, and which result answers which call.
//!
//! Gemini wants the user first, all results of a turn's calls in the content right after it, as many and in the same
//! order, and nothing else beside them; a part must hold something.

use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
};

use serde_json::value::RawValue;

use super::{
    body::{Content, Speaker},
    media, names,
};
use crate::{
    ProtocolId,
    gemini::{
        part::{FunctionCall, FunctionResponse, Part, Payload, object, wrapped},
        signature::UNSIGNED,
    },
    ir::{self, Cache, FOREIGN, Losses, Message, Place, Request, Role, Signature, ToolCall, ToolResult},
    models::ModelRules,
};

/// Stands where somebody must speak and said nothing; an empty text is refused.
const SILENCE: &str = " ";

/// The calls of a turn, by what their results may name: where they stand among all, in order.
type Waiting<'a> = HashMap<&'a str, VecDeque<usize>>;

/// The first call of this key that has no answer yet. Those that have one are forgotten on the way.
fn first_waiting(waiting: &mut Waiting<'_>, key: &str, calls: &[Asked<'_>]) -> Option<usize> {
    let places = waiting.get_mut(key)?;
    while places.front().is_some_and(|at| calls.get(*at).is_none_or(|asked| asked.answer.is_some())) {
        places.pop_front();
    }
    places.front().copied()
}

pub fn contents<'a>(request: &'a Request, rules: &ModelRules, losses: &mut Losses) -> Vec<Content<'a>> {
    let mut writer = Writer {
        rules,
        losses,
        list: Vec::new(),
        calls: Vec::new(),
        by_id: Waiting::new(),
        by_name: Waiting::new(),
        names: HashMap::new(),
        said: Vec::new(),
        last: request.messages.last().map_or(Place::NOWHERE, |last| &last.place),
        spoke: false,
    };
    for message in &request.messages {
        match message.role {
            Role::Assistant => writer.model(message),
            Role::User | Role::System => writer.user(message),
        }
    }
    writer.finish()
}

struct Writer<'a, 'w> {
    rules: &'w ModelRules,
    losses: &'w mut Losses,
    list: Vec<Content<'a>>,
    /// Calls of the model's last turn, each to be answered once.
    calls: Vec<Asked<'a>>,
    by_id: Waiting<'a>,
    by_name: Waiting<'a>,
    /// The name of every call so far by its id, for results that come too late.
    names: HashMap<&'a str, &'a str>,
    /// What the user says in the turn at hand, besides results.
    said: Vec<Part<'a>>,
    /// Where the last message stood.
    last: &'a Place,
    /// Whether the user had a turn since the model's last, even an empty one.
    spoke: bool,
}

/// A call and its answer.
struct Asked<'a> {
    call: &'a ToolCall,
    /// Gemini's own id, which the answer must repeat.
    id: Option<&'a str>,
    answer: Option<FunctionResponse<'a>>,
}

impl<'a> Writer<'a, '_> {
    fn model(&mut self, message: &'a Message) {
        self.turn();
        // Whoever signs one call of a turn gave all of its ids.
        let ours = message
            .parts
            .iter()
            .any(|part| matches!(part, ir::Part::ToolCall(call) if signature(call.signature.as_ref()).is_some()));
        let parts: Vec<Part<'a>> = message.parts.iter().filter_map(|part| self.generated(part, ours)).collect();
        if parts.is_empty() {
            return;
        }
        match self.list.last_mut() {
            Some(last) if last.role == Speaker::Model => last.parts.extend(parts),
            last => {
                let first = last.is_none();
                self.list.extend(first.then(|| Content { role: Speaker::User, parts: vec![Part::text(SILENCE)] }));
                self.list.push(Content { role: Speaker::Model, parts });
            }
        }
    }

    /// A part of the model's turn.
    fn generated(&mut self, part: &'a ir::Part, ours: bool) -> Option<Part<'a>> {
        match part {
            ir::Part::ToolCall(call) => Some(self.call(call, ours)),
            // Thoughts are shown to the model again only under its own signature.
            ir::Part::Reasoning(reasoning) => {
                let Some(thought_signature) = signature(reasoning.signature.as_ref()) else {
                    if reasoning.says_something() {
                        self.losses.dropped(&reasoning.place);
                    }
                    return None;
                };
                let data = Payload::Text(Cow::Borrowed(&reasoning.text));
                Some(Part { data, thought: true, thought_signature: Some(thought_signature.into()) })
            }
            // The model has seen what it did elsewhere in its words at least.
            ir::Part::Opaque { origin, place, .. } if *origin != ProtocolId::Gemini => {
                self.losses.dropped(place);
                None
            }
            other => self.plain(other),
        }
    }

    /// A part that either side may say.
    fn plain(&mut self, part: &'a ir::Part) -> Option<Part<'a>> {
        match part {
            ir::Part::Text(text) => {
                self.cached(text.cache.as_ref());
                let thought_signature = signature(text.signature.as_ref()).map(Cow::Borrowed);
                let holds = !text.text.is_empty() || thought_signature.is_some();
                holds.then(|| Part { thought_signature, ..Part::text(&text.text) })
            }
            ir::Part::Refusal(text) => (!text.is_empty()).then(|| Part::text(text)),
            ir::Part::Media(medium) => {
                self.cached(medium.cache.as_ref());
                media::part(medium, self.losses)
            }
            ir::Part::Opaque { origin: ProtocolId::Gemini, raw, .. } if raw.members().is_some() => {
                Some(Payload::Raw(raw).into())
            }
            ir::Part::Opaque { place, .. } => {
                self.losses.refused(place, FOREIGN);
                None
            }
            ir::Part::Reasoning(_) | ir::Part::ToolCall(_) | ir::Part::ToolResult(_) => None,
        }
    }

    fn call(&mut self, call: &'a ToolCall, ours: bool) -> Part<'a> {
        let native = if ours { !names::is_own_id(&call.id) } else { names::is_native_id(&call.id) };
        let id = Some(call.id.as_str()).filter(|id| native && !id.is_empty());
        self.names.insert(&call.id, &call.name);
        self.by_id.entry(&call.id).or_default().push_back(self.calls.len());
        self.by_name.entry(&call.name).or_default().push_back(self.calls.len());
        self.calls.push(Asked { call, id, answer: None });
        let args = self.arguments(call);
        let data = Payload::FunctionCall(FunctionCall { id: id.map(Cow::Borrowed), name: called(&call.name), args });
        Part { thought_signature: signature(call.signature.as_ref()).map(Cow::Borrowed), ..data.into() }
    }

    /// Arguments are an object, whatever the model wrote; what is none is handed on inside one.
    fn arguments(&mut self, call: &'a ToolCall) -> Cow<'a, RawValue> {
        if call.custom {
            return wrapped("input", &call.arguments);
        }
        if call.arguments.trim().is_empty() {
            return object("{}").unwrap_or_else(|| wrapped("input", ""));
        }
        object(&call.arguments).unwrap_or_else(|| {
            self.losses.approximated((&call.place, "arguments"));
            wrapped("input", &call.arguments)
        })
    }

    fn user(&mut self, message: &'a Message) {
        self.spoke = true;
        for part in &message.parts {
            match (part, message.role) {
                (ir::Part::ToolResult(result), _) => self.result(result),
                // There is no role for it, and moving it to the front would change what it refers to.
                (ir::Part::Text(text), Role::System) if !text.text.is_empty() => {
                    self.cached(text.cache.as_ref());
                    self.losses.approximated(&message.place);
                    self.said.push(Part::text(format!("<system>\n{}\n</system>", text.text)));
                }
                (other, _) => {
                    let part = self.plain(other);
                    self.said.extend(part);
                }
            }
        }
    }

    /// Puts a result to its call. One that answers no call of the last turn is told as text.
    fn result(&mut self, result: &'a ToolResult) {
        self.cached(result.cache.as_ref());
        let (text, media) = self.content(result);
        let by_id = first_waiting(&mut self.by_id, &result.id, &self.calls);
        let by_name = || first_waiting(&mut self.by_name, result.name.as_deref()?, &self.calls);
        let Some(asked) = by_id.or_else(by_name).and_then(|at| self.calls.get_mut(at)) else {
            let name = result.name.as_deref().or_else(|| self.names.get(result.id.as_str()).copied());
            self.said.push(Part::text(format!("Result of {}: {text}", name.unwrap_or(&result.id))));
            return self.said.extend(media);
        };
        let inside = self.rules.media_in_tool_results && media.iter().all(media::fits_tool_result);
        let (parts, beside) = if inside { (media, Vec::new()) } else { (Vec::new(), media) };
        let response = match (result.is_error, text) {
            (true, text) => wrapped("error", &text),
            (false, Cow::Borrowed(text)) => object(text).unwrap_or_else(|| output(text)),
            (false, Cow::Owned(text)) => {
                object(&text).map(|raw| Cow::Owned(raw.into_owned())).unwrap_or_else(|| output(&text))
            }
        };
        asked.answer = Some(FunctionResponse { id: asked.id, name: called(&asked.call.name), response, parts });
        if !beside.is_empty() {
            self.said.push(Part::text(format!("Media in the result of {}:", asked.call.name)));
            self.said.extend(beside);
        }
    }

    /// A result's text, borrowed where it is one piece, and its media.
    fn content(&mut self, result: &'a ToolResult) -> (Cow<'a, str>, Vec<Part<'a>>) {
        let mut text = Cow::Borrowed("");
        let mut media = Vec::new();
        for part in &result.content {
            match part {
                ir::Part::Text(piece) if text.is_empty() => text = Cow::Borrowed(&piece.text),
                ir::Part::Text(piece) => text.to_mut().extend(["\n", &piece.text]),
                ir::Part::Media(medium) => media.extend(media::part(medium, self.losses)),
                ir::Part::Opaque { place, .. } => self.losses.refused(place, FOREIGN),
                other => self.losses.dropped(other.place()),
            }
        }
        (text, media)
    }

    /// Ends the user's turn: results first, alone, then what was said.
    fn turn(&mut self) {
        if !self.spoke {
            return;
        }
        self.spoke = false;
        self.by_id.clear();
        self.by_name.clear();
        let answers: Vec<Part<'a>> = self.calls.drain(..).map(answered).collect();
        let said = std::mem::take(&mut self.said);
        if answers.is_empty() && said.is_empty() {
            // Without it two turns of the model would meet.
            return self.list.push(Content { role: Speaker::User, parts: vec![Part::text(SILENCE)] });
        }
        for parts in [answers, said] {
            if !parts.is_empty() {
                self.list.push(Content { role: Speaker::User, parts });
            }
        }
    }

    fn finish(mut self) -> Vec<Content<'a>> {
        self.turn();
        if self.list.is_empty() {
            self.list.push(Content { role: Speaker::User, parts: vec![Part::text(SILENCE)] });
        }
        if !self.rules.prefill && self.list.last().is_some_and(|last| last.role == Speaker::Model) {
            self.losses.refused(self.last, "this model does not continue a message of the assistant");
        }
        if self.rules.signed_tool_calls {
            self.list.iter_mut().for_each(sign);
        }
        self.list
    }

    fn cached(&mut self, hint: Option<&Cache>) {
        if let Some(hint) = hint {
            self.losses.dropped(&hint.place);
        }
    }
}

/// Sees to it that the first call of a model's turn is signed. The others need no signature, and must not share one.
fn sign(content: &mut Content<'_>) {
    let first = content.parts.iter_mut().find(|part| matches!(part.data, Payload::FunctionCall(_)));
    if let Some(Part { thought_signature: unsigned @ None, .. }) = first {
        *unsigned = Some(UNSIGNED.into());
    }
}

/// A call's answer; one that never came is told as such, since the counts must agree.
fn answered(asked: Asked<'_>) -> Part<'_> {
    let missing = || FunctionResponse {
        id: asked.id,
        name: called(&asked.call.name),
        response: wrapped("error", "no result was given"),
        parts: Vec::new(),
    };
    Payload::FunctionResponse(asked.answer.unwrap_or_else(missing)).into()
}

/// The name in the history as Gemini takes it. What cannot be made to fit was refused with its declaration.
fn called(name: &str) -> Cow<'_, str> {
    names::fitting(name).unwrap_or(Cow::Borrowed(name))
}

fn signature(signature: Option<&Signature>) -> Option<&str> {
    signature
        .filter(|known| known.origin == ProtocolId::Gemini && !known.value.is_empty())
        .map(|known| known.value.as_str())
}

/// A result that is no object: a list as it is, anything else as text, which is what the tool gave.
fn output(text: &str) -> Cow<'static, RawValue> {
    let list = serde_json::from_str::<&RawValue>(text).ok().filter(|raw| raw.get().starts_with('['));
    match list.and_then(|raw| RawValue::from_string(format!(r#"{{"output":{}}}"#, raw.get())).ok()) {
        Some(raw) => Cow::Owned(raw),
        None => wrapped("output", text),
    }
}
