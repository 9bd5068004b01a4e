//! What models cost.

use std::path::PathBuf;

use super::section::section;

section! {
    /// What models cost.
    pub struct PricingConfig in "pricing" {
        /// File with prices that add to the built-in ones and replace those of the same name.
        pub file: Option<PathBuf> = None, example "\"./prices.json\"";
    }
}
