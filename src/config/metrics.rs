//! Who may read `/metrics`, and how much there is to read.

use secrecy::SecretString;

use super::section::section;

section! {
    /// Who may read /metrics, and how much there is to read.
    pub struct MetricsConfig in "metrics" {
        /// Serve /metrics to everybody; else it needs the admin key, or the token below.
        pub public: bool = false;
        /// Bearer token that opens /metrics and nothing else, for the configuration of Prometheus.
        pub token: Option<SecretString> = None, example "\"a-long-random-text-for-prometheus\"";
        /// Pairs of provider and model that get series of their own; further ones are counted as "other".
        pub max_models: usize = 200, range 1.0..=10_000.0;
        /// API keys that get series of their own; further ones are counted as "other".
        pub max_keys: usize = 200, range 1.0..=10_000.0;
    }
}
