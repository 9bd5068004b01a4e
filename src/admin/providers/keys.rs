//! Several keys of one provider: what operators say of them, and what they are shown.

use llm_protocol::ir::ApiError;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::sealed::{Credential, Sealed};
use crate::{
    admin::{
        error::invalid,
        input::{Change, checked_name},
    },
    app::App,
    catalog::{
        self, Account,
        keyring::{self, NamedKey},
    },
    clock,
    health::{Admission, KeyView},
    secret,
    store::Provider,
};

/// One of a provider's keys.
#[derive(Clone, Debug, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderKeyInput {
    /// Unique among the provider's keys; `key-1`, `key-2`, … if left out. Files and other things that an account holds are
    /// found by it, so a new text for the same account goes under the same name.
    #[schema(example = "team-a")]
    name: Option<String>,
    /// As a provider's `api_key`. Left out, or the mask that was read: the text that is stored under this name stays.
    #[schema(value_type = Option<String>, example = "sk-...")]
    api_key: Option<Credential>,
    /// Share of the requests; 0 is used only when no other key can be.
    #[schema(minimum = 0, maximum = 1000, default = 100)]
    weight: Option<i64>,
    #[schema(default = true)]
    enabled: Option<bool>,
}

/// One of a provider's keys as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProviderKeyView {
    #[schema(example = "team-a")]
    pub name: String,
    /// Its mask.
    #[schema(example = "sk-…a1b2")]
    pub api_key: String,
    #[schema(example = 100)]
    pub weight: u32,
    pub enabled: bool,
    #[serde(flatten)]
    pub standing: KeyStanding,
}

/// How a key is just now.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyStanding {
    /// `ready`; `resting`: the provider asked for that; `set_aside`: the provider refused it, so that after a pause one request
    /// tries it again; `disabled`.
    #[schema(example = "ready")]
    pub state: &'static str,
    /// Until when nobody uses it.
    pub resting_until: Option<String>,
    /// Why it was last set aside.
    pub last_error: Option<String>,
}

/// Keys of one provider.
const MOST: usize = 100;

const USUAL_WEIGHT: u32 = 100;

/// Makes the keys of `row` what the operator wants.
pub fn apply(change: &Change<Vec<ProviderKeyInput>>, row: &mut Provider, sealed: &Sealed<'_>) -> Result<(), ApiError> {
    let given = match change {
        Change::Keep => return Ok(()),
        Change::Clear => &[][..],
        Change::Set(given) => given,
    };
    if given.len() > MOST {
        return Err(invalid("api_keys", format!("`api_keys` must not hold more than {MOST} keys")));
    }
    let known = known(row, sealed);
    let mut keys: Vec<NamedKey> = Vec::with_capacity(given.len());
    for (at, input) in given.iter().enumerate() {
        let key = input.read(at, &known)?;
        if keys.iter().any(|other| other.name == key.name) {
            return Err(invalid("api_keys", format!("`api_keys[{at}].name`: two keys are named `{}`", key.name)));
        }
        keys.push(key);
    }
    row.api_key = None;
    row.api_keys = (!keys.is_empty()).then(|| sealed.seal(&keyring::write(&keys)));
    Ok(())
}

/// The keys that are stored, the only one too; none that this master key does not open.
pub fn known(row: &Provider, sealed: &Sealed<'_>) -> Vec<NamedKey> {
    let several = sealed.open(row.api_keys.as_deref()).and_then(|text| keyring::read(&text).ok());
    let only = |key| NamedKey { name: keyring::ONLY.into(), key, weight: USUAL_WEIGHT, enabled: true };
    several.unwrap_or_else(|| sealed.open(row.api_key.as_deref()).map(only).into_iter().collect())
}

impl ProviderKeyInput {
    /// The key in place `at` of the list.
    fn read(&self, at: usize, known: &[NamedKey]) -> Result<NamedKey, ApiError> {
        let named = |field: &str, message: String| {
            invalid("api_keys", message.replace(&format!("`{field}`"), &format!("`api_keys[{at}].{field}`")))
        };
        let name = self.name.clone().unwrap_or_else(|| format!("key-{}", at + 1));
        checked_name("name", &name).map_err(|error| named("name", error.message))?;
        let stored = known.iter().find(|key| key.name == name).map(|key| &key.key);
        let kept = |given: &Credential| stored.is_some_and(|stored| given.is_mask_of(stored));
        let key = match &self.api_key {
            Some(given) if !kept(given) => given.read().map_err(|error| named("api_key", error.message))?,
            _ => stored.cloned(),
        };
        let missing = || named("api_key", format!("`api_key` is required: no key named `{name}` is stored"));
        let weight = Change::Set(self.weight.unwrap_or(USUAL_WEIGHT.into()));
        weight.within("weight", 0..=1000).map_err(|error| named("weight", error.message))?;
        Ok(NamedKey {
            key: key.ok_or_else(missing)?,
            name,
            weight: self.weight.and_then(|weight| u32::try_from(weight).ok()).unwrap_or(USUAL_WEIGHT),
            enabled: self.enabled.unwrap_or(true),
        })
    }
}

/// All keys of a provider, with masks for their texts.
pub fn show(app: &App, row: &Provider) -> Vec<ProviderKeyView> {
    let provider = catalog::provider(row, false, &app.master_key, &app.health).ok();
    let standing = |key: &NamedKey| match &provider {
        _ if !key.enabled => KeyStanding::new("disabled", None),
        Some(provider) => of_key(provider, &key.name),
        None => KeyStanding::new("ready", None),
    };
    let keys = known(row, &Sealed { master_key: &app.master_key, id: row.id });
    let view = |key: NamedKey| ProviderKeyView {
        standing: standing(&key),
        api_key: secret::mask(key.key.expose_secret()),
        name: key.name,
        weight: key.weight,
        enabled: key.enabled,
    };
    keys.into_iter().map(view).collect()
}

fn of_key(provider: &catalog::Provider, name: &str) -> KeyStanding {
    let accounts = provider.accounts.iter().filter_map(|account| account.account.as_ref());
    match accounts.clone().find(|account| &*account.name == name) {
        Some(account) => KeyStanding::of(account),
        // Of the only key nothing is known but what is known of the provider.
        None => match provider.health.admission() {
            Admission::Resting(until) => KeyStanding::new("resting", Some(until)),
            _ => KeyStanding::new("ready", None),
        },
    }
}

impl KeyStanding {
    pub fn of(account: &Account) -> Self {
        let KeyView { admission, last_error, .. } = account.health.view();
        let standing = match admission {
            Admission::Yes | Admission::Spent(_) => Self::new("ready", None),
            Admission::Resting(until) => Self::new("resting", Some(until)),
            Admission::Ejected(until) => Self::new("set_aside", Some(until)),
        };
        Self { last_error, ..standing }
    }

    fn new(state: &'static str, until: Option<Instant>) -> Self {
        let moment = |until: Instant| {
            let left = until.saturating_duration_since(Instant::now());
            clock::rfc3339(clock::after(clock::now_micros(), left))
        };
        Self { state, resting_until: until.map(moment), last_error: None }
    }
}

impl Credential {
    /// Whether it is what was shown of the text that is stored.
    fn is_mask_of(&self, stored: &SecretString) -> bool {
        matches!(self, Self::Text(text) if text.trim() == secret::mask(stored.expose_secret()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::secret::MasterKey;

    /// The keys after each of these changes, as names, texts, weights and whether they are in use.
    fn after(changes: &[Value]) -> Result<Vec<(String, String, u32, bool)>, String> {
        let master_key = MasterKey::derive(b"a long enough master key");
        let sealed = Sealed { master_key: &master_key, id: 1 };
        let mut row = Provider::with_defaults(1, 0);
        row.api_key = Some(sealed.seal(&"sk-the-only-one".into()));
        for change in changes {
            let change = serde_json::from_value(change.clone()).unwrap();
            apply(&change, &mut row, &sealed).map_err(|error| error.message)?;
        }
        assert!(row.api_key.is_none() || row.api_keys.is_none(), "a provider has one key or a list of them");
        let told = |key: NamedKey| (key.name, key.key.expose_secret().to_owned(), key.weight, key.enabled);
        Ok(known(&row, &sealed).into_iter().map(told).collect())
    }

    #[test]
    fn a_text_that_is_left_out_stays_under_its_name() {
        let only = || ("default".to_owned(), "sk-the-only-one".to_owned(), 100, true);
        assert_eq!(after(&[]).unwrap(), [only()]);
        let two = json!([{"name": "default"}, {"api_key": "sk-second", "weight": 0}]);
        let second = |weight, enabled| ("key-2".to_owned(), "sk-second".to_owned(), weight, enabled);
        assert_eq!(after(std::slice::from_ref(&two)).unwrap(), [only(), second(0, true)]);
        let masked = json!([{"name": "key-2", "api_key": secret::mask("sk-second"), "enabled": false}]);
        assert_eq!(after(&[two.clone(), masked]).unwrap(), [second(100, false)]);
        for none in [json!([]), Value::Null] {
            assert_eq!(after(&[two.clone(), none]).unwrap(), []);
        }
    }

    #[test]
    fn mistakes_name_the_key_and_the_field() {
        for (keys, expected) in [
            (json!([{"api_key": "sk-1"}, {"name": "b"}]), "`api_keys[1].api_key` is required: no key named `b`"),
            (json!([{"api_key": "two words"}]), "`api_keys[0].api_key` must be visible ASCII"),
            (json!([{"api_key": "sk-…zzzz"}]), "`api_keys[0].api_key` is the mask of a key"),
            (json!([{"api_key": "sk-1", "weight": -1}]), "`api_keys[0].weight` must be an integer from 0 to 1000"),
            (json!([{"api_key": "sk-1", "name": ""}]), "`api_keys[0].name` must not be empty"),
            (json!([{"api_key": "k", "name": "a"}, {"api_key": "l", "name": "a"}]), "two keys are named `a`"),
            (json!(vec![json!({"api_key": "k"}); 101]), "more than 100 keys"),
        ] {
            let message = after(std::slice::from_ref(&keys)).unwrap_err();
            assert!(message.contains(expected), "{keys}: {message}");
        }
    }
}
