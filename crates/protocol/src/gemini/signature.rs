//! Words that stand where a thought signature belongs.

/// Takes the place of a signature that was lost or was another model's. Google documents the word for this purpose.
pub const UNSIGNED: &str = "skip_thought_signature_validator";

/// The same as a client spells it for which signatures are bytes.
const UNSIGNED_BYTES: &str = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I";

/// Whether `text` stands for a signature and is none.
pub fn is_placeholder(text: &str) -> bool {
    text.is_empty() || text == UNSIGNED || text.trim_end_matches('=') == UNSIGNED_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_known_in_both_spellings() {
        assert!(is_placeholder("") && is_placeholder(UNSIGNED));
        assert!(is_placeholder(&crate::base64::encode(UNSIGNED.as_bytes())));
        assert!(!is_placeholder("c2lnbmF0dXJl"));
    }
}
