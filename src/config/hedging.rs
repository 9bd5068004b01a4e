//! When a second provider is asked although the first has not failed.

use super::section::section;

section! {
    /// A second provider is asked when the first takes unusually long, and the first answer counts. It costs money: both are paid for.
    pub struct HedgingConfig in "hedging" {
        /// Ask a second provider at all.
        pub enabled: bool = false;
        /// Share of a model's answers that begin sooner than the second provider is asked.
        pub percentile: f64 = 0.95, range 0.5..=0.999;
        /// Second requests of all, in percent of the first ones.
        pub max_extra_percent: f64 = 5.0, range 0.0..=20.0;
    }
}
