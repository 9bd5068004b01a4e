//! What sort of model a name on Bedrock stands for, as far as requests differ by it.

use crate::models::matches;

/// A maker's models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Claude,
    Nova,
    /// OpenAI's open-weight models.
    GptOss,
    Other,
}

/// Patterns of names. An ARN names no model, and most who make profiles make them for Claude.
const PATTERNS: [(&str, Family); 5] = [
    ("*claude*", Family::Claude),
    ("arn:*inference-profile/*", Family::Claude),
    ("*nova*", Family::Nova),
    ("*gpt-oss*", Family::GptOss),
    ("*", Family::Other),
];

impl Family {
    pub fn of(model: &str) -> Self {
        PATTERNS.iter().find(|(pattern, _)| matches(pattern, model)).map_or(Self::Other, |(_, family)| *family)
    }

    /// Whether points of a prompt can be marked for caching.
    pub fn caches(self) -> bool {
        matches!(self, Self::Claude | Self::Nova)
    }

    /// Whether such a point may stand behind the tools.
    pub fn caches_tools(self) -> bool {
        self == Self::Claude
    }
}
