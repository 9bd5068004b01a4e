//! Pictures and documents.

use super::wire::{Block, CacheControl, Source};
use crate::{
    ProtocolId, base64,
    ir::{Losses, Media, MediaKind, MediaSource},
};

/// The block that shows `media`, or why there is none.
pub(super) fn block<'a>(media: &'a Media, losses: &mut Losses) -> Result<Block<'a>, String> {
    let cache_control = CacheControl::of(&media.cache);
    match media.kind {
        MediaKind::Image => {
            if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
                losses.dropped((&media.place, "detail"));
            }
            Ok(Block::Image { source: image(media)?, cache_control })
        }
        MediaKind::Document => Ok(Block::Document { source: document(media)?, title: title(media), cache_control }),
        MediaKind::Audio => Err("Anthropic's models take no audio".to_owned()),
        MediaKind::Video => Err("Anthropic's models take no video".to_owned()),
    }
}

fn image(media: &Media) -> Result<Source<'_>, String> {
    let MediaSource::Base64(data) = &media.source else { return remote(&media.source) };
    let mime = media.mime.as_deref().unwrap_or_default();
    let media_type = match mime.to_ascii_lowercase().as_str() {
        "image/jpeg" | "image/jpg" => "image/jpeg",
        "image/png" => "image/png",
        "image/gif" => "image/gif",
        "image/webp" => "image/webp",
        _ => return Err(format!("Anthropic takes images as JPEG, PNG, GIF or WebP, not as `{mime}`")),
    };
    Ok(Source::Base64 { media_type, data })
}

fn document(media: &Media) -> Result<Source<'_>, String> {
    let MediaSource::Base64(data) = &media.source else { return remote(&media.source) };
    let mime = media.mime.as_deref().unwrap_or_default().to_ascii_lowercase();
    if mime == "application/pdf" {
        return Ok(Source::Base64 { media_type: "application/pdf", data });
    }
    if !is_text(&mime) {
        return Err(format!("Anthropic takes documents as PDF or text, not as `{mime}`"));
    }
    let text = base64::decode(data).and_then(|bytes| String::from_utf8(bytes).ok());
    let data = text.ok_or_else(|| format!("the document of type `{mime}` is not UTF-8 text in base64"))?;
    Ok(Source::Text { media_type: "text/plain", data })
}

fn is_text(mime: &str) -> bool {
    let mime = mime.split(';').next().unwrap_or_default().trim();
    mime.starts_with("text/")
        || matches!(mime, "application/json" | "application/xml" | "application/yaml" | "application/x-yaml")
}

fn remote(source: &MediaSource) -> Result<Source<'_>, String> {
    match source {
        MediaSource::Url(url) if url.starts_with("https:") || url.starts_with("http:") => Ok(Source::Url { url }),
        MediaSource::Url(_) => Err("Anthropic fetches content from http and https addresses only".to_owned()),
        MediaSource::File { origin: ProtocolId::Anthropic, id } => Ok(Source::File { file_id: id }),
        MediaSource::File { id, .. } => Err(format!("the file `{id}` was uploaded to another provider")),
        MediaSource::Base64(_) => Err("the content is not an address".to_owned()),
    }
}

fn title(media: &Media) -> Option<&str> {
    media.name.as_deref().filter(|name| !name.trim().is_empty())
}
