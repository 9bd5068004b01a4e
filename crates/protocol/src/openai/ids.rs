//! Ids that are made up where a party gave none, or none that the other takes: the same input makes the same id.

use crate::fnv;

/// 64 bits of `text`, evenly spread (FNV-1a with a final mix).
pub fn hash(text: &str) -> u64 {
    let mut hash = fnv::hash(0, text.as_bytes());
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// An id for the call that stands at `ordinal` of the answer named by `seed`.
pub fn call_id(seed: &str, ordinal: usize) -> String {
    format!("call_{:016x}{ordinal:02}", hash(seed))
}

/// `id` if it is at most `limit` bytes long, else a stand-in of 32 hex digits.
pub fn at_most(id: &str, limit: usize) -> String {
    if id.len() <= limit {
        return id.to_owned();
    }
    format!("{:016x}{:016x}", hash(id), hash(&format!("{id}\u{1}")))
}

/// `id` if it is nine letters and digits, else nine that stand for it: Mistral's servers take no other.
pub fn nine_alphanumerics(id: &str) -> String {
    if id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = hash(id);
    (0..9)
        .map(|_| {
            let digit = DIGITS[(rest % 62) as usize];
            rest /= 62;
            char::from(digit)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_fits_stays_and_another_always_becomes_the_same() {
        assert_eq!(nine_alphanumerics("vAKGXGFZD"), "vAKGXGFZD");
        assert_eq!(nine_alphanumerics("toolu_01"), nine_alphanumerics("toolu_01"));
        assert_ne!(nine_alphanumerics("toolu_01"), nine_alphanumerics("toolu_02"));
        assert_eq!(nine_alphanumerics("toolu_01").len(), 9);
        assert_eq!(at_most("short", 64), "short");
        assert_eq!(at_most(&"x".repeat(65), 64).len(), 32);
    }
}
