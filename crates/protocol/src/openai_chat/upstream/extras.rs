//! What stands beside an answer's text: sources, pictures, sound, signatures.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::assemble::anthropic;
use crate::{
    ProtocolId, base64,
    ir::{Block, Citation, Signature},
    openai::lenient::{List, Num, Raw, Str, read},
    openai_chat::wire::Message,
};

/// Text, its signature, and whether the whole is encrypted.
pub type Thinking = (String, Option<Signature>, bool);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotation<'a> {
    #[serde(borrow)]
    url_citation: Option<UrlCitation<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UrlCitation<'a> {
    #[serde(borrow)]
    url: Str<'a>,
    #[serde(borrow)]
    title: Str<'a>,
    #[serde(borrow)]
    content: Str<'a>,
    start_index: Num,
    end_index: Num,
}

/// The sources that `annotations` name.
pub fn annotations(raw: Raw<'_>) -> Vec<Citation> {
    let list: List<Annotation<'_>> = read(raw).unwrap_or_default();
    list.0.into_iter().filter_map(|annotation| annotation.url_citation).map(citation).collect()
}

fn citation(source: UrlCitation<'_>) -> Citation {
    let span = source.start_index.0.zip(source.end_index.0).filter(|(start, end)| end > start);
    Citation { url: source.url.some(), title: source.title.some(), quote: source.content.some(), span }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source<'a> {
    #[serde(borrow)]
    url: Str<'a>,
    #[serde(borrow)]
    title: Str<'a>,
}

/// The sources that Perplexity names beside its answer: those with titles first, bare addresses else.
pub fn sources(search_results: Option<&str>, citations: Option<&str>) -> Vec<Citation> {
    let titled =
        search_results.and_then(|text| serde_json::from_str::<List<Source<'_>>>(text).ok()).unwrap_or_default().0;
    if !titled.is_empty() {
        let cite =
            |source: Source<'_>| Citation { url: source.url.some(), title: source.title.some(), ..Citation::default() };
        return titled.into_iter().map(cite).filter(|source| source.url.is_some()).collect();
    }
    let bare = citations.and_then(|text| serde_json::from_str::<List<Str<'_>>>(text).ok()).unwrap_or_default().0;
    bare.iter()
        .map(|url| Citation { url: url.some(), ..Citation::default() })
        .filter(|source| source.url.is_some())
        .collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Image<'a> {
    #[serde(borrow)]
    image_url: Option<ImageUrl<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ImageUrl<'a> {
    #[serde(borrow)]
    url: Str<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Audio<'a> {
    #[serde(borrow)]
    data: Str<'a>,
}

/// Generated pictures and sound that came whole.
pub fn media(message: &Message<'_>) -> Vec<Block> {
    let images: List<Image<'_>> = read(message.images).unwrap_or_default();
    let mut found: Vec<Block> =
        images.0.iter().filter_map(|image| inline(image.image_url.as_ref()?.url.as_str())).collect();
    let audio: Audio<'_> = read(message.audio).unwrap_or_default();
    if !audio.data.is_empty() {
        // The answer does not repeat which format was asked for.
        let mime = base64::sniff(audio.data.as_str()).filter(|mime| mime.starts_with("audio/")).unwrap_or("audio/wav");
        found.push(Block::Media { mime: mime.to_owned(), data: audio.data.0.into_owned() });
    }
    found
}

fn inline(url: &str) -> Option<Block> {
    let (mime, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some(Block::Media { mime: mime.to_owned(), data: data.to_owned() })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Extra<'a> {
    #[serde(borrow)]
    google: Option<Google<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Google<'a> {
    #[serde(borrow)]
    thought_signature: Str<'a>,
}

/// Gemini's signature, where its own compatible server puts it.
pub fn thought_signature(extra_content: Raw<'_>) -> Option<Signature> {
    let extra: Extra<'_> = read(extra_content)?;
    let value = extra.google?.thought_signature.some()?;
    Some(Signature { origin: ProtocolId::Gemini, value })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ThinkingBlock<'a> {
    #[serde(rename = "type", borrow)]
    kind: Str<'a>,
    #[serde(borrow)]
    thinking: Str<'a>,
    #[serde(borrow)]
    signature: Str<'a>,
    #[serde(borrow)]
    data: Str<'a>,
}

/// Anthropic's blocks, as this gateway and others like it hand them on.
pub fn thinking_blocks(raw: &RawValue) -> Vec<Thinking> {
    let blocks: List<ThinkingBlock<'_>> = read(Some(raw)).unwrap_or_default();
    let known = blocks.0.into_iter().filter_map(|block| match block.kind.as_str() {
        "redacted_thinking" => Some((String::new(), Some(anthropic(block.data.some()?)), true)),
        "thinking" => Some((block.thinking.0.into_owned(), block.signature.some().map(anthropic), false)),
        _ => None,
    });
    known.collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail<'a> {
    #[serde(borrow)]
    text: Str<'a>,
    #[serde(borrow)]
    summary: Str<'a>,
    #[serde(borrow)]
    format: Str<'a>,
    #[serde(borrow)]
    signature: Str<'a>,
}

/// OpenRouter's record of reasoning: its text, and Claude's signature if it was Claude's.
pub fn reasoning_details(raw: Raw<'_>) -> (String, Option<Signature>) {
    let details: List<Detail<'_>> = read(raw).unwrap_or_default();
    let text = details.0.iter().flat_map(|detail| [detail.text.as_str(), detail.summary.as_str()]).collect();
    let signed = details.0.iter().find(|detail| detail.format.as_str().starts_with("anthropic"));
    (text, signed.and_then(|detail| detail.signature.some()).map(anthropic))
}
