//! Which provider serves which model.

use serde::{Deserialize, Serialize};

use super::{Store, StoreError, db, found_one, row::from_row};

/// One row of `model_provider`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelProvider {
    pub id: i64,
    pub model_id: i64,
    pub provider_id: i64,
    /// What the provider calls the model.
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
    pub created_at: i64,
    pub updated_at: i64,
}

impl ModelProvider {
    /// A row of which nothing is said yet; no model and no provider has the id 0.
    pub fn with_defaults(id: i64, now: i64) -> Self {
        Self {
            id,
            model_id: 0,
            provider_id: 0,
            upstream_name: String::new(),
            weight: 100,
            enabled: true,
            tool_call: true,
            structured_output: true,
            image: true,
            created_at: now,
            updated_at: now,
        }
    }
}

from_row!(ModelProvider, |row| Self {
    id: row.int("id")?,
    model_id: row.int("model_id")?,
    provider_id: row.int("provider_id")?,
    upstream_name: row.text("upstream_name")?,
    weight: row.int("weight")?,
    enabled: row.flag("enabled")?,
    tool_call: row.flag("tool_call")?,
    structured_output: row.flag("structured_output")?,
    image: row.flag("image")?,
    created_at: row.int("created_at")?,
    updated_at: row.int("updated_at")?,
});

/// Binds the columns that a person sets, in the order in which the statements below number them.
macro_rules! bind {
    ($query:expr, $row:expr) => {
        $query
            .bind($row.id)
            .bind($row.model_id)
            .bind($row.provider_id)
            .bind(&$row.upstream_name)
            .bind($row.weight)
            .bind(i64::from($row.enabled))
            .bind(i64::from($row.tool_call))
            .bind(i64::from($row.structured_output))
            .bind(i64::from($row.image))
            .bind($row.updated_at)
    };
}

impl Store {
    /// All of them, by model and then in the order in which they were added.
    pub async fn model_providers(&self) -> Result<Vec<ModelProvider>, StoreError> {
        let sql = "select * from model_provider order by model_id, id";
        db::reading!(self, pool => sqlx::query_as(sql).fetch_all(pool))
    }

    pub async fn model_provider(&self, id: i64) -> Result<Option<ModelProvider>, StoreError> {
        let sql = "select * from model_provider where id = $1";
        db::reading!(self, pool => sqlx::query_as(sql).bind(id).fetch_optional(pool))
    }

    /// Adds a row whose id came from [`Store::new_id`].
    pub async fn insert_model_provider(&self, row: &ModelProvider) -> Result<(), StoreError> {
        let sql = "insert into model_provider (id, model_id, provider_id, upstream_name, weight, enabled, tool_call, \
                   structured_output, image, updated_at, created_at) \
                   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        db::writing!(self, pool => async {
            bind!(sqlx::query(sql), row).bind(row.created_at).execute(pool).await.map(|_| ())
        })
    }

    /// Changes a row and hands back what became of it; `None` if there is none. `change` may run several times, each time on
    /// what another writer made of the row meanwhile.
    pub async fn edit_model_provider<E: From<StoreError>>(
        &self,
        id: i64,
        change: impl Fn(&mut ModelProvider) -> Result<(), E>,
    ) -> Result<Option<ModelProvider>, E> {
        for _ in 0..db::EDIT_TRIES {
            let Some(mut row) = self.model_provider(id).await? else { return Ok(None) };
            let seen = row.updated_at;
            change(&mut row)?;
            row.updated_at = db::later_than(seen);
            if self.replace_model_provider(&row, seen).await? {
                return Ok(Some(row));
            }
        }
        Err(StoreError::Contended.into())
    }

    async fn replace_model_provider(&self, row: &ModelProvider, seen: i64) -> Result<bool, StoreError> {
        let sql = "update model_provider set model_id = $2, provider_id = $3, upstream_name = $4, weight = $5, \
                   enabled = $6, tool_call = $7, structured_output = $8, image = $9, updated_at = $10 \
                   where id = $1 and updated_at = $11";
        let rows = db::writing!(self, pool => async {
            bind!(sqlx::query(sql), row).bind(seen).execute(pool).await.map(|done| done.rows_affected())
        })?;
        Ok(found_one(rows))
    }

    /// Removes a row. Says whether there was one.
    pub async fn delete_model_provider(&self, id: i64) -> Result<bool, StoreError> {
        let sql = "delete from model_provider where id = $1";
        let rows = db::writing!(self, pool => async {
            sqlx::query(sql).bind(id).execute(pool).await.map(|done| done.rows_affected())
        })?;
        Ok(found_one(rows))
    }
}
