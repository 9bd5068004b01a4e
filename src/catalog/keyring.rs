//! Several keys of one provider, as they are sealed together.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

/// One of a provider's keys, by its name.
#[derive(Clone, Debug, Deserialize)]
pub struct NamedKey {
    /// Unique among the provider's keys; what logs call it, and what sticks to its account is found by.
    pub name: String,
    pub key: SecretString,
    /// Share of the requests; 0 is used only when no other can be.
    pub weight: u32,
    pub enabled: bool,
}

/// What a provider's only key is called where it is one of several later.
pub const ONLY: &str = "default";

/// The text that is sealed.
pub fn write(keys: &[NamedKey]) -> SecretString {
    let entry = |NamedKey { name, key, weight, enabled }: &NamedKey| json!({"name": name, "key": key.expose_secret(), "weight": weight, "enabled": enabled});
    json!(keys.iter().map(entry).collect::<Vec<_>>()).to_string().into()
}

/// The keys in a text that [`write`] made. The error does not repeat what is in it.
pub fn read(text: &SecretString) -> Result<Vec<NamedKey>, &'static str> {
    serde_json::from_str(text.expose_secret()).map_err(|_| "its api_keys cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let key = |name: &str, weight, enabled| NamedKey { name: name.into(), key: "sk-\"é".into(), weight, enabled };
        let read = read(&write(&[key("a", 1, true), key("b", 0, false)])).unwrap();
        let told: Vec<_> =
            read.iter().map(|key| (&*key.name, key.key.expose_secret(), key.weight, key.enabled)).collect();
        assert_eq!(told, [("a", "sk-\"é", 1, true), ("b", "sk-\"é", 0, false)]);
    }
}
