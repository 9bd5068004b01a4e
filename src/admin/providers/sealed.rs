//! What an operator says of a provider in confidence: its key, added headers, its proxy. It is stored sealed and shown masked.

use llm_protocol::ir::ApiError;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    admin::{error::invalid, input::Change},
    providers::extras,
    secret::{self, MasterKey},
    store::Provider,
    upstream::{Proxy, mask_proxy},
};

/// A key, or the object of credentials that some vendors want instead.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, expecting = "expected a string or an object of credentials")]
pub enum Credential {
    Text(String),
    Object(Map<String, Value>),
}

impl Credential {
    /// The key as it is kept; `None` for the empty text that a form sends for an empty field.
    pub fn read(&self) -> Result<Option<SecretString>, ApiError> {
        let key = match self {
            Self::Object(object) => Value::Object(object.clone()).to_string(),
            Self::Text(text) => match text.trim() {
                "" => return Ok(None),
                json if json.starts_with('{') => {
                    let object: Map<String, Value> = serde_json::from_str(json)
                        .map_err(|error| invalid("api_key", format!("`api_key` is no valid JSON: {error}")))?;
                    Value::Object(object).to_string()
                }
                key if key.contains('…') => {
                    let message = "`api_key` is the mask of a key: leave it out to keep the stored key";
                    return Err(invalid("api_key", message));
                }
                key if !key.bytes().all(|byte| byte.is_ascii_graphic()) => {
                    let message = "`api_key` must be visible ASCII characters without spaces, as a header carries them";
                    return Err(invalid("api_key", message));
                }
                key => key.to_owned(),
            },
        };
        Ok(Some(SecretString::from(key)))
    }
}

/// Whether a key is an object of credentials.
pub fn is_credentials(key: &SecretString) -> bool {
    key.expose_secret().starts_with('{')
}

/// Seals and opens what belongs to one provider.
pub struct Sealed<'a> {
    pub master_key: &'a MasterKey,
    pub id: i64,
}

impl Sealed<'_> {
    /// What was sealed; `None` too if this master key does not open it.
    pub fn open(&self, sealed: Option<&str>) -> Option<SecretString> {
        self.master_key.open(self.id, sealed?).ok()
    }

    pub fn seal(&self, text: &SecretString) -> String {
        self.master_key.seal(self.id, text)
    }

    /// The added headers, by name; empty too if they cannot be opened.
    fn known_headers(&self, sealed: Option<&str>) -> Map<String, Value> {
        let opened = self.open(sealed);
        opened.and_then(|text| serde_json::from_str(text.expose_secret()).ok()).unwrap_or_default()
    }

    /// What becomes of the added headers. A value that is the mask of the one it stands for keeps it.
    pub fn headers(&self, change: &Change<Map<String, Value>>, stored: Option<String>) -> Option<String> {
        match change {
            Change::Keep => stored,
            Change::Clear => None,
            Change::Set(given) if given.is_empty() => None,
            Change::Set(given) => {
                let known = self.known_headers(stored.as_deref());
                let kept = |(name, value): (&String, &Value)| {
                    let before = known.get(name).filter(|before| value.as_str() == Some(&masked(before)));
                    (name.clone(), before.unwrap_or(value).clone())
                };
                let headers: Map<String, Value> = given.iter().map(kept).collect();
                Some(self.seal(&Value::Object(headers).to_string().into()))
            }
        }
    }

    /// What becomes of the proxy. The mask of the one that is stored keeps it.
    pub fn proxy(&self, change: &Change<String>, stored: Option<String>) -> Option<String> {
        match change {
            Change::Keep => stored,
            Change::Clear => None,
            Change::Set(given) => {
                let known = self.open(stored.as_deref());
                let same = known.is_some_and(|known| *given == mask_proxy(known.expose_secret()));
                if same { stored } else { Some(self.seal(&given.clone().into())) }
            }
        }
    }

    /// Checks what was sealed. `has_key` says whether there is a key.
    pub fn check(&self, row: &Provider, has_key: bool) -> Result<(), ApiError> {
        let headers = self.known_headers(row.extra_headers.as_deref());
        extras::headers(&headers, has_key).map_err(|message| invalid("extra_headers", message))?;
        let Some(proxy) = self.open(row.proxy.as_deref()) else { return Ok(()) };
        let problem = Proxy::parse(proxy.expose_secret()).err();
        problem.map_or(Ok(()), |problem| Err(invalid("proxy", format!("`proxy` {problem}"))))
    }

    /// The key's mask.
    pub fn show_key(&self, sealed: Option<&String>) -> Option<String> {
        let masked = |key: SecretString| secret::mask(key.expose_secret());
        sealed.map(|sealed| self.open(Some(sealed)).map_or_else(|| "…".to_owned(), masked))
    }

    /// The added headers with masks for values.
    pub fn show_headers(&self, sealed: Option<&String>) -> Option<Map<String, Value>> {
        let headers = self.known_headers(Some(sealed?));
        Some(headers.iter().map(|(name, value)| (name.clone(), masked(value).into())).collect())
    }

    /// The proxy without its password.
    pub fn show_proxy(&self, sealed: Option<&String>) -> Option<String> {
        let masked = |proxy: SecretString| mask_proxy(proxy.expose_secret());
        sealed.map(|sealed| self.open(Some(sealed)).map_or_else(|| "…".to_owned(), masked))
    }
}

fn masked(value: &Value) -> String {
    secret::mask(value.as_str().unwrap_or_default())
}
