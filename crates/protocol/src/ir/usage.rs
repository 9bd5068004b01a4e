//! How many tokens an exchange took.

/// Token counts in one convention: OpenAI's, where the parts are contained in the totals.
///
/// Anthropic reports cached tokens beside `input_tokens` and Gemini reports thoughts beside its candidates' tokens:
/// their codecs add on the way in and subtract on the way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All prompt tokens, those read from and written to a cache included.
    pub input: u64,
    /// All generated tokens, reasoning included.
    pub output: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache.
    pub cache_write: u64,
    /// Of those written, the ones kept for an hour, which cost more.
    pub cache_write_1h: u64,
    /// Generated tokens that are reasoning; `None` where the provider does not tell.
    pub reasoning: Option<u64>,
}

impl Usage {
    /// Input and output together.
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}
