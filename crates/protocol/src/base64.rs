//! Base64, written by the book and read leniently: line ends and missing padding do not matter.

/// The bytes of `text`, in the usual or the URL-safe alphabet; padding and white space do not matter. `None` if it is
/// not base64.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    // Six bits left over are a digit that belongs to no byte.
    let (bytes, left) = digits(text)?;
    (left < 6).then_some(bytes)
}

/// As [`decode`], of a text that may be cut short: a last digit that belongs to no byte is passed over.
pub fn decode_cut_short(text: &str) -> Option<Vec<u8>> {
    digits(text).map(|(bytes, _)| bytes)
}

/// The bytes, and how many bits are left over.
fn digits(text: &str) -> Option<(Vec<u8>, u32)> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits = 0u32;
    let mut count = 0;
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=') {
        bits = (bits << 6) | value(byte)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some((out, count))
}

fn value(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}

/// `bytes` in the usual alphabet, padded.
pub fn encode(bytes: &[u8]) -> String {
    ::base64::Engine::encode(&::base64::prelude::BASE64_STANDARD, bytes)
}

/// `text` behind a mark, in the alphabet for URLs and without padding.
pub fn wrap_url_safe(mark: &str, text: &str) -> String {
    format!("{mark}{}", ::base64::Engine::encode(&::base64::prelude::BASE64_URL_SAFE_NO_PAD, text))
}

/// The type of a file, told by the base64 of its first bytes.
pub fn sniff(data: &str) -> Option<&'static str> {
    const SIGNS: [(&str, &str); 7] = [
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
        ("JVBERi", "application/pdf"),
        ("SUQz", "audio/mpeg"),
        ("T2dnU", "audio/ogg"),
    ];
    SIGNS.iter().find(|(sign, _)| data.starts_with(sign)).map(|(_, mime)| *mime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_white_space_and_both_alphabets_are_understood() {
        for text in ["aGnDqT8+", "aGnD\nqT8-", " aGnDqT8-"] {
            assert_eq!(decode(text).unwrap(), "hié?>".as_bytes(), "{text}");
        }
        assert_eq!(decode("aGk=").unwrap(), b"hi");
        assert_eq!(decode("aGk").unwrap(), b"hi");
    }

    #[test]
    fn what_is_not_base64_is_none() {
        assert_eq!(decode("a"), None);
        assert_eq!(decode("aG*k"), None);
        assert_eq!(decode_cut_short("aG*k"), None);
    }

    #[test]
    fn a_text_that_is_cut_short_keeps_its_whole_bytes() {
        assert_eq!(decode_cut_short("aGVsbG8=").unwrap(), b"hello");
        assert_eq!(decode_cut_short("aGVsb").unwrap(), b"hel");
    }
}
