//! What a client asks for.

use std::{borrow::Cow, collections::BTreeSet};

use super::{Loss, LossKind, Names, Place};
use crate::{ProtocolId, json::Json};

/// One request for one answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The model as the client named it. An encoder writes its target's name instead.
    pub model: String,
    /// What stands before the conversation: system and developer text, as separate parts so that cache hints keep their place.
    pub system: Vec<Part>,
    /// The conversation, oldest first. Results of tools stand in messages of [`Role::User`] that hold nothing else.
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub tool_choice: Option<ToolChoice>,
    /// `Some(false)` asks for one call at a time.
    pub parallel_tool_calls: Option<bool>,
    pub sampling: Sampling,
    /// How many answers are wanted; `None` is one.
    pub candidates: Option<u32>,
    /// `Some(k)`: log probabilities of each token and of its `k` best alternatives.
    pub logprobs: Option<u32>,
    /// Tokens, at least 1, including reasoning.
    pub max_output_tokens: Option<u64>,
    pub reasoning: Option<ReasoningRequest>,
    pub response_format: Option<ResponseFormat>,
    pub stop: Vec<String>,
    pub stream: bool,
    /// Whether the client asked to be told the usage of a stream.
    pub include_usage: bool,
    /// Whether the client offered its tools in the form before `tools`, and so must be answered with one `function_call`.
    pub legacy_functions: bool,
    /// The end user's opaque name, for abuse detection at the provider.
    pub user: Option<String>,
    /// What no field above speaks for: another protocol cannot carry it.
    pub rest: Vec<Unmapped>,
    /// Members of the request, as they were written, that the client's protocol repeats in its answers.
    pub echo: Vec<(String, Json)>,
    /// What the client calls the fields above.
    pub names: Names,
}

/// A field of the client's protocol that the canonical form has no place for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unmapped {
    /// Its path as the client would write it, such as `logit_bias` or `messages[2].audio`.
    pub path: String,
    /// Why it cannot simply be left out; `None` if it is a hint and can.
    pub refusal: Option<&'static str>,
    /// What it says, where some other protocol has a field that means just the same. An encoder that writes it does not
    /// note a loss.
    pub hint: Option<(Hint, Json)>,
}

/// Fields that two protocols of one vendor share, by the name they have in OpenAI's chat protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// `verbosity`; in Responses `text.verbosity`.
    Verbosity,
    ServiceTier,
    PromptCacheKey,
    PromptCacheRetention,
    Metadata,
    Store,
    TopLogprobs,
}

impl Hint {
    /// The name of the field in OpenAI's chat protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verbosity => "verbosity",
            Self::ServiceTier => "service_tier",
            Self::PromptCacheKey => "prompt_cache_key",
            Self::PromptCacheRetention => "prompt_cache_retention",
            Self::Metadata => "metadata",
            Self::Store => "store",
            Self::TopLogprobs => "top_logprobs",
        }
    }
}

impl From<&Unmapped> for Loss {
    fn from(field: &Unmapped) -> Self {
        let kind = match field.refusal {
            Some(why) => LossKind::refusal(&field.path, why),
            None => LossKind::Dropped,
        };
        Self { path: field.path.clone(), kind }
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions in the middle of a conversation; those before it are [`Request::system`].
    System,
    User,
    Assistant,
}

/// One turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub role: Role,
    pub parts: Vec<Part>,
    /// Where it began.
    pub place: Place,
}

impl Message {
    /// A turn that no client sent.
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, parts, place: Place::default() }
    }
}

/// One piece of a turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Text(Text),
    Media(Media),
    /// What the model thought, to be shown to it again.
    Reasoning(Reasoning),
    /// The model's refusal, in its own words.
    Refusal(String),
    ToolCall(ToolCall),
    ToolResult(ToolResult),
    /// A block that only its own protocol understands.
    Opaque {
        origin: ProtocolId,
        raw: Json,
        place: Place,
    },
}

impl Part {
    /// Plain text without any hint.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Text { text: text.into(), ..Text::default() })
    }

    /// The hint that stands at it.
    pub fn cache(&self) -> Option<&Cache> {
        match self {
            Self::Text(text) => text.cache.as_ref(),
            Self::Media(media) => media.cache.as_ref(),
            Self::ToolResult(result) => result.cache.as_ref(),
            Self::Reasoning(_) | Self::ToolCall(_) | Self::Refusal(_) | Self::Opaque { .. } => None,
        }
    }

    /// Where it stood; a refusal, which nobody fails to say, does not tell.
    pub fn place(&self) -> &Place {
        match self {
            Self::Text(text) => &text.place,
            Self::Media(media) => &media.place,
            Self::Reasoning(reasoning) => &reasoning.place,
            Self::ToolCall(call) => &call.place,
            Self::ToolResult(result) => &result.place,
            Self::Opaque { place, .. } => place,
            Self::Refusal(_) => Place::NOWHERE,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text {
    pub text: String,
    pub cache: Option<Cache>,
    /// Gemini signs text parts too, empty ones included. What OpenAI's newer protocol has here is which part of the answer
    /// it is, its `phase`.
    pub signature: Option<Signature>,
    pub place: Place,
}

/// "The prompt up to here may be cached": the one hint that costs money when lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    /// `5m` or `1h`; `None` is the provider's default.
    pub ttl: Option<String>,
    /// Of the hint itself.
    pub place: Place,
}

/// Opaque proof of earlier reasoning. It is valid for the protocol that issued it and for no other; on its way through a
/// client of another protocol it travels in a [`Carrier`](super::Carrier).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub origin: ProtocolId,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    pub kind: MediaKind,
    pub source: MediaSource,
    /// Such as `image/png`; always known for [`MediaSource::Base64`].
    pub mime: Option<String>,
    /// The file's name.
    pub name: Option<String>,
    /// OpenAI's `detail`: `low`, `high`, `auto`, `original`.
    pub detail: Option<String>,
    pub cache: Option<Cache>,
    /// Of the object that says the above.
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    Image,
    Audio,
    Video,
    /// PDF or plain text.
    Document,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaSource {
    /// Without a `data:` prefix.
    Base64(String),
    /// `http:`, `https:` or `gs:`.
    Url(String),
    /// The id of a file that was uploaded to the provider whose protocol this is.
    File { origin: ProtocolId, id: String },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasoning {
    /// Empty where the provider shows none, or where it is encrypted.
    pub text: String,
    pub signature: Option<Signature>,
    /// The whole block is opaque: [`Reasoning::signature`] holds its data (Anthropic's `redacted_thinking`).
    pub redacted: bool,
    pub place: Place,
}

impl Reasoning {
    /// Whether there is anything to lose.
    pub fn says_something(&self) -> bool {
        !self.text.is_empty() || self.signature.as_ref().is_some_and(|signature| !signature.value.is_empty())
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    /// The exact JSON text the model wrote, valid or not; free text for a custom tool. Empty means no arguments.
    pub arguments: String,
    /// Gemini's thought signature.
    pub signature: Option<Signature>,
    /// Arguments are free text rather than JSON.
    pub custom: bool,
    /// Of the object that holds its arguments.
    pub place: Place,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolResult {
    /// The id of the call that this answers.
    pub id: String,
    /// The tool's name, where the client's protocol tells it or the history does.
    pub name: Option<String>,
    /// Text and media.
    pub content: Vec<Part>,
    pub is_error: bool,
    pub cache: Option<Cache>,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Tool {
    Function(FunctionTool),
    /// Takes free text, perhaps of a given grammar.
    Custom {
        /// Unique in its request.
        name: String,
        /// As in [`FunctionTool::namespace`].
        namespace: Option<(String, String)>,
        description: Option<String>,
        format: Option<Json>,
        place: Place,
    },
    /// Runs at the provider; only its own protocol understands it.
    Hosted {
        origin: ProtocolId,
        raw: Json,
        /// Whether it searches the web, which several protocols have a tool for.
        web_search: bool,
        place: Place,
    },
}

impl Tool {
    /// The name that the model calls it by, of a tool that the client runs.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Function(FunctionTool { name, .. }) | Self::Custom { name, .. } => Some(name),
            Self::Hosted { .. } => None,
        }
    }

    /// Where it stood; in a request that no client sent, its number.
    pub fn place(&self, at: usize) -> Cow<'_, Place> {
        let (Self::Function(FunctionTool { place, .. }) | Self::Custom { place, .. } | Self::Hosted { place, .. }) =
            self;
        if place.is_empty() { Cow::Owned(format!("tools[{at}]").into()) } else { Cow::Borrowed(place) }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct FunctionTool {
    /// Unique in its request. A tool in a namespace has a name made of both.
    pub name: String,
    /// The namespace and the name in it, as the Responses protocol groups tools.
    pub namespace: Option<(String, String)>,
    pub description: Option<String>,
    /// JSON Schema, keys in the client's order. `None` takes no arguments.
    pub parameters: Option<Json>,
    pub strict: Option<bool>,
    pub cache: Option<Cache>,
    /// Of the object that names it.
    pub place: Place,
}

/// Why something is refused that a user or a tool said in a form which the canonical one has no place for.
pub(crate) const FOREIGN: &str = "only a provider of the same protocol as the client's understands this type";

/// The field of OpenAI's chat protocol that asks for a search of the web.
pub(crate) const WEB_SEARCH_OPTIONS: &str = "web_search_options";

impl Request {
    /// Whether a chat client asks for a search of the web, for which other protocols have a tool.
    pub(crate) fn asks_for_web_search(&self) -> bool {
        self.rest.iter().any(|field| field.path == WEB_SEARCH_OPTIONS)
    }
}

/// Why a choice is refused that names a tool which there is not, be it that it was refused itself.
pub(crate) const NOT_OFFERED: &str = "`tool_choice` asks for a tool that `tools` does not define";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolChoice {
    Auto,
    None,
    /// At least one call, of any tool.
    Required,
    Named(String),
    /// Any of these; `required` as in [`ToolChoice::Required`].
    Allowed {
        names: BTreeSet<String>,
        required: bool,
    },
}

/// How the next token is drawn. What is `None` was not asked for and is not sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0..=2.
    pub temperature: Option<f64>,
    /// 0..=1.
    pub top_p: Option<f64>,
    pub top_k: Option<u64>,
    /// -2..=2.
    pub presence_penalty: Option<f64>,
    /// -2..=2.
    pub frequency_penalty: Option<f64>,
    pub seed: Option<i64>,
}

/// How much the model is to think before it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasoningRequest {
    pub effort: Option<Effort>,
    /// Tokens; 0 switches thinking off.
    pub budget: Option<u64>,
    /// Whether the client wants to see what the model thought; `None` leaves it to the provider.
    pub visible: Option<bool>,
}

/// OpenAI's scale, which the other protocols' scales are mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

impl Effort {
    /// From weakest to strongest.
    pub const ALL: [Self; 7] = [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::Xhigh, Self::Max];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effort| effort.as_str() == name)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum ResponseFormat {
    Text,
    /// Any JSON object.
    JsonObject,
    JsonSchema {
        name: Option<String>,
        description: Option<String>,
        schema: Json,
        strict: Option<bool>,
    },
}
