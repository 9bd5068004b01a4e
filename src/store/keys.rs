//! Keys that clients call with.

use super::{
    Store, StoreError, db, found_one,
    row::{from_row, json},
};
use crate::secret::KeyHash;

/// One row of `api_key`. The key's text is nowhere: only what it hashes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    pub id: i64,
    /// Whose it is, or what for.
    pub name: String,
    /// How lists show it: a mask such as `sk-…a1b2`.
    pub prefix: String,
    pub hash: KeyHash,
    pub enabled: bool,
    /// Refuse what a translation would drop, instead of dropping it and saying so.
    pub strict: bool,
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
    strict: row.flag("strict")?,
    allowed_models: row.json_if_any("allowed_models")?,
    expires_at: row.int_if_any("expires_at")?,
    created_at: row.int("created_at")?,
    revoked_at: row.int_if_any("revoked_at")?,
});

impl Store {
    /// All keys, dead ones too, newest first.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let sql = "select * from api_key order by id desc";
        db::reading!(self, pool => sqlx::query_as(sql).fetch_all(pool))
    }

    pub async fn key(&self, id: i64) -> Result<Option<ApiKey>, StoreError> {
        let sql = "select * from api_key where id = $1";
        db::reading!(self, pool => sqlx::query_as(sql).bind(id).fetch_optional(pool))
    }

    /// Adds a key whose id came from [`Store::new_id`].
    pub async fn insert_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        let sql = "insert into api_key (id, name, prefix, hash, enabled, strict, allowed_models, expires_at, created_at, \
                   revoked_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        db::writing!(self, pool => async {
            sqlx::query(sql)
                .bind(key.id)
                .bind(&key.name)
                .bind(&key.prefix)
                .bind(key.hash.to_string())
                .bind(i64::from(key.enabled))
                .bind(i64::from(key.strict))
                .bind(key.allowed_models.as_ref().map(json))
                .bind(key.expires_at)
                .bind(key.created_at)
                .bind(key.revoked_at)
                .execute(pool)
                .await
                .map(|_| ())
        })
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
