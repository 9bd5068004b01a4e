//! Reads pictures, sound, films and documents.

use super::fields::Fields;
use crate::{
    ProtocolId, base64,
    gemini::mime,
    ir::{Malformed, Media, MediaKind, MediaSource, Unmapped},
};

/// Where Google keeps files that were uploaded to it.
const FILES: &str = "generativelanguage.googleapis.com/";

/// The medium in one of a part's two fields for it, if either is there.
pub fn take(part: &mut Fields, rest: &mut Vec<Unmapped>) -> Result<Option<Media>, Malformed> {
    if let Some(mut blob) = part.object("inlineData")? {
        let data = blob.need("data", "the content in base64")?;
        let media = inline(&mut blob, data)?;
        blob.leave(rest);
        return Ok(Some(media));
    }
    let Some(mut file) = part.object("fileData")? else { return Ok(None) };
    let address = file.need("fileUri", "the file's address")?;
    let media = linked(&mut file, address)?;
    file.leave(rest);
    Ok(Some(media))
}

fn inline(blob: &mut Fields, data: String) -> Result<Media, Malformed> {
    let told = blob.string("mimeType")?.filter(|mime| !mime.is_empty());
    let mime = told
        .or_else(|| base64::sniff(&data).map(str::to_owned))
        .ok_or_else(|| blob.must_be("mimeType", "the content's type, such as image/png"))?;
    let name = blob.string("displayName")?;
    let source = MediaSource::Base64(standard(data));
    Ok(Media { kind: kind(&mime), source, mime: Some(mime), name, detail: None, cache: None, place: blob.place() })
}

fn linked(file: &mut Fields, address: String) -> Result<Media, Malformed> {
    let told = file.string("mimeType")?.filter(|mime| !mime.is_empty());
    let guessed = told.as_deref().or_else(|| mime::of_address(&address));
    let kind = guessed.map_or(MediaKind::Document, kind);
    let source = match address.contains(FILES) || !address.contains("://") {
        true => MediaSource::File { origin: ProtocolId::Gemini, id: address },
        false => MediaSource::Url(address),
    };
    let name = file.string("displayName")?;
    Ok(Media { kind, source, mime: told, name, detail: None, cache: None, place: file.place() })
}

fn kind(mime: &str) -> MediaKind {
    match mime.split('/').next() {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => MediaKind::Document,
    }
}

/// Base64 in the usual alphabet, padded: Google's SDK for Python writes the alphabet for URLs, which only Google reads.
fn standard(data: String) -> String {
    let usual = !data.contains(['-', '_']) && data.len().is_multiple_of(4);
    match base64::decode(&data).filter(|_| !usual) {
        Some(bytes) => base64::encode(&bytes),
        None => data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    fn read(part: &str) -> Media {
        let mut part = Fields::of(Json::parse(part.as_bytes()).unwrap(), "p").unwrap();
        take(&mut part, &mut Vec::new()).unwrap().unwrap()
    }

    #[test]
    fn base64_of_either_alphabet_becomes_the_usual_one() {
        let media = read(r#"{"inline_data":{"mime_type":"image/png","data":"-_8"}}"#);
        assert_eq!((media.kind, media.source), (MediaKind::Image, MediaSource::Base64("+/8=".into())));
        assert_eq!(standard("not base64!".into()), "not base64!");
    }

    #[test]
    fn a_file_at_google_is_no_address_for_others() {
        let at_google = read(r#"{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/x"}}"#);
        assert!(matches!(at_google.source, MediaSource::File { origin: ProtocolId::Gemini, .. }));
        let film = read(r#"{"fileData":{"fileUri":"https://youtu.be/x"}}"#);
        assert_eq!((film.kind, film.mime), (MediaKind::Video, None));
        let picture = read(r#"{"fileData":{"fileUri":"gs://b/x","mimeType":"image/webp"}}"#);
        assert_eq!((picture.kind, picture.source), (MediaKind::Image, MediaSource::Url("gs://b/x".into())));
    }
}
