//! Where the database is: every spelling of `DATABASE_URL` that people bring along.

use std::{path::PathBuf, str::FromStr};

use sqlx::postgres::PgConnectOptions;

use super::StoreError;

/// A database's address, understood.
#[derive(Clone)]
pub(super) enum Location {
    /// SQLite, gone when the process ends.
    Memory,
    /// SQLite in a file.
    File(PathBuf),
    /// A PostgreSQL server.
    Postgres(Box<PgConnectOptions>),
}

impl Location {
    /// The address without its secrets, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Memory => "SQLite in memory".to_owned(),
            Self::File(path) => format!("SQLite at {}", path.display()),
            Self::Postgres(options) => {
                let database = options.get_database().unwrap_or(options.get_username());
                format!("PostgreSQL database {database} at {}:{}", options.get_host(), options.get_port())
            }
        }
    }
}

impl FromStr for Location {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.split_once(':').ok_or_else(|| bad("it has no scheme"))?;
        let (base, driver) = scheme.split_once('+').map_or((scheme, None), |(base, driver)| (base, Some(driver)));
        match (base, driver) {
            ("sqlite", None) => sqlite(rest.strip_prefix("//").unwrap_or(rest)),
            // SQLAlchemy puts an empty host before the path: three slashes are a relative path, four an absolute one.
            ("sqlite", Some(_)) => {
                let rest = rest.strip_prefix("//").unwrap_or(rest);
                sqlite(rest.strip_prefix('/').unwrap_or(rest))
            }
            ("postgres" | "postgresql", _) => postgres(rest),
            _ => Err(bad("it must begin with sqlite:, postgres: or postgresql:")),
        }
    }
}

fn sqlite(path: &str) -> Result<Location, StoreError> {
    let (path, options) = path.split_once('?').unwrap_or((path, ""));
    for option in options.split('&').filter(|option| !option.is_empty()) {
        // These two say what happens anyway.
        if !matches!(option, "mode=rwc" | "cache=private") {
            return Err(bad(&format!("the SQLite option {option:?} is not supported")));
        }
    }
    match path {
        "" => Err(bad("it names no file")),
        ":memory:" => Ok(Location::Memory),
        path => Ok(Location::File(PathBuf::from(path))),
    }
}

fn postgres(rest: &str) -> Result<Location, StoreError> {
    // asyncpg says `ssl` for what everybody else calls `sslmode`.
    let url = format!("postgres:{rest}").replace("?ssl=", "?sslmode=").replace("&ssl=", "&sslmode=");
    let options = PgConnectOptions::from_str(&url).map_err(|error| match error {
        // The inner message only: the outer one may repeat the address, and with it the password.
        sqlx::Error::Configuration(inner) => bad(&inner.to_string()),
        _ => bad("it is no PostgreSQL address"),
    })?;
    Ok(Location::Postgres(Box::new(options)))
}

fn bad(why: &str) -> StoreError {
    StoreError::BadUrl(format!(
        "{why} (for example sqlite://./data/llm-orchestrator.db or postgres://user:password@host/name)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(url: &str) -> String {
        match url.parse::<Location>() {
            Ok(location) => location.describe(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn sqlite_addresses_are_understood_in_all_their_spellings() {
        assert_eq!(described("sqlite://./data/a.db"), "SQLite at ./data/a.db");
        assert_eq!(described("sqlite://a.db?mode=rwc"), "SQLite at a.db");
        assert_eq!(described("sqlite:///srv/a.db"), "SQLite at /srv/a.db");
        assert_eq!(described("sqlite:a.db"), "SQLite at a.db");
        assert_eq!(described("sqlite+aiosqlite:///./a.db"), "SQLite at ./a.db");
        assert_eq!(described("sqlite+aiosqlite:////srv/a.db"), "SQLite at /srv/a.db");
        for url in ["sqlite::memory:", "sqlite://:memory:", "sqlite+aiosqlite:///:memory:"] {
            assert_eq!(described(url), "SQLite in memory", "{url}");
        }
    }

    #[test]
    fn postgres_addresses_are_described_without_their_password() {
        for scheme in ["postgres", "postgresql", "postgresql+asyncpg"] {
            let text = described(&format!("{scheme}://bob:s3cret@db.example:6432/llm?ssl=require"));
            assert_eq!(text, "PostgreSQL database llm at db.example:6432");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_an_example() {
        for url in ["mysql://x", "sqlite://", "nothing", "postgres://bob:s3cret@host:port/x", "sqlite://a.db?vfs=unix"]
        {
            let text = described(url);
            assert!(text.starts_with("bad database URL: ") && text.contains("for example"), "{url}: {text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
}
