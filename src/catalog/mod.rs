//! What the data plane reads: providers, models and keys as one immutable snapshot, rebuilt and swapped after a change.
//!
//! Nothing here waits for a database. A request keeps the snapshot it began with.

mod account;
mod caller;
pub mod keyring;
mod serving;

use std::{collections::HashSet, sync::Arc, time::Duration};

use foldhash::HashMap;
use hyper::http::HeaderMap;
use llm_protocol::{Needs, ProtocolId, ir::ApiError, models::matches};
use secrecy::{ExposeSecret, SecretString};

pub use self::{
    account::Account,
    caller::{Caller, Endpoint, forbidden},
};
use crate::{
    doctor::Report,
    health::{Health, ProviderHealth},
    limits::Subject,
    pricing::Price,
    providers::{self, Kind, Options, extras},
    secret::{self, KeyHash, MasterKey},
    store::{self, Snapshot},
    upstream::Proxy,
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
    /// Names of configured models that are switched off.
    pub disabled_models: HashSet<String>,
    /// Who may call, by the hash of the key.
    pub callers: HashMap<KeyHash, Arc<Caller>>,
    serving: serving::Serving,
}

/// A provider, ready to be asked.
#[derive(Clone, Debug)]
pub struct Provider {
    pub id: i64,
    pub name: Arc<str>,
    pub kind: &'static Kind,
    /// What the operator says it speaks, instead of what its kind does.
    pub protocols: Option<Vec<ProtocolId>>,
    /// With its version segment, without a trailing slash.
    pub base_url: String,
    pub key: Option<SecretString>,
    /// Which of its keys that is, where it has several and one was chosen.
    pub account: Option<Account>,
    /// The provider as each of its keys sees it, where it has several.
    pub accounts: Vec<Arc<Provider>>,
    /// Settings of its kind.
    pub options: Options,
    /// What every request carries besides.
    pub headers: HeaderMap,
    /// What every generating body says unless the client said it.
    pub fields: extras::Fields,
    /// What it is reached through.
    pub proxy: Option<Proxy>,
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
    /// What small requests found out about it.
    pub findings: Report,
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

/// What an added header holds may be a secret if it is at least so long.
const SECRET: usize = 8;

impl Provider {
    /// The same error without the provider's secrets, should the provider have repeated one.
    pub fn conceal(&self, mut error: ApiError) -> ApiError {
        let added = self.headers.values().filter_map(|value| value.to_str().ok()).filter(|value| value.len() >= SECRET);
        for key in self.key.iter().cloned().chain(added.map(SecretString::from)) {
            error.message = secret::conceal(&error.message, &key);
            if let Some(raw) = &mut error.raw {
                raw.body = secret::conceal(&raw.body, &key);
            }
        }
        error
    }

    /// Whether it serves a model that nobody associated it with.
    pub fn serves(&self, model: &str) -> bool {
        self.is_known_for(model) || self.takes_any_name()
    }

    /// Whether its own list, or its type where there is no list, says that it serves a model.
    pub fn is_known_for(&self, model: &str) -> bool {
        let listed = self.listed.as_ref().map(|listed| listed.contains(model));
        let guessed = || self.kind.knows(model);
        !self.associated && listed.map_or_else(guessed, |listed| listed || (!self.kind.vendor.lists_all() && guessed()))
    }

    /// Whether nothing is known about its models, so that it may serve any.
    fn takes_any_name(&self) -> bool {
        let nothing_known = !self.associated && self.listed.is_none();
        nothing_known && self.own_address && self.kind.speaks[0].0 == ProtocolId::OpenAiChat
    }

    /// What can be spoken with it about `model`, the one to be preferred first. Never empty.
    pub fn protocols(&self, model: &str) -> Vec<ProtocolId> {
        if let Some(protocols) = &self.protocols {
            return protocols.clone();
        }
        let speaks = self.kind.speaks.iter();
        let for_model = |(_, patterns): &&providers::Speaks| patterns.iter().any(|pattern| matches(pattern, model));
        let found = |(id, patterns): &&providers::Speaks| !self.findings.lacks(*id, model, patterns.contains(&"*"));
        let spoken = |id: &ProtocolId| llm_protocol::outbound(*id).is_some();
        let protocols: Vec<_> = speaks.filter(for_model).filter(found).map(|(id, _)| *id).filter(spoken).collect();
        if protocols.is_empty() { vec![self.protocol()] } else { protocols }
    }

    /// Those of [`Provider::protocols`] in which nothing is known to stand against `needs`; all of them if that is none.
    pub fn protocols_for(&self, model: &str, needs: Needs) -> Vec<ProtocolId> {
        let protocols = self.protocols(model);
        let able: Vec<_> =
            protocols.iter().copied().filter(|protocol| self.findings.allows(*protocol, model, needs)).collect();
        if able.is_empty() { protocols } else { able }
    }

    /// Whether it may be able to do for `model` what is needed, as far as small requests have found out.
    pub fn meets(&self, model: &str, needs: Needs) -> bool {
        needs == Needs::default()
            || self.protocols(model).into_iter().any(|protocol| self.findings.allows(protocol, model, needs))
    }

    /// What is spoken with it where no model is meant, as for its list of models.
    pub fn protocol(&self) -> ProtocolId {
        self.protocols.as_ref().map_or(self.kind.speaks[0].0, |protocols| protocols[0])
    }
}

impl Catalog {
    /// The caller whose key hashes to `hash`.
    pub fn caller(&self, hash: &KeyHash) -> Option<&Arc<Caller>> {
        self.callers.get(hash)
    }

    /// The provider's own names of the models that it is associated with.
    pub fn associated_names(&self, provider: i64) -> Vec<String> {
        let routes = self.models.values().flat_map(|model| &model.routes);
        routes.filter(|route| route.provider.id == provider).map(|route| route.upstream_name.clone()).collect()
    }

    /// Who serves a model by an own account. Where the operator said who does (`told`), only who lists it, or whose type is known
    /// for it.
    pub fn serving(&self, model: &str, told: bool) -> serving::Servers {
        let serves =
            |provider: &&Arc<Provider>| if told { provider.is_known_for(model) } else { provider.serves(model) };
        self.serving.get(model, || self.providers.iter().filter(serves).collect())
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

    /// Forgets the health of providers and keys that are gone.
    pub fn prune(&self, health: &Health, existing: &HashSet<i64>) {
        health.retain(|id| existing.contains(&id));
        for provider in &self.providers {
            let accounts = provider.accounts.iter().filter_map(|account| account.account.as_ref());
            provider.health.retain_keys(&accounts.map(|account| account.health.clone()).collect::<Vec<_>>());
        }
    }
}

/// Builds the catalog from what the store holds and the keys that the configuration names.
///
/// A provider that cannot be used (its key cannot be opened, its type is of a newer version) is left out with a line in
/// the log: one broken row must not take the others with it.
pub fn build(snapshot: Snapshot, api_keys: &[SecretString], master_key: &MasterKey, health: &Health) -> Catalog {
    let mut catalog = Catalog::default();
    let enabled_models: HashSet<i64> =
        snapshot.models.iter().filter(|model| model.enabled).map(|model| model.id).collect();
    let associated: HashSet<i64> = snapshot
        .model_providers
        .iter()
        .filter(|route| route.enabled && enabled_models.contains(&route.model_id))
        .map(|route| route.provider_id)
        .collect();
    for row in &snapshot.providers {
        if !row.enabled {
            catalog.disabled.insert(row.name.clone());
            catalog.disabled.insert(row.kind.clone());
            continue;
        }
        match provider(row, associated.contains(&row.id), master_key, health) {
            Ok(provider) => catalog.providers.push(Arc::new(provider)),
            Err(why) => {
                tracing::error!(provider = row.name, "Provider {} cannot be used: {why}", row.name);
                catalog.disabled.insert(row.name.clone());
            }
        }
    }
    for row in &snapshot.models {
        if !row.enabled {
            catalog.disabled_models.insert(row.name.clone());
            continue;
        }
        let model = Arc::new(model(row, &snapshot.model_providers, &catalog.providers));
        for alias in &row.aliases {
            catalog.models.entry(alias.clone()).or_insert_with(|| model.clone());
        }
        // A name wins over another model's alias.
        catalog.models.insert(row.name.clone(), model);
    }
    for (at, key) in api_keys.iter().enumerate() {
        let hash = KeyHash::of(key.expose_secret());
        let subject = Some(Subject::Key(hash));
        let caller = Caller { key_name: Some(format!("API_KEYS[{at}]").into()), subject, ..Caller::default() };
        catalog.callers.insert(hash, Arc::new(caller));
    }
    let callers = snapshot.keys.into_iter().flat_map(Caller::of);
    catalog.callers.extend(callers.map(|(hash, caller)| (hash, Arc::new(caller))));
    catalog
}

/// A provider, ready to be asked; the error says why it cannot be.
pub fn provider(
    row: &store::Provider,
    associated: bool,
    master_key: &MasterKey,
    health: &Health,
) -> Result<Provider, String> {
    let kind = providers::find(&row.kind).ok_or_else(|| format!("there is no type `{}`", row.kind))?;
    let protocols = match row.protocols.as_deref() {
        None | Some([]) => None,
        Some(names) => {
            let spoken = |id: &ProtocolId| llm_protocol::outbound(*id).is_some();
            let known: Vec<_> = names.iter().filter_map(|name| ProtocolId::parse(name)).filter(spoken).collect();
            Some(known)
                .filter(|known| !known.is_empty())
                .ok_or("none of its protocols is spoken by this version")?
                .into()
        }
    };
    let open = |what: &str, sealed: &Option<String>| match sealed.as_ref().map(|sealed| master_key.open(row.id, sealed))
    {
        None => Ok(None),
        Some(Ok(secret)) => Ok(Some(secret)),
        Some(Err(_)) => Err(format!(
            "its {what} was sealed with another master key: restore MASTER_KEY or the key file, or set it anew"
        )),
    };
    let keys = match open("keys", &row.api_keys)? {
        Some(text) => keyring::read(&text)?.into_iter().filter(|key| key.enabled).collect(),
        None => Vec::new(),
    };
    if row.api_keys.is_some() && keys.is_empty() {
        return Err("all its keys are switched off".into());
    }
    let key = open("key", &row.api_key)?;
    let headers = match open("extra_headers", &row.extra_headers)? {
        None => HeaderMap::new(),
        Some(text) => {
            let given = serde_json::from_str(text.expose_secret()).map_err(|_| "its extra_headers cannot be read")?;
            extras::headers(&given, key.is_some() || !keys.is_empty())?
        }
    };
    let proxy = match open("proxy", &row.proxy)? {
        None => None,
        Some(text) => Some(Proxy::parse(text.expose_secret()).map_err(|problem| format!("its proxy {problem}"))?),
    };
    let options = row.options.clone().unwrap_or_default();
    let address = row.base_url.clone().or_else(|| kind.vendor.address(&options));
    let provider = Provider {
        id: row.id,
        name: row.name.as_str().into(),
        kind,
        protocols,
        base_url: kind.base(address.as_deref()).ok_or("it has no base_url")?,
        key,
        account: None,
        accounts: Vec::new(),
        options,
        headers,
        fields: row.extra_body.as_ref().map(extras::Fields::read).transpose()?.unwrap_or_default(),
        proxy,
        priority: row.priority,
        weight: row.weight,
        timeout: Duration::from_secs(row.timeout.max(1).unsigned_abs()),
        max_retries: u32::try_from(row.max_retries).unwrap_or(0),
        rate_limit: row.rate_limit.and_then(|limit| u32::try_from(limit).ok()),
        listed: row.listed_models.as_ref().map(|list| list.iter().cloned().collect()),
        own_address: row.base_url.is_some(),
        associated,
        findings: Report::of(row.capabilities.as_ref()),
        created: row.created_at / 1_000_000,
        health: health.of(row.id),
    };
    Ok(if keys.is_empty() { provider } else { provider.with_keys(keys) })
}

fn model(row: &store::Model, routes: &[store::ModelProvider], providers: &[Arc<Provider>]) -> Model {
    let routes = routes.iter().filter(|route| route.enabled && route.model_id == row.id).filter_map(|route| {
        let provider = providers.iter().find(|provider| provider.id == route.provider_id)?;
        Some(Route {
            provider: provider.clone(),
            upstream_name: route.upstream_name.clone(),
            weight: route.weight,
            capabilities: Capabilities {
                tool_call: route.tool_call,
                structured_output: route.structured_output,
                image: route.image,
            },
        })
    });
    Model {
        name: row.name.clone(),
        max_output_tokens: row.max_output_tokens.map(i64::unsigned_abs),
        price: Price::of(row),
        routes: routes.collect(),
        created: row.created_at / 1_000_000,
    }
}

#[cfg(test)]
mod tests {
    use llm_protocol::ProtocolId::{Anthropic, OpenAiChat};
    use serde_json::json;

    use super::*;

    /// A provider of OpenAI's type about whose model `m` this is known, by protocol.
    fn examined(protocols: Option<Vec<ProtocolId>>, found: serde_json::Value) -> Provider {
        let second = Duration::from_secs(1);
        let policy = crate::health::Policy { max_errors: 3, ejection_base: second, ejection_max: second };
        let report = json!({"services": {}, "models": {"m": {"examined_at": "2026", "protocols": found}}});
        let row = store::Provider {
            kind: "openai".into(),
            capabilities: report.as_object().cloned(),
            ..store::Provider::with_defaults(1, 0)
        };
        let key = MasterKey::load(Some(&"k".repeat(32).into()), std::path::Path::new("unused"));
        let provider = provider(&row, false, &key.expect("it is given"), &Health::new(policy)).expect("it is usable");
        Provider { protocols, ..provider }
    }

    fn absent() -> serde_json::Value {
        json!({"spoken": "no", "capabilities": {}})
    }

    fn without(capability: &str) -> serde_json::Value {
        json!({"spoken": "yes", "capabilities": {capability: {"verdict": "no", "seen": ""}}})
    }

    const TOOLS: Needs = Needs { tool_call: true, structured_output: false, image: false };

    #[test]
    fn a_protocol_in_which_something_is_missing_is_left_for_one_in_which_it_is_not() {
        let both = || Some(vec![OpenAiChat, Anthropic]);
        let provider = examined(both(), json!({"openai_chat": without("tools")}));
        assert_eq!(provider.protocols_for("m", TOOLS), [Anthropic]);
        assert_eq!(provider.protocols_for("m", Needs::default()), [OpenAiChat, Anthropic]);
        assert!(provider.meets("m", TOOLS));
        let provider = examined(both(), json!({"openai_chat": without("tools"), "anthropic": without("tools")}));
        assert_eq!(provider.protocols_for("m", TOOLS), [OpenAiChat, Anthropic], "somebody may insist");
        assert!(!provider.meets("m", TOOLS) && provider.meets("other", TOOLS));
    }

    #[test]
    fn what_was_found_absent_is_spoken_all_the_same_where_the_operator_says_so() {
        let provider = examined(Some(vec![Anthropic, OpenAiChat]), json!({"anthropic": absent()}));
        assert_eq!(provider.protocols("m"), [Anthropic, OpenAiChat]);
    }

    #[test]
    fn a_protocol_that_was_found_absent_is_not_spoken() {
        let all = examined(None, json!({})).protocols("m");
        let (first, others) = all.split_first().expect("never empty");
        let provider = examined(None, json!({first.as_str(): absent()}));
        let expected = if others.is_empty() { all.clone() } else { others.to_vec() };
        assert_eq!(provider.protocols("m"), expected, "unless nothing else is left");
    }
}
