//! One address in front of every large-language-model provider.

pub mod clock;
pub mod journal;
pub mod secret;
pub mod store;
