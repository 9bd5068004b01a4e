//! How request logs reach the database, and how long they stay.

use std::time::Duration;

use super::{
    section::section,
    setting::{Given, Setting},
};

section! {
    /// How request logs reach the database, and how long they stay.
    pub struct JournalConfig in "journal" {
        /// Log rows that may wait to be written; further ones are dropped and counted.
        pub capacity: usize = 10_000, range 1.0..=1_000_000.0;
        /// Most rows written at once.
        pub batch: usize = 500, range 1.0..=1000.0;
        /// Seconds after which waiting rows are written even if they are few.
        pub flush_interval: Duration = Duration::from_millis(200), range 0.01..=60.0;
        /// Days that log rows are kept; 0 keeps them forever. On PostgreSQL they go by whole days, by thirty days where they are
        /// kept longer than a hundred.
        pub retention_days: u32 = 30, range 0.0..=36_500.0;
        /// Whether the log may have what was said: "never", or "per_key" for requests of API keys that have `log_content`. It is
        /// stored sealed with the master key, and forgotten with its row.
        pub content: LogContents = LogContents::Never;
        /// Most bytes that are logged of a request, and of an answer; of longer ones the beginning.
        pub max_content_bytes: usize = 256 << 10, range 1.0..=16_777_216.0;
        /// Most bytes of what was said that may wait to be written; what does not fit is left out of the log and counted.
        pub content_capacity: usize = 64 << 20, range 0.0..=1e10;
    }
}

/// Whether the log may have what was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogContents {
    /// Whatever keys say.
    Never,
    /// Of the requests of keys that say so.
    PerKey,
}

impl Setting for LogContents {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        match String::read(given)?.trim().to_lowercase().as_str() {
            "never" => Ok(Self::Never),
            "per_key" => Ok(Self::PerKey),
            _ => Err("is neither never nor per_key".to_owned()),
        }
    }

    fn show(&self) -> Option<String> {
        let word = match self {
            Self::Never => "never",
            Self::PerKey => "per_key",
        };
        word.to_owned().show()
    }
}
