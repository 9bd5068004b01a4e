//! How request logs reach the database, and how long they stay.

use std::time::Duration;

use super::section::section;

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
    }
}
