//! Providers: accounts with vendors.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Store, StoreError, db, found_one,
    row::{from_row, json},
};

/// One row of `provider`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    pub id: i64,
    /// Unique; what clients and logs call it.
    pub name: String,
    /// The vendor or dialect (`openai`, `anthropic`, …): column `type`.
    pub kind: String,
    /// Where it is, if not where its kind is.
    pub base_url: Option<String>,
    /// The sealed key, as [`MasterKey::seal`](crate::secret::MasterKey::seal) wrote it.
    pub api_key: Option<String>,
    /// Several keys instead of that one: a JSON list, sealed as it is.
    pub api_keys: Option<String>,
    pub enabled: bool,
    /// 0..=1000; higher is tried first.
    pub priority: i64,
    /// 0..=1000; the share within a priority.
    pub weight: i64,
    /// Seconds for a whole request, 1..=300.
    pub timeout: i64,
    /// Further attempts after the first, 0..=10.
    pub max_retries: i64,
    /// Requests a minute; `None` is no limit.
    pub rate_limit: Option<i64>,
    /// What it speaks, if not what its kind does.
    pub protocols: Option<Vec<String>>,
    pub metadata: Option<Map<String, Value>>,
    /// Settings of its kind that are no secrets, such as a region.
    pub options: Option<Map<String, Value>>,
    /// Headers that go with every request: a JSON object, sealed as `api_key` is.
    pub extra_headers: Option<String>,
    /// Fields for every generating body that the client did not set.
    pub extra_body: Option<Map<String, Value>>,
    /// The URL of the proxy it is reached through, sealed as `api_key` is.
    pub proxy: Option<String>,
    /// What it last said that it serves; not written by [`Store::edit_provider`].
    pub listed_models: Option<Vec<String>>,
    /// When it said so.
    pub listed_at: Option<i64>,
    /// What small requests found out about it; not written by [`Store::edit_provider`].
    pub capabilities: Option<Map<String, Value>>,
    /// When they did.
    pub examined_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
}

impl Provider {
    /// Everything of it that is sealed.
    pub fn sealed(&mut self) -> [&mut Option<String>; 4] {
        [&mut self.api_key, &mut self.api_keys, &mut self.extra_headers, &mut self.proxy]
    }

    /// A provider of which nothing is said yet: what is not said of one when it is created.
    pub fn with_defaults(id: i64, now: i64) -> Self {
        Self {
            id,
            name: String::new(),
            kind: String::new(),
            base_url: None,
            api_key: None,
            api_keys: None,
            enabled: true,
            priority: 100,
            weight: 100,
            timeout: 60,
            max_retries: 3,
            rate_limit: None,
            protocols: None,
            metadata: None,
            options: None,
            extra_headers: None,
            extra_body: None,
            proxy: None,
            listed_models: None,
            listed_at: None,
            capabilities: None,
            examined_at: None,
            created_at: now,
            updated_at: now,
        }
    }
}

from_row!(Provider, |row| Self {
    id: row.int("id")?,
    name: row.text("name")?,
    kind: row.text("type")?,
    base_url: row.text_if_any("base_url")?,
    api_key: row.text_if_any("api_key")?,
    api_keys: row.text_if_any("api_keys")?,
    enabled: row.flag("enabled")?,
    priority: row.int("priority")?,
    weight: row.int("weight")?,
    timeout: row.int("timeout")?,
    max_retries: row.int("max_retries")?,
    rate_limit: row.int_if_any("rate_limit")?,
    protocols: row.json_if_any("protocols")?,
    metadata: row.json_if_any("metadata")?,
    options: row.json_if_any("options")?,
    extra_headers: row.text_if_any("extra_headers")?,
    extra_body: row.json_if_any("extra_body")?,
    proxy: row.text_if_any("proxy")?,
    listed_models: row.json_if_any("listed_models")?,
    listed_at: row.int_if_any("listed_at")?,
    capabilities: row.json_if_any("capabilities")?,
    examined_at: row.int_if_any("examined_at")?,
    created_at: row.int("created_at")?,
    updated_at: row.int("updated_at")?,
});

/// Binds the columns that a person sets, in the order in which the statements below number them.
macro_rules! bind {
    ($query:expr, $provider:expr) => {
        $query
            .bind($provider.id)
            .bind(&$provider.name)
            .bind(&$provider.kind)
            .bind(&$provider.base_url)
            .bind(&$provider.api_key)
            .bind(i64::from($provider.enabled))
            .bind($provider.priority)
            .bind($provider.weight)
            .bind($provider.timeout)
            .bind($provider.max_retries)
            .bind($provider.rate_limit)
            .bind($provider.protocols.as_ref().map(json))
            .bind($provider.metadata.as_ref().map(json))
            .bind($provider.options.as_ref().map(json))
            .bind(&$provider.extra_headers)
            .bind($provider.extra_body.as_ref().map(json))
            .bind(&$provider.proxy)
            .bind(&$provider.api_keys)
            .bind($provider.updated_at)
    };
}

impl Store {
    /// All providers, in the order in which they are preferred.
    pub async fn providers(&self) -> Result<Vec<Provider>, StoreError> {
        let sql = "select * from provider order by priority desc, id";
        db::reading!(self, pool => sqlx::query_as(sql).fetch_all(pool))
    }

    pub async fn provider(&self, id: i64) -> Result<Option<Provider>, StoreError> {
        let sql = "select * from provider where id = $1";
        db::reading!(self, pool => sqlx::query_as(sql).bind(id).fetch_optional(pool))
    }

    /// Adds a provider whose id came from [`Store::new_id`].
    pub async fn insert_provider(&self, provider: &Provider) -> Result<(), StoreError> {
        let sql = "insert into provider (id, name, type, base_url, api_key, enabled, priority, weight, timeout, \
                   max_retries, rate_limit, protocols, metadata, options, extra_headers, extra_body, proxy, api_keys, \
                   updated_at, created_at) \
                   values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";
        db::writing!(self, pool => async {
            bind!(sqlx::query(sql), provider).bind(provider.created_at).execute(pool).await.map(|_| ())
        })
    }

    /// Changes a provider and hands back what became of it; `None` if there is none. `change` may run several times, each
    /// time on what another writer made of the row meanwhile.
    pub async fn edit_provider<E: From<StoreError>>(
        &self,
        id: i64,
        change: impl Fn(&mut Provider) -> Result<(), E>,
    ) -> Result<Option<Provider>, E> {
        for _ in 0..db::EDIT_TRIES {
            let Some(mut provider) = self.provider(id).await? else { return Ok(None) };
            let seen = provider.updated_at;
            change(&mut provider)?;
            provider.updated_at = db::later_than(seen);
            if self.replace_provider(&provider, seen).await? {
                return Ok(Some(provider));
            }
        }
        Err(StoreError::Contended.into())
    }

    async fn replace_provider(&self, provider: &Provider, seen: i64) -> Result<bool, StoreError> {
        let sql = "update provider set name = $2, type = $3, base_url = $4, api_key = $5, enabled = $6, priority = $7, \
                   weight = $8, timeout = $9, max_retries = $10, rate_limit = $11, protocols = $12, metadata = $13, \
                   options = $14, extra_headers = $15, extra_body = $16, proxy = $17, api_keys = $18, \
                   updated_at = $19 where id = $1 and updated_at = $20";
        let rows = db::writing!(self, pool => async {
            bind!(sqlx::query(sql), provider).bind(seen).execute(pool).await.map(|done| done.rows_affected())
        })?;
        Ok(found_one(rows))
    }

    /// Notes which models the provider says it serves. Says whether there is such a provider.
    pub async fn put_listed_models(&self, id: i64, models: &[String], at: i64) -> Result<bool, StoreError> {
        let sql = "update provider set listed_models = $2, listed_at = $3 where id = $1";
        let rows = db::writing!(self, pool => async {
            sqlx::query(sql).bind(id).bind(json(&models)).bind(at).execute(pool).await.map(|done| done.rows_affected())
        })?;
        Ok(found_one(rows))
    }

    /// Notes what small requests found out about the provider as it was at `seen`, its time of change. Says whether it still
    /// was that one.
    pub async fn put_capabilities(
        &self,
        id: i64,
        seen: i64,
        capabilities: &Map<String, Value>,
        at: i64,
    ) -> Result<bool, StoreError> {
        let sql = "update provider set capabilities = $3, examined_at = $4 where id = $1 and updated_at = $2";
        let rows = db::writing!(self, pool => async {
            let query = sqlx::query(sql).bind(id).bind(seen).bind(json(capabilities)).bind(at);
            query.execute(pool).await.map(|done| done.rows_affected())
        })?;
        Ok(found_one(rows))
    }

    /// Forgets what the provider said it serves and what was found out about it: it may have become another.
    pub async fn forget_learnt(&self, id: i64) -> Result<(), StoreError> {
        let sql = "update provider set listed_models = null, listed_at = null, capabilities = null, examined_at = null \
                   where id = $1";
        db::writing!(self, pool => async { sqlx::query(sql).bind(id).execute(pool).await.map(|_| ()) })
    }

    /// Removes a provider and its part in models. Says whether there was one.
    pub async fn delete_provider(&self, id: i64) -> Result<bool, StoreError> {
        let sql = "delete from provider where id = $1";
        let rows = db::writing!(self, pool => async {
            sqlx::query(sql).bind(id).execute(pool).await.map(|done| done.rows_affected())
        })?;
        Ok(found_one(rows))
    }
}
