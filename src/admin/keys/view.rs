//! A key as operators see it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{catalog::Endpoint, clock, fidelity::Fidelity, store::ApiKey};

/// A client's key, without its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct KeyView {
    pub id: i64,
    #[schema(example = "team-a")]
    pub name: String,
    /// Whose it is.
    #[schema(example = "ada@example.com")]
    pub owner: Option<String>,
    pub tags: Vec<String>,
    /// A mask of the key.
    #[schema(example = "sk-…a1b2")]
    pub masked: String,
    pub status: KeyStatus,
    /// Whether it opens anything now.
    pub live: bool,
    pub enabled: bool,
    /// How much of its requests may be lost in translation; `null` leaves it to the configuration.
    pub fidelity: Option<Fidelity>,
    /// Whether `fidelity` is `strict`.
    pub strict: bool,
    /// Patterns with `*` of the models that it may use; `null` is all.
    pub allowed_models: Option<Vec<String>>,
    /// Names and types of the providers that may be asked for it; `null` is all.
    pub allowed_providers: Option<Vec<String>>,
    /// What it may call; `null` is everything.
    #[schema(value_type = Option<Vec<Endpoint>>)]
    pub allowed_endpoints: Option<Vec<String>>,
    /// Ranges of addresses that it may be used from; `null` is anywhere.
    #[schema(example = json!(["10.0.0.0/8"]))]
    pub allowed_addresses: Option<Vec<String>>,
    /// In any sixty seconds; `null` leaves it to the configuration, as in the next two.
    pub requests_per_minute: Option<i64>,
    /// In any sixty seconds, those of prompts and of answers.
    pub tokens_per_minute: Option<i64>,
    /// Requests that run at the same time.
    pub concurrent_requests: Option<i64>,
    /// Whether its requests are logged with what was said in them, where the configuration allows that.
    pub log_content: bool,
    /// Whether the cache is on for it; `null` leaves it to the configuration.
    pub cache: Option<bool>,
    pub expires_at: Option<String>,
    pub created_at: String,
    pub rotated_at: Option<String>,
    /// Until when the text before the last rotation is good, if it still is.
    pub previous_until: Option<String>,
    pub revoked_at: Option<String>,
    /// When a request with it last ended.
    pub last_used_at: Option<String>,
}

/// Whether a key opens anything, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    Live,
    Disabled,
    Expired,
    Revoked,
}

impl KeyStatus {
    /// What a key is at the time `now`.
    pub fn of(key: &ApiKey, now: i64) -> Self {
        match (key.is_live(now), key.revoked_at, key.enabled) {
            (true, ..) => Self::Live,
            (false, Some(_), _) => Self::Revoked,
            (false, None, false) => Self::Disabled,
            (false, None, true) => Self::Expired,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl From<&ApiKey> for KeyView {
    fn from(row: &ApiKey) -> Self {
        let now = clock::now_micros();
        Self {
            id: row.id,
            name: row.name.clone(),
            owner: row.owner.clone(),
            tags: row.tags.clone(),
            masked: row.prefix.clone(),
            status: KeyStatus::of(row, now),
            live: row.is_live(now),
            enabled: row.enabled,
            fidelity: row.fidelity,
            strict: row.fidelity == Some(Fidelity::Strict),
            allowed_models: row.allowed_models.clone(),
            allowed_providers: row.allowed_providers.clone(),
            allowed_endpoints: row.allowed_endpoints.clone(),
            allowed_addresses: row.allowed_addresses.clone(),
            requests_per_minute: row.requests_per_minute,
            tokens_per_minute: row.tokens_per_minute,
            concurrent_requests: row.concurrent_requests,
            log_content: row.log_content,
            cache: row.cache,
            expires_at: row.expires_at.map(clock::rfc3339),
            created_at: clock::rfc3339(row.created_at),
            rotated_at: row.rotated_at.map(clock::rfc3339),
            previous_until: row.previous_until.filter(|until| *until > now).map(clock::rfc3339),
            revoked_at: row.revoked_at.map(clock::rfc3339),
            last_used_at: row.last_used_at.map(clock::rfc3339),
        }
    }
}

/// A key that has just got a text.
#[derive(Serialize, ToSchema)]
pub struct NewKey {
    /// The key itself: shown now and never again. Not there if the operator brought it.
    #[schema(example = "sk-...")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(flatten)]
    pub view: KeyView,
}
