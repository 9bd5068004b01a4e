//! The gateways that share the database.

use super::{Store, StoreError, db, row::from_row};

/// One row of `node`: a gateway that runs, or ran not long ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Another one after every start.
    pub id: String,
    /// Where it listens.
    pub address: String,
    /// The machine's name, as the machine says.
    pub hostname: String,
    pub version: String,
    /// The epoch of the configuration that it has in force.
    pub epoch: i64,
    pub started_at: i64,
    /// When it last said that it lives, by its own clock.
    pub seen_at: i64,
}

from_row!(Node, |row| Self {
    id: row.text("id")?,
    address: row.text("address")?,
    hostname: row.text("hostname")?,
    version: row.text("version")?,
    epoch: row.int("epoch")?,
    started_at: row.int("started_at")?,
    seen_at: row.int("seen_at")?,
});

impl Store {
    /// Those that were seen at `since` or later, the longest running first.
    pub async fn nodes(&self, since: i64) -> Result<Vec<Node>, StoreError> {
        let sql = "select * from node where seen_at >= $1 order by started_at, id";
        db::reading!(self, pool => sqlx::query_as(sql).bind(since).fetch_all(pool))
    }

    /// Notes that a node lives, and forgets those that were last seen before `since`.
    pub async fn put_node(&self, node: &Node, since: i64) -> Result<(), StoreError> {
        let put = "insert into node (id, address, hostname, version, epoch, started_at, seen_at) \
                   values ($1, $2, $3, $4, $5, $6, $7) \
                   on conflict (id) do update set epoch = excluded.epoch, seen_at = excluded.seen_at";
        db::transaction!(self, tx => {
            sqlx::query(put)
                .bind(&node.id)
                .bind(&node.address)
                .bind(&node.hostname)
                .bind(&node.version)
                .bind(node.epoch)
                .bind(node.started_at)
                .bind(node.seen_at)
                .execute(&mut *tx)
                .await?;
            sqlx::query("delete from node where seen_at < $1").bind(since).execute(&mut *tx).await?;
        })
    }

    /// Forgets a node that has ended.
    pub async fn delete_node(&self, id: &str) -> Result<(), StoreError> {
        let sql = "delete from node where id = $1";
        db::writing!(self, pool => async { sqlx::query(sql).bind(id).execute(pool).await.map(|_| ()) })
    }
}
