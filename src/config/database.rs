//! Where configuration made through the admin API, keys and request logs are stored.

use secrecy::{ExposeSecret, SecretString};

use super::section::section;

/// Schemes the store understands; the last two of each kind are how Python programs write them.
const SCHEMES: [&str; 5] = ["sqlite:", "sqlite+aiosqlite:", "postgres:", "postgresql:", "postgresql+asyncpg:"];

section! {
    /// Where providers, models, keys and request logs are stored.
    pub struct DatabaseConfig in "database" {
        /// Address of the database: "sqlite://" and a path, or "postgres://user:password@host/name".
        pub url: SecretString = SecretString::from("sqlite://./data/llm-orchestrator.db"), env "DATABASE_URL",
            example "\"sqlite://./data/llm-orchestrator.db\"";
    }
}

impl DatabaseConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let url = self.url.expose_secret();
        if SCHEMES.iter().any(|scheme| url.starts_with(scheme)) {
            return Ok(());
        }
        Err("database.url (DATABASE_URL) does not begin with sqlite:// or postgres://: write a database of one of these \
             two kinds"
            .to_owned())
    }
}
