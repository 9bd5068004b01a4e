//! Providers that the environment names by the variables their own tools read.

use secrecy::SecretString;

use super::{ConfigError, Environment};

/// The providers that can be made from the environment: type and the beginning of the variables.
const KNOWN: [(&str, &str); 3] = [("openai", "OPENAI"), ("anthropic", "ANTHROPIC"), ("gemini", "GEMINI")];

/// A provider to create on the first start.
#[derive(Debug, Clone)]
pub struct EnvProvider {
    /// The provider's type.
    pub kind: &'static str,
    /// The name it gets.
    pub name: &'static str,
    /// The key from `*_API_KEY`.
    pub api_key: SecretString,
    /// The address from `*_BASE_URL`, if it is not the type's usual one.
    pub base_url: Option<String>,
}

/// The providers whose key is in the environment. An empty variable counts as unset, since other tools read it so.
pub fn read(environment: &Environment) -> Result<Vec<EnvProvider>, ConfigError> {
    let mut found = Vec::new();
    for (kind, prefix) in KNOWN {
        let Some(api_key) = filled(environment, &format!("{prefix}_API_KEY"))? else { continue };
        if !api_key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::new(format!(
                "the environment variable {prefix}_API_KEY has a character that a header cannot carry: correct it or unset it"
            )));
        }
        let base_url = base_url(environment, &format!("{prefix}_BASE_URL"))?;
        found.push(EnvProvider { kind, name: kind, api_key: SecretString::from(api_key), base_url });
    }
    Ok(found)
}

/// Every variable read here.
pub fn variables() -> impl Iterator<Item = String> {
    KNOWN.iter().flat_map(|(_, prefix)| [format!("{prefix}_API_KEY"), format!("{prefix}_BASE_URL")])
}

fn filled<'a>(environment: &'a Environment, name: &str) -> Result<Option<&'a str>, ConfigError> {
    Ok(environment.get(name)?.map(str::trim).filter(|text| !text.is_empty()))
}

fn base_url(environment: &Environment, name: &str) -> Result<Option<String>, ConfigError> {
    let Some(text) = filled(environment, name)? else { return Ok(None) };
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(Some(text.to_owned())),
        _ => Err(ConfigError::new(format!(
            "the environment variable {name} is not an address that begins with http:// or https://: correct it or unset it"
        ))),
    }
}
