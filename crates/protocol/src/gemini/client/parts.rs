//! The parts of one answer: what of it the client is shown, and which of them carries what must come back.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::proof::Proof;
use crate::{
    gemini::{
        part::{Blob, File, FunctionCall, Part, Payload, object, wrapped},
        wire::compact,
    },
    ir::{Media, MediaSource, Reasoning, Request, Signature, ToolCall},
};

/// Writes the parts of one answer in the order generated.
#[derive(Debug)]
pub struct Parts {
    shows_thoughts: bool,
    /// What was thought since the last part that could carry it.
    thoughts: Vec<Reasoning>,
    calls: usize,
}

impl Parts {
    /// Google shows thoughts to those only who ask for them.
    pub fn new(request: &Request) -> Self {
        let asked = request.reasoning.as_ref();
        let shows_thoughts = asked.is_some_and(|asked| asked.visible == Some(true));
        Self { shows_thoughts, thoughts: Vec::new(), calls: 0 }
    }

    /// Remembers a block of reasoning that has ended, for the part that follows it.
    pub fn thought(&mut self, reasoning: Reasoning) {
        self.thoughts.push(reasoning);
    }

    /// A piece of reasoning to show.
    pub fn shown<'a>(&self, text: &'a str) -> Option<Part<'a>> {
        let shown = self.shows_thoughts && !text.is_empty();
        shown.then(|| Part { thought: true, ..Part::text(text) })
    }

    /// A piece of text, unless it says and proves nothing.
    pub fn text<'a>(&mut self, text: &'a str, signature: Option<Signature>) -> Option<Part<'a>> {
        let says = !text.is_empty() || signature.is_some();
        says.then(|| Part { thought_signature: self.proof(signature), ..Part::text(text) })
    }

    /// A call with all its arguments. The first is always marked as one that Gemini did not make.
    pub fn call(&mut self, call: ToolCall) -> Part<'static> {
        let ToolCall { id, name, arguments, signature, custom, .. } = call;
        let first = self.calls == 0;
        self.calls += 1;
        let proof = self.proof(signature).or_else(|| first.then(|| Proof::default().write().into()));
        let id = (!id.is_empty()).then_some(Cow::Owned(id));
        let call = FunctionCall { id, name: Cow::Owned(name), args: args(&arguments, custom) };
        Part { thought_signature: proof, ..Payload::FunctionCall(call).into() }
    }

    /// A generated picture or sound.
    pub fn media<'a>(&mut self, mime: &'a str, data: &'a str) -> Part<'a> {
        let blob = Blob { mime_type: mime.into(), data: data.into() };
        Part { thought_signature: self.proof(None), ..Payload::InlineData(blob).into() }
    }

    /// Any medium of a whole answer.
    pub fn medium<'a>(&mut self, media: &'a Media) -> Option<Part<'a>> {
        let mime = media.mime.as_deref().unwrap_or("image/png");
        match &media.source {
            MediaSource::Base64(data) => Some(self.media(mime, data)),
            MediaSource::Url(url) => {
                let file = File { mime_type: mime.into(), file_uri: url.into() };
                Some(Part { thought_signature: self.proof(None), ..Payload::FileData(file).into() })
            }
            MediaSource::File { .. } => None,
        }
    }

    fn proof(&mut self, own: Option<Signature>) -> Option<Cow<'static, str>> {
        let proof = Proof { thoughts: std::mem::take(&mut self.thoughts), own };
        (proof != Proof::default()).then(|| Cow::Owned(proof.write()))
    }
}

/// Arguments as an object, on one line; what is none is handed on inside one.
fn args(text: &str, custom: bool) -> Cow<'static, RawValue> {
    if text.trim().is_empty() && !custom {
        return args("{}", false);
    }
    let whole = object(text).filter(|_| !custom);
    let compacted = whole.and_then(|raw| RawValue::from_string(compact(raw.get())).ok());
    compacted.map_or_else(|| wrapped("input", text), Cow::Owned)
}
