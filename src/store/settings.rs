//! Single values that belong to the installation.

use super::{Store, StoreError, db};

impl Store {
    /// The value under `key`.
    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let sql = "select value from setting where key = $1";
        db::reading!(self, pool => sqlx::query_scalar(sql).bind(key).fetch_optional(pool))
    }

    /// Stores `value` under `key`, whatever was there.
    pub async fn put_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let sql =
            "insert into setting (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value";
        db::writing!(self, pool => async { sqlx::query(sql).bind(key).bind(value).execute(pool).await.map(|_| ()) })
    }

    /// Stores `value` under `key` if nothing is there, and says whether it did: of several nodes that start at once, one
    /// wins.
    pub async fn claim_setting(&self, key: &str, value: &str) -> Result<bool, StoreError> {
        let sql = "insert into setting (key, value) values ($1, $2) on conflict (key) do nothing";
        let rows = db::writing!(self, pool => async {
            sqlx::query(sql).bind(key).bind(value).execute(pool).await.map(|done| done.rows_affected())
        })?;
        Ok(rows > 0)
    }
}
