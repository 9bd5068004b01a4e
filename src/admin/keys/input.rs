//! What an operator says of a key, checked.

use std::collections::BTreeSet;

use llm_protocol::ir::ApiError;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    admin::{
        error::invalid,
        input::{Change, checked_name},
    },
    catalog::Endpoint,
    clock,
    config::{JournalConfig, LogContents},
    fidelity::Fidelity,
    http::error::Failure,
    network::Network,
    providers,
    store::{ApiKey, Store},
};

/// What a key is for. What is left out stays; `null` clears a field, or puts its default back. A new key needs a `name`. An empty
/// list is refused: `null` says that everything is allowed, and `enabled: false` that nothing is.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyInput {
    #[schema(value_type = Option<String>, example = "team-a")]
    #[serde(default)]
    name: Change<String>,
    /// Whose it is.
    #[schema(value_type = Option<String>, example = "ada@example.com")]
    #[serde(default)]
    owner: Change<String>,
    /// At most 32, of 64 characters each.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    tags: Change<Vec<String>>,
    /// The text of a key that exists already and is to be taken over: at least 20 visible ASCII characters that look like
    /// chance. Only when a key is created; without it one is made.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    key: Change<SecretString>,
    /// Whether it opens anything.
    #[schema(value_type = Option<bool>, default = true)]
    #[serde(default)]
    enabled: Change<bool>,
    /// How much of its requests may be lost in translation. A request may say otherwise, unless this is `strict`.
    #[schema(value_type = Option<Fidelity>)]
    #[serde(default)]
    fidelity: Change<Fidelity>,
    /// `true` is `fidelity: strict`, `false` is no policy of its own. Not together with `fidelity`.
    #[schema(value_type = Option<bool>)]
    #[serde(default)]
    strict: Change<bool>,
    /// Patterns with `*`, such as `gpt-*`; `null` is all models.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    allowed_models: Change<Vec<String>>,
    /// Names of providers, or their types; `null` is all.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    allowed_providers: Change<Vec<String>>,
    /// `null` is everything.
    #[schema(value_type = Option<Vec<Endpoint>>)]
    #[serde(default)]
    allowed_endpoints: Change<Vec<Endpoint>>,
    /// Addresses, or ranges of them such as `10.0.0.0/8`; `null` is anywhere.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    allowed_addresses: Change<Vec<String>>,
    /// In any sixty seconds; `null` leaves it to the configuration, as in the next two.
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1_000_000)]
    #[serde(default)]
    requests_per_minute: Change<i64>,
    /// In any sixty seconds, those of prompts and of answers.
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1_000_000_000_000_i64)]
    #[serde(default)]
    tokens_per_minute: Change<i64>,
    /// Requests that run at the same time.
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 100_000)]
    #[serde(default)]
    concurrent_requests: Change<i64>,
    /// Whether its requests are logged with what was said in them; only where the configuration allows that.
    #[schema(value_type = Option<bool>, default = false)]
    #[serde(default)]
    log_content: Change<bool>,
    /// Whether its requests may be answered from the cache, and their answers kept there; `null` leaves it to the configuration.
    #[schema(value_type = Option<bool>)]
    #[serde(default)]
    cache: Change<bool>,
    /// RFC 3339; `null` is never.
    #[schema(value_type = Option<String>, example = "2027-01-01T00:00:00Z")]
    #[serde(default)]
    expires_at: Change<String>,
}

/// Entries of a list, at most.
const LONGEST_LIST: usize = 200;

/// Tags of a key, and characters of a tag, at most.
const MOST_TAGS: usize = 32;
const LONGEST_TAG: usize = 64;

/// Fewest characters of a key that an operator brings, and how many of them must differ. What hashes of keys are made with is
/// fast, so that a key must not be guessable.
const SHORTEST_KEY: usize = 20;
const DIFFERENT: usize = 8;

impl KeyInput {
    /// Makes `row` what the operator wants, or says what stands against it.
    pub(super) fn apply(&self, row: &mut ApiKey) -> Result<(), ApiError> {
        self.name.or_default(&mut row.name, String::new());
        checked_name("name", &row.name)?;
        let owner = self.owner.trimmed();
        if let Change::Set(owner) = &owner {
            checked_name("owner", owner)?;
        }
        owner.or_none(&mut row.owner);
        tags(&self.tags)?.or_default(&mut row.tags, Vec::new());
        self.enabled.or_default(&mut row.enabled, true);
        self.apply_fidelity(row)?;
        list("allowed_models", &self.allowed_models, |model| {
            checked_name("allowed_models", model).map(|()| model.clone())
        })?
        .or_none(&mut row.allowed_models);
        list("allowed_providers", &self.allowed_providers, |name| Ok(name.clone()))?
            .or_none(&mut row.allowed_providers);
        list("allowed_endpoints", &self.allowed_endpoints, |endpoint| Ok(endpoint.as_str().to_owned()))?
            .or_none(&mut row.allowed_endpoints);
        list("allowed_addresses", &self.allowed_addresses, range)?.or_none(&mut row.allowed_addresses);
        let limit = |name, limit: &Change<i64>, most, field: &mut Option<i64>| {
            limit.within(name, 1..=most).map(|limit| limit.or_none(field))
        };
        limit("requests_per_minute", &self.requests_per_minute, 1_000_000, &mut row.requests_per_minute)?;
        limit("tokens_per_minute", &self.tokens_per_minute, 1_000_000_000_000, &mut row.tokens_per_minute)?;
        limit("concurrent_requests", &self.concurrent_requests, 100_000, &mut row.concurrent_requests)?;
        self.log_content.or_default(&mut row.log_content, false);
        self.cache.or_none(&mut row.cache);
        match self.expires_at.trimmed() {
            Change::Keep => {}
            Change::Clear => row.expires_at = None,
            Change::Set(text) => row.expires_at = Some(ahead(&text)?),
        }
        Ok(())
    }

    fn apply_fidelity(&self, row: &mut ApiKey) -> Result<(), ApiError> {
        if self.fidelity != Change::Keep && self.strict != Change::Keep {
            return Err(invalid("strict", "`strict` and `fidelity` say the same: give one of them"));
        }
        self.fidelity.or_none(&mut row.fidelity);
        match self.strict {
            Change::Set(true) => row.fidelity = Some(Fidelity::Strict),
            // Another policy than the one that it speaks of stays.
            Change::Set(false) | Change::Clear => {
                row.fidelity = row.fidelity.filter(|known| *known != Fidelity::Strict)
            }
            Change::Keep => {}
        }
        Ok(())
    }

    /// Fails if it names a provider that is neither there nor a type.
    pub(super) async fn check_providers(&self, store: &Store) -> Result<(), Failure> {
        let Change::Set(selectors) = &self.allowed_providers else { return Ok(()) };
        let known = store.providers().await?;
        let exists =
            |selector: &str| providers::find(selector).is_some() || known.iter().any(|row| row.name == *selector);
        match selectors.iter().enumerate().find(|(_, selector)| !exists(selector)) {
            None => Ok(()),
            Some((at, selector)) => {
                let param = format!("allowed_providers[{at}]");
                let message = format!("`{param}`: there is no provider of the name or type `{selector}`");
                Err(invalid(&param, message).into())
            }
        }
    }

    /// Fails if it wants what the configuration forbids.
    pub(super) fn check_allowed(&self, journal: &JournalConfig) -> Result<(), ApiError> {
        if self.log_content == Change::Set(true) && journal.content == LogContents::Never {
            let message = "`log_content`: this installation does not log what is said; journal.content in its configuration \
                           would have to be \"per_key\"";
            return Err(invalid("log_content", message));
        }
        Ok(())
    }

    /// The text that the operator brings for a new key.
    pub(super) fn own_text(&self) -> Result<Option<&SecretString>, ApiError> {
        let Change::Set(key) = &self.key else { return Ok(None) };
        let text = key.expose_secret();
        let different = text.bytes().collect::<BTreeSet<_>>().len();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid(
                "key",
                "`key` must be visible ASCII characters without spaces, as a header carries them",
            ));
        }
        if text.len() < SHORTEST_KEY || different < DIFFERENT {
            let message = format!(
                "`key` must have at least {SHORTEST_KEY} characters, {DIFFERENT} of them different, lest it be guessed"
            );
            return Err(invalid("key", message));
        }
        Ok(Some(key))
    }

    /// Fails if it brings a text: one that exists has its own.
    pub(super) fn refuse_text(&self) -> Result<(), ApiError> {
        match self.key {
            Change::Keep => Ok(()),
            _ => Err(invalid("key", "`key` can be given only when a key is created; rotating it gives it a new one")),
        }
    }
}

/// A list that is either everything (`null`) or something.
fn list<T, U>(
    name: &str,
    given: &Change<Vec<T>>,
    check: impl Fn(&T) -> Result<U, ApiError>,
) -> Result<Change<Vec<U>>, ApiError> {
    let items = match given {
        Change::Keep => return Ok(Change::Keep),
        Change::Clear => return Ok(Change::Clear),
        Change::Set(items) => items,
    };
    if items.is_empty() || items.len() > LONGEST_LIST {
        let message = format!("`{name}` must have 1 to {LONGEST_LIST} entries; null allows everything");
        return Err(invalid(name, message));
    }
    items.iter().map(check).collect::<Result<_, _>>().map(Change::Set)
}

/// Tags without repetitions, in their order.
fn tags(given: &Change<Vec<String>>) -> Result<Change<Vec<String>>, ApiError> {
    let Change::Set(tags) = given else { return Ok(given.clone()) };
    let mut kept: Vec<String> = Vec::with_capacity(tags.len());
    for tag in tags {
        checked_name("tags", tag)?;
        if tag.chars().count() > LONGEST_TAG {
            return Err(invalid("tags", format!("`tags`: a tag has at most {LONGEST_TAG} characters")));
        }
        if !kept.contains(tag) {
            kept.push(tag.clone());
        }
    }
    if kept.len() > MOST_TAGS {
        return Err(invalid("tags", format!("`tags` must have at most {MOST_TAGS} entries")));
    }
    Ok(Change::Set(kept))
}

/// A range in the one way that it is written here.
fn range(text: &String) -> Result<String, ApiError> {
    let range = text.trim().parse::<Network>();
    range
        .map(|range| range.to_string())
        .map_err(|error| invalid("allowed_addresses", format!("`allowed_addresses` has `{text}`, which is {error}")))
}

/// A time that is still to come.
fn ahead(text: &str) -> Result<i64, ApiError> {
    let expected = || format!("`expires_at` must be a time such as 2027-01-31T08:00:00Z, not `{text}`");
    let at = clock::parse(text).ok_or_else(|| invalid("expires_at", expected()))?;
    if at <= clock::now_micros() {
        return Err(invalid("expires_at", format!("`expires_at` must lie ahead; {text} is past")));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn apply(row: &mut ApiKey, body: Value) -> Result<(), ApiError> {
        serde_json::from_value::<KeyInput>(body).unwrap().apply(row)
    }

    fn row() -> ApiKey {
        ApiKey::new(1, "team", "text", 0)
    }

    #[test]
    fn what_is_left_out_stays_and_null_clears() {
        let mut row = row();
        let all = json!({
            "owner": " ada ", "tags": ["a", "b", "a"], "allowed_models": ["gpt-*"], "allowed_endpoints": ["chat", "models"],
            "allowed_addresses": ["10.1.2.3/8", " ::1 "], "requests_per_minute": 5, "tokens_per_minute": 6,
            "concurrent_requests": 7, "enabled": false,
        });
        apply(&mut row, all).unwrap();
        let given = row.clone();
        assert_eq!((given.owner.as_deref(), &given.tags[..]), (Some("ada"), &["a".to_owned(), "b".to_owned()][..]));
        assert_eq!(given.allowed_addresses.as_deref().unwrap(), ["10.0.0.0/8", "::1/128"]);
        assert_eq!(given.allowed_endpoints.as_deref().unwrap(), ["chat", "models"]);
        apply(&mut row, json!({})).unwrap();
        assert_eq!(row, given);
        let null = json!({
            "owner": null, "tags": null, "allowed_models": null, "allowed_endpoints": null, "allowed_addresses": null,
            "requests_per_minute": null, "tokens_per_minute": null, "concurrent_requests": null, "enabled": null,
        });
        apply(&mut row, null).unwrap();
        assert_eq!(row, super::tests::row());
    }

    #[test]
    fn what_makes_no_sense_names_its_field() {
        let long: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        for (body, param) in [
            (json!({"name": null}), "name"),
            (json!({"owner": "a\u{7}b"}), "owner"),
            (json!({"tags": [""]}), "tags"),
            (json!({"tags": ["x".repeat(65)]}), "tags"),
            (json!({"tags": long}), "tags"),
            (json!({"allowed_models": []}), "allowed_models"),
            (json!({"allowed_models": [" x"]}), "allowed_models"),
            (json!({"allowed_endpoints": []}), "allowed_endpoints"),
            (json!({"allowed_addresses": ["10.0.0.0/33"]}), "allowed_addresses"),
            (json!({"requests_per_minute": 0}), "requests_per_minute"),
            (json!({"tokens_per_minute": -1}), "tokens_per_minute"),
            (json!({"concurrent_requests": 100_001}), "concurrent_requests"),
            (json!({"expires_at": "2020-01-01"}), "expires_at"),
            (json!({"strict": true, "fidelity": "warn"}), "strict"),
        ] {
            let error = apply(&mut row(), body.clone()).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{body}");
            assert!(error.message.contains(&format!("`{param}`")), "{}", error.message);
        }
    }

    #[test]
    fn a_text_that_could_be_guessed_is_refused() {
        let own = |text: &str| {
            let input: KeyInput = serde_json::from_value(json!({"key": text})).unwrap();
            input.own_text().map(|key| key.is_some())
        };
        assert_eq!(own("sk-5fJ2kq9ZpL0aXw7Tu"), Ok(true));
        for text in
            ["", "short", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "with space 5fJ2kq9ZpL0aXw7T", "ünlesbar-5fJ2kq9ZpL0aX"]
        {
            assert_eq!(own(text).unwrap_err().param.as_deref(), Some("key"), "{text}");
        }
    }
}
