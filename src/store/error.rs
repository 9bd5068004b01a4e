//! What can go wrong between this program and its database, as far as callers decide on it.

use std::path::PathBuf;

use sqlx::migrate::MigrateError;

/// Why the store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is locked, is full, or did not answer in time. Trying again later may help.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Another row holds the name (or the combination) that has to be unique.
    #[error("this already exists")]
    Duplicate,
    /// The row speaks of another row that does not exist.
    #[error("this refers to something that does not exist")]
    DanglingReference,
    /// Too many writers changed the same row at the same time.
    #[error("the row kept changing while it was being edited")]
    Contended,
    /// The schema is from a later version of this program.
    #[error(
        "the database's schema (version {found}) is newer than this program knows ({known}): \
         run the version that wrote it, or a later one"
    )]
    Newer {
        /// The latest migration that the database has seen.
        found: i64,
        /// The latest migration that this program brings.
        known: i64,
    },
    /// The schema is not what the migrations made.
    #[error("the database's schema is not in order: {0}")]
    Schema(String),
    /// `DATABASE_URL` is not understood.
    #[error("bad database URL: {0}")]
    BadUrl(String),
    /// The database's file or its folder cannot be made.
    #[error("cannot create the database file {}: {source}", path.display())]
    File {
        /// The file or folder in question.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Anything else: a fault in a statement, or data that makes no sense.
    #[error("database error: {0}")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing it.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Contended)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            sqlx::Error::Database(ref inner) if inner.is_unique_violation() => Self::Duplicate,
            sqlx::Error::Database(ref inner) if inner.is_foreign_key_violation() => Self::DanglingReference,
            sqlx::Error::Database(ref inner) if inner.code().is_some_and(|code| is_passing_code(&code)) => {
                Self::Unavailable(error.to_string())
            }
            other => Self::Database(other),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _) => match Self::from(inner) {
                Self::Unavailable(why) => Self::Unavailable(why),
                other => Self::Schema(other.to_string()),
            },
            other => Self::Schema(other.to_string()),
        }
    }
}

/// SQLite's result codes are small numbers, PostgreSQL's are five characters, so that one list serves both.
fn is_passing_code(code: &str) -> bool {
    if code.len() == 5 {
        // Connection trouble, too many connections, disk full, shutting down, starting up, cancelled by a deadline;
        // a read-only server is one that has just lost its role in a failover.
        return ["08", "53", "57"].iter().any(|class| code.starts_with(class))
            || matches!(code, "25006" | "40001" | "40P01");
    }
    // Busy, locked, out of memory, interrupted, I/O error, full, cannot open; extended codes carry them in the low byte.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 7 | 9 | 10 | 13 | 14))
}

#[cfg(test)]
mod tests {
    use super::is_passing_code;

    #[test]
    fn passing_trouble_is_told_from_lasting_trouble_on_both_databases() {
        for code in ["5", "517", "13", "08006", "57P03", "53300", "57014"] {
            assert!(is_passing_code(code), "{code}");
        }
        for code in ["1", "19", "2067", "23505", "42P01", "22021"] {
            assert!(!is_passing_code(code), "{code}");
        }
    }
}
