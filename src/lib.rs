//! One address in front of every large-language-model provider.

pub mod clock;
pub mod journal;
pub mod pricing;
pub mod secret;
pub mod store;
