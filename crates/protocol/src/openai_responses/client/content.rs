//! Reads what an item holds: text, or a list of parts.

use crate::{
    fields::{below, must_be, need_string, take_string},
    ir::{Malformed, Media, MediaKind, Part, Text},
    json::Json,
    openai::{
        cache,
        media::{address, audio, file, uploaded},
    },
};

/// Reads `content` or `output`.
pub fn read(content: Option<Json>, path: &str) -> Result<Vec<Part>, Malformed> {
    match content {
        None => Ok(Vec::new()),
        Some(Json::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Json::String(text)) => Ok(vec![Part::Text(Text { text, place: path.into(), ..Text::default() })]),
        Some(Json::Array(items)) => {
            items.into_iter().enumerate().map(|(at, item)| part(item, &format!("{path}[{at}]"))).collect()
        }
        Some(_) => Err(must_be(path, "a string or an array of parts")),
    }
}

/// Reads one part.
pub fn part(mut value: Json, path: &str) -> Result<Part, Malformed> {
    if value.members().is_none() {
        return Err(must_be(path, "an object with a `type`"));
    }
    let hint = cache(&mut value, path);
    let kind = need_string(&mut value, "type", path, "a string such as `input_text`")?;
    let media = match kind.as_str() {
        // Where an earlier answer's text came from says nothing new to the model that wrote it.
        "input_text" | "output_text" | "text" | "summary_text" => {
            let text =
                take_string(&mut value, "text", path)?.ok_or_else(|| must_be(&below(path, "text"), "a string"))?;
            return Ok(Part::Text(Text { text, cache: hint, signature: None, place: path.into() }));
        }
        "refusal" => {
            let text = take_string(&mut value, "refusal", path)?;
            return text.map(Part::Refusal).ok_or_else(|| must_be(&below(path, "refusal"), "a string"));
        }
        "input_image" | "computer_screenshot" => image(value, path)?,
        "input_file" => file(value, path)?,
        "input_audio" => audio(value, &below(path, "input_audio"))?,
        _ => return Err(unreadable(path, &kind)),
    };
    Ok(Part::Media(Media { cache: hint, place: path.into(), ..media }))
}

/// Why something of a type that only OpenAI understands cannot be read for anybody else.
pub fn unreadable(path: &str, kind: &str) -> Malformed {
    Malformed::new(path, format!("`{path}` is of type `{kind}`, which only a provider of this protocol understands"))
}

fn image(mut value: Json, path: &str) -> Result<Media, Malformed> {
    let detail = take_string(&mut value, "detail", path)?;
    if let Some(id) = take_string(&mut value, "file_id", path)? {
        return Ok(Media { detail, ..uploaded(MediaKind::Image, id) });
    }
    let url = need_string(&mut value, "image_url", path, "an http(s) address or a data URL")?;
    Ok(Media { detail, ..address(url, MediaKind::Image, &below(path, "image_url"))? })
}
