//! What survives a restart: providers, models, keys, settings and the request log, in SQLite or PostgreSQL.
//!
//! Rules that keep one SQL text good for both databases: placeholders are `$1..$n`; ids come from the `counter` table;
//! times are bigint microseconds, money bigint nano-dollars, prices bigint micro-dollars per million tokens; flags are
//! bigint 0 or 1; lists and objects are JSON text; sums are cast back to bigint; no type or function of one database
//! alone. Where that cannot be, as for partitions, the statement is next to the arm of its database. A table that
//! [`Snapshot`] reads has triggers that count its changes. Lookups return `Option`: whether absence is an error is for the caller to say. Every call has a deadline.

mod db;
mod epoch;
mod error;
mod import;
mod keys;
mod location;
mod log_contents;
mod log_rows;
mod logs;
mod model_providers;
mod models;
mod nodes;
mod providers;
mod reseal;
mod responses;
mod retention;
mod row;
mod schema;
mod settings;
mod snapshot;
mod stats;
mod upstream_objects;

pub use self::{
    epoch::Changes,
    error::StoreError,
    keys::ApiKey,
    log_contents::LogContent,
    logs::{LogFilter, LogPage, LogPlace, LogRow, Text},
    model_providers::ModelProvider,
    models::Model,
    nodes::Node,
    providers::Provider,
    responses::KeptResponse,
    snapshot::Snapshot,
    stats::{Grouping, Percentiles, ProviderStats, Share, Stats, Tally},
    upstream_objects::UpstreamObject,
};

use self::{db::Db, location::Location};

/// A table whose rows have ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    Provider,
    Model,
    ModelProvider,
    ApiKey,
}

impl Noun {
    fn counter(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Model => "model",
            Self::ModelProvider => "model_provider",
            Self::ApiKey => "api_key",
        }
    }
}

/// The database. Cheap to clone: clones share their connections.
#[derive(Clone)]
pub struct Store {
    db: Db,
    location: Location,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.location.describe())
    }
}

impl Store {
    /// Understands `url` and makes a SQLite file if there is none; connects only when first asked for something, so that
    /// a server which is away does not keep this program from starting.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let location: Location = url.parse()?;
        Ok(Self { db: Db::open(&location)?, location })
    }

    /// Where the data is, without secrets.
    pub fn describe(&self) -> String {
        self.location.describe()
    }

    /// Whether the database is a server, which may be away while this program is not.
    pub fn is_remote(&self) -> bool {
        matches!(self.db, Db::Postgres(_))
    }

    /// An id that no row of `noun` has had or will have.
    pub async fn new_id(&self, noun: Noun) -> Result<i64, StoreError> {
        let sql = "update counter set value = value + $1 where name = $2 returning value";
        db::writing!(self, pool => sqlx::query_scalar(sql).bind(1_i64).bind(noun.counter()).fetch_one(pool))
    }

    /// Asks the database for a sign of life.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let _: i64 = db::reading!(self, pool => sqlx::query_scalar("select cast(1 as bigint)").fetch_one(pool))?;
        Ok(())
    }

    /// Lets running statements finish and closes all connections.
    pub async fn close(&self) {
        match &self.db {
            Db::Sqlite { reader, writer } => {
                reader.close().await;
                writer.close().await;
            }
            Db::Postgres(pool) => pool.close().await,
        }
    }
}

/// Whether a statement that names one row found it.
fn found_one(rows: u64) -> bool {
    rows > 0
}
