//! The parts of a conversation that are told in the same words.

use crate::{
    base64,
    ir::{Losses, Media, MediaSource, Part, ToolResult},
};

/// OpenAI takes no longer ids of calls.
pub const LONGEST_ID: usize = 64;

/// The text parts among `parts`.
pub fn texts<'a>(parts: impl Iterator<Item = &'a Part>) -> impl Iterator<Item = &'a str> {
    parts.filter_map(|part| if let Part::Text(text) = part { Some(text.text.as_str()) } else { None })
}

/// The texts that say something, as paragraphs.
pub fn paragraphs<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.filter(|text| !text.trim().is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// The text of a tool's result. There is no field that says that it is an error, so the text does.
pub fn result_text(result: &ToolResult) -> String {
    let text = texts(result.content.iter()).collect::<Vec<_>>().join("\n");
    if result.is_error && !text.to_ascii_lowercase().starts_with("error") { format!("Error: {text}") } else { text }
}

/// Notes hints of where to cache. Servers of these protocols cache by themselves and have no field for it.
pub fn note_cache<'p>(parts: impl Iterator<Item = &'p Part>, losses: &mut Losses) {
    parts.filter_map(Part::cache).for_each(|hint| losses.dropped(&hint.place));
}

/// A file that came with its contents, as an address.
pub fn data_url(mime: &str, data: &str) -> String {
    format!("data:{mime};base64,{data}")
}

/// The media type of a file, if only in the most general words.
pub fn mime(media: &Media) -> &str {
    media.mime.as_deref().unwrap_or("application/octet-stream")
}

/// The words of a document that is plain text, since files are taken as PDF alone.
pub fn plain_text(media: &Media) -> Option<String> {
    let MediaSource::Base64(data) = &media.source else { return None };
    let bytes = mime(media).starts_with("text/").then(|| base64::decode_cut_short(data)).flatten()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(match &media.name {
        Some(name) => format!("{name}:\n{text}"),
        None => text,
    })
}
