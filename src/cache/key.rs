//! What two requests must have in common to have one answer.

use std::fmt;

use aws_lc_rs::digest;

use super::canonical;
use crate::{limits::Subject, secret::KeyHash};

/// The SHA-256 of all that an answer depends on, and by what it can be found to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub digest: Digest,
    /// The stored API key's id, where there is one.
    pub key_id: Option<i64>,
    /// As the client named it.
    pub model: String,
}

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = [0; 32];
        digest.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(digest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Gathers all that an answer depends on. Parts must be added in one order.
#[derive(Default)]
pub struct Ingredients(Vec<u8>);

impl Ingredients {
    /// Room for a body of so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes + bytes / 4 + 256))
    }

    /// Whose answer it is: by the whole hash of the key.
    pub fn subject(&mut self, subject: Option<Subject>) -> &mut Self {
        match subject {
            Some(Subject::Key(hash)) => self.text("key").text(&KeyHash::to_string(&hash)),
            Some(Subject::Address(address)) => self.text("address").text(&address.to_string()),
            Some(Subject::Everyone | Subject::Provider(_)) | None => self.text("anonymous"),
        }
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        canonical::write_text(bytes, &mut self.0);
        self
    }

    pub fn flag(&mut self, flag: bool) -> &mut Self {
        self.0.push(flag.into());
        self
    }

    /// A value in JSON, however it is spelled. `None` where it holds what is no text.
    pub fn json(&mut self, json: &str) -> Option<&mut Self> {
        canonical::write(json, &mut self.0)?;
        Some(self)
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_share_a_beginning_share_nothing() {
        let digest = |key: &str| {
            let mut ingredients = Ingredients::default();
            ingredients.subject(Some(Subject::Key(KeyHash::of(key)))).text("m");
            ingredients.digest()
        };
        assert_eq!(digest("sk-0123456789012345678901-a"), digest("sk-0123456789012345678901-a"));
        assert_ne!(digest("sk-0123456789012345678901-a"), digest("sk-0123456789012345678901-b"));
    }

    #[test]
    fn where_a_part_ends_matters() {
        let digest = |one: &str, other: &str| Ingredients::default().text(one).text(other).digest();
        assert_ne!(digest("ab", "c"), digest("a", "bc"));
        assert_ne!(digest("", "a"), digest("a", ""));
    }
}
