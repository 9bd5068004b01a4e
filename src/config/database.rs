//! Where configuration made through the admin API, keys and request logs are stored.

use std::{fmt, ops::Deref, path::PathBuf};

use super::{
    section::section,
    setting::{Given, Setting},
};

/// Schemes the store understands; the last two of each kind are how Python programs write them.
const SCHEMES: [&str; 5] = ["sqlite:", "sqlite+aiosqlite:", "postgres:", "postgresql:", "postgresql+asyncpg:"];

section! {
    /// Where providers, models, keys and request logs are stored.
    pub struct DatabaseConfig in "database" {
        /// Address of the database: "sqlite://" and a path, or "postgres://user:password@host/name".
        pub url: DatabaseUrl = DatabaseUrl("sqlite://./data/llm-orchestrator.db".to_owned()), env "DATABASE_URL",
            example "\"sqlite://./data/llm-orchestrator.db\"";
        /// File that keeps the last configuration read from PostgreSQL; a start without the database begins with it.
        pub snapshot_file: PathBuf = PathBuf::from("./data/snapshot.json");
    }
}

impl DatabaseConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if SCHEMES.iter().any(|scheme| self.url.starts_with(scheme)) {
            return Ok(());
        }
        Err("database.url (DATABASE_URL) does not begin with sqlite:// or postgres://: write a database of one of these \
             two kinds"
            .to_owned())
    }
}

/// The address of a database. It may hold a password, so it reads as text but does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl Deref for DatabaseUrl {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(***)")
    }
}

impl From<&str> for DatabaseUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

impl Setting for DatabaseUrl {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        String::read(given).map(Self)
    }

    fn show(&self) -> Option<String> {
        None
    }
}
