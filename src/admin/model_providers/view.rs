//! Who serves what, as operators see it.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    clock,
    store::{ModelProvider, Snapshot},
};

/// A provider serves a model.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ModelProvider)]
pub struct ModelProviderView {
    pub id: i64,
    pub model_id: i64,
    pub model_name: String,
    pub provider_id: i64,
    pub provider_name: String,
    /// What the provider calls the model.
    #[schema(example = "gpt-4o-2024-11-20")]
    pub upstream_name: String,
    /// 0..=1000; the share among those that serve the model within a priority.
    pub weight: i64,
    pub enabled: bool,
    /// Whether it can call tools when it serves this model.
    pub tool_call: bool,
    /// Whether it can keep to a JSON schema.
    pub structured_output: bool,
    /// Whether it can look at images.
    pub image: bool,
    pub created_at: String,
    pub updated_at: String,
}

/// The names behind ids.
pub struct Names<'a> {
    models: HashMap<i64, &'a str>,
    providers: HashMap<i64, &'a str>,
}

impl<'a> Names<'a> {
    pub fn of(snapshot: &'a Snapshot) -> Self {
        Self {
            models: snapshot.models.iter().map(|model| (model.id, model.name.as_str())).collect(),
            providers: snapshot.providers.iter().map(|provider| (provider.id, provider.name.as_str())).collect(),
        }
    }

    pub fn view(&self, row: &ModelProvider) -> ModelProviderView {
        let name = |names: &HashMap<i64, &str>, id| names.get(&id).copied().unwrap_or_default().to_owned();
        ModelProviderView {
            id: row.id,
            model_id: row.model_id,
            model_name: name(&self.models, row.model_id),
            provider_id: row.provider_id,
            provider_name: name(&self.providers, row.provider_id),
            upstream_name: row.upstream_name.clone(),
            weight: row.weight,
            enabled: row.enabled,
            tool_call: row.tool_call,
            structured_output: row.structured_output,
            image: row.image,
            created_at: clock::rfc3339(row.created_at),
            updated_at: clock::rfc3339(row.updated_at),
        }
    }
}
