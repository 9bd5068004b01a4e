//! Reads the conversation.

use super::{fields::Fields, media, pairing::Pairing, proof::Proof};
use crate::{
    ProtocolId,
    ir::{Malformed, Message, Part, Place, Reasoning, Request, Role, Signature, Text, ToolCall, ToolResult, Unmapped},
    json::Json,
};

/// What ran at Google, and only Google can be told of.
const HOSTED: [&str; 4] = ["executableCode", "codeExecutionResult", "toolCall", "toolResponse"];

/// Reads `contents` into the request's conversation.
pub fn read(contents: Vec<Json>, request: &mut Request) -> Result<(), Malformed> {
    let mut reader = Reader { request, pairing: Pairing::default() };
    for (at, content) in contents.into_iter().enumerate() {
        reader.content(Fields::of(content, format!("contents[{at}]"))?)?;
    }
    Ok(())
}

/// Reads `systemInstruction`: a content whose role says nothing, or just text.
pub fn system(value: Json, request: &mut Request) -> Result<(), Malformed> {
    const PATH: &str = "systemInstruction";
    if let Json::String(text) = value {
        request.system.push(Part::Text(Text { text, place: PATH.into(), ..Text::default() }));
        return Ok(());
    }
    let mut content = Fields::of(value, PATH)?;
    content.take("role");
    for part in parts(&mut content)? {
        let part = plain(part, None, &mut request.rest)?;
        request.system.extend(part);
    }
    content.leave(&mut request.rest);
    Ok(())
}

fn parts(content: &mut Fields) -> Result<Vec<Fields>, Malformed> {
    let path = content.path("parts");
    let parts = content.list("parts").into_iter().enumerate();
    parts.map(|(at, part)| Fields::of(part, format!("{path}[{at}]"))).collect()
}

struct Reader<'a> {
    request: &'a mut Request,
    pairing: Pairing,
}

impl Reader<'_> {
    fn content(&mut self, mut content: Fields) -> Result<(), Malformed> {
        let role = content.string("role")?.unwrap_or_default();
        let (place, parts) = (content.place(), parts(&mut content)?);
        match role.to_ascii_lowercase().as_str() {
            "" | "user" | "function" => self.user(parts, place)?,
            "model" => self.model(parts, place)?,
            _ => return Err(content.must_be("role", "one of user, model, function")),
        }
        content.leave(&mut self.request.rest);
        Ok(())
    }

    // === The user ===

    /// Results first: they stand apart from what is said.
    fn user(&mut self, parts: Vec<Fields>, place: Place) -> Result<(), Malformed> {
        let (mut results, mut said) = (Vec::new(), Vec::new());
        for mut part in parts {
            match part.object("functionResponse")? {
                Some(response) => results.push(Part::ToolResult(self.result(response)?)),
                None if part.has("functionCall") => {
                    return Err(part.must_be("functionCall", "in a content of role `model`"));
                }
                None => said.extend(plain(part, None, &mut self.request.rest)?),
            }
        }
        if !results.is_empty() {
            self.results(results, &place);
        }
        if !said.is_empty() {
            self.request.messages.push(Message { role: Role::User, parts: said, place });
        }
        Ok(())
    }

    /// Older clients send each result in a content of its own.
    fn results(&mut self, results: Vec<Part>, place: &Place) {
        let answers = |message: &&mut Message| matches!(message.parts.first(), Some(Part::ToolResult(_)));
        match self.request.messages.last_mut().filter(answers) {
            Some(last) => last.parts.extend(results),
            None => {
                let place = place.clone();
                self.request.messages.push(Message { role: Role::User, parts: results, place });
            }
        }
    }

    fn result(&mut self, mut response: Fields) -> Result<ToolResult, Malformed> {
        let name = response.need("name", "the name of the function that was called")?;
        let id = self.pairing.answered(response.string("id")?, &name);
        let (text, is_error) = told(response.take("response").unwrap_or_default());
        let mut content = Vec::new();
        if !text.is_empty() {
            let place = response.path("response").into();
            content.push(Part::Text(Text { text, place, ..Text::default() }));
        }
        for mut part in parts(&mut response)? {
            content.extend(media::take(&mut part, &mut self.request.rest)?.map(Part::Media));
            part.leave(&mut self.request.rest);
        }
        let place = response.place();
        response.leave(&mut self.request.rest);
        Ok(ToolResult { id, name: Some(name), content, is_error, cache: None, place })
    }

    // === The model ===

    /// One turn of the model may stand in several contents: clients keep a stream's pieces as they came.
    fn model(&mut self, parts: Vec<Fields>, place: Place) -> Result<(), Malformed> {
        let messages = &mut self.request.messages;
        let (mut turn, place) = match messages.pop_if(|last| last.role == Role::Assistant) {
            Some(last) => (last.parts, last.place),
            None => (Vec::new(), place),
        };
        for part in parts {
            self.generated(part, &mut turn)?;
        }
        if !turn.is_empty() {
            self.request.messages.push(Message { role: Role::Assistant, parts: turn, place });
        }
        Ok(())
    }

    fn generated(&mut self, mut part: Fields, turn: &mut Vec<Part>) -> Result<(), Malformed> {
        if HOSTED.iter().any(|key| part.has(key)) {
            let place = part.place();
            turn.push(Part::Opaque { origin: ProtocolId::Gemini, raw: part.into_json(), place });
            return Ok(());
        }
        let Proof { thoughts, own } = Proof::read(&part.string("thoughtSignature")?.unwrap_or_default());
        if !thoughts.is_empty() {
            while turn.pop_if(|last| matches!(last, Part::Reasoning(_))).is_some() {}
            turn.extend(thoughts.into_iter().map(Part::Reasoning));
        }
        if let Some(call) = part.object("functionCall")? {
            turn.push(Part::ToolCall(self.call(call, own)?));
            part.leave(&mut self.request.rest);
        } else if let Some(part) = plain(part, own, &mut self.request.rest)? {
            add(part, turn);
        }
        Ok(())
    }

    fn call(&mut self, mut call: Fields, signature: Option<Signature>) -> Result<ToolCall, Malformed> {
        let name = call.need("name", "the function's name")?;
        let id = self.pairing.called(call.string("id")?.filter(|id| !id.is_empty()), &name);
        let arguments = match call.take("args") {
            None => String::new(),
            Some(args @ Json::Object(_)) => args.to_string(),
            Some(_) => return Err(call.must_be("args", "an object")),
        };
        let place = call.place();
        call.leave(&mut self.request.rest);
        Ok(ToolCall { id, name, arguments, signature, custom: false, place })
    }
}

/// A part that either side may say. What nobody else can be told of is noted in `rest`.
fn plain(mut part: Fields, signature: Option<Signature>, rest: &mut Vec<Unmapped>) -> Result<Option<Part>, Malformed> {
    let thought = part.boolean("thought")?.unwrap_or(false);
    let text = part.string("text")?;
    let place = part.place();
    let said = match (text, media::take(&mut part, rest)?) {
        (Some(text), _) if text.is_empty() && signature.is_none() => None,
        (Some(text), _) if thought => Some(Part::Reasoning(Reasoning { text, signature, redacted: false, place })),
        (Some(text), _) => Some(Part::Text(Text { text, signature, cache: None, place })),
        // What was drawn while thinking is no part of the answer.
        (None, Some(_)) if thought => None,
        (None, Some(media)) => Some(Part::Media(media)),
        (None, None) if signature.is_some() => Some(Part::Text(Text { signature, place, ..Text::default() })),
        (None, None) => {
            part.refuse("this sort of content cannot be carried to the model's protocol", rest);
            return Ok(None);
        }
    };
    part.leave(rest);
    Ok(said)
}

/// Adds a part to the model's turn. Pieces of a text are one text, until one is signed.
fn add(part: Part, turn: &mut Vec<Part>) {
    match (turn.last_mut(), part) {
        (Some(Part::Text(last)), Part::Text(Text { text, signature: None, .. })) if last.signature.is_none() => {
            last.text.push_str(&text);
        }
        (Some(Part::Reasoning(last)), Part::Reasoning(more)) if last.signature.is_none() => {
            last.text.push_str(&more.text);
            last.signature = more.signature;
        }
        (_, part) => turn.push(part),
    }
}

/// What a function gave, and whether that is an error. Google's own convention: `output` holds what the function gave and
/// `error` what went wrong; whatever has neither is the output as a whole.
fn told(response: Json) -> (String, bool) {
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match response.members() {
        None if response.is_null() => (String::new(), false),
        Some([(key, value)]) if key == "output" => (text(value), false),
        Some([(key, value)]) if key == "error" && !value.is_null() => (text(value), true),
        _ => (text(&response), false),
    }
}
