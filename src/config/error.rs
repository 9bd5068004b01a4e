//! Why a configuration was refused.

/// One line that says which setting is bad, why, and how to mend it. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// Makes one line of the text, whatever a file name or a parser's message put into it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().split(['\n', '\r']).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" "))
    }
}
