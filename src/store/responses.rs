//! Answers that this gateway keeps itself, with all that they answer.

use sqlx::QueryBuilder;

use super::{Store, StoreError, db, found_one, row::from_row};

/// One row of `response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptResponse {
    pub id: String,
    /// Whose it is among this gateway's callers.
    pub owner: String,
    /// The response object.
    pub body: String,
    /// The items that it answers, those of former turns included, as a JSON array.
    pub input: String,
    pub created_at: i64,
    pub expires_at: i64,
}

from_row!(KeptResponse, |row| Self {
    id: row.text("id")?,
    owner: row.text("owner")?,
    body: row.text("body")?,
    input: row.text("input")?,
    created_at: row.int("created_at")?,
    expires_at: row.int("expires_at")?,
});

/// Ids a look-up may name.
const IDS_PER_STATEMENT: usize = 1000;

impl Store {
    /// Adds a row, in the place of the one of this id and owner if there is one.
    pub async fn put_response(&self, response: &KeptResponse) -> Result<(), StoreError> {
        let sql = "insert into response (id, owner, body, input, created_at, expires_at) values ($1, $2, $3, $4, $5, $6) \
                   on conflict (id, owner) do update set body = excluded.body, input = excluded.input, \
                   created_at = excluded.created_at, expires_at = excluded.expires_at";
        db::writing!(self, pool => async {
            sqlx::query(sql)
                .bind(&response.id)
                .bind(&response.owner)
                .bind(&response.body)
                .bind(&response.input)
                .bind(response.created_at)
                .bind(response.expires_at)
                .execute(pool)
                .await
                .map(|_| ())
        })
    }

    /// Those of `owner`'s rows of these ids whose time is not over at `now`; of very many ids only those of the first.
    pub async fn responses(&self, owner: &str, ids: &[String], now: i64) -> Result<Vec<KeptResponse>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        db::reading!(self, pool => async {
            let mut query = QueryBuilder::new("select * from response where owner = ");
            query.push_bind(owner).push(" and expires_at > ").push_bind(now).push(" and id in (");
            let mut list = query.separated(", ");
            ids.iter().take(IDS_PER_STATEMENT).for_each(|id| {
                list.push_bind(id.clone());
            });
            query.push(")");
            query.build_query_as().persistent(false).fetch_all(pool).await
        })
    }

    /// Removes a row; whether there was one.
    pub async fn delete_response(&self, id: &str, owner: &str) -> Result<bool, StoreError> {
        let sql = "delete from response where id = $1 and owner = $2";
        let rows = db::writing!(self, pool => async {
            sqlx::query(sql).bind(id).bind(owner).execute(pool).await.map(|done| done.rows_affected())
        })?;
        Ok(found_one(rows))
    }

    /// Removes some of the rows whose time is over at `now`, and says how many: fewer than `most` where none is left.
    pub async fn sweep_responses(&self, now: i64, most: i64) -> Result<u64, StoreError> {
        let sql = "delete from response where (id, owner) in \
                   (select id, owner from response where expires_at <= $1 order by expires_at limit $2)";
        db::writing!(self, pool => async {
            sqlx::query(sql).bind(now).bind(most).execute(pool).await.map(|done| done.rows_affected())
        })
    }
}
