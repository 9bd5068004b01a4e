//! What each model takes and refuses, as data.
//!
//! One file per upstream protocol lists patterns of model names with their rules; the first pattern that matches
//! or kinds of providers wins, and each list ends with `*`, the rules of the newest family, since an unknown name is most likely a new one.
//! An operator's own list is looked at first ([`Models::with_overrides`]), so that a new model needs no release.

mod remembered;

use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use self::remembered::Remembered;
use crate::{ProtocolId, ir::Effort};

/// The rules of one model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelRules {
    /// When `temperature`, `top_p`, `top_k` and penalties are taken.
    pub sampling: Sampling,
    /// Greatest `temperature`; what lies above is lowered to it.
    pub max_temperature: f64,
    /// Whether `temperature` and `top_p` may be given together.
    pub temperature_with_top_p: bool,
    /// How thinking is asked for.
    pub thinking: Thinking,
    /// Efforts taken, in any order; empty if the model takes none. Others become the nearest.
    pub efforts: Vec<Effort>,
    /// Least and greatest number of tokens for [`Thinking::Budget`]; switching off is the effort `none`, not a small budget.
    pub thinking_budget: Option<(u64, u64)>,
    /// Whether the model thinks when nothing is said about it.
    pub reasons_by_default: bool,
    /// Whether thinking can be switched off; else the weakest effort stands for "off".
    pub thinking_can_be_off: bool,
    /// Whether an answer leaves its reasoning out unless asked to show it.
    pub hides_reasoning: bool,
    /// Whether `presence_penalty` and `frequency_penalty` are taken, where other sampling is.
    pub penalties: bool,
    /// Greatest number of output tokens, and what is asked for where the protocol demands a number and the client gave none.
    pub max_output_tokens: Option<u64>,
    /// Which field limits the output in OpenAI's chat protocol.
    pub output_limit: OutputLimit,
    /// Whether stop sequences are taken.
    pub stop: bool,
    /// When a tool call may be forced.
    pub forced_tool_choice: ForcedToolChoice,
    /// Whether an answer can be held to a JSON Schema.
    pub structured_output: bool,
    /// Whether structured output and tools go together.
    pub structured_output_with_tools: bool,
    /// Whether system text may stand in the middle of a conversation.
    pub system_in_messages: bool,
    /// Whether the last message may be the assistant's, to be continued.
    pub prefill: bool,
    /// Whether a tool's result may hold media.
    pub media_in_tool_results: bool,
    /// Whether the first tool call of each step in the history must carry the signature that it came with.
    pub signed_tool_calls: bool,
    /// Whether tools that run at the provider and functions go together.
    pub hosted_tools_with_functions: bool,
    /// In OpenAI's chat protocol: the field of an assistant's message in which its earlier reasoning is sent back, such as
    /// `reasoning_content`; in `reasoning_details` it is a list with signatures. `None` sends none.
    pub reasoning_history: Option<String>,
    /// In OpenAI's chat protocol: which ids of tool calls are taken.
    pub tool_call_ids: ToolCallIds,
    /// In OpenAI's chat protocol: whether Gemini's thought signatures are sent back, in `extra_content`.
    pub thought_signatures: bool,
    /// In OpenAI's chat protocol: whether the fields of a [`Hint`](crate::ir::Hint) are taken, which a server that is merely
    /// compatible may refuse.
    pub takes_hints: bool,
    /// In OpenAI's chat protocol: whether tools of free text are taken; else a function with one argument stands for each.
    pub custom_tools: bool,
    /// In OpenAI's chat protocol: whether a message with a field that the server does not know is refused, as by OpenAI and
    /// Mistral, so that it is not shown what clients keep there for other models.
    pub strict_messages: bool,
    /// In OpenAI's protocols: the model is served by the Responses protocol only.
    pub responses_only: bool,
    /// In OpenAI's chat protocol: fields that are refused by name, and so left out and reported.
    pub refused_fields: Vec<String>,
}

impl Default for ModelRules {
    fn default() -> Self {
        Self {
            sampling: Sampling::Always,
            max_temperature: 2.0,
            temperature_with_top_p: true,
            thinking: Thinking::None,
            efforts: Vec::new(),
            thinking_budget: None,
            reasons_by_default: false,
            thinking_can_be_off: true,
            hides_reasoning: false,
            penalties: true,
            max_output_tokens: None,
            output_limit: OutputLimit::AsAsked,
            stop: true,
            forced_tool_choice: ForcedToolChoice::Always,
            structured_output: true,
            structured_output_with_tools: true,
            system_in_messages: true,
            prefill: true,
            media_in_tool_results: true,
            signed_tool_calls: false,
            hosted_tools_with_functions: true,
            reasoning_history: None,
            tool_call_ids: ToolCallIds::Any,
            thought_signatures: false,
            takes_hints: false,
            custom_tools: false,
            strict_messages: false,
            responses_only: false,
            refused_fields: Vec::new(),
        }
    }
}

impl ModelRules {
    /// Whether the field is refused by name.
    pub fn refuses(&self, field: &str) -> bool {
        self.refused_fields.iter().any(|refused| refused == field)
    }

    /// The effort nearest to `asked` that the model takes; the weaker of two that are equally near.
    pub fn nearest_effort(&self, asked: Effort) -> Option<Effort> {
        let distance = |effort: &Effort| (*effort as i32 - asked as i32).abs();
        self.efforts.iter().copied().min_by_key(|effort| (distance(effort), *effort))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    Always,
    /// Not while the model thinks.
    UnlessReasoning,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thinking {
    /// The model does not think, or cannot be told how much.
    None,
    /// By a number of tokens.
    Budget,
    /// By a word; the model finds the amount.
    Effort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputLimit {
    /// Whichever the client used.
    AsAsked,
    MaxTokens,
    MaxCompletionTokens,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForcedToolChoice {
    Always,
    /// Not together with a thinking budget.
    UnlessBudget,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolCallIds {
    /// Any of at most 64 characters.
    Any,
    /// Nine letters and digits, as Mistral's servers want them.
    NineAlphanumerics,
}

/// One line of a list of rules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Kinds of provider: all models there, unless an entry above matched.
    #[serde(default)]
    kinds: Vec<String>,
    /// Patterns of model names; `*` stands for any characters.
    #[serde(default)]
    models: Vec<String>,
    #[serde(deserialize_with = "shared")]
    rules: Arc<ModelRules>,
}

fn shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<ModelRules>, D::Error> {
    ModelRules::deserialize(deserializer).map(Arc::new)
}

/// The rules of all models.
#[derive(Debug)]
pub struct Models {
    openai_chat: List,
    anthropic: List,
    gemini: List,
    /// Without Claude, whose rules are those in [`Models::anthropic`].
    bedrock_converse: List,
}

/// The rules of all models in one protocol.
#[derive(Debug)]
struct List {
    entries: Vec<Entry>,
    remembered: Remembered,
}

impl From<Vec<Entry>> for List {
    fn from(entries: Vec<Entry>) -> Self {
        Self { entries, remembered: Remembered::default() }
    }
}

/// An operator's own rules: lists by protocol, each in front of the built-in one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Overrides {
    openai_chat: Vec<Entry>,
    anthropic: Vec<Entry>,
    gemini: Vec<Entry>,
    bedrock_converse: Vec<Entry>,
}

impl Models {
    /// The rules that this version was built with.
    pub fn builtin() -> Self {
        Self::behind(Overrides::default())
    }

    /// The built-in rules behind the ones in `json`: `{"anthropic": [{"models": ["claude-*"], "rules": {…}}], …}`.
    pub fn with_overrides(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json).map(Self::behind)
    }

    fn behind(own: Overrides) -> Self {
        let list = |mut own: Vec<Entry>, builtin| {
            let builtin: Vec<_> =
                serde_json::from_str(builtin).expect("the built-in rules are valid: a test reads them");
            own.extend(builtin);
            List::from(own)
        };
        Self {
            openai_chat: list(own.openai_chat, include_str!("openai_chat.json")),
            anthropic: list(own.anthropic, include_str!("anthropic.json")),
            gemini: list(own.gemini, include_str!("gemini.json")),
            bedrock_converse: list(own.bedrock_converse, include_str!("bedrock_converse.json")),
        }
    }

    /// The rules of the model named `model`, spoken to in `protocol` at a provider of the kind `kind`.
    pub fn rules(&self, protocol: ProtocolId, kind: &str, model: &str) -> Arc<ModelRules> {
        let (list, more): (&List, &[Entry]) = match protocol {
            ProtocolId::OpenAiChat | ProtocolId::OpenAiResponses => (&self.openai_chat, &[]),
            ProtocolId::Anthropic => (&self.anthropic, &[]),
            ProtocolId::Gemini => (&self.gemini, &[]),
            ProtocolId::BedrockConverse => (&self.bedrock_converse, &self.anthropic.entries),
        };
        let mut entries = list.entries.iter().chain(more);
        let fits = |entry: &&Entry| {
            entry.kinds.iter().any(|known| known == kind) || entry.models.iter().any(|pattern| matches(pattern, model))
        };
        list.remembered.get(kind, model, || entries.find(fits).map(|entry| entry.rules.clone()).unwrap_or_default())
    }
}

/// Whether `name` fits `pattern`, in which each `*` stands for any characters, none included. Letters match in any case.
///
/// A new name is held against hundreds of patterns, so this ends at the first letter that tells.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Behind the last star, and how much of the name that star and all before it stand for so far.
    let mut star = None;
    while read < name.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                at += 1;
                star = Some((at, read));
            }
            (Some(letter), _) if letter.eq_ignore_ascii_case(&name[read]) => {
                at += 1;
                read += 1;
            }
            (_, Some((behind, taken))) => {
                at = behind;
                read = taken + 1;
                star = Some((behind, read));
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_rules_can_be_read_and_know_every_name() {
        let models = Models::builtin();
        for list in [&models.openai_chat, &models.anthropic, &models.gemini] {
            assert_eq!(list.entries.last().unwrap().models, ["*"]);
        }
    }

    #[test]
    fn an_operators_rule_comes_first() {
        let own = r#"{"anthropic":[{"models":["my-*"],"rules":{"max_output_tokens":7}}]}"#;
        let models = Models::with_overrides(own).unwrap();
        assert_eq!(models.rules(ProtocolId::Anthropic, "anthropic", "my-model").max_output_tokens, Some(7));
    }

    #[test]
    fn claude_has_one_list_of_rules_wherever_it_is_asked() {
        let rules = |model| Models::builtin().rules(ProtocolId::BedrockConverse, "bedrock", model);
        let claude = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
        assert_eq!(rules(claude), Models::builtin().rules(ProtocolId::Anthropic, "anthropic", claude));
        assert_eq!(rules("eu.amazon.nova-lite-v1:0").max_output_tokens, Some(10_000));
        assert_eq!(rules("meta.llama3-1-70b-instruct-v1:0").forced_tool_choice, ForcedToolChoice::Never);
    }

    #[test]
    fn models_that_the_chat_protocol_does_not_serve_are_known() {
        let models = Models::builtin();
        let only = |name| models.rules(ProtocolId::OpenAiChat, "openai", name).responses_only;
        let newer =
            ["gpt-5-codex", "gpt-5.3-codex", "codex-mini-latest", "o1-pro", "openai/o3-pro-2025-06-10", "gpt-5-pro"];
        let more = ["gpt-5.4-pro", "o3-deep-research", "computer-use-preview", "gpt-5.1-codex-max"];
        assert!(newer.into_iter().chain(more).all(only));
        assert!(!["gpt-5", "gpt-5.4", "o3", "gpt-4o", "sonar-deep-research", "x"].into_iter().any(only));
    }

    #[test]
    fn a_kind_of_provider_has_rules_for_names_that_nobody_knows() {
        let rules = |kind: &str, model: &str| Models::builtin().rules(ProtocolId::OpenAiChat, kind, model);
        assert_eq!(rules("mistral", "mine").tool_call_ids, ToolCallIds::NineAlphanumerics);
        assert!(rules("mistral", "mine").refuses("stream_options"));
        for kind in ["deepseek", "moonshot", "zhipu", "zai", "minimax"] {
            assert_eq!(rules(kind, "mine").reasoning_history.as_deref(), Some("reasoning_content"), "{kind}");
        }
        assert_eq!(rules("ollama", "mine").reasoning_history.as_deref(), Some("reasoning"));
        // It fits requests to its models by itself, and wants reasoning back in one way from all.
        for model in ["mine", "deepseek/deepseek-r1", "google/gemini-3-pro"] {
            assert_eq!(rules("openrouter", model).reasoning_history.as_deref(), Some("reasoning_details"), "{model}");
        }
        assert_eq!(rules("openai_compatible", "mine").reasoning_history, None);
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        assert!(
            matches("gpt-4o*", "gpt-4o-mini")
                && matches("*claude-*-5*", "anthropic/claude-opus-5")
                && matches("a", "A")
                && matches("a*b*c", "aXbbYbc")
                && matches("*", "")
        );
        assert!(!matches("gpt-4o", "gpt-4o-mini") && !matches("a*b", "ba") && !matches("a*a", "a"));
    }
}
