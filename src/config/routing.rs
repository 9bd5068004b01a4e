//! How requests are sent upstream: attempts, deadlines and sizes.

use std::time::Duration;

use super::{
    section::section,
    setting::{Given, Setting},
};
use crate::fidelity::Fidelity;

section! {
    /// How requests are sent to providers: attempts, deadlines and sizes.
    pub struct RoutingConfig in "routing" {
        /// Most further attempts at one provider, whatever a request or a provider asks for.
        pub max_retry_count: u32 = 5, env "MAX_RETRY_COUNT", range 0.0..=10.0;
        /// Most seconds a request may take, whatever it asks for.
        pub max_timeout: Duration = Duration::from_secs(600), range 1.0..=86_400.0;
        /// Seconds to connect to a provider, TLS included.
        pub connect_timeout: Duration = Duration::from_secs(5), range 0.1..=300.0;
        /// Seconds of silence after which a running stream is given up.
        pub stream_idle_timeout: Duration = Duration::from_secs(120), range 0.1..=3600.0;
        /// Most seconds a stream may run.
        pub stream_max_duration: Duration = Duration::from_secs(3600), range 1.0..=86_400.0;
        /// Largest event of a stream in bytes.
        pub max_event_bytes: usize = 16 * 1024 * 1024, range 1024.0..=1_073_741_824.0;
        /// Largest whole answer of a provider in bytes.
        pub max_response_bytes: usize = 64 * 1024 * 1024, range 1024.0..=1_073_741_824.0;
        /// Bytes of a stream held back at most until its first content shows that the provider works.
        pub commit_buffer_bytes: usize = 1024 * 1024, range 1024.0..=1_073_741_824.0;
        /// Seconds to wait before the first further attempt; each one after it waits twice as long.
        pub backoff_base: Duration = Duration::from_millis(250), range 0.0..=60.0;
        /// Most seconds to wait before a further attempt.
        pub backoff_max: Duration = Duration::from_secs(8), range 0.0..=600.0;
        /// Seconds after which a provider's list of models is fetched again.
        pub model_list_interval: Duration = Duration::from_secs(3600), range 1.0..=604_800.0;
        /// Seconds of silence in a stream after which the client gets a comment, so that proxies keep it open.
        pub keep_alive_interval: Duration = Duration::from_secs(15), range 0.1..=3600.0;
        /// What happens to a request that a provider's protocol cannot say in full: "strict" refuses it, "warn" leaves out what matters little, "lenient" leaves out all that can be.
        pub fidelity: Fidelity = Fidelity::Warn;
        /// Who of several equally preferred providers is asked first: "weighted" chance, or by "least_latency" who begins to answer sooner.
        pub policy: Choice = Choice::Weighted;
    }
}

/// Who of several equally preferred providers is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Weighted,
    LeastLatency,
}

impl Setting for Choice {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        match String::read(given)?.trim() {
            "weighted" => Ok(Self::Weighted),
            "least_latency" => Ok(Self::LeastLatency),
            _ => Err("is none of weighted and least_latency".to_owned()),
        }
    }

    fn show(&self) -> Option<String> {
        let name = match self {
            Self::Weighted => "weighted",
            Self::LeastLatency => "least_latency",
        };
        name.to_owned().show()
    }
}

impl RoutingConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.backoff_max < self.backoff_base {
            return Err("routing.backoff_max is less than routing.backoff_base: raise it or lower the other".to_owned());
        }
        Ok(())
    }
}
