//! Reads what a message holds: text, or a list of parts.

use super::{
    fields::{below, must_be, need_string, take, take_string},
    tools::cache,
};
use crate::{
    ProtocolId, base64,
    ir::{Malformed, Media, MediaKind, MediaSource, Part, Reasoning, Text, Unmapped},
    json::Json,
};

/// Reads `content`. Parts of an unknown sort go to `rest`.
pub fn read(content: Option<Json>, path: &str, rest: &mut Vec<Unmapped>) -> Result<Vec<Part>, Malformed> {
    match content {
        None => Ok(Vec::new()),
        Some(Json::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Json::String(text)) => Ok(vec![Part::text(text)]),
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
        return Ok(Some(Part::text(text)));
    }
    if value.members().is_none() {
        return Err(must_be(path, "an object with a `type`"));
    }
    let hint = cache(&mut value);
    let kind = need_string(&mut value, "type", path, "a string such as `text`")?;
    let mut media = match kind.as_str() {
        "text" | "input_text" | "output_text" => {
            let text =
                take_string(&mut value, "text", path)?.ok_or_else(|| must_be(&below(path, "text"), "a string"))?;
            return Ok(Some(Part::Text(Text { text, cache: hint, signature: None })));
        }
        "refusal" => return Ok(take_string(&mut value, "refusal", path)?.map(Part::Refusal)),
        "thinking" => return Ok(thinking(value)),
        "image_url" => linked(value, "image_url", MediaKind::Image, path)?,
        "video_url" => linked(value, "video_url", MediaKind::Video, path)?,
        "document_url" => linked(value, "document_url", MediaKind::Document, path)?,
        "file_url" => linked(value, "file_url", MediaKind::Document, path)?,
        "input_audio" => audio(value, &below(path, "input_audio"))?,
        "file" => file(value, &below(path, "file"))?,
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
fn thinking(value: Json) -> Option<Part> {
    let text = match value.get("thinking")? {
        Json::String(text) => text.clone(),
        Json::Array(pieces) => pieces.iter().filter_map(|piece| piece.get("text")?.as_str()).collect(),
        _ => return None,
    };
    Some(Part::Reasoning(Reasoning { text, ..Reasoning::default() }))
}

fn media(kind: MediaKind, source: MediaSource, mime: Option<String>) -> Media {
    Media { kind, source, mime, name: None, detail: None, cache: None }
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
    Ok(Media { detail, name, ..found })
}

fn address(url: String, kind: MediaKind, path: &str) -> Result<Media, Malformed> {
    let scheme = url.split(':').next().unwrap_or_default().to_ascii_lowercase();
    match scheme.as_str() {
        "data" => {
            let (mime, data) = data_url(&url, path)?;
            let mime = mime
                .or_else(|| base64::sniff(&data).map(str::to_owned))
                .unwrap_or_else(|| default_mime(kind).to_owned());
            Ok(media(kind, MediaSource::Base64(data), Some(mime)))
        }
        // Perplexity's clients send a file's base64 where its address belongs.
        _ if kind == MediaKind::Document && !url.contains(':') && base64::decode_cut_short(&url).is_some() => {
            let mime = base64::sniff(&url).unwrap_or_else(|| default_mime(kind)).to_owned();
            Ok(media(kind, MediaSource::Base64(url), Some(mime)))
        }
        "http" | "https" | "gs" => Ok(media(kind, MediaSource::Url(url), None)),
        _ => Err(must_be(path, "an http(s) address or a data URL")),
    }
}

fn default_mime(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image/jpeg",
        MediaKind::Audio => "audio/wav",
        MediaKind::Video => "video/mp4",
        MediaKind::Document => "application/pdf",
    }
}

/// The type and the base64 of a data URL.
fn data_url(url: &str, path: &str) -> Result<(Option<String>, String), Malformed> {
    let wrong = || must_be(path, "a data URL of the form data:TYPE;base64,DATA");
    let (head, data) = url.get(5..).and_then(|rest| rest.split_once(',')).ok_or_else(wrong)?;
    let head = head.strip_suffix(";base64").ok_or_else(wrong)?;
    let mime = head.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mime = if mime == "image/jpg" { "image/jpeg".to_owned() } else { mime };
    if data.is_empty() {
        return Err(wrong());
    }
    Ok(((!mime.is_empty()).then_some(mime), data.to_owned()))
}

fn audio(mut value: Json, path: &str) -> Result<Media, Malformed> {
    let Some(mut inner @ Json::Object(_)) = take(&mut value, "input_audio") else {
        return Err(must_be(path, "an object with `data` and `format`"));
    };
    let data = need_string(&mut inner, "data", path, "the sound in base64")?;
    let format = take_string(&mut inner, "format", path)?;
    let (told, data) = if data.starts_with("data:") { data_url(&data, &below(path, "data"))? } else { (None, data) };
    let mime = match format.as_deref() {
        Some("mp3") => "audio/mpeg".to_owned(),
        Some(format) => format!("audio/{format}"),
        None => told.ok_or_else(|| must_be(&below(path, "format"), "wav or mp3"))?,
    };
    Ok(media(MediaKind::Audio, MediaSource::Base64(data), Some(mime)))
}

fn file(mut value: Json, path: &str) -> Result<Media, Malformed> {
    let Some(mut inner @ Json::Object(_)) = take(&mut value, "file") else {
        return Err(must_be(path, "an object with `file_data` or `file_id`"));
    };
    let name = take_string(&mut inner, "filename", path)?;
    if let Some(id) = take_string(&mut inner, "file_id", path)? {
        let source = MediaSource::File { origin: ProtocolId::OpenAiChat, id };
        return Ok(Media { name, ..media(MediaKind::Document, source, None) });
    }
    let data = need_string(&mut inner, "file_data", path, "the file in base64, where there is no `file_id`")?;
    if data.starts_with("http:") || data.starts_with("https:") {
        return Ok(Media { name, ..media(MediaKind::Document, MediaSource::Url(data), None) });
    }
    let (told, data) =
        if data.starts_with("data:") { data_url(&data, &below(path, "file_data"))? } else { (None, data) };
    let mime = told
        .filter(|mime| mime != "application/octet-stream")
        .or_else(|| name.as_deref().and_then(mime_of_name).or_else(|| base64::sniff(&data)).map(str::to_owned))
        .unwrap_or_else(|| "application/pdf".to_owned());
    let kind = match mime.split('/').next() {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => MediaKind::Document,
    };
    Ok(Media { name, ..media(kind, MediaSource::Base64(data), Some(mime)) })
}

fn mime_of_name(name: &str) -> Option<&'static str> {
    let extension = name.rsplit_once('.')?.1.to_ascii_lowercase();
    Some(match extension.as_str() {
        "pdf" => "application/pdf",
        "txt" | "log" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        _ => return None,
    })
}
