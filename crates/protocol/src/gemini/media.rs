//! Pictures, sound, films and documents.

use std::borrow::Cow;

use crate::{
    ProtocolId,
    gemini::body::{Blob, File, Part, Payload},
    ir::{Losses, Media, MediaKind, MediaSource},
};

/// Where files uploaded to Google are named.
const FILES: &str = "https://generativelanguage.googleapis.com/v1beta/";

/// A medium as a part; `None`, with a refusal noted, if it is a file of another provider.
pub fn part<'a>(media: &'a Media, losses: &mut Losses) -> Option<Part<'a>> {
    if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
        losses.dropped("messages[].content[].image_url.detail");
    }
    if media.name.is_some() {
        losses.dropped("messages[].content[].file.filename");
    }
    let data = match &media.source {
        MediaSource::Base64(data) => Payload::InlineData(Blob { mime_type: mime(media, ""), data }),
        MediaSource::Url(url) => Payload::FileData(File { mime_type: mime(media, url), file_uri: url.into() }),
        MediaSource::File { origin: ProtocolId::Gemini, id } => {
            let file_uri = match id.contains("://") {
                true => Cow::Borrowed(id.as_str()),
                false => Cow::Owned(format!("{FILES}{id}")),
            };
            Payload::FileData(File { mime_type: mime(media, id), file_uri })
        }
        MediaSource::File { .. } => {
            losses.refused(
                "messages[].content[].file.file_id",
                "`file_id` names a file at another provider; send its content as `file_data`",
            );
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

fn mime<'a>(media: &'a Media, url: &str) -> Cow<'a, str> {
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
    let path = url.split(['?', '#']).next().unwrap_or_default();
    if ["://youtu.be/", "youtube.com/"].iter().any(|site| path.contains(site)) {
        return "video/mp4";
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    match last.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        Some("gif") => "image/gif",
        Some("heic") => "image/heic",
        Some("heif") => "image/heif",
        Some("bmp") => "image/bmp",
        Some("pdf") => "application/pdf",
        Some("txt" | "md") => "text/plain",
        Some("html" | "htm") => "text/html",
        Some("csv") => "text/csv",
        Some("mp3") => "audio/mpeg",
        Some("wav") => "audio/wav",
        Some("ogg" | "oga") => "audio/ogg",
        Some("flac") => "audio/flac",
        Some("aac") => "audio/aac",
        Some("m4a") => "audio/mp4",
        Some("mp4") => "video/mp4",
        Some("mov") => "video/quicktime",
        Some("webm") => "video/webm",
        Some("mpeg" | "mpg") => "video/mpeg",
        _ => match kind {
            MediaKind::Image => "image/jpeg",
            MediaKind::Audio => "audio/mpeg",
            MediaKind::Video => "video/mp4",
            MediaKind::Document => "application/pdf",
        },
    }
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
