//! One address in front of every large-language-model provider.

pub mod clock;
pub mod secret;
pub mod store;
