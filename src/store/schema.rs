//! The schema: bringing it up to date, and telling what state it is in.

use sqlx::migrate::{Migrate, MigrateError, Migrator};

use super::{
    Store, StoreError,
    db::{self, Db, within},
};

static MIGRATOR: Migrator = sqlx::migrate!();

/// All tables, those first that refer to others.
const TABLES: [&str; 10] = [
    "response",
    "upstream_object",
    "model_provider",
    "model",
    "provider",
    "api_key",
    "setting",
    "request_log",
    "counter",
    "_sqlx_migrations",
];

impl Store {
    /// Applies the migrations that the database has not seen, and says how many those were. A schema that is newer than
    /// this program, or that somebody changed by hand, is left alone and refused.
    pub async fn migrate(&self) -> Result<usize, StoreError> {
        let pending = self.pending_migrations().await?;
        if pending > 0 {
            let migrating = async {
                match &self.db {
                    Db::Sqlite { writer, .. } => MIGRATOR.run(writer).await,
                    Db::Postgres(pool) => MIGRATOR.run(pool).await,
                }
            };
            within(db::MIGRATION, migrating).await?;
        }
        Ok(pending)
    }

    /// How many migrations the database still lacks: 0 means that it fits this program.
    pub async fn pending_migrations(&self) -> Result<usize, StoreError> {
        let applied = match &self.db {
            Db::Sqlite { writer, .. } => {
                within(db::MIGRATION, async { applied(&mut *writer.acquire().await?).await }).await?
            }
            Db::Postgres(pool) => within(db::MIGRATION, async { applied(&mut *pool.acquire().await?).await }).await?,
        };
        let known: Vec<_> = MIGRATOR.iter().collect();
        let newest = known.last().map_or(0, |migration| migration.version);
        for (version, checksum) in &applied {
            match known.iter().find(|migration| migration.version == *version) {
                None => return Err(StoreError::Newer { found: *version, known: newest }),
                Some(migration) if migration.checksum != *checksum => {
                    let why = format!("migration {version} is not the one that was applied");
                    return Err(StoreError::Schema(why));
                }
                Some(_) => {}
            }
        }
        Ok(known.len().saturating_sub(applied.len()))
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

/// The versions and checksums of the migrations that this database has seen.
async fn applied(connection: &mut impl Migrate) -> Result<Vec<(i64, Vec<u8>)>, MigrateError> {
    let table = MIGRATOR.table_name.as_ref();
    connection.ensure_migrations_table(table).await?;
    if let Some(version) = connection.dirty_version(table).await? {
        return Err(MigrateError::Dirty(version));
    }
    let applied = connection.list_applied_migrations(table).await?;
    Ok(applied.into_iter().map(|migration| (migration.version, migration.checksum.into_owned())).collect())
}
