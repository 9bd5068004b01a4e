//! Reads what a message holds: text, or a list of parts.

use crate::{
    fields::{below, must_be, need_string, take, take_string},
    ir::{Malformed, Media, MediaKind, Part, Reasoning, Text, Unmapped},
    json::Json,
    openai::{
        cache,
        media::{address, audio, file},
    },
};

/// Reads `content`. Parts of an unknown sort go to `rest`.
pub fn read(content: Option<Json>, path: &str, rest: &mut Vec<Unmapped>) -> Result<Vec<Part>, Malformed> {
    match content {
        None => Ok(Vec::new()),
        Some(Json::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Json::String(text)) => Ok(vec![Part::Text(Text { text, place: path.into(), ..Text::default() })]),
        Some(Json::Array(items)) => {
            let mut parts = Vec::with_capacity(items.len());
            for (at, item) in items.into_iter().enumerate() {
                parts.extend(part(item, &format!("{path}[{at}]"), rest)?);
            }
            Ok(parts)
        }
        Some(_) => Err(must_be(path, "a string or an array of parts")),
    }
}

fn part(mut value: Json, path: &str, rest: &mut Vec<Unmapped>) -> Result<Option<Part>, Malformed> {
    if let Json::String(text) = value {
        return Ok(Some(Part::Text(Text { text, place: path.into(), ..Text::default() })));
    }
    if value.members().is_none() {
        return Err(must_be(path, "an object with a `type`"));
    }
    let hint = cache(&mut value, path);
    let kind = need_string(&mut value, "type", path, "a string such as `text`")?;
    let mut media = match kind.as_str() {
        "text" | "input_text" | "output_text" => {
            let text =
                take_string(&mut value, "text", path)?.ok_or_else(|| must_be(&below(path, "text"), "a string"))?;
            return Ok(Some(Part::Text(Text { text, cache: hint, signature: None, place: path.into() })));
        }
        "refusal" => return Ok(take_string(&mut value, "refusal", path)?.map(Part::Refusal)),
        "thinking" => return Ok(thinking(value, path)),
        "image_url" => linked(value, "image_url", MediaKind::Image, path)?,
        "video_url" => linked(value, "video_url", MediaKind::Video, path)?,
        "document_url" => linked(value, "document_url", MediaKind::Document, path)?,
        "file_url" => linked(value, "file_url", MediaKind::Document, path)?,
        "input_audio" => {
            let path = below(path, "input_audio");
            Media { place: path.as_str().into(), ..audio(value, &path)? }
        }
        "file" => {
            let path = below(path, "file");
            let Some(inner @ Json::Object(_)) = take(&mut value, "file") else {
                return Err(must_be(&path, "an object with `file_data` or `file_id`"));
            };
            Media { place: path.as_str().into(), ..file(inner, &path)? }
        }
        _ => {
            let refusal = Some("this sort of content cannot be carried to the model's protocol");
            rest.push(Unmapped { path: path.to_owned(), refusal, ..Unmapped::default() });
            return Ok(None);
        }
    };
    media.cache = hint;
    Ok(Some(Part::Media(media)))
}

/// Mistral's reasoning among the content: text, or a list of pieces of text.
fn thinking(value: Json, path: &str) -> Option<Part> {
    let text = match value.get("thinking")? {
        Json::String(text) => text.clone(),
        Json::Array(pieces) => pieces.iter().filter_map(|piece| piece.get("text")?.as_str()).collect(),
        _ => return None,
    };
    Some(Part::Reasoning(Reasoning { text, place: path.into(), ..Reasoning::default() }))
}

/// A part that is an address: `{"url": …}` or the address itself.
fn linked(mut value: Json, key: &str, kind: MediaKind, path: &str) -> Result<Media, Malformed> {
    let name = take_string(&mut value, "document_name", path)?;
    let path = below(path, key);
    let mut inner = match take(&mut value, key) {
        Some(Json::String(url)) => Json::object([("url", Json::String(url))]),
        Some(inner @ Json::Object(_)) => inner,
        _ => return Err(must_be(&path, "an object with a `url`")),
    };
    let url = need_string(&mut inner, "url", &path, "an http(s) address or a data URL")?;
    let detail = take_string(&mut inner, "detail", &path)?;
    let found = address(url, kind, &below(&path, "url"))?;
    Ok(Media { detail, name, place: path.into(), ..found })
}
