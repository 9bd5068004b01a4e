//! How opaque proof of reasoning travels through a client of another protocol.
//!
//! A client sends back what it was given: an Anthropic client its `signature`s and `redacted_thinking`, a Responses client
//! its `encrypted_content`, a Gemini client its `thoughtSignature`s. What another protocol issued goes into such a place
//! wrapped, with a mark that says whose it is, so that it comes back unharmed and is never shown to anybody else.

use super::Signature;
use crate::{ProtocolId, base64};

/// How every wrapped proof begins: four digits of base64, since some clients decode such a field and encode it again.
pub const MARK: &str = "LLMO";

/// What a wrapped proof belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The reasoning block that it stands in; an empty value marks text that nobody signed. `redacted` as in
    /// [`Reasoning`](super::Reasoning).
    Reasoning { signature: Signature, redacted: bool },
    /// A tool call, by its id, where a call has no place for a signature of its own.
    ToolCall { id: String, signature: Signature },
    /// The text next to it.
    Text { signature: Signature },
}

impl Carrier {
    /// The text to hand to the client: padded base64 in its usual alphabet.
    pub fn wrap(&self) -> String {
        let (kind, id, signature) = match self {
            Self::Reasoning { signature, redacted: false } => ('r', "", signature),
            Self::Reasoning { signature, redacted: true } => ('x', "", signature),
            Self::ToolCall { id, signature } => ('c', id.as_str(), signature),
            Self::Text { signature } => ('t', "", signature),
        };
        let origin = signature.origin.as_str();
        let plain = format!("{kind}{origin}\n{id}\n{}", signature.value);
        format!("{MARK}{}", base64::encode(plain.as_bytes()))
    }

    /// What [`Carrier::wrap`] wrapped; `None` for anything else.
    pub fn unwrap(text: &str) -> Option<Self> {
        let plain = String::from_utf8(base64::decode(text.strip_prefix(MARK)?)?).ok()?;
        let mut fields = plain.splitn(3, '\n');
        let (head, id, value) = (fields.next()?, fields.next()?, fields.next()?);
        let kind = head.chars().next()?;
        let origin = ProtocolId::parse(&head[kind.len_utf8()..])?;
        let signature = Signature { origin, value: value.to_owned() };
        Some(match kind {
            'r' => Self::Reasoning { signature, redacted: false },
            'x' => Self::Reasoning { signature, redacted: true },
            'c' => Self::ToolCall { id: id.to_owned(), signature },
            't' => Self::Text { signature },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_comes_back_as_it_was() {
        let signature = |value: &str| Signature { origin: ProtocolId::Gemini, value: value.to_owned() };
        for carrier in [
            Carrier::Reasoning { signature: signature("a\nb\n"), redacted: false },
            Carrier::Reasoning { signature: signature(""), redacted: true },
            Carrier::ToolCall { id: "call_é".into(), signature: signature("x==") },
            Carrier::Text { signature: signature("+/") },
        ] {
            let wrapped = carrier.wrap();
            let url_safe = wrapped.replace('+', "-").replace('/', "_").replace('=', "");
            assert_eq!(Carrier::unwrap(&url_safe), Some(carrier.clone()), "another alphabet is the same");
            assert_eq!(Carrier::unwrap(&wrapped), Some(carrier));
        }
    }

    #[test]
    fn anything_else_is_not_ours() {
        for other in ["", "LLMO", "EqQBCkgIBRABGAIiQL", "LLMO!!", "LLMOAAAA", "x"] {
            assert_eq!(Carrier::unwrap(other), None, "{other}");
        }
    }
}
