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

/// Patterns of names. The ARN of an application's profile names no model, and most who make profiles make them for Claude.
const PATTERNS: [(&str, Family); 5] = [
    ("*claude*", Family::Claude),
    ("*nova*", Family::Nova),
    ("*gpt-oss*", Family::GptOss),
    ("arn:*:application-inference-profile/*", Family::Claude),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_arns_and_profiles_tell_whose_model_it_is() {
        let arn = |tail: &str| format!("arn:aws:bedrock:us-east-1:1:{tail}");
        assert_eq!(Family::of("eu.anthropic.claude-opus-5-v1:0"), Family::Claude);
        assert_eq!(Family::of(&arn("inference-profile/us.amazon.nova-lite-v1:0")), Family::Nova);
        assert_eq!(Family::of(&arn("inference-profile/us.meta.llama3-1-70b-instruct-v1:0")), Family::Other);
        assert_eq!(Family::of(&arn("application-inference-profile/a1b2c3")), Family::Claude);
        assert_eq!(Family::of("openai.gpt-oss-20b-1:0"), Family::GptOss);
    }
}
