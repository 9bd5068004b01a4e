//! Reading base64: text documents travel as base64 in OpenAI's protocol and as plain text in Anthropic's.

/// The bytes of `text`, in the usual or the URL-safe alphabet; padding and white space do not matter. `None` if it is
/// not base64.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
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
    // Six bits left over are a digit that belongs to no byte.
    (count < 6).then_some(out)
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
    }
}
