//! How many tokens an exchange took.

/// Token counts in one convention: OpenAI's, where the parts are contained in the totals.
///
/// Anthropic reports cached tokens beside `input_tokens` and Gemini reports thoughts beside its candidates' tokens:
/// their codecs add on the way in and subtract on the way out.
///
/// The totals are those of the answer, as its provider tells them. What else a provider did for it, and asks money for, is
/// told next to them and contained in none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Searches of the web that the provider made; 0 where it does not tell.
    pub web_searches: u64,
    /// Pages that the provider fetched; 0 where it does not tell.
    pub web_fetches: u64,
    /// What models were asked beside the answer: to sum up a long conversation, for advice, or before another took over.
    pub beside: Vec<Beside>,
}

/// What one model took beside the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// By the provider's name for it; `None` for the one that answered.
    pub model: Option<String>,
    pub usage: Usage,
}

impl Usage {
    /// Input and output together.
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// The same with no count greater than `most`.
    pub fn at_most(self, most: u64) -> Self {
        let within = |count: u64| count.min(most);
        Self {
            input: within(self.input),
            output: within(self.output),
            cache_read: within(self.cache_read),
            cache_write: within(self.cache_write),
            cache_write_1h: within(self.cache_write_1h),
            reasoning: self.reasoning.map(within),
            web_searches: within(self.web_searches),
            web_fetches: within(self.web_fetches),
            beside: self.beside.into_iter().map(|it| Beside { usage: it.usage.at_most(most), ..it }).collect(),
        }
    }

    /// The tokens that were taken beside the answer.
    pub fn extra(&self) -> u64 {
        self.beside.iter().fold(0, |sum, beside| sum.saturating_add(beside.usage.total()))
    }
}
