//! Pictures, sound, films and documents.

use std::borrow::Cow;

use crate::{
    ProtocolId,
    gemini::{
        mime,
        part::{Blob, File, Part, Payload},
    },
    ir::{Losses, Media, MediaKind, MediaSource},
};

/// Where files uploaded to Google are named.
const FILES: &str = "https://generativelanguage.googleapis.com/v1beta/";

/// A medium as a part; `None`, with a refusal noted, if it is a file of another provider.
pub fn part<'a>(media: &'a Media, losses: &mut Losses) -> Option<Part<'a>> {
    if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
        losses.dropped((&media.place, "detail"));
    }
    if media.name.is_some() {
        losses.dropped((&media.place, "filename"));
    }
    let data = match &media.source {
        MediaSource::Base64(data) => Payload::InlineData(Blob { mime_type: mime_type(media, ""), data: data.into() }),
        MediaSource::Url(url) => Payload::FileData(File { mime_type: mime_type(media, url), file_uri: url.into() }),
        MediaSource::File { origin: ProtocolId::Gemini, id } => {
            let file_uri = match id.contains("://") {
                true => Cow::Borrowed(id.as_str()),
                false => Cow::Owned(format!("{FILES}{id}")),
            };
            Payload::FileData(File { mime_type: mime_type(media, id), file_uri })
        }
        MediaSource::File { .. } => {
            losses.refused(&media.place, "the file was uploaded to another provider; send its content");
            return None;
        }
    };
    Some(data.into())
}

/// Whether a tool's result may hold it: pictures, PDFs and plain text, of the newer models.
pub fn fits_tool_result(part: &Part<'_>) -> bool {
    let mime = match &part.data {
        Payload::InlineData(blob) => &blob.mime_type,
        Payload::FileData(file) => &file.mime_type,
        _ => return false,
    };
    matches!(&**mime, "image/png" | "image/jpeg" | "image/webp" | "application/pdf" | "text/plain")
}

fn mime_type<'a>(media: &'a Media, url: &str) -> Cow<'a, str> {
    match media.mime.as_deref().filter(|mime| !mime.is_empty()) {
        Some("image/jpg") => "image/jpeg".into(),
        Some("audio/x-wav" | "audio/wave") => "audio/wav".into(),
        Some(mime) => mime.into(),
        None => guessed(media.kind, url).into(),
    }
}

/// The type of what stands at `url`: by its extension, else the usual one of its kind. Gemini wants one and mostly finds
/// out by itself.
fn guessed(kind: MediaKind, url: &str) -> &'static str {
    mime::of_address(url).unwrap_or(match kind {
        MediaKind::Image => "image/jpeg",
        MediaKind::Audio => "audio/mpeg",
        MediaKind::Video => "video/mp4",
        MediaKind::Document => "application/pdf",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_guessed_from_the_extension_then_from_the_kind() {
        assert_eq!(guessed(MediaKind::Image, "https://x.org/a.PNG?w=1.jpg#f"), "image/png");
        assert_eq!(guessed(MediaKind::Image, "https://x.org/a.b/c"), "image/jpeg");
        assert_eq!(guessed(MediaKind::Image, "https://youtu.be/abc"), "video/mp4");
        assert_eq!(guessed(MediaKind::Document, "gs://b/x"), "application/pdf");
    }
}
