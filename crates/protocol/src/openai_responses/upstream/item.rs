//! One item of an answer, as the wire has it.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    base64,
    ir::Citation,
    openai::lenient::{List, Num, Raw, Str, read},
};

/// An item, whole or as far as it has come about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Item<'a> {
    #[serde(rename = "type", borrow)]
    kind: Str<'a>,
    #[serde(borrow)]
    pub id: Str<'a>,
    #[serde(borrow)]
    pub call_id: Str<'a>,
    #[serde(borrow)]
    pub name: Str<'a>,
    #[serde(borrow)]
    pub arguments: Raw<'a>,
    #[serde(borrow)]
    pub input: Str<'a>,
    /// Whether a message is a remark on the way or the answer.
    #[serde(borrow)]
    pub phase: Str<'a>,
    #[serde(borrow)]
    pub content: List<Piece<'a>>,
    #[serde(borrow)]
    pub summary: List<Piece<'a>>,
    #[serde(borrow)]
    pub encrypted_content: Str<'a>,
    #[serde(borrow)]
    result: Str<'a>,
    #[serde(borrow)]
    output_format: Str<'a>,
}

/// A piece of a message or of reasoning.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Piece<'a> {
    #[serde(borrow)]
    pub text: Str<'a>,
    #[serde(borrow)]
    pub refusal: Str<'a>,
    #[serde(borrow)]
    pub annotations: List<&'a RawValue>,
    #[serde(borrow)]
    pub logprobs: Raw<'a>,
}

/// The sorts of items that the canonical form knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Message,
    Reasoning,
    Call {
        custom: bool,
    },
    Image,
    /// Only this protocol's own: tools that ran at the provider, compaction and whatever comes next.
    Other,
}

impl<'a> Item<'a> {
    /// Reads an item; one that cannot be read says nothing.
    pub fn read(raw: &'a RawValue) -> Self {
        read(Some(raw)).unwrap_or_default()
    }

    pub fn kind(&self) -> Kind {
        match self.kind.as_str() {
            "message" => Kind::Message,
            "reasoning" => Kind::Reasoning,
            "function_call" => Kind::Call { custom: false },
            "custom_tool_call" => Kind::Call { custom: true },
            "image_generation_call" => Kind::Image,
            _ => Kind::Other,
        }
    }

    /// The picture that a tool drew, and its type.
    pub fn picture(&self) -> Option<(String, String)> {
        let data = self.result.some()?;
        let mime = match self.output_format.as_str() {
            "" => base64::sniff(&data).unwrap_or("image/png").to_owned(),
            format => format!("image/{format}"),
        };
        Some((mime, data))
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotation<'a> {
    #[serde(rename = "type", borrow)]
    kind: Str<'a>,
    #[serde(borrow)]
    url: Str<'a>,
    #[serde(borrow)]
    title: Str<'a>,
    #[serde(borrow)]
    filename: Str<'a>,
    start_index: Num,
    end_index: Num,
}

/// A source: a page, or a file that the provider holds. Files that the model made are none.
pub fn citation(raw: Raw<'_>) -> Option<Citation> {
    let source: Annotation<'_> = read(raw)?;
    if !matches!(source.kind.as_str(), "url_citation" | "file_citation") {
        return None;
    }
    let span = source.start_index.0.zip(source.end_index.0).filter(|(start, end)| end > start);
    Some(Citation { url: source.url.some(), title: source.title.some().or(source.filename.some()), quote: None, span })
}
