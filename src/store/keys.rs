//! Keys that clients call with.

use serde::{Deserialize, Serialize};
use sqlx::QueryBuilder;

use super::{
    Store, StoreError, db, found_one,
    row::{from_row, json},
};
use crate::{
    fidelity::Fidelity,
    secret::{self, KeyHash},
};

/// One row of `api_key`. The key's text is nowhere: only what it hashes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: i64,
    /// What it is called.
    pub name: String,
    /// Whose it is.
    pub owner: Option<String>,
    pub tags: Vec<String>,
    /// How lists show it: a mask such as `sk-…a1b2`.
    pub prefix: String,
    pub hash: KeyHash,
    /// What its text before the last rotation hashes to.
    pub previous_hash: Option<KeyHash>,
    /// Until when that text is good.
    pub previous_until: Option<i64>,
    pub enabled: bool,
    /// How much of its requests may be lost; `None` leaves it to the configuration.
    pub fidelity: Option<Fidelity>,
    /// Patterns with `*` of the models that it may use; `None` is all.
    pub allowed_models: Option<Vec<String>>,
    /// Names and types of the providers that may be asked for it; `None` is all.
    pub allowed_providers: Option<Vec<String>>,
    /// Names of the endpoints that it may call; `None` is all.
    pub allowed_endpoints: Option<Vec<String>>,
    /// Ranges of addresses that it may be used from; `None` is all.
    pub allowed_addresses: Option<Vec<String>>,
    /// `None` leaves it to the configuration, as in the next two.
    pub requests_per_minute: Option<i64>,
    pub tokens_per_minute: Option<i64>,
    pub concurrent_requests: Option<i64>,
    /// Whether its requests are logged with what was said in them.
    #[serde(default)]
    pub log_content: bool,
    /// Whether the cache is on for it; `None` leaves it to the configuration.
    #[serde(default)]
    pub cache: Option<bool>,
    pub expires_at: Option<i64>,
    pub created_at: i64,
    pub rotated_at: Option<i64>,
    pub revoked_at: Option<i64>,
    /// When a request with it last ended; not written by [`Store::edit_key`].
    pub last_used_at: Option<i64>,
}

impl ApiKey {
    /// A key with this text that may do everything.
    pub fn new(id: i64, name: &str, text: &str, now: i64) -> Self {
        Self {
            id,
            name: name.to_owned(),
            owner: None,
            tags: Vec::new(),
            prefix: secret::mask(text),
            hash: KeyHash::of(text),
            previous_hash: None,
            previous_until: None,
            enabled: true,
            fidelity: None,
            allowed_models: None,
            allowed_providers: None,
            allowed_endpoints: None,
            allowed_addresses: None,
            requests_per_minute: None,
            tokens_per_minute: None,
            concurrent_requests: None,
            log_content: false,
            cache: None,
            expires_at: None,
            created_at: now,
            rotated_at: None,
            revoked_at: None,
            last_used_at: None,
        }
    }

    /// Gives it another text. The one it had is good for `overlap` microseconds more, the one before that no longer.
    pub fn rotate(&mut self, text: &str, now: i64, overlap: i64) {
        let kept = (overlap > 0).then_some((self.hash, now.saturating_add(overlap)));
        (self.previous_hash, self.previous_until) = kept.unzip();
        self.hash = KeyHash::of(text);
        self.prefix = secret::mask(text);
        self.rotated_at = Some(now);
    }

    /// Whether the key opens anything at the time `now`.
    pub fn is_live(&self, now: i64) -> bool {
        self.enabled && self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

from_row!(ApiKey, |row| Self {
    id: row.int("id")?,
    name: row.text("name")?,
    owner: row.text_if_any("owner")?,
    tags: row.json("tags")?,
    prefix: row.text("prefix")?,
    hash: hash("hash", &row.text("hash")?)?,
    previous_hash: row.text_if_any("previous_hash")?.map(|text| hash("previous_hash", &text)).transpose()?,
    previous_until: row.int_if_any("previous_until")?,
    enabled: row.flag("enabled")?,
    fidelity: fidelity(row.text_if_any("fidelity")?.as_deref(), row.flag("strict")?),
    allowed_models: row.json_if_any("allowed_models")?,
    allowed_providers: row.json_if_any("allowed_providers")?,
    allowed_endpoints: row.json_if_any("allowed_endpoints")?,
    allowed_addresses: row.json_if_any("allowed_addresses")?,
    requests_per_minute: row.int_if_any("requests_per_minute")?,
    tokens_per_minute: row.int_if_any("tokens_per_minute")?,
    concurrent_requests: row.int_if_any("concurrent_requests")?,
    log_content: row.flag("log_content")?,
    cache: row.flag_if_any("cache")?,
    expires_at: row.int_if_any("expires_at")?,
    created_at: row.int("created_at")?,
    rotated_at: row.int_if_any("rotated_at")?,
    revoked_at: row.int_if_any("revoked_at")?,
    last_used_at: row.int_if_any("last_used_at")?,
});

fn hash(column: &str, text: &str) -> sqlx::Result<KeyHash> {
    text.parse().map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) })
}

/// A policy by its name. The older flag counts where there is none, and a name of a newer version is no weaker than it.
fn fidelity(name: Option<&str>, strict: bool) -> Option<Fidelity> {
    name.and_then(Fidelity::parse).or(strict.then_some(Fidelity::Strict))
}

/// Binds all columns but `created_at` and `last_used_at`, in the order in which the statements below number them.
macro_rules! bind {
    ($query:expr, $key:expr) => {
        $query
            .bind($key.id)
            .bind(&$key.name)
            .bind(&$key.owner)
            .bind(json(&$key.tags))
            .bind(&$key.prefix)
            .bind($key.hash.to_string())
            .bind($key.previous_hash.map(|hash| hash.to_string()))
            .bind($key.previous_until)
            .bind(i64::from($key.enabled))
            .bind(i64::from($key.fidelity == Some(Fidelity::Strict)))
            .bind($key.fidelity.map(Fidelity::as_str))
            .bind($key.allowed_models.as_ref().map(json))
            .bind($key.allowed_providers.as_ref().map(json))
            .bind($key.allowed_endpoints.as_ref().map(json))
            .bind($key.allowed_addresses.as_ref().map(json))
            .bind($key.requests_per_minute)
            .bind($key.tokens_per_minute)
            .bind($key.concurrent_requests)
            .bind(i64::from($key.log_content))
            .bind($key.cache.map(i64::from))
            .bind($key.expires_at)
            .bind($key.rotated_at)
            .bind($key.revoked_at)
    };
}

const ONE: &str = "select * from api_key where id = $1";

const INSERT: &str = "insert into api_key (id, name, owner, tags, prefix, hash, previous_hash, previous_until, enabled, \
    strict, fidelity, allowed_models, allowed_providers, allowed_endpoints, allowed_addresses, requests_per_minute, \
    tokens_per_minute, concurrent_requests, log_content, cache, expires_at, rotated_at, revoked_at, created_at) values \
    ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)";

const UPDATE: &str = "update api_key set name = $2, owner = $3, tags = $4, prefix = $5, hash = $6, previous_hash = $7, \
    previous_until = $8, enabled = $9, strict = $10, fidelity = $11, allowed_models = $12, allowed_providers = $13, \
    allowed_endpoints = $14, allowed_addresses = $15, requests_per_minute = $16, tokens_per_minute = $17, \
    concurrent_requests = $18, log_content = $19, cache = $20, expires_at = $21, rotated_at = $22, revoked_at = $23 where id = $1";

/// Makes the next edit of a key wait for this one's end.
const TAKE_TURN: &str = "insert into counter (name, value) values ('api_key_change', 1) \
    on conflict (name) do update set value = counter.value + 1";

/// Ids a statement may name.
const IDS_PER_STATEMENT: usize = 1000;

impl Store {
    /// All keys, dead ones too, newest first.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let sql = "select * from api_key order by id desc";
        db::reading!(self, pool => sqlx::query_as(sql).fetch_all(pool))
    }

    pub async fn key(&self, id: i64) -> Result<Option<ApiKey>, StoreError> {
        db::reading!(self, pool => sqlx::query_as(ONE).bind(id).fetch_optional(pool))
    }

    /// Adds a key whose id came from [`Store::new_id`].
    pub async fn insert_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        db::writing!(self, pool => async {
            bind!(sqlx::query(INSERT), key).bind(key.created_at).execute(pool).await.map(|_| ())
        })
    }

    /// Changes a key and hands back what became of it; `None` if there is none. One change at a time.
    pub async fn edit_key<E: From<StoreError>>(
        &self,
        id: i64,
        change: impl FnOnce(&mut ApiKey) -> Result<(), E>,
    ) -> Result<Option<ApiKey>, E> {
        let edited = db::transaction!(self, tx => {
            sqlx::query(TAKE_TURN).execute(&mut *tx).await?;
            let found: Option<ApiKey> = sqlx::query_as(ONE).bind(id).fetch_optional(&mut *tx).await?;
            match found {
                None => Ok(None),
                Some(mut key) => match change(&mut key) {
                    Ok(()) => {
                        bind!(sqlx::query(UPDATE), key).execute(&mut *tx).await?;
                        Ok(Some(key))
                    }
                    Err(error) => Err(error),
                },
            }
        });
        edited?
    }

    /// Notes that requests with the keys of these ids have ended. This is no change of the configuration.
    pub async fn note_key_use(&self, ids: &[i64], at: i64) -> Result<(), StoreError> {
        for ids in ids.chunks(IDS_PER_STATEMENT) {
            db::writing!(self, pool => async {
                let mut query = QueryBuilder::new("update api_key set last_used_at = ");
                query.push_bind(at).push(" where id in (");
                let mut list = query.separated(", ");
                ids.iter().for_each(|id| {
                    list.push_bind(*id);
                });
                query.push(")");
                query.build().persistent(false).execute(pool).await.map(|_| ())
            })?;
        }
        Ok(())
    }

    /// Removes a key without a trace but in the log. Says whether there was one.
    pub async fn delete_key(&self, id: i64) -> Result<bool, StoreError> {
        let sql = "delete from api_key where id = $1";
        let rows = db::writing!(self, pool => async {
            sqlx::query(sql).bind(id).execute(pool).await.map(|done| done.rows_affected())
        })?;
        Ok(found_one(rows))
    }
}
