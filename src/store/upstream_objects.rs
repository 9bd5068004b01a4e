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
    /// Where it is; `None` for what this gateway keeps itself.
    pub provider_id: Option<i64>,
    pub created_at: i64,
}

from_row!(UpstreamObject, |row| Self {
    id: row.text("id")?,
    owner: row.text("owner")?,
    provider_id: row.int_if_any("provider_id")?,
    created_at: row.int("created_at")?,
});

/// Ids a look-up may name. Lists of providers are shorter, and SQLite takes 32,766 values a statement.
const IDS_PER_STATEMENT: usize = 10_000;

impl Store {
    /// Adds a row, or says anew where its thing is.
    pub async fn put_upstream_object(&self, object: &UpstreamObject) -> Result<(), StoreError> {
        let sql = "insert into upstream_object (id, owner, provider_id, created_at) values ($1, $2, $3, $4) \
                   on conflict (id, owner) do update set provider_id = excluded.provider_id";
        db::writing!(self, pool => async {
            sqlx::query(sql)
                .bind(&object.id)
                .bind(&object.owner)
                .bind(object.provider_id)
                .bind(object.created_at)
                .execute(pool)
                .await
                .map(|_| ())
        })
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
}
