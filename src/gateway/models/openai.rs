//! OpenAI's list of models.

use serde::Serialize;
use utoipa::ToSchema;

use super::Entry;

/// One model, in OpenAI's shape.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelObject {
    /// What to write into a request's `model`.
    #[schema(example = "openai:gpt-4o")]
    id: String,
    #[schema(example = "model")]
    object: &'static str,
    /// Seconds since the epoch.
    created: i64,
    /// The provider's name; `llm-orchestrator` for a configured model or alias.
    owned_by: String,
}

/// A list of models, in OpenAI's shape.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<ModelObject>,
}

impl From<Entry> for ModelObject {
    fn from(entry: Entry) -> Self {
        Self { id: entry.id, object: "model", created: entry.created, owned_by: entry.owner }
    }
}

impl From<Vec<Entry>> for ModelList {
    fn from(entries: Vec<Entry>) -> Self {
        Self { object: "list", data: entries.into_iter().map(ModelObject::from).collect() }
    }
}
