//! The epoch of the configuration, which grows with every change: how a node learns that another one made one.

use sqlx::{PgPool, postgres::PgListener};

use super::{
    Store, StoreError,
    db::{self, Db, within},
};

/// Triggers in the database count, so that no change is missed, by whatever program and in whatever transaction.
pub(super) const EPOCH: &str = "select value from counter where name = 'configuration'";

/// What PostgreSQL's triggers notify.
const CHANNEL: &str = "configuration_changed";

/// News of changes. Not every change may be heard of: a connection can break, and SQLite says nothing at all.
pub struct Changes(Option<PgListener>);

impl Changes {
    /// Waits for the next change. After an error there are no more news.
    pub async fn next(&mut self) -> Result<(), StoreError> {
        match &mut self.0 {
            None => std::future::pending().await,
            Some(listener) => {
                listener.recv().await?;
                Ok(())
            }
        }
    }
}

impl Store {
    /// Tells, at little cost, whether anything that [`Store::snapshot`] reads has changed.
    pub async fn epoch(&self) -> Result<i64, StoreError> {
        db::reading!(self, pool => sqlx::query_scalar(EPOCH).fetch_one(pool))
    }

    /// Asks the database to tell of changes from now on.
    pub async fn changes(&self) -> Result<Changes, StoreError> {
        match &self.db {
            Db::Sqlite { .. } => Ok(Changes(None)),
            Db::Postgres(pool) => Ok(Changes(Some(within(db::STATEMENT, listen(pool)).await?))),
        }
    }
}

async fn listen(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}
