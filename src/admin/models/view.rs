//! A model as operators see it.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{clock, store};

/// A configured model.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Model)]
pub struct ModelView {
    #[schema(example = 1)]
    pub id: i64,
    /// Unique; what clients ask for.
    #[schema(example = "best")]
    pub name: String,
    /// Other names for the same.
    pub aliases: Vec<String>,
    pub enabled: bool,
    pub description: Option<String>,
    /// The most that it may be asked to generate, and what is asked of providers that insist on a number.
    pub max_output_tokens: Option<i64>,
    /// US dollars per million tokens, as all prices here; `null` leaves it to the price table.
    #[schema(example = 2.5)]
    pub input_price: Option<f64>,
    #[schema(example = 10.0)]
    pub output_price: Option<f64>,
    /// Of tokens read from a cache.
    pub cached_input_price: Option<f64>,
    /// Of tokens written to a cache.
    pub cache_write_price: Option<f64>,
    pub metadata: Option<Map<String, Value>>,
    pub created_at: String,
    pub updated_at: String,
}

impl From<&store::Model> for ModelView {
    fn from(row: &store::Model) -> Self {
        let dollars = |micro: Option<i64>| micro.map(|micro| micro as f64 / 1e6);
        Self {
            id: row.id,
            name: row.name.clone(),
            aliases: row.aliases.clone(),
            enabled: row.enabled,
            description: row.description.clone(),
            max_output_tokens: row.max_output_tokens,
            input_price: dollars(row.input_price),
            output_price: dollars(row.output_price),
            cached_input_price: dollars(row.cached_input_price),
            cache_write_price: dollars(row.cache_write_price),
            metadata: row.metadata.clone(),
            created_at: clock::rfc3339(row.created_at),
            updated_at: clock::rfc3339(row.updated_at),
        }
    }
}
