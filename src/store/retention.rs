//! Forgetting old log rows without stopping who writes new ones.
//!
//! SQLite deletes them in small batches, between which others write. PostgreSQL has a partition of the log for every few
//! days and drops it whole; only `request_log_rest`, which holds what no such partition takes, is deleted from in batches.

use std::time::Duration;

use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use super::{
    Store, StoreError,
    db::{self, Db, within},
};
use crate::clock;

/// Rows that go in one transaction.
const BATCH: i64 = 1000;

/// A day, in microseconds.
const DAY: i64 = 86_400_000_000;

/// How far ahead partitions are made, so that one is there even where nobody makes any for a while.
const AHEAD: i64 = 3 * DAY;

/// How long a partition covers where rows are kept for up to [`LONG`], and where they are kept longer or forever: there
/// should not be too many, since every look at the whole log is one at each.
const SHORT_WIDTH: i64 = DAY;
const LONG_WIDTH: i64 = 30 * DAY;
const LONG: i64 = 100 * DAY;

/// How long making or dropping a partition may wait for those who use the log, while others wait behind it.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '2s'";

/// Lets one node at a time make or drop partitions; any number that nothing else locks by.
const CLAIM: &str = "select pg_try_advisory_xact_lock(7461823950147283)";

/// The partitions and where each one ends, the oldest first.
const PARTITIONS: &str = "select name, ends_at from (\
    select cast(child.relname as text) as name, \
    cast(substring(pg_get_expr(child.relpartbound, child.oid) from 'TO \\(''(-?[0-9]+)''\\)') as bigint) as ends_at \
    from pg_inherits join pg_class as child on child.oid = pg_inherits.inhrelid \
    where pg_inherits.inhparent = cast('request_log' as regclass)) as partition \
    where ends_at is not null order by ends_at";

impl Store {
    /// Makes the partitions that the log will need next, where it has partitions. `keep` is for how long rows are to be kept
    /// in them; `None` is forever.
    pub async fn prepare_log(&self, now: i64, keep: Option<Duration>) -> Result<(), StoreError> {
        let Db::Postgres(pool) = &self.db else { return Ok(()) };
        let width = match keep.map(micros) {
            Some(keep) if keep <= LONG => SHORT_WIDTH,
            _ => LONG_WIDTH,
        };
        within(db::REPORT, make_partitions(pool, now, width)).await
    }

    /// Forgets some of the rows that were logged before `before`, the oldest first, and says how many; `None` when there is
    /// nothing left to forget. A partition goes when all its rows are old enough.
    pub async fn forget_logs(&self, before: i64) -> Result<Option<u64>, StoreError> {
        let batch = |table: &str| {
            sqlx::AssertSqlSafe(format!(
                "delete from {table} where (created_at, id) in \
                 (select created_at, id from {table} where created_at < $1 order by created_at, id limit {BATCH})"
            ))
        };
        let deleted = match &self.db {
            Db::Sqlite { writer, .. } => {
                let delete = sqlx::query(batch("request_log")).bind(before).execute(writer);
                within(db::STATEMENT, delete).await?.rows_affected()
            }
            Db::Postgres(pool) => {
                if let Some(dropped) = within(db::REPORT, drop_partition(pool, before)).await? {
                    return Ok(Some(dropped));
                }
                let delete = sqlx::query(batch("request_log_rest")).bind(before).execute(pool);
                within(db::REPORT, delete).await?.rows_affected()
            }
        };
        Ok(Some(deleted).filter(|rows| *rows > 0))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Adds partitions behind the last one, or from today on, until they reach far enough. Each in a transaction of its own,
/// which is short.
async fn make_partitions(pool: &PgPool, now: i64, width: i64) -> Result<(), sqlx::Error> {
    loop {
        let mut tx = pool.begin().await?;
        sqlx::query(LOCK_TIMEOUT).execute(&mut *tx).await?;
        let mine: bool = sqlx::query_scalar(CLAIM).fetch_one(&mut *tx).await?;
        let last = partitions(&mut tx).await?.last().map(|(_, end)| *end);
        let today = now - now.rem_euclid(DAY);
        let start = last.map_or(today, |end| end.max(today));
        if !mine || start > now + AHEAD {
            return give_up(tx).await;
        }
        make_partition(&mut tx, start, start + width).await?;
        tx.commit().await?;
    }
}

/// Adds a partition. Rows of its time that were logged before there was one move into it.
async fn make_partition(tx: &mut PgConnection, start: i64, end: i64) -> Result<(), sqlx::Error> {
    let name = format!("request_log_{}", clock::rfc3339(start)[..10].replace('-', "_"));
    let statements = [
        format!("create table {name} (like request_log including defaults)"),
        format!(
            "with moved as (delete from request_log_rest where created_at >= {start} and created_at < {end} returning *) \
             insert into {name} select * from moved"
        ),
        format!("alter table request_log attach partition {name} for values from ({start}) to ({end})"),
    ];
    for statement in statements {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Drops the oldest partition if all of it is older than `before`, and says how many rows it had.
async fn drop_partition(pool: &PgPool, before: i64) -> Result<Option<u64>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query(LOCK_TIMEOUT).execute(&mut *tx).await?;
    let mine: bool = sqlx::query_scalar(CLAIM).fetch_one(&mut *tx).await?;
    let oldest = partitions(&mut tx).await?.into_iter().find(|(_, end)| mine && *end <= before);
    let Some((name, _)) = oldest else { return give_up(tx).await.map(|()| None) };
    let count = sqlx::AssertSqlSafe(format!("select count(*) from {name}"));
    let rows: i64 = sqlx::query_scalar(count).fetch_one(&mut *tx).await?;
    sqlx::query(sqlx::AssertSqlSafe(format!("drop table {name}"))).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(Some(rows.unsigned_abs()))
}

/// Ends a transaction that changes nothing, and waits for that: dropped, it would hold the claim for a while longer.
async fn give_up(tx: Transaction<'_, Postgres>) -> Result<(), sqlx::Error> {
    tx.rollback().await
}

async fn partitions(connection: &mut PgConnection) -> Result<Vec<(String, i64)>, sqlx::Error> {
    sqlx::query_as(PARTITIONS).fetch_all(connection).await
}
