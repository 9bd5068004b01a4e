//! How much one client may do.

use super::section::section;

section! {
    /// How much one client may do.
    pub struct LimitsConfig in "limits" {
        /// Limit the requests of each API key.
        pub enabled: bool = false, env "ENABLE_RATE_LIMITING";
        /// Requests a minute that each API key may make.
        pub requests_per_minute: u32 = 60, env "RATE_LIMIT_PER_MINUTE", range 1.0..=1_000_000.0;
    }
}
