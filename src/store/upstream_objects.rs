//! Things at providers that have ids of the providers' own: files, batches, answers that are kept.

use sqlx::QueryBuilder;

use super::{Store, StoreError, db, row::from_row};

/// One row of `upstream_object`, as far as it says where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamObject {
    /// The provider's.
    pub id: String,
    /// Whose it is among this gateway's callers.
    pub owner: String,
    /// Where it is.
    pub provider_id: i64,
    /// Of which of the provider's keys it is, by its name, where the provider had several.
    pub provider_key: Option<String>,
    pub created_at: i64,
    /// When it may be forgotten; `None` for what stays until it is deleted.
    pub expires_at: Option<i64>,
}

from_row!(UpstreamObject, |row| Self {
    id: row.text("id")?,
    owner: row.text("owner")?,
    provider_id: row.int("provider_id")?,
    provider_key: row.text_if_any("provider_key")?,
    created_at: row.int("created_at")?,
    expires_at: row.int_if_any("expires_at")?,
});

/// Ids a look-up may name. Lists of providers are shorter, and SQLite takes 32,766 values a statement.
const IDS_PER_STATEMENT: usize = 10_000;

/// Rows that one statement adds, of six values each.
const ROWS_PER_STATEMENT: usize = 1000;

impl Store {
    /// Adds rows, or says anew where their things are. No two of them may be of the same id and owner.
    pub async fn put_upstream_objects(&self, objects: &[UpstreamObject]) -> Result<(), StoreError> {
        for some in objects.chunks(ROWS_PER_STATEMENT) {
            db::writing!(self, pool => async {
                let columns = "insert into upstream_object (id, owner, provider_id, provider_key, created_at, expires_at) ";
                let mut query = QueryBuilder::new(columns);
                query.push_values(some, |mut row, object| {
                    row.push_bind(&object.id).push_bind(&object.owner).push_bind(object.provider_id);
                    row.push_bind(&object.provider_key).push_bind(object.created_at).push_bind(object.expires_at);
                });
                query.push(
                    " on conflict (id, owner) do update set provider_id = excluded.provider_id, \
                     provider_key = excluded.provider_key, expires_at = excluded.expires_at",
                );
                query.build().persistent(false).execute(pool).await.map(|_| ())
            })?;
        }
        Ok(())
    }

    /// All rows of these ids, whoever's they are; of very many ids only those of the first.
    pub async fn upstream_objects(&self, ids: &[String]) -> Result<Vec<UpstreamObject>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        db::reading!(self, pool => async {
            let mut query = QueryBuilder::new("select * from upstream_object where id in (");
            let mut list = query.separated(", ");
            ids.iter().take(IDS_PER_STATEMENT).for_each(|id| {
                list.push_bind(id.clone());
            });
            query.push(")");
            query.build_query_as().persistent(false).fetch_all(pool).await
        })
    }

    /// Removes a row, if there is one.
    pub async fn delete_upstream_object(&self, id: &str, owner: &str) -> Result<(), StoreError> {
        let sql = "delete from upstream_object where id = $1 and owner = $2";
        db::writing!(self, pool => async { sqlx::query(sql).bind(id).bind(owner).execute(pool).await.map(|_| ()) })
    }

    /// Removes some of the rows whose time is over at `now`, and says how many: fewer than `most` where none is left.
    pub async fn sweep_upstream_objects(&self, now: i64, most: i64) -> Result<u64, StoreError> {
        let sql = "delete from upstream_object where (id, owner) in \
                   (select id, owner from upstream_object where expires_at <= $1 order by expires_at limit $2)";
        db::writing!(self, pool => async {
            sqlx::query(sql).bind(now).bind(most).execute(pool).await.map(|done| done.rows_affected())
        })
    }
}
