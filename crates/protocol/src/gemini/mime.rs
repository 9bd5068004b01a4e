//! Types of files, told by their names.

/// The type of what stands at `url`, by its extension; films of the one site that Gemini knows by its name.
pub fn of_address(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    if ["://youtu.be/", "youtube.com/"].iter().any(|site| path.contains(site)) {
        return Some("video/mp4");
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    Some(match &*last.rsplit_once('.')?.1.to_ascii_lowercase() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "bmp" => "image/bmp",
        "pdf" => "application/pdf",
        "txt" | "md" => "text/plain",
        "html" | "htm" => "text/html",
        "csv" => "text/csv",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "ogg" | "oga" => "audio/ogg",
        "flac" => "audio/flac",
        "aac" => "audio/aac",
        "m4a" => "audio/mp4",
        "mp4" => "video/mp4",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        "mpeg" | "mpg" => "video/mpeg",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_told_by_the_extension() {
        assert_eq!(of_address("https://x.org/a.PNG?w=1.jpg#f"), Some("image/png"));
        assert_eq!(of_address("https://x.org/a.b/c"), None);
        assert_eq!(of_address("https://youtu.be/abc"), Some("video/mp4"));
    }
}
