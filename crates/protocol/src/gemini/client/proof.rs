//! What travels in the place of a thought signature where the model is not Gemini.
//!
//! Google's coding agent throws thoughts away and keeps signatures, so that here the thoughts themselves travel with what
//! proves them, on the part that follows them. Such a part says all that was thought before it; thoughts that the client
//! was shown and sends back are a copy.

use serde::{Deserialize, Serialize};

use crate::{
    ProtocolId, base64,
    gemini::signature,
    ir::{Reasoning, Signature, carrier::MARK},
};

/// What one part proves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proof {
    /// What was thought just before the part.
    pub thoughts: Vec<Reasoning>,
    /// The signature of the part itself.
    pub own: Option<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    thoughts: Vec<Thought>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own: Option<Signed>,
}

#[derive(Serialize, Deserialize)]
struct Thought {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<Signed>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    redacted: bool,
}

#[derive(Serialize, Deserialize)]
struct Signed {
    origin: ProtocolId,
    value: String,
}

impl Proof {
    /// The text to write: Gemini's own signature as it is, anything else wrapped and marked.
    pub fn write(self) -> String {
        match self.own {
            Some(Signature { origin: ProtocolId::Gemini, value }) => value,
            own => {
                let wire = Wire {
                    thoughts: self.thoughts.into_iter().map(Thought::from).collect(),
                    own: own.map(Signed::from),
                };
                let text = serde_json::to_vec(&wire).expect("keys are strings");
                format!("{MARK}{}", base64::encode(&text))
            }
        }
    }

    /// What [`Proof::write`] wrote, in whatever alphabet it comes back; Gemini's own signature; nothing, if it is a word that
    /// stands for none.
    pub fn read(text: &str) -> Self {
        if signature::is_placeholder(text) {
            return Self::default();
        }
        let Some(ours) = text.strip_prefix(MARK) else {
            let own = Signature { origin: ProtocolId::Gemini, value: text.to_owned() };
            return Self { thoughts: Vec::new(), own: Some(own) };
        };
        let wire: Option<Wire> = base64::decode(ours).and_then(|text| serde_json::from_slice(&text).ok());
        let Some(wire) = wire else { return Self::default() };
        Self { thoughts: wire.thoughts.into_iter().map(Reasoning::from).collect(), own: wire.own.map(Signature::from) }
    }
}

impl From<Reasoning> for Thought {
    fn from(Reasoning { text, signature, redacted, .. }: Reasoning) -> Self {
        Self { text, signature: signature.map(Signed::from), redacted }
    }
}

impl From<Thought> for Reasoning {
    fn from(Thought { text, signature, redacted }: Thought) -> Self {
        Self { text, signature: signature.map(Signature::from), redacted, ..Self::default() }
    }
}

impl From<Signature> for Signed {
    fn from(Signature { origin, value }: Signature) -> Self {
        Self { origin, value }
    }
}

impl From<Signed> for Signature {
    fn from(Signed { origin, value }: Signed) -> Self {
        Self { origin, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(origin: ProtocolId, value: &str) -> Option<Signature> {
        Some(Signature { origin, value: value.to_owned() })
    }

    #[test]
    fn what_is_written_is_read_again_in_either_alphabet() {
        let thoughts = vec![
            Reasoning {
                text: "é?>".into(),
                signature: signed(ProtocolId::Anthropic, "a+/="),
                redacted: false,
                ..Reasoning::default()
            },
            Reasoning {
                text: String::new(),
                signature: signed(ProtocolId::Anthropic, "x"),
                redacted: true,
                ..Reasoning::default()
            },
            Reasoning { text: "plain".into(), ..Reasoning::default() },
        ];
        for proof in [
            Proof { thoughts, own: signed(ProtocolId::OpenAiResponses, "s") },
            Proof::default(),
            Proof { thoughts: Vec::new(), own: signed(ProtocolId::Gemini, "native==") },
        ] {
            let written = proof.clone().write();
            assert_eq!(Proof::read(&written), proof);
            let respelled = written.replace('+', "-").replace('/', "_");
            assert_eq!(Proof::read(&respelled).thoughts, proof.thoughts);
        }
    }

    #[test]
    fn geminis_own_signature_is_written_as_it_is() {
        let proof = Proof { thoughts: Vec::new(), own: signed(ProtocolId::Gemini, "c2ln") };
        assert_eq!(proof.write(), "c2ln");
    }

    #[test]
    fn a_word_for_no_signature_and_a_broken_one_prove_nothing() {
        for text in ["", signature::UNSIGNED, "LLMO", "LLMO!!", "LLMOAAAA"] {
            assert_eq!(Proof::read(text), Proof::default(), "{text}");
        }
    }
}
