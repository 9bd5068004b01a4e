//! The models that clients can ask for.

use std::collections::BTreeSet;

use llm_protocol::ir::{ApiError, ErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    catalog::{Caller, Catalog},
    routing::{self, Wish},
};

/// One model, in OpenAI's shape.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelObject {
    /// What to write into a request's `model`.
    #[schema(example = "openai:gpt-4o")]
    pub id: String,
    #[schema(example = "model")]
    pub object: &'static str,
    /// Seconds since the epoch.
    pub created: i64,
    /// The provider's name; `llm-orchestrator` for a configured model or alias.
    pub owned_by: String,
}

/// A list of models, in OpenAI's shape.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelList {
    #[schema(example = "list")]
    pub object: &'static str,
    pub data: Vec<ModelObject>,
}

/// All that `caller` may use: configured models and aliases by name, then each provider's own as `PROVIDER:model`.
pub fn list(catalog: &Catalog, caller: &Caller) -> ModelList {
    let mut data = Vec::new();
    let configured: BTreeSet<&String> = catalog.models.keys().collect();
    for name in configured {
        let model = &catalog.models[name];
        if !model.routes.is_empty() {
            data.push(object(name.clone(), model.created, "llm-orchestrator"));
        }
    }
    for provider in &catalog.providers {
        let own: BTreeSet<&str> = if provider.associated {
            let routes = catalog.models.values().flat_map(|model| &model.routes);
            routes.filter(|route| route.provider.id == provider.id).map(|route| &*route.upstream_name).collect()
        } else {
            provider.listed.iter().flatten().map(String::as_str).collect()
        };
        data.extend(
            own.into_iter().map(|model| object(format!("{}:{model}", provider.name), provider.created, &provider.name)),
        );
    }
    data.retain(|model| caller.may_use(&model.id));
    ModelList { object: "list", data }
}

/// One model by any name that a request may use for it.
pub fn find(catalog: &Catalog, caller: &Caller, id: &str) -> Result<ModelObject, ApiError> {
    if let Some(listed) = list(catalog, caller).data.into_iter().find(|model| model.id == id) {
        return Ok(listed);
    }
    let wish = Wish { model: id.to_owned(), ..Wish::default() };
    let missing = || ApiError {
        param: Some("model".into()),
        ..ApiError::new(ErrorKind::NotFound, format!("no provider serves the model `{id}`"))
    };
    if !caller.may_use(id) {
        return Err(missing());
    }
    let groups = routing::candidates(catalog, &wish).map_err(|_| missing())?;
    let target = groups.into_iter().flatten().next().ok_or_else(missing)?;
    let provider = &target.provider;
    // `PROVIDER:model` reaches a model that its provider does not list, but that is no reason to say it exists.
    match &provider.listed {
        Some(listed) if !provider.associated && !listed.contains(&target.model) => Err(missing()),
        _ => Ok(object(id.to_owned(), provider.created, &provider.name)),
    }
}

fn object(id: String, created: i64, owner: &str) -> ModelObject {
    ModelObject { id, object: "model", created, owned_by: owner.to_owned() }
}
