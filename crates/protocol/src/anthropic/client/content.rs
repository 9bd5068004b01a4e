//! Reads what a message holds: text, or a list of blocks.

use super::{
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

/// Where the fields of blocks are told that have no place, one place for all blocks.
const ANY_BLOCK: &str = "messages[].content[]";

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
            Json::String(text) => self.parts.push(Part::text(text)),
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

    fn block(&mut self, mut value: Json, path: &str) -> Result<(), Malformed> {
        if let Json::String(text) = value {
            self.parts.push(Part::text(text));
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
                let cache = cache(&mut value);
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
                self.proof(text, signature, false);
            }
            "redacted_thinking" => {
                let data = take_string(&mut value, "data", path)?.unwrap_or_default();
                self.proof(String::new(), data, true);
            }
            "search_result" => {
                let text = found(&mut value);
                let cache = cache(&mut value);
                self.parts.push(Part::Text(Text { text, cache, signature: None }));
            }
            // What Anthropic made of the conversation so far is all that is left of it.
            "compaction" if value.get("content").is_some_and(|text| text.as_str().is_some()) => {
                self.parts.extend(take_string(&mut value, "content", path)?.map(Part::text));
            }
            "tool_reference" => {
                self.parts.extend(take_string(&mut value, "tool_name", path)?.map(Part::text));
            }
            "" => return Err(must_be(&below(path, "type"), "a string such as `text`")),
            _ => {
                self.parts.push(Part::Opaque { origin: ProtocolId::Anthropic, raw: value });
                return Ok(());
            }
        }
        // A call that the model made itself says so, which is no news.
        if value.at(&["caller", "type"]).and_then(Json::as_str) == Some("direct") {
            value.remove("caller");
        }
        leftovers(&value, ANY_BLOCK, self.rest);
        Ok(())
    }

    fn text(&mut self, value: &mut Json, path: &str) -> Result<Part, Malformed> {
        let text = take_string(value, "text", path)?.ok_or_else(|| must_be(&below(path, "text"), "a string"))?;
        Ok(Part::Text(Text { text, cache: cache(value), signature: None }))
    }

    /// A document, or text and pictures that are one.
    fn document(&mut self, value: &mut Json, path: &str) -> Result<(), Malformed> {
        let (name, cache) = (take_string(value, "title", path)?, cache(value));
        let citations = take(value, "citations");
        if citations.is_some_and(|citations| citations.get("enabled").and_then(Json::as_bool) == Some(true)) {
            unmapped(below(ANY_BLOCK, "citations"), self.rest);
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
        self.parts.extend(name.map(Part::text));
        self.read(content, &format!("{path}.source.content"))?;
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.cache = text.cache.take().or(cache),
            Some(Part::Media(media)) => media.cache = media.cache.take().or(cache),
            _ => {}
        }
        Ok(())
    }

    fn result(&mut self, value: &mut Json, path: &str) -> Result<ToolResult, Malformed> {
        let id = need_string(value, "tool_use_id", path, "the id of the call that it answers")?;
        let mut inner = Blocks::new(&mut *self.rest);
        if let Some(content) = take(value, "content") {
            inner.read(content, &below(path, "content"))?;
        }
        let content = inner.parts;
        let is_error = boolean_in(value, "is_error", path)?.unwrap_or(false);
        Ok(ToolResult { id, name: None, content, is_error, cache: cache(value) })
    }

    /// Reasoning under its signature; or what another protocol's model proved its words with, which travelled here.
    fn proof(&mut self, text: String, value: String, redacted: bool) {
        let own = |value: String| Signature { origin: ProtocolId::Anthropic, value };
        let reasoning = match Carrier::unwrap(&value) {
            Some(Carrier::ToolCall { id, signature }) => return self.carried.push((id, signature)),
            Some(Carrier::Text { signature }) => return self.sign(signature),
            Some(Carrier::Reasoning { signature, redacted }) => {
                Reasoning { text, signature: Some(signature).filter(|known| !known.value.is_empty()), redacted }
            }
            // One of ours that was damaged on the way proves nothing.
            None if value.is_empty() || value.starts_with(MARK) => Reasoning { text, signature: None, redacted: false },
            None => Reasoning { text, signature: Some(own(value)), redacted },
        };
        if reasoning.signature.is_some() || !reasoning.text.is_empty() {
            self.parts.push(Part::Reasoning(reasoning));
        }
    }

    /// Signs the text before, or an empty one.
    fn sign(&mut self, signature: Signature) {
        match self.parts.last_mut() {
            Some(Part::Text(text)) if text.signature.is_none() => text.signature = Some(signature),
            _ => self.parts.push(Part::Text(Text { signature: Some(signature), ..Text::default() })),
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
        id: need_string(value, "id", path, "the call's id")?,
        name: need_string(value, "name", path, "the tool's name")?,
        arguments,
        ..ToolCall::default()
    })
}

/// Takes `source`.
fn source(value: &mut Json, kind: MediaKind, path: &str) -> Result<Media, Malformed> {
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
    Ok(Media { kind, source, mime, name: None, detail: None, cache: None })
}

fn default_mime(kind: MediaKind) -> &'static str {
    if kind == MediaKind::Image { "image/jpeg" } else { "application/pdf" }
}
