//! The two databases behind one face: pools, deadlines, and the macros that run one SQL text on either.

use std::{
    fs,
    future::Future,
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use sqlx::{
    ConnectOptions, PgPool, SqlitePool,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Location, StoreError};
use crate::clock::now_micros;

/// How long an ordinary statement may take, waiting for a connection included.
pub(super) const STATEMENT: Duration = Duration::from_secs(5);

/// How long a report over the request log may take.
pub(super) const REPORT: Duration = Duration::from_secs(30);

/// How long migrating may take.
pub(super) const MIGRATION: Duration = Duration::from_secs(300);

/// How long SQLite waits for another process that holds the file's lock.
const BUSY: Duration = Duration::from_secs(2);

/// How long to wait for a pooled connection.
const ACQUIRE: Duration = Duration::from_secs(2);

const READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 10;

/// A database, connected when first used.
#[derive(Clone)]
pub(super) enum Db {
    /// One writer, since SQLite knows no more at a time, and readers that never wait for it.
    Sqlite { reader: SqlitePool, writer: SqlitePool },
    /// One pool for everything.
    Postgres(PgPool),
}

impl Db {
    pub(super) fn open(location: &Location) -> Result<Self, StoreError> {
        match location {
            Location::Memory => {
                // An in-memory database belongs to its connection, so there must be exactly one, forever.
                let pool = SqlitePoolOptions::new()
                    .max_connections(1)
                    .acquire_timeout(ACQUIRE)
                    .idle_timeout(None)
                    .max_lifetime(None)
                    .connect_lazy_with(sqlite_options().in_memory(true));
                Ok(Self::Sqlite { reader: pool.clone(), writer: pool })
            }
            Location::File(path) => {
                create(path)?;
                let options = sqlite_options().filename(path).journal_mode(SqliteJournalMode::Wal);
                let pool = |connections| {
                    SqlitePoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE).idle_timeout(None)
                };
                let reader = pool(READERS).connect_lazy_with(options.clone().pragma("query_only", "on"));
                let writer = pool(1).connect_lazy_with(options);
                Ok(Self::Sqlite { reader, writer })
            }
            Location::Postgres(options) => Ok(Self::Postgres(
                PgPoolOptions::new()
                    .max_connections(POSTGRES_CONNECTIONS)
                    .acquire_timeout(ACQUIRE)
                    .connect_lazy_with(postgres_options(options)),
            )),
        }
    }
}

fn sqlite_options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .foreign_keys(true)
        .busy_timeout(BUSY)
        // What was acknowledged has reached the disk.
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
}

fn postgres_options(options: &PgConnectOptions) -> PgConnectOptions {
    // Compiling a report takes longer than running it.
    let settings = [("statement_timeout", REPORT.as_millis().to_string()), ("jit", "off".to_owned())];
    let options = options.clone().options(settings);
    let options = match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("llm-orchestrator"),
    };
    options.disable_statement_logging()
}

/// Makes the file, and the folder it is in, before SQLite does, so that nobody else can read what will be in it. SQLite
/// gives its journal files the same mode.
fn create(path: &Path) -> Result<(), StoreError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| StoreError::File { path, source }
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(path)(error)),
    }
}

/// Waits for `work`, but no longer than `limit`.
pub(super) async fn within<T, E: Into<StoreError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(StoreError::Unavailable(format!("no answer within {} s", limit.as_secs()))),
    }
}

/// How often an edit starts over because another writer was faster.
pub(super) const EDIT_TRIES: usize = 10;

/// A time of change that differs from the one before, however fast changes follow each other.
pub(super) fn later_than(seen: i64) -> i64 {
    now_micros().max(seen.saturating_add(1))
}

/// Runs one expression that reads, on whichever database it is.
macro_rules! reading {
    ($store:expr, $pool:ident => $work:expr) => {
        $crate::store::db::reading!($crate::store::db::STATEMENT, $store, $pool => $work)
    };
    ($limit:expr, $store:expr, $pool:ident => $work:expr) => {
        match &$store.db {
            $crate::store::db::Db::Sqlite { reader: $pool, .. } => $crate::store::db::within($limit, $work).await,
            $crate::store::db::Db::Postgres($pool) => $crate::store::db::within($limit, $work).await,
        }
    };
}

/// Runs one expression that writes, on whichever database it is.
macro_rules! writing {
    ($store:expr, $pool:ident => $work:expr) => {
        match &$store.db {
            $crate::store::db::Db::Sqlite { writer: $pool, .. } => {
                $crate::store::db::within($crate::store::db::STATEMENT, $work).await
            }
            $crate::store::db::Db::Postgres($pool) => {
                $crate::store::db::within($crate::store::db::STATEMENT, $work).await
            }
        }
    };
}

/// Runs several statements that write as one; `?` in the work abandons them all.
macro_rules! transaction {
    ($store:expr, $tx:ident => $work:expr) => {
        match &$store.db {
            $crate::store::db::Db::Sqlite { writer, .. } => {
                $crate::store::db::transaction!(@run writer.begin_with("begin immediate"), $tx => $work)
            }
            $crate::store::db::Db::Postgres(pool) => {
                $crate::store::db::transaction!(@run pool.begin(), $tx => $work)
            }
        }
    };
    (@run $begin:expr, $tx:ident => $work:expr) => {
        $crate::store::db::within($crate::store::db::STATEMENT, async {
            let mut $tx = $begin.await?;
            let value = $work;
            $tx.commit().await?;
            Ok::<_, sqlx::Error>(value)
        })
        .await
    };
}

pub(super) use {reading, transaction, writing};
