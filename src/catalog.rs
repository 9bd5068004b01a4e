//! What the data plane reads: providers, models and keys as one immutable snapshot, rebuilt and swapped after a change.
//!
//! Nothing here waits for a database. A request keeps the snapshot it began with.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use llm_protocol::{ProtocolId, models::matches};
use secrecy::SecretString;

use crate::{
    health::{Health, ProviderHealth},
    pricing::Price,
    providers::Kind,
    secret::KeyHash,
};

/// One moment's configuration.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Enabled ones, by priority, highest first, then by id.
    pub providers: Vec<Arc<Provider>>,
    /// Names of providers that exist and are switched off.
    pub disabled: HashSet<String>,
    /// Configured models, by name and by each alias.
    pub models: HashMap<String, Arc<Model>>,
    /// Who may call, by the hash of the key.
    pub callers: HashMap<KeyHash, Arc<Caller>>,
}

/// A provider, ready to be asked.
#[derive(Debug)]
pub struct Provider {
    pub id: i64,
    pub name: Arc<str>,
    pub kind: &'static Kind,
    pub protocol: ProtocolId,
    /// With its version segment, without a trailing slash.
    pub base_url: String,
    pub key: Option<SecretString>,
    /// Higher is preferred, as strict tiers.
    pub priority: i64,
    /// Share within the tier; 0 is asked only when nothing else is left.
    pub weight: i64,
    pub timeout: Duration,
    /// Further attempts after the first.
    pub max_retries: u32,
    /// Requests a minute.
    pub rate_limit: Option<u32>,
    /// The models it says it has; `None` if it could not be asked.
    pub listed: Option<HashSet<String>>,
    /// Has an address of its own, so that nothing is known about its models.
    pub own_address: bool,
    /// Has model associations, so that it serves those and no others.
    pub associated: bool,
    /// Seconds since the epoch.
    pub created: i64,
    pub health: Arc<ProviderHealth>,
}

/// A model as the operator configured it.
#[derive(Debug)]
pub struct Model {
    pub name: String,
    pub max_output_tokens: Option<u64>,
    /// The operator's own price.
    pub price: Option<Price>,
    pub routes: Vec<Route>,
    /// Seconds since the epoch.
    pub created: i64,
}

/// One provider that serves a model.
#[derive(Debug, Clone)]
pub struct Route {
    pub provider: Arc<Provider>,
    pub upstream_name: String,
    pub weight: i64,
    pub capabilities: Capabilities,
}

/// What a model can do at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    pub tool_call: bool,
    pub structured_output: bool,
    pub image: bool,
}

impl Capabilities {
    /// Nothing is known, so nothing is ruled out.
    pub const ALL: Self = Self { tool_call: true, structured_output: true, image: true };
}

/// A client with a valid key, or without one where that is allowed.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    pub key_id: Option<i64>,
    pub key_name: Option<String>,
    /// Refuse what a translation would lose.
    pub strict: bool,
    /// Patterns of models it may use; `None` is all.
    pub allowed_models: Option<Vec<String>>,
    /// Microseconds since the epoch.
    pub expires_at: Option<i64>,
    /// What its rate limit is counted by.
    pub subject: Option<crate::limits::Subject>,
}

impl Caller {
    pub fn may_use(&self, model: &str) -> bool {
        self.allowed_models.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern, model)))
    }
}

impl Provider {
    /// Whether it serves a model that nobody associated it with.
    pub fn serves(&self, model: &str) -> bool {
        if self.associated {
            return false;
        }
        match &self.listed {
            Some(listed) => listed.contains(model),
            None => {
                self.kind.knows(model) || (self.own_address && self.kind.protocol == ProtocolId::OpenAiChat)
            }
        }
    }
}

impl Catalog {
    /// The caller whose key hashes to `hash`.
    pub fn caller(&self, hash: &KeyHash) -> Option<&Arc<Caller>> {
        self.callers.get(hash)
    }

    /// Whom `selector` stands for: the provider of that name, else all of that type.
    pub fn select(&self, selector: &str) -> Vec<&Arc<Provider>> {
        match self.providers.iter().find(|provider| &*provider.name == selector) {
            Some(provider) => vec![provider],
            None => self.providers.iter().filter(|provider| provider.kind.name == selector).collect(),
        }
    }

    /// Whether `selector` names a provider or a type that has one, switched off or not.
    pub fn knows(&self, selector: &str) -> bool {
        self.disabled.contains(selector) || !self.select(selector).is_empty()
    }

    /// Forgets the health of providers that are gone.
    pub fn prune(&self, health: &Health, existing: &HashSet<i64>) {
        health.retain(|id| existing.contains(&id));
    }
}
