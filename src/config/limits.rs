//! How much clients may do.

use super::section::section;
use crate::limits::Allowance;

section! {
    /// How much clients may do. A key's own limits win over those for each key; what is left out is not limited.
    pub struct LimitsConfig in "limits" {
        /// Limit the requests of each API key that has no limit of its own.
        pub enabled: bool = false, env "ENABLE_RATE_LIMITING";
        /// Requests a minute that each API key may make, where that is enabled.
        pub requests_per_minute: u32 = 60, env "RATE_LIMIT_PER_MINUTE", range 1.0..=1_000_000.0;
        /// Tokens a minute that each API key may use, those of prompts and of answers.
        pub tokens_per_minute: Option<u64> = None, range 1.0..=1_000_000_000_000.0, example "200000";
        /// Requests that each API key may have running at the same time.
        pub concurrent_requests: Option<u32> = None, range 1.0..=1_000_000.0, example "20";
        /// Requests a minute from each client address, those with a wrong key too; of IPv6 from each network of 64 bits.
        pub address_requests_per_minute: Option<u32> = None, range 1.0..=1_000_000.0, example "600";
        /// Requests that each client address may have running at the same time.
        pub address_concurrent_requests: Option<u32> = None, range 1.0..=1_000_000.0, example "50";
        /// Requests a minute of all clients together.
        pub global_requests_per_minute: Option<u32> = None, range 1.0..=1_000_000_000.0, example "6000";
        /// Tokens a minute of all clients together.
        pub global_tokens_per_minute: Option<u64> = None, range 1.0..=1_000_000_000_000.0, example "5000000";
        /// Requests of all clients that may run at the same time.
        pub global_concurrent_requests: Option<u32> = None, range 1.0..=1_000_000.0, example "1000";
        /// Tokens to reserve for an answer where a request does not say how long that may be.
        pub answer_tokens: u64 = 1024, range 0.0..=1_000_000.0;
    }
}

impl LimitsConfig {
    /// What an API key may do that has no limits of its own, and a client without a key.
    pub fn of_key(&self) -> Allowance {
        Allowance {
            requests_per_minute: self.enabled.then_some(self.requests_per_minute),
            tokens_per_minute: self.tokens_per_minute,
            concurrent_requests: self.concurrent_requests,
        }
    }

    /// What a client's address may do.
    pub fn of_address(&self) -> Allowance {
        Allowance {
            requests_per_minute: self.address_requests_per_minute,
            tokens_per_minute: None,
            concurrent_requests: self.address_concurrent_requests,
        }
    }

    /// What all clients together may do.
    pub fn of_everyone(&self) -> Allowance {
        Allowance {
            requests_per_minute: self.global_requests_per_minute,
            tokens_per_minute: self.global_tokens_per_minute,
            concurrent_requests: self.global_concurrent_requests,
        }
    }
}
