//! A provider as operators see it.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    keys::{self, ProviderKeyView},
    sealed::Sealed,
};
use crate::{app::App, clock, store};

/// An account with a vendor.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Provider)]
pub struct ProviderView {
    #[schema(example = 1)]
    pub id: i64,
    /// Unique; what clients and logs call it.
    #[schema(example = "openai-primary")]
    pub name: String,
    /// The vendor or dialect.
    #[schema(example = "openai")]
    pub r#type: String,
    /// Where it is, if not where its type is.
    #[schema(example = "https://api.openai.com/v1")]
    pub base_url: Option<String>,
    /// A mask of the only key, or of credentials the name that they are known by; the secret itself is never shown.
    #[schema(example = "sk-…a1b2")]
    pub api_key: Option<String>,
    /// All its keys, the only one too, and how each of them is.
    pub api_keys: Vec<ProviderKeyView>,
    pub enabled: bool,
    /// 0..=1000; higher is tried first.
    #[schema(example = 100)]
    pub priority: i64,
    /// 0..=1000; the share within a priority. 0 is asked only when nothing else is left.
    #[schema(example = 100)]
    pub weight: i64,
    /// Seconds for a whole request.
    #[schema(example = 60)]
    pub timeout: i64,
    /// Further attempts after the first.
    #[schema(example = 3)]
    pub max_retries: i64,
    /// Requests a minute; `null` is no limit.
    pub rate_limit: Option<i64>,
    /// What it speaks, if not what its type does.
    pub protocols: Option<Vec<String>>,
    pub metadata: Option<Map<String, Value>>,
    /// Settings of its type.
    #[schema(value_type = Option<Object>)]
    pub options: Option<Map<String, Value>>,
    /// Headers that go with every request, with masks for values.
    #[schema(value_type = Option<Object>)]
    pub extra_headers: Option<Map<String, Value>>,
    /// Fields for every generating request in which the client did not set them.
    #[schema(value_type = Option<Object>)]
    pub extra_body: Option<Map<String, Value>>,
    /// What it is reached through, without the password.
    #[schema(example = "http://user:…@proxy.example:3128")]
    pub proxy: Option<String>,
    /// How many models it last said it has; `null` if it was not asked or did not say.
    pub listed_models: Option<usize>,
    /// When it said so.
    pub listed_at: Option<String>,
    /// What small requests found out about it, by model, protocol and capability; `null` if none were sent.
    #[schema(value_type = Option<crate::doctor::Report>)]
    pub capabilities: Option<Map<String, Value>>,
    /// When they did.
    pub examined_at: Option<String>,
    pub created_at: String,
    pub updated_at: String,
}

impl ProviderView {
    pub fn of(app: &App, row: &store::Provider) -> Self {
        let sealed = Sealed { master_key: &app.master_key, id: row.id };
        Self {
            id: row.id,
            name: row.name.clone(),
            r#type: row.kind.clone(),
            base_url: row.base_url.clone(),
            api_key: sealed.show_key(row.api_key.as_ref()),
            api_keys: keys::show(app, row),
            enabled: row.enabled,
            priority: row.priority,
            weight: row.weight,
            timeout: row.timeout,
            max_retries: row.max_retries,
            rate_limit: row.rate_limit,
            protocols: row.protocols.clone(),
            metadata: row.metadata.clone(),
            options: row.options.clone(),
            extra_headers: sealed.show_headers(row.extra_headers.as_ref()),
            extra_body: row.extra_body.clone(),
            proxy: sealed.show_proxy(row.proxy.as_ref()),
            listed_models: row.listed_models.as_ref().map(Vec::len),
            listed_at: row.listed_at.map(clock::rfc3339),
            capabilities: row.capabilities.clone(),
            examined_at: row.examined_at.map(clock::rfc3339),
            created_at: clock::rfc3339(row.created_at),
            updated_at: clock::rfc3339(row.updated_at),
        }
    }
}
