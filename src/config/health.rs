//! How the gateway finds out which providers work.

use std::time::Duration;

use super::section::section;

section! {
    /// How the gateway finds out which providers work.
    pub struct HealthConfig in "health" {
        /// Ask providers from time to time whether they are there.
        pub enabled: bool = true, env "HEALTH_CHECK_ENABLED";
        /// Seconds between two checks of a provider.
        pub interval: Duration = Duration::from_secs(60), env "HEALTH_CHECK_INTERVAL", range 0.1..=86_400.0;
        /// Failures in a row after which a provider is left out for a while.
        pub max_errors: u32 = 5, env "HEALTH_CHECK_MAX_ERRORS", range 1.0..=1000.0;
        /// Seconds a check may take.
        pub probe_timeout: Duration = Duration::from_secs(10), range 0.1..=300.0;
        /// Seconds a provider is left out the first time; each further time doubles it.
        pub ejection_base: Duration = Duration::from_secs(5), range 0.1..=3600.0;
        /// Most seconds a provider is left out at once.
        pub ejection_max: Duration = Duration::from_secs(300), range 0.1..=86_400.0;
    }
}

impl HealthConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.ejection_max < self.ejection_base {
            return Err("health.ejection_max is less than health.ejection_base: raise it or lower the other".to_owned());
        }
        Ok(())
    }
}
