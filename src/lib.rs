//! One address in front of every large-language-model provider: the gateway as a library, which the binary starts.
//!
//! A request comes in through [`http`], is handled by the gateway from the catalog in memory, and leaves a row in
//! the journal. Operators change what the catalog is built from through the admin API, which alone waits for the [`store`].

pub mod clock;
pub mod config;
pub mod http;
pub mod journal;
pub mod pricing;
pub mod secret;
pub mod store;
