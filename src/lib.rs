//! One address in front of every large-language-model provider.

pub mod clock;
pub mod config;
pub mod http;
pub mod secret;
pub mod store;
