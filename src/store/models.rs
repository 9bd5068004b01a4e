//! Models: the names that clients ask for.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Store, StoreError, db, found_one,
    row::{from_row, json},
};

/// One row of `model`. Prices are micro-dollars per million tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub id: i64,
    /// Unique; what clients ask for.
    pub name: String,
    /// Other names for the same.
    pub aliases: Vec<String>,
    pub enabled: bool,
    pub description: Option<String>,
    /// The most that it may be asked to generate, and what is asked of providers that insist on a number.
    pub max_output_tokens: Option<i64>,
    pub input_price: Option<i64>,
    pub output_price: Option<i64>,
    pub cached_input_price: Option<i64>,
    pub cache_write_price: Option<i64>,
    pub metadata: Option<Map<String, Value>>,
    pub created_at: i64,
    pub updated_at: i64,
}

impl Model {
    /// A model of which nothing is said yet.
    pub fn with_defaults(id: i64, now: i64) -> Self {
        Self {
            id,
            name: String::new(),
            aliases: Vec::new(),
            enabled: true,
            description: None,
            max_output_tokens: None,
            input_price: None,
            output_price: None,
            cached_input_price: None,
            cache_write_price: None,
            metadata: None,
            created_at: now,
            updated_at: now,
        }
    }
}

from_row!(Model, |row| Self {
    id: row.int("id")?,
    name: row.text("name")?,
    aliases: row.json("aliases")?,
    enabled: row.flag("enabled")?,
    description: row.text_if_any("description")?,
    max_output_tokens: row.int_if_any("max_output_tokens")?,
    input_price: row.int_if_any("input_price")?,
    output_price: row.int_if_any("output_price")?,
    cached_input_price: row.int_if_any("cached_input_price")?,
    cache_write_price: row.int_if_any("cache_write_price")?,
    metadata: row.json_if_any("metadata")?,
    created_at: row.int("created_at")?,
    updated_at: row.int("updated_at")?,
});

/// Binds the columns that a person sets, in the order in which the statements below number them.
macro_rules! bind {
    ($query:expr, $model:expr) => {
        $query
            .bind($model.id)
            .bind(&$model.name)
            .bind(json(&$model.aliases))
            .bind(i64::from($model.enabled))
            .bind(&$model.description)
            .bind($model.max_output_tokens)
            .bind($model.input_price)
            .bind($model.output_price)
            .bind($model.cached_input_price)
            .bind($model.cache_write_price)
            .bind($model.metadata.as_ref().map(json))
            .bind($model.updated_at)
    };
}

impl Store {
    /// All models, by name.
    pub async fn models(&self) -> Result<Vec<Model>, StoreError> {
        let sql = "select * from model order by name";
        db::reading!(self, pool => sqlx::query_as(sql).fetch_all(pool))
    }

    pub async fn model(&self, id: i64) -> Result<Option<Model>, StoreError> {
        let sql = "select * from model where id = $1";
        db::reading!(self, pool => sqlx::query_as(sql).bind(id).fetch_optional(pool))
    }

    pub async fn model_named(&self, name: &str) -> Result<Option<Model>, StoreError> {
        let sql = "select * from model where name = $1";
        db::reading!(self, pool => sqlx::query_as(sql).bind(name).fetch_optional(pool))
    }

    /// Adds a model whose id came from [`Store::new_id`].
    pub async fn insert_model(&self, model: &Model) -> Result<(), StoreError> {
        let sql = "insert into model (id, name, aliases, enabled, description, max_output_tokens, input_price, \
                   output_price, cached_input_price, cache_write_price, metadata, updated_at, created_at) \
                   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        db::writing!(self, pool => async {
            bind!(sqlx::query(sql), model).bind(model.created_at).execute(pool).await.map(|_| ())
        })
    }

    /// Changes a model and hands back what became of it; `None` if there is none. `change` may run several times, each time
    /// on what another writer made of the row meanwhile.
    pub async fn edit_model<E: From<StoreError>>(
        &self,
        id: i64,
        change: impl Fn(&mut Model) -> Result<(), E>,
    ) -> Result<Option<Model>, E> {
        for _ in 0..db::EDIT_TRIES {
            let Some(mut model) = self.model(id).await? else { return Ok(None) };
            let seen = model.updated_at;
            change(&mut model)?;
            model.updated_at = db::later_than(seen);
            if self.replace_model(&model, seen).await? {
                return Ok(Some(model));
            }
        }
        Err(StoreError::Contended.into())
    }

    async fn replace_model(&self, model: &Model, seen: i64) -> Result<bool, StoreError> {
        let sql = "update model set name = $2, aliases = $3, enabled = $4, description = $5, max_output_tokens = $6, \
                   input_price = $7, output_price = $8, cached_input_price = $9, cache_write_price = $10, metadata = $11, \
                   updated_at = $12 where id = $1 and updated_at = $13";
        let rows = db::writing!(self, pool => async {
            bind!(sqlx::query(sql), model).bind(seen).execute(pool).await.map(|done| done.rows_affected())
        })?;
        Ok(found_one(rows))
    }

    /// Removes a model and who serves it. Says whether there was one.
    pub async fn delete_model(&self, id: i64) -> Result<bool, StoreError> {
        let sql = "delete from model where id = $1";
        let rows = db::writing!(self, pool => async {
            sqlx::query(sql).bind(id).execute(pool).await.map(|done| done.rows_affected())
        })?;
        Ok(found_one(rows))
    }
}
