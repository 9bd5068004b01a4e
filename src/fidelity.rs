//! How much of a request may be lost on its way into another protocol.

use llm_protocol::ir::{ApiError, ErrorKind, Losses};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::setting::{Given, Setting};

/// What becomes of a request that a target's protocol cannot say in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fidelity {
    /// Any loss refuses it.
    Strict,
    /// What the answer does not hang on is left out or said in a nearby form, and told; the rest refuses it.
    #[default]
    Warn,
    /// What changes the answer is left out too, and told. Refused is only what no request can do without: content of the
    /// conversation, and references to what another provider keeps.
    Lenient,
}

impl Fidelity {
    pub const ALL: [Self; 3] = [Self::Strict, Self::Warn, Self::Lenient];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Warn => "warn",
            Self::Lenient => "lenient",
        }
    }

    /// Reads the name that [`Fidelity::as_str`] writes.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fidelity| fidelity.as_str() == name)
    }

    /// What holds for a request: its own word, else its key's, else the configuration's. A request cannot loosen a strict
    /// key.
    pub fn in_force(request: Option<Self>, key: Option<Self>, configured: Self) -> Self {
        match key {
            Some(Self::Strict) => Self::Strict,
            _ => request.or(key).unwrap_or(configured),
        }
    }

    /// Whether a request with these losses may be sent to `provider`; the error is the client's.
    pub fn judge(self, losses: &Losses, provider: &str) -> Result<(), ApiError> {
        let grave: Vec<(&str, &str)> = match self {
            Self::Lenient => losses.impossible().collect(),
            Self::Strict | Self::Warn => losses.refusals().collect(),
        };
        let (first, message) = if let Some((first, _)) = grave.first() {
            let named: Vec<String> = grave.iter().map(|(path, why)| format!("`{path}` ({why})")).collect();
            (Some(*first), format!("provider `{provider}` cannot take {}", named.join(", ")))
        } else if self == Self::Strict && !losses.is_empty() {
            let first = losses.iter().next().map(|loss| loss.path.as_str());
            (first, format!("strict: provider `{provider}` cannot take {} as asked", losses.paths()))
        } else {
            return Ok(());
        };
        Err(ApiError { param: first.map(str::to_owned), ..ApiError::new(ErrorKind::InvalidRequest, message) })
    }
}

impl Setting for Fidelity {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        Self::parse(String::read(given)?.trim()).ok_or_else(|| "is none of strict, warn and lenient".to_owned())
    }

    fn show(&self) -> Option<String> {
        self.as_str().to_owned().show()
    }
}

#[cfg(test)]
mod tests {
    use super::{Fidelity::*, *};

    /// Losses of the kinds given by their letters: dropped, approximated, refused, impossible.
    fn losses(kinds: &str) -> Losses {
        let mut losses = Losses::default();
        for kind in kinds.chars() {
            match kind {
                'd' => losses.dropped("seed"),
                'a' => losses.approximated("temperature"),
                'r' => losses.refused("n", "one answer only"),
                _ => losses.refused("messages[0].content[1]", "no such pictures"),
            }
        }
        losses
    }

    #[test]
    fn each_policy_sends_what_it_promises_and_no_more() {
        let sent = |policy: Fidelity, kinds| policy.judge(&losses(kinds), "p").is_ok();
        for (kinds, strict, warn, lenient) in [
            ("", true, true, true),
            ("d", false, true, true),
            ("a", false, true, true),
            ("da", false, true, true),
            ("r", false, false, true),
            ("dar", false, false, true),
            ("i", false, false, false),
            ("ri", false, false, false),
        ] {
            assert_eq!(
                (sent(Strict, kinds), sent(Warn, kinds), sent(Lenient, kinds)),
                (strict, warn, lenient),
                "{kinds}"
            );
        }
    }

    #[test]
    fn a_refusal_names_what_is_to_blame_and_why() {
        let error = Warn.judge(&losses("dr"), "p").unwrap_err();
        assert_eq!((error.param.as_deref(), error.kind), (Some("n"), ErrorKind::InvalidRequest));
        assert_eq!(error.message, "provider `p` cannot take `n` (one answer only)");
        let error = Strict.judge(&losses("da"), "p").unwrap_err();
        assert_eq!(error.message, "strict: provider `p` cannot take seed,temperature as asked");
    }

    #[test]
    fn a_request_goes_before_its_key_and_a_key_before_the_configuration_but_strict_keys_stay_strict() {
        for (request, key, configured, expected) in [
            (None, None, Warn, Warn),
            (None, None, Strict, Strict),
            (Some(Lenient), None, Strict, Lenient),
            (Some(Warn), Some(Lenient), Strict, Warn),
            (None, Some(Lenient), Strict, Lenient),
            (Some(Strict), Some(Lenient), Warn, Strict),
            (Some(Lenient), Some(Strict), Lenient, Strict),
        ] {
            assert_eq!(Fidelity::in_force(request, key, configured), expected, "{request:?} {key:?} {configured:?}");
        }
    }
}
