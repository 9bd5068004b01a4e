//! The models that clients can ask for, and how each protocol lists them.

pub mod anthropic;
pub mod gemini;
pub mod openai;

use std::collections::BTreeSet;

use llm_protocol::ir::{ApiError, ErrorKind};

use crate::{
    catalog::{Caller, Catalog},
    gateway::auth,
    routing::Wish,
};

/// A model, in no protocol's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What to write into a request's `model`.
    pub id: String,
    /// Seconds since the epoch.
    pub created: i64,
    /// The provider's name; `llm-orchestrator` for a configured model or alias.
    pub owner: String,
    /// Tokens of an answer, where the operator said how many.
    pub max_output_tokens: Option<u64>,
}

/// All that `caller` may use: configured models and aliases by name, then each provider's own as `PROVIDER:model`.
pub fn list(catalog: &Catalog, caller: &Caller) -> Vec<Entry> {
    let mut entries = Vec::new();
    let configured: BTreeSet<&String> = catalog.models.keys().collect();
    for name in configured {
        let model = &catalog.models[name];
        if model.routes.iter().any(|route| caller.may_ask(&route.provider)) {
            let most = model.max_output_tokens;
            entries.push(Entry { max_output_tokens: most, ..entry(name.clone(), model.created, "llm-orchestrator") });
        }
    }
    for provider in catalog.providers.iter().filter(|provider| caller.may_ask(provider)) {
        let own: BTreeSet<&str> = if provider.associated {
            let routes = catalog.models.values().flat_map(|model| &model.routes);
            routes.filter(|route| route.provider.id == provider.id).map(|route| &*route.upstream_name).collect()
        } else {
            provider.listed.iter().flatten().map(String::as_str).collect()
        };
        entries.extend(
            own.into_iter().map(|model| entry(format!("{}:{model}", provider.name), provider.created, &provider.name)),
        );
    }
    entries.retain(|model| auth::may_use(catalog, caller, &model.id));
    entries
}

/// One model by any name that a request may use for it.
pub fn find(catalog: &Catalog, caller: &Caller, id: &str) -> Result<Entry, ApiError> {
    if let Some(listed) = list(catalog, caller).into_iter().find(|model| model.id == id) {
        return Ok(listed);
    }
    let wish = Wish { model: id.to_owned(), ..Wish::default() };
    let missing = || ApiError {
        param: Some("model".into()),
        ..ApiError::new(ErrorKind::NotFound, format!("no provider serves the model `{id}`"))
    };
    if !auth::may_use(catalog, caller, id) {
        return Err(missing());
    }
    let groups = auth::candidates(catalog, caller, &wish).map_err(|_| missing())?;
    let target = groups.into_iter().flatten().next().ok_or_else(missing)?;
    let provider = &target.provider;
    // `PROVIDER:model` reaches a model that its provider does not list, but that is no reason to say it exists.
    match &provider.listed {
        Some(listed) if !provider.associated && !listed.contains(&target.model) => Err(missing()),
        _ => Ok(entry(id.to_owned(), provider.created, &provider.name)),
    }
}

fn entry(id: String, created: i64, owner: &str) -> Entry {
    Entry { id, created, owner: owner.to_owned(), max_output_tokens: None }
}
