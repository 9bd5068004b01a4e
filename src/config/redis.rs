//! The optional Redis server that several gateways share.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::section::section;

/// Schemes that are understood.
const SCHEMES: [&str; 5] = ["redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+sentinel://"];

section! {
    /// A Redis server through which several gateways share limits and cool-downs; without one each gateway goes by what it knows itself.
    pub struct RedisConfig in "redis" {
        /// Address of the Redis server, or of Sentinels: "redis+sentinel://host:port,host:port/service". Leave it out to run without one.
        pub url: Option<SecretString> = None, env "REDIS_URL", example "\"redis://127.0.0.1:6379/0\"";
        /// Seconds a request waits for the server; one that is late once is left out until it is in time again.
        pub timeout: Duration = Duration::from_millis(50), range 0.001..=10.0;
        /// Begins every key in it. Gateways on the same database have the same, others another.
        pub prefix: String = "llm-orchestrator".to_owned();
    }
}

impl RedisConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let good = |url: &str| SCHEMES.iter().any(|scheme| url.starts_with(scheme));
        match &self.url {
            Some(url) if !good(url.expose_secret()) => Err(
                "redis.url (REDIS_URL) does not begin with redis://, rediss://, unix:// or redis+sentinel://: correct it or \
                 leave it out"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }
}
