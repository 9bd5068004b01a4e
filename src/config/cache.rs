//! The cache of answers.

use std::time::Duration;

use llm_protocol::models::matches;

use super::{
    section::section,
    setting::{Given, Setting},
};

section! {
    /// A cache that gives the same answer to the same request of the same API key, without asking a provider.
    pub struct CacheConfig in "cache" {
        /// Whether answers are kept, unless an API key says otherwise for its own.
        pub enabled: bool = false;
        /// "memory" keeps them in each gateway, until its end at most. "redis" keeps them, sealed with the master key, in the
        /// server of [redis], for all gateways that share it.
        pub backend: Backend = Backend::Memory;
        /// Seconds after which an answer is forgotten.
        pub ttl: Duration = Duration::from_secs(3600), range 0.0..=31_536_000.0;
        /// The same for some models, as "PATTERN=SECONDS", by the name that clients use; the first that fits counts, and 0 keeps
        /// nothing.
        pub model_ttl: ModelTtls = ModelTtls(Vec::new());
        /// Whether answers are kept to requests that leave something to chance: those without a `temperature` of 0.
        pub sampled: bool = true;
        /// Most bytes of answers in memory; those least asked for go first.
        pub max_bytes: u64 = 256 << 20, range 0.0..=1e12;
        /// No answer that has more bytes is kept.
        pub max_entry_bytes: usize = 1 << 20, range 0.0..=1e9;
        /// Seconds that a request waits for the answer to an equal one that is under way, before it asks a provider itself.
        pub max_wait: Duration = Duration::from_secs(60), range 0.0..=3600.0;
        /// Most requests that wait so at a time; further ones ask a provider themselves.
        pub max_waiting: usize = 1000, range 0.0..=100_000.0;
    }
}

impl CacheConfig {
    /// How long answers to this model are kept; not at all where it is zero.
    pub fn ttl_of(&self, model: &str) -> Duration {
        let own = self.model_ttl.0.iter().find(|(pattern, _)| matches(pattern, model));
        own.map_or(self.ttl, |(_, ttl)| *ttl)
    }

    pub(super) fn check(&self, redis: bool) -> Result<(), String> {
        if self.backend == Backend::Redis && !redis {
            return Err("cache.backend is \"redis\", but there is no redis.url (REDIS_URL)".to_owned());
        }
        Ok(())
    }
}

/// Where answers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Memory,
    Redis,
}

impl Setting for Backend {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        match String::read(given)?.trim().to_lowercase().as_str() {
            "memory" => Ok(Self::Memory),
            "redis" => Ok(Self::Redis),
            _ => Err("is neither memory nor redis".to_owned()),
        }
    }

    fn show(&self) -> Option<String> {
        let word = match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
        };
        word.to_owned().show()
    }
}

/// Patterns of models, and how long their answers are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelTtls(Vec<(String, Duration)>);

impl Setting for ModelTtls {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        let rule = |rule: String| {
            let (pattern, seconds) = rule.rsplit_once('=')?;
            let ttl = seconds.trim().parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())?;
            Some((pattern.trim().to_owned(), ttl)).filter(|(pattern, _)| !pattern.is_empty())
        };
        let rules: Option<_> = Vec::<String>::read(given)?.into_iter().map(rule).collect();
        rules.map(Self).ok_or_else(|| "has an entry that is not PATTERN=SECONDS".to_owned())
    }

    fn show(&self) -> Option<String> {
        let rule = |(pattern, ttl): &(String, Duration)| format!("{pattern}={}", ttl.as_secs_f64());
        self.0.iter().map(rule).collect::<Vec<_>>().show()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_fits_says_how_long_an_answer_is_kept() {
        let model_ttl = ModelTtls::read(&Given::Variable("gpt-*-mini=60, gpt-*=0, *=7.5")).unwrap();
        assert_eq!(model_ttl.show().unwrap(), r#"["gpt-*-mini=60", "gpt-*=0", "*=7.5"]"#);
        let config = CacheConfig { model_ttl, ..CacheConfig::default() };
        let seconds = ["gpt-5-mini", "gpt-5", "o3"].map(|model| config.ttl_of(model).as_secs_f64());
        assert_eq!(seconds, [60.0, 0.0, 7.5]);
        assert_eq!(CacheConfig::default().ttl_of("o3"), Duration::from_secs(3600));
    }

    #[test]
    fn a_rule_that_is_none_is_refused() {
        for rule in ["gpt", "=60", "gpt=soon", "gpt=-1"] {
            assert!(ModelTtls::read(&Given::Variable(rule)).is_err(), "{rule}");
        }
    }
}
