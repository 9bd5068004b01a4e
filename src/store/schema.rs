//! The schema: bringing it up to date, and telling what state it is in.
//!
//! Most migrations are one text for both databases, in `migrations`. Where one text cannot serve both, each has its own under
//! the same number, in a folder of `migrations`.

use std::sync::LazyLock;

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration, Migrator};

use super::{
    Store, StoreError,
    db::{self, Db, within},
};

static BOTH: Migrator = sqlx::migrate!();

static SQLITE: LazyLock<Migrator> = LazyLock::new(|| with_own(&sqlx::migrate!("migrations/sqlite")));
static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| with_own(&sqlx::migrate!("migrations/postgres")));

fn with_own(own: &Migrator) -> Migrator {
    Migrator::with_migrations(BOTH.iter().chain(own.iter()).cloned().collect())
}

/// Where the database notes which migrations it has seen.
const TABLE: &str = "_sqlx_migrations";

/// All tables, those first that refer to others.
const TABLES: [&str; 12] = [
    "log_content",
    "response",
    "upstream_object",
    "model_provider",
    "model",
    "provider",
    "api_key",
    "setting",
    "request_log",
    "node",
    "counter",
    TABLE,
];

/// Does something with the schema, on a connection on which nobody else does.
///
/// PostgreSQL's lock belongs to the connection, which therefore ends with the work, however that ends: no lock outlives it.
/// Waiting for another node's migration takes longer than statements may.
macro_rules! alone {
    ($store:expr, $connection:ident, $migrator:ident => $work:expr) => {
        match &$store.db {
            Db::Sqlite { writer, .. } => {
                within(db::MIGRATION, async {
                    let $migrator = &*SQLITE;
                    let $connection = &mut *writer.acquire().await?;
                    $work
                })
                .await
            }
            Db::Postgres(pool) => {
                within(db::MIGRATION, async {
                    let $migrator = &*POSTGRES;
                    let $connection = &mut pool.acquire().await?.detach();
                    sqlx::query("set statement_timeout = 0").execute(&mut *$connection).await?;
                    $connection.lock().await?;
                    $work
                })
                .await
            }
        }
    };
}

impl Store {
    /// Applies the migrations that the database has not seen, and says how many those were. Of several nodes that start at
    /// once, one does it and the others wait. A schema that is newer than this program, or that somebody changed by hand, is
    /// left alone and refused.
    pub async fn migrate(&self) -> Result<usize, StoreError> {
        alone!(self, connection, migrator => {
            let pending = pending(connection, migrator).await?;
            for migration in &pending {
                connection.apply(TABLE, migration).await?;
            }
            Ok::<_, StoreError>(pending.len())
        })
    }

    /// How many migrations the database still lacks: 0 means that it fits this program.
    pub async fn pending_migrations(&self) -> Result<usize, StoreError> {
        alone!(self, connection, migrator => Ok::<_, StoreError>(pending(connection, migrator).await?.len()))
    }

    /// Looks for damage: the file's own consistency on SQLite, a sign of life on PostgreSQL, the schema on both. Says what
    /// is wrong, one sentence a finding.
    pub async fn check(&self) -> Result<Vec<String>, StoreError> {
        let mut findings = Vec::new();
        match self.pending_migrations().await {
            Ok(0) => {}
            Ok(pending) => findings.push(format!("{pending} migrations have not been applied")),
            Err(error @ (StoreError::Newer { .. } | StoreError::Schema(_))) => findings.push(error.to_string()),
            Err(error) => return Err(error),
        }
        match &self.db {
            Db::Sqlite { reader, .. } => {
                let check = sqlx::query_scalar::<_, String>("pragma quick_check").fetch_all(reader);
                let lines = within(db::MIGRATION, check).await?;
                findings.extend(lines.into_iter().filter(|line| line != "ok"));
            }
            Db::Postgres(_) => self.ping().await?,
        }
        Ok(findings)
    }

    /// Throws everything away and makes the schema anew.
    pub async fn reset(&self) -> Result<(), StoreError> {
        db::transaction!(self, tx => {
            for table in TABLES {
                let drop = sqlx::AssertSqlSafe(format!("drop table if exists {table}"));
                sqlx::query(drop).execute(&mut *tx).await?;
            }
        })?;
        self.migrate().await?;
        Ok(())
    }
}

/// The migrations that the database has not seen, if it has seen no others than those known here.
async fn pending<'a>(connection: &mut impl Migrate, migrator: &'a Migrator) -> Result<Vec<&'a Migration>, StoreError> {
    connection.ensure_migrations_table(TABLE).await?;
    if let Some(version) = connection.dirty_version(TABLE).await? {
        return Err(MigrateError::Dirty(version).into());
    }
    let applied = connection.list_applied_migrations(TABLE).await?;
    for AppliedMigration { version, checksum } in &applied {
        match migrator.iter().find(|migration| migration.version == *version) {
            None => {
                let known = migrator.iter().last().map_or(0, |migration| migration.version);
                return Err(StoreError::Newer { found: *version, known });
            }
            Some(migration) if migration.checksum != *checksum => {
                return Err(StoreError::Schema(format!("migration {version} is not the one that was applied")));
            }
            Some(_) => {}
        }
    }
    let is_new = |migration: &&Migration| applied.iter().all(|applied| applied.version != migration.version);
    Ok(migrator.iter().filter(is_new).collect())
}
