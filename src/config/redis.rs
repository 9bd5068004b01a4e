//! The optional Redis server that several gateways share.

use secrecy::{ExposeSecret, SecretString};

use super::section::section;

section! {
    /// A Redis server to share counters between several gateways; without one each gateway counts for itself.
    pub struct RedisConfig in "redis" {
        /// Address of the Redis server; leave it out to run without one.
        pub url: Option<SecretString> = None, env "REDIS_URL", example "\"redis://127.0.0.1:6379/0\"";
    }
}

impl RedisConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let good = |url: &str| ["redis://", "rediss://", "unix://"].iter().any(|scheme| url.starts_with(scheme));
        match &self.url {
            Some(url) if !good(url.expose_secret()) => Err(
                "redis.url (REDIS_URL) does not begin with redis://, rediss:// or unix://: correct it or leave it out"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }
}
