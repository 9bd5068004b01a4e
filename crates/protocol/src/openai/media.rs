//! Reads pictures, sounds and files, which OpenAI's two protocols write alike.

use crate::{
    ProtocolId, base64,
    fields::{below, must_be, need_string, take, take_string},
    ir::{Malformed, Media, MediaKind, MediaSource, Place},
    json::Json,
};

fn media(kind: MediaKind, source: MediaSource, mime: Option<String>) -> Media {
    Media { kind, source, mime, name: None, detail: None, cache: None, place: Place::default() }
}

/// What an address leads to: base64 for a data URL.
pub fn address(url: String, kind: MediaKind, path: &str) -> Result<Media, Malformed> {
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

/// A part with a sound in `input_audio`; `path` is that member's.
pub fn audio(mut value: Json, path: &str) -> Result<Media, Malformed> {
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

/// A file: what was uploaded before, what is elsewhere, or the file itself.
pub fn file(mut inner: Json, path: &str) -> Result<Media, Malformed> {
    let name = take_string(&mut inner, "filename", path)?;
    if let Some(id) = take_string(&mut inner, "file_id", path)? {
        return Ok(Media { name, ..uploaded(MediaKind::Document, id) });
    }
    if let Some(url) = take_string(&mut inner, "file_url", path)? {
        return Ok(Media { name, ..address(url, MediaKind::Document, &below(path, "file_url"))? });
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

/// What was uploaded to OpenAI, which both of its protocols can name.
pub fn uploaded(kind: MediaKind, id: String) -> Media {
    media(kind, MediaSource::File { origin: ProtocolId::OpenAiChat, id }, None)
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
