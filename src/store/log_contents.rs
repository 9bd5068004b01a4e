//! What was said in requests, where the log is to have it: the beginnings of bodies, sealed.

use super::{LogRow, Store, StoreError, db, row::from_row};

/// One row of `log_content`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogContent {
    /// Of its row in `request_log`.
    pub log_id: i64,
    /// As in that row.
    pub created_at: i64,
    /// What the client sent, sealed.
    pub request: Vec<u8>,
    /// Bytes that it sent in all.
    pub request_bytes: i64,
    /// What it got, sealed.
    pub answer: Vec<u8>,
    /// Bytes that it got in all.
    pub answer_bytes: i64,
}

from_row!(LogContent, |row| Self {
    log_id: row.int("log_id")?,
    created_at: row.int("created_at")?,
    request: row.bytes("request")?,
    request_bytes: row.int("request_bytes")?,
    answer: row.bytes("answer")?,
    answer_bytes: row.int("answer_bytes")?,
});

const INSERT: &str = "insert into log_content (log_id, created_at, request, request_bytes, answer, answer_bytes) \
    values ($1, $2, $3, $4, $5, $6) on conflict do nothing";

/// Rows that go in one transaction.
const BATCH: i64 = 200;

impl Store {
    /// Adds contents, all or none; those that are there already stay.
    pub async fn insert_log_contents(&self, contents: &[LogContent]) -> Result<(), StoreError> {
        db::transaction!(self, tx => {
            for content in contents {
                sqlx::query(INSERT)
                    .bind(content.log_id)
                    .bind(content.created_at)
                    .bind(&content.request)
                    .bind(content.request_bytes)
                    .bind(&content.answer)
                    .bind(content.answer_bytes)
                    .execute(&mut *tx)
                    .await?;
            }
        })
    }

    /// A row of the log, and what was said in its request where that was logged.
    pub async fn log(&self, id: i64) -> Result<Option<(LogRow, Option<LogContent>)>, StoreError> {
        let row = "select * from request_log where id = $1";
        let row: Option<LogRow> =
            db::reading!(db::REPORT, self, pool => sqlx::query_as(row).bind(id).fetch_optional(pool))?;
        let Some(row) = row else { return Ok(None) };
        let content = "select * from log_content where log_id = $1 and created_at = $2";
        let content = db::reading!(self, pool => {
            sqlx::query_as(content).bind(id).bind(row.created_at).fetch_optional(pool)
        })?;
        Ok(Some((row, content)))
    }

    /// Forgets some of the contents of requests that were logged before `before`, and says how many: 0 when none is left.
    pub async fn forget_log_contents(&self, before: i64) -> Result<u64, StoreError> {
        let sql = "delete from log_content where log_id in \
                   (select log_id from log_content where created_at < $1 order by created_at limit $2)";
        db::writing!(self, pool => async {
            sqlx::query(sql).bind(before).bind(BATCH).execute(pool).await.map(|done| done.rows_affected())
        })
    }
}
