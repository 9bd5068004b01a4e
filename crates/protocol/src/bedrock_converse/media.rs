//! Pictures, documents and recordings, by the words that Bedrock has for their formats.

use crate::{
    anthropic::wire::{Block, CacheControl, Source},
    ir::{Losses, Media, MediaKind, MediaSource},
};

/// The sorts of blocks that hold a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Image,
    Document,
    Video,
    Audio,
}

/// Bedrock's word for each type of file.
const FORMATS: [(&str, Sort, &str); 30] = [
    ("image/png", Sort::Image, "png"),
    ("image/jpeg", Sort::Image, "jpeg"),
    ("image/jpg", Sort::Image, "jpeg"),
    ("image/gif", Sort::Image, "gif"),
    ("image/webp", Sort::Image, "webp"),
    ("application/pdf", Sort::Document, "pdf"),
    ("text/csv", Sort::Document, "csv"),
    ("text/html", Sort::Document, "html"),
    ("text/markdown", Sort::Document, "md"),
    ("application/msword", Sort::Document, "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", Sort::Document, "docx"),
    ("application/vnd.ms-excel", Sort::Document, "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", Sort::Document, "xlsx"),
    ("application/json", Sort::Document, "txt"),
    ("application/xml", Sort::Document, "txt"),
    ("application/yaml", Sort::Document, "txt"),
    ("video/mp4", Sort::Video, "mp4"),
    ("video/webm", Sort::Video, "webm"),
    ("video/quicktime", Sort::Video, "mov"),
    ("video/x-matroska", Sort::Video, "mkv"),
    ("video/mpeg", Sort::Video, "mpeg"),
    ("video/x-flv", Sort::Video, "flv"),
    ("video/x-ms-wmv", Sort::Video, "wmv"),
    ("video/3gpp", Sort::Video, "three_gp"),
    ("audio/mpeg", Sort::Audio, "mp3"),
    ("audio/mp3", Sort::Audio, "mp3"),
    ("audio/wav", Sort::Audio, "wav"),
    ("audio/flac", Sort::Audio, "flac"),
    ("audio/ogg", Sort::Audio, "ogg"),
    ("audio/webm", Sort::Audio, "webm"),
];

/// What a file of this type is to Bedrock.
pub(super) fn format(mime: &str) -> Option<(Sort, &'static str)> {
    let plain = mime.split(';').next().unwrap_or_default().trim();
    let known = FORMATS.iter().find(|(name, ..)| plain.eq_ignore_ascii_case(name));
    let text = || (plain.len() > 5 && plain[..5].eq_ignore_ascii_case("text/")).then_some((Sort::Document, "txt"));
    known.map(|(_, sort, word)| (*sort, *word)).or_else(text)
}

/// The file, whatever it is, as a document of its type, which [`format`] tells apart when it is written; or why there is
/// none.
pub(super) fn block<'a>(media: &'a Media, losses: &mut Losses) -> Result<Block<'a>, String> {
    let MediaSource::Base64(data) = &media.source else {
        return Err("Bedrock's models take files as base64 only, not by their address or id".to_owned());
    };
    let media_type = media.mime.as_deref().unwrap_or_default();
    if format(media_type).is_none() {
        return Err(format!("Bedrock has no word for files of type `{media_type}`"));
    }
    if media.kind == MediaKind::Image && media.detail.as_deref().is_some_and(|detail| detail != "auto") {
        losses.dropped((&media.place, "detail"));
    }
    Ok(Block::Document {
        source: Source::Base64 { media_type, data },
        title: media.name.as_deref(),
        cache_control: CacheControl::of(&media.cache),
    })
}
