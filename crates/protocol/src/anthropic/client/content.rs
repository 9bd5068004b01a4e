//! Reads what a message holds: text, or a list of blocks.

use super::{
    blocks::plain_id,
    fields::{below, boolean_in, must_be, need_string, take, take_string},
    leftovers,
    request::cache,
    unmapped,
};
use crate::{
    ProtocolId, base64,
    ir::{
        Carrier, Malformed, Media, MediaKind, MediaSource, Part, Reasoning, Signature, Text, ToolCall, ToolResult,
        Unmapped, carrier::MARK,
    },
    json::Json,
};

/// The blocks of one message, as they are read.
pub struct Blocks<'r> {
    pub parts: Vec<Part>,
    /// Signatures of tool calls, by the calls' ids: they stand in blocks of their own.
    carried: Vec<(String, Signature)>,
    rest: &'r mut Vec<Unmapped>,
}

impl<'r> Blocks<'r> {
    pub fn new(rest: &'r mut Vec<Unmapped>) -> Self {
        Self { parts: Vec::new(), carried: Vec::new(), rest }
    }

    /// Reads `content`.
    pub fn read(&mut self, content: Json, path: &str) -> Result<(), Malformed> {
        match content {
            Json::String(text) if text.is_empty() => {}
            Json::String(text) => self.say(text, path),
            Json::Array(items) => {
                for (at, item) in items.into_iter().enumerate() {
                    self.block(item, &format!("{path}[{at}]"))?;
                }
            }
            _ => return Err(must_be(path, "a string or an array of blocks")),
        }
        Ok(())
    }

    /// The parts, each call with its signature.
    pub fn finish(mut self) -> Vec<Part> {
        for part in &mut self.parts {
            if let Part::ToolCall(call) = part
                && let Some(at) = self.carried.iter().position(|(id, _)| *id == call.id)
            {
                call.signature = Some(self.carried.swap_remove(at).1);
            }
        }
        self.parts
    }

    fn say(&mut self, text: String, path: &str) {
        self.parts.push(Part::Text(Text { text, place: path.into(), ..Text::default() }));
    }

    fn block(&mut self, mut value: Json, path: &str) -> Result<(), Malformed> {
        if let Json::String(text) = value {
            self.say(text, path);
            return Ok(());
        }
        if value.members().is_none() {
            return Err(must_be(path, "an object with a `type`"));
        }
        let kind = value.get("type").and_then(Json::as_str).unwrap_or_default().to_owned();
        match kind.as_str() {
            "text" => {
                let text = self.text(&mut value, path)?;
                self.parts.push(text);
            }
            "image" => {
                let image = source(&mut value, MediaKind::Image, path)?;
                let cache = cache(&mut value, path);
                self.parts.push(Part::Media(Media { cache, ..image }));
            }
            "document" => self.document(&mut value, path)?,
            "tool_use" => {
                let call = call(&mut value, path)?;
                self.parts.push(Part::ToolCall(call));
            }
            "tool_result" => {
                let result = self.result(&mut value, path)?;
                self.parts.push(Part::ToolResult(result));
            }
            "thinking" => {
                let text = take_string(&mut value, "thinking", path)?.unwrap_or_default();
                let signature = take_string(&mut value, "signature", path)?.unwrap_or_default();
                self.proof(text, signature, false, path);
            }
            "redacted_thinking" => {
                let data = take_string(&mut value, "data", path)?.unwrap_or_default();
                self.proof(String::new(), data, true, path);
            }
            "search_result" => {
                let text = found(&mut value);
                let cache = cache(&mut value, path);
                self.parts.push(Part::Text(Text { text, cache, signature: None, place: path.into() }));
            }
            // What Anthropic made of the conversation so far is all that is left of it.
            "compaction" if value.get("content").is_some_and(|text| text.as_str().is_some()) => {
                let text = take_string(&mut value, "content", path)?.unwrap_or_default();
                self.say(text, path);
            }
            "tool_reference" => {
                if let Some(name) = take_string(&mut value, "tool_name", path)? {
                    self.say(name, path);
                }
            }
            "" => return Err(must_be(&below(path, "type"), "a string such as `text`")),
            _ => {
                self.parts.push(Part::Opaque { origin: ProtocolId::Anthropic, raw: value, place: path.into() });
                return Ok(());
            }
        }
        // A call that the model made itself says so, which is no news.
        if value.at(&["caller", "type"]).and_then(Json::as_str) == Some("direct") {
            value.remove("caller");
        }
        leftovers(&value, path, self.rest);
        Ok(())
    }

    fn text(&mut self, value: &mut Json, path: &str) -> Result<Part, Malformed> {
        let text = take_string(value, "text", path)?.ok_or_else(|| must_be(&below(path, "text"), "a string"))?;
        Ok(Part::Text(Text { text, cache: cache(value, path), signature: None, place: path.into() }))
    }

    /// A document, or text and pictures that are one.
    fn document(&mut self, value: &mut Json, path: &str) -> Result<(), Malformed> {
        let (name, cache) = (take_string(value, "title", path)?, cache(value, path));
        let citations = take(value, "citations");
        if citations.is_some_and(|citations| citations.get("enabled").and_then(Json::as_bool) == Some(true)) {
            unmapped(below(path, "citations"), self.rest);
        }
        let content = value.get_mut("source").and_then(|source| {
            let inline = source.get("type").and_then(Json::as_str) == Some("content");
            inline.then(|| take(source, "content")).flatten()
        });
        let Some(content) = content else {
            let document = source(value, MediaKind::Document, path)?;
            self.parts.push(Part::Media(Media { name, cache, ..document }));
            return Ok(());
        };
        value.remove("source");
        if let Some(name) = name {
            self.say(name, &below(path, "title"));
        }
        self.read(content, &format!("{path}.source.content"))?;
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.cache = text.cache.take().or(cache),
            Some(Part::Media(media)) => media.cache = media.cache.take().or(cache),
            _ => {}
        }
        Ok(())
    }

    fn result(&mut self, value: &mut Json, path: &str) -> Result<ToolResult, Malformed> {
        let id = plain_id(need_string(value, "tool_use_id", path, "the id of the call that it answers")?);
        let mut inner = Blocks::new(&mut *self.rest);
        if let Some(content) = take(value, "content") {
            inner.read(content, &below(path, "content"))?;
        }
        let content = inner.parts;
        let is_error = boolean_in(value, "is_error", path)?.unwrap_or(false);
        Ok(ToolResult { id, name: None, content, is_error, cache: cache(value, path), place: path.into() })
    }

    /// Reasoning under its signature; or what another protocol's model proved its words with, which travelled here.
    fn proof(&mut self, text: String, value: String, redacted: bool, path: &str) {
        let place = path.into();
        let own = |value: String| Signature { origin: ProtocolId::Anthropic, value };
        let reasoning = match Carrier::unwrap(&value) {
            Some(Carrier::ToolCall { id, signature }) => return self.carried.push((plain_id(id), signature)),
            Some(Carrier::Text { signature }) => return self.sign(signature, path),
            Some(Carrier::Reasoning { signature, redacted }) => {
                Reasoning { text, signature: Some(signature).filter(|known| !known.value.is_empty()), redacted, place }
            }
            // One of ours that was damaged on the way proves nothing.
            None if value.is_empty() || value.starts_with(MARK) => {
                Reasoning { text, signature: None, redacted: false, place }
            }
            None => Reasoning { text, signature: Some(own(value)), redacted, place },
        };
        if reasoning.signature.is_some() || !reasoning.text.is_empty() {
            self.parts.push(Part::Reasoning(reasoning));
        }
    }

    /// Signs the text before, or an empty one.
    fn sign(&mut self, signature: Signature, path: &str) {
        match self.parts.last_mut() {
            Some(Part::Text(text)) if text.signature.is_none() => text.signature = Some(signature),
            _ => {
                let signature = Some(signature);
                self.parts.push(Part::Text(Text { signature, place: path.into(), ..Text::default() }));
            }
        }
    }
}

/// A source's text, as the model reads it: its title, where it is, and what it says.
fn found(value: &mut Json) -> String {
    let mut lines: Vec<String> =
        ["title", "source"].iter().filter_map(|key| Some(take(value, key)?.as_str()?.to_owned())).collect();
    let content = take(value, "content");
    let texts = content.as_ref().and_then(Json::items).unwrap_or_default().iter();
    lines.extend(texts.filter_map(|block| Some(block.get("text")?.as_str()?.to_owned())));
    take(value, "citations");
    lines.join("\n")
}

fn call(value: &mut Json, path: &str) -> Result<ToolCall, Malformed> {
    let arguments = match take(value, "input") {
        None => String::new(),
        Some(input @ Json::Object(_)) => input.to_string(),
        Some(_) => return Err(must_be(&below(path, "input"), "an object")),
    };
    Ok(ToolCall {
        id: plain_id(need_string(value, "id", path, "the call's id")?),
        name: need_string(value, "name", path, "the tool's name")?,
        arguments,
        place: path.into(),
        ..ToolCall::default()
    })
}

/// Takes `source`.
fn source(value: &mut Json, kind: MediaKind, path: &str) -> Result<Media, Malformed> {
    let place = path.into();
    let path = below(path, "source");
    let Some(mut source @ Json::Object(_)) = take(value, "source") else {
        return Err(must_be(&path, "an object with a `type`"));
    };
    let mime = take_string(&mut source, "media_type", &path)?.map(|mime| mime.to_ascii_lowercase());
    let (source, mime) = match source.get("type").and_then(Json::as_str).unwrap_or_default() {
        "base64" => {
            let data = need_string(&mut source, "data", &path, "the contents in base64")?;
            let sniffed = || base64::sniff(&data).map(str::to_owned);
            let mime = mime.or_else(sniffed).unwrap_or_else(|| default_mime(kind).to_owned());
            (MediaSource::Base64(data), Some(mime))
        }
        "text" => {
            let text = take_string(&mut source, "data", &path)?.unwrap_or_default();
            let mime = mime.unwrap_or_else(|| "text/plain".to_owned());
            (MediaSource::Base64(base64::encode(text.as_bytes())), Some(mime))
        }
        "url" => (MediaSource::Url(need_string(&mut source, "url", &path, "an http(s) address")?), mime),
        "file" => {
            let id = need_string(&mut source, "file_id", &path, "a file's id")?;
            (MediaSource::File { origin: ProtocolId::Anthropic, id }, mime)
        }
        _ => return Err(must_be(&below(&path, "type"), "one of base64, url, file, text, content")),
    };
    Ok(Media { kind, source, mime, name: None, detail: None, cache: None, place })
}

fn default_mime(kind: MediaKind) -> &'static str {
    if kind == MediaKind::Image { "image/jpeg" } else { "application/pdf" }
}
