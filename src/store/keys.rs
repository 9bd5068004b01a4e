//! Keys that clients call with.

use serde::{Deserialize, Serialize};

use super::{
    Store, StoreError, db, found_one,
    row::{from_row, json},
};
use crate::{fidelity::Fidelity, secret::KeyHash};

/// One row of `api_key`. The key's text is nowhere: only what it hashes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: i64,
    /// Whose it is, or what for.
    pub name: String,
    /// How lists show it: a mask such as `sk-…a1b2`.
    pub prefix: String,
    pub hash: KeyHash,
    pub enabled: bool,
    /// How much of its requests may be lost; `None` leaves it to the configuration.
    pub fidelity: Option<Fidelity>,
    /// Patterns with `*` of the models that it may use; `None` is all.
    pub allowed_models: Option<Vec<String>>,
    pub expires_at: Option<i64>,
    pub created_at: i64,
    pub revoked_at: Option<i64>,
}

impl ApiKey {
    /// Whether the key opens anything at the time `now`.
    pub fn is_live(&self, now: i64) -> bool {
        self.enabled && self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

from_row!(ApiKey, |row| Self {
    id: row.int("id")?,
    name: row.text("name")?,
    prefix: row.text("prefix")?,
    hash: row
        .text("hash")?
        .parse()
        .map_err(|error| sqlx::Error::ColumnDecode { index: "hash".to_owned(), source: Box::new(error) })?,
    enabled: row.flag("enabled")?,
    fidelity: fidelity(row.text_if_any("fidelity")?.as_deref(), row.flag("strict")?),
    allowed_models: row.json_if_any("allowed_models")?,
    expires_at: row.int_if_any("expires_at")?,
    created_at: row.int("created_at")?,
    revoked_at: row.int_if_any("revoked_at")?,
});

/// A policy by its name. The older flag counts where there is none, and a name of a newer version is no weaker than it.
fn fidelity(name: Option<&str>, strict: bool) -> Option<Fidelity> {
    name.and_then(Fidelity::parse).or(strict.then_some(Fidelity::Strict))
}

/// Binds the columns that a person sets, in the order in which the statements below number them.
macro_rules! bind {
    ($query:expr, $key:expr) => {
        $query
            .bind($key.id)
            .bind(&$key.name)
            .bind(i64::from($key.enabled))
            .bind(i64::from($key.fidelity == Some(Fidelity::Strict)))
            .bind($key.fidelity.map(Fidelity::as_str))
            .bind($key.allowed_models.as_ref().map(json))
            .bind($key.expires_at)
    };
}

const ONE: &str = "select * from api_key where id = $1";

/// Counts the changes of keys, which have no time of their own that a watcher could see.
const COUNT_CHANGE: &str = "insert into counter (name, value) values ('api_key_change', 1) \
    on conflict (name) do update set value = counter.value + 1";

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
        let sql = "insert into api_key (id, name, enabled, strict, fidelity, allowed_models, expires_at, prefix, hash, \
                   created_at, revoked_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        db::writing!(self, pool => async {
            bind!(sqlx::query(sql), key)
                .bind(&key.prefix)
                .bind(key.hash.to_string())
                .bind(key.created_at)
                .bind(key.revoked_at)
                .execute(pool)
                .await
                .map(|_| ())
        })
    }

    /// Changes a key and hands back what became of it; `None` if there is none. Its text, its times and whether it is revoked
    /// stay. One change at a time: counting them comes first and makes the next one wait.
    pub async fn edit_key<E: From<StoreError>>(
        &self,
        id: i64,
        change: impl FnOnce(&mut ApiKey) -> Result<(), E>,
    ) -> Result<Option<ApiKey>, E> {
        let sql = "update api_key set name = $2, enabled = $3, strict = $4, fidelity = $5, allowed_models = $6, \
                   expires_at = $7 where id = $1";
        let edited = db::transaction!(self, tx => {
            sqlx::query(COUNT_CHANGE).execute(&mut *tx).await?;
            let found: Option<ApiKey> = sqlx::query_as(ONE).bind(id).fetch_optional(&mut *tx).await?;
            match found {
                None => Ok(None),
                Some(mut key) => match change(&mut key) {
                    Ok(()) => {
                        bind!(sqlx::query(sql), key).execute(&mut *tx).await?;
                        Ok(Some(key))
                    }
                    Err(error) => Err(error),
                },
            }
        });
        edited?
    }

    /// Makes a key useless for good. Says whether there is such a key; revoking twice keeps the first time.
    pub async fn revoke_key(&self, id: i64, at: i64) -> Result<bool, StoreError> {
        let sql = "update api_key set revoked_at = coalesce(revoked_at, $2) where id = $1";
        let rows = db::writing!(self, pool => async {
            sqlx::query(sql).bind(id).bind(at).execute(pool).await.map(|done| done.rows_affected())
        })?;
        Ok(found_one(rows))
    }
}
