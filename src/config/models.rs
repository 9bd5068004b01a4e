//! What is known about models.

use std::path::PathBuf;

use super::section::section;

section! {
    /// What is known about models.
    pub struct ModelsConfig in "models" {
        /// File with rules about models that come before the built-in ones.
        pub rules_file: Option<PathBuf> = None, example "\"./models.json\"";
    }
}
