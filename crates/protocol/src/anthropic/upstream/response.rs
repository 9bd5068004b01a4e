//! Reading a whole answer, and what a stream's pieces have in common with it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error;
use crate::{
    ProtocolId,
    ir::{
        ApiError, Beside, Citation, Finish, FinishReason, Output, Part, Place, Reasoning, Response, Signature, Text,
        ToolCall, Usage,
    },
    json::Json,
};

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(borrow, default)]
    content: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    stop_sequence: Option<String>,
    #[serde(default)]
    stop_details: Option<Json>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Reads a whole answer.
pub fn decode(body: &[u8]) -> Result<Response, ApiError> {
    let answer: Answer<'_> =
        serde_json::from_slice(body).map_err(|_| ApiError::malformed("the provider's answer could not be read"))?;
    if answer.error.is_some() {
        return Err(error::within(body));
    }
    let Some(content) = answer.content else {
        return Err(ApiError::malformed("the provider's answer holds no content"));
    };
    let mut output = Output::default();
    let mut position = 0;
    for raw in content {
        read_block(raw, &mut position, &mut output)?;
    }
    let stop = Stop {
        reason: answer.stop_reason.unwrap_or_default(),
        sequence: answer.stop_sequence,
        details: answer.stop_details,
    };
    output.parts.extend(stop.refusal().map(Part::Refusal));
    let seen = Seen {
        calls: output.parts.iter().any(|part| matches!(part, Part::ToolCall(_))),
        content: !output.parts.is_empty(),
    };
    output.finish = Some(stop.finish(seen)?);
    let mut counts = Counts::default();
    if let Some(usage) = answer.usage {
        counts.merge(usage);
    }
    Ok(Response {
        id: answer.id.unwrap_or_default(),
        model: answer.model.unwrap_or_default(),
        outputs: vec![output],
        usage: counts.usage(),
    })
}

fn read_block(raw: &RawValue, position: &mut u64, output: &mut Output) -> Result<(), ApiError> {
    let block = Block::read(raw)?;
    match block.kind {
        Kind::Text => {
            let text = block.text.unwrap_or_default();
            let start = *position;
            *position += length(&text);
            let span = (start, *position);
            output.citations.extend(citations(block.citations).map(|citation| spanning(citation, span)));
            output.parts.push(Part::Text(Text { text, ..Text::default() }));
        }
        Kind::Thinking => {
            let signature = block.signature.filter(|value| !value.is_empty()).map(signed);
            let text = block.thinking.unwrap_or_default();
            output.parts.push(Part::Reasoning(Reasoning { text, signature, ..Reasoning::default() }));
        }
        Kind::Redacted => {
            let signature = Some(signed(block.data.unwrap_or_default()));
            output.parts.push(Part::Reasoning(Reasoning { signature, redacted: true, ..Reasoning::default() }));
        }
        Kind::ToolUse => output.parts.push(Part::ToolCall(ToolCall {
            id: block.id.unwrap_or_default(),
            name: block.name.unwrap_or_default(),
            arguments: block.input.map_or_else(|| "{}".to_owned(), |input| input.get().to_owned()),
            ..ToolCall::default()
        })),
        Kind::Other => {
            if let Ok(raw) = Json::parse(raw.get().as_bytes()) {
                output.parts.push(Part::Opaque { origin: ProtocolId::Anthropic, raw, place: Place::default() });
            }
        }
    }
    Ok(())
}

/// A block of an answer, or the beginning of one in a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Block<'a> {
    #[serde(skip)]
    pub kind: Kind,
    pub text: Option<String>,
    #[serde(borrow)]
    pub citations: Option<&'a RawValue>,
    pub thinking: Option<String>,
    pub signature: Option<String>,
    pub data: Option<String>,
    pub id: Option<String>,
    pub name: Option<String>,
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
}

/// The sorts of blocks that the canonical form knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Thinking,
    Redacted,
    ToolUse,
    /// Only Anthropic's own: tools that ran there, compaction and whatever comes next.
    #[default]
    Other,
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
}

/// The `type` of a block or of a piece of one; empty where it has none.
pub(super) fn tag(raw: &RawValue) -> Cow<'_, str> {
    serde_json::from_str::<Tag<'_>>(raw.get()).map(|tag| tag.kind).unwrap_or_default()
}

impl<'a> Block<'a> {
    /// Reads a block. Nothing is expected of one whose type is unknown.
    pub fn read(raw: &'a RawValue) -> Result<Self, ApiError> {
        let kind = match &*tag(raw) {
            "text" => Kind::Text,
            "thinking" => Kind::Thinking,
            "redacted_thinking" => Kind::Redacted,
            "tool_use" => Kind::ToolUse,
            _ => return Ok(Self::default()),
        };
        let block: Self = serde_json::from_str(raw.get())
            .map_err(|_| ApiError::malformed("a block of the provider's answer could not be read"))?;
        Ok(Self { kind, ..block })
    }
}

/// Why the model stopped, in Anthropic's words.
#[derive(Debug, Default)]
pub(super) struct Stop {
    pub reason: String,
    pub sequence: Option<String>,
    pub details: Option<Json>,
}

/// What an answer was seen to hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub calls: bool,
    pub content: bool,
}

impl Stop {
    /// What the provider says about why it refused.
    pub fn refusal(&self) -> Option<String> {
        if self.reason != "refusal" {
            return None;
        }
        let why = self.details.as_ref()?.get("explanation")?.as_str()?;
        (!why.is_empty()).then(|| why.to_owned())
    }

    /// An unknown word is an end like any other if there is an answer, and else no answer.
    pub fn finish(self, seen: Seen) -> Result<Finish, ApiError> {
        let reason = match self.reason.as_str() {
            "end_turn" | "stop_sequence" | "compaction" if seen.calls => FinishReason::ToolCalls,
            "end_turn" | "stop_sequence" | "compaction" => FinishReason::Stop,
            "tool_use" => FinishReason::ToolCalls,
            "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
            "refusal" => FinishReason::ContentFilter,
            "pause_turn" => FinishReason::Pause,
            _ if seen.calls => FinishReason::ToolCalls,
            _ if seen.content => FinishReason::Stop,
            other => {
                return Err(ApiError::malformed(format!(
                    "the provider stopped for the unknown reason `{other}` without an answer"
                )));
            }
        };
        Ok(Finish { reason, raw: self.reason, stop_sequence: self.sequence })
    }
}

/// Token counts as Anthropic reports them: in a stream each message tells some of them, and what it tells replaces
/// what was known.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Counts {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation: Option<Creation>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    output_tokens_details: Option<Details>,
    #[serde(default)]
    server_tool_use: Option<Json>,
    #[serde(default)]
    iterations: Option<Json>,
}

/// How long what was written to the cache is kept.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Creation {
    #[serde(default)]
    ephemeral_5m_input_tokens: Option<u64>,
    #[serde(default)]
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Details {
    #[serde(default)]
    thinking_tokens: Option<u64>,
}

impl Counts {
    /// Takes over what `raw` tells. Something that is no report of counts tells nothing.
    pub fn merge(&mut self, raw: &RawValue) {
        let Ok(later) = serde_json::from_str::<Self>(raw.get()) else { return };
        *self = Self {
            input_tokens: later.input_tokens.or(self.input_tokens),
            cache_read_input_tokens: later.cache_read_input_tokens.or(self.cache_read_input_tokens),
            cache_creation_input_tokens: later.cache_creation_input_tokens.or(self.cache_creation_input_tokens),
            cache_creation: later.cache_creation.or(self.cache_creation),
            output_tokens: later.output_tokens.or(self.output_tokens),
            output_tokens_details: later.output_tokens_details.or(self.output_tokens_details),
            server_tool_use: later.server_tool_use.or(self.server_tool_use.take()),
            iterations: later.iterations.or(self.iterations.take()),
        };
    }

    /// The counts with the cached tokens, which Anthropic reports beside the others, among the input.
    /// `None` where nothing was counted.
    pub fn usage(&self) -> Option<Usage> {
        self.input_tokens.or(self.output_tokens)?;
        let creation = self.cache_creation.unwrap_or_default();
        let cache_write_1h = creation.ephemeral_1h_input_tokens.unwrap_or(0);
        let parts = creation.ephemeral_5m_input_tokens.unwrap_or(0).saturating_add(cache_write_1h);
        let cache_write = self.cache_creation_input_tokens.unwrap_or(parts);
        let cache_read = self.cache_read_input_tokens.unwrap_or(0);
        Some(Usage {
            input: self.input_tokens.unwrap_or(0).saturating_add(cache_read).saturating_add(cache_write),
            output: self.output_tokens.unwrap_or(0),
            cache_read,
            cache_write,
            cache_write_1h,
            reasoning: self.output_tokens_details.and_then(|details| details.thinking_tokens),
            web_searches: self.requests("web_search_requests"),
            web_fetches: self.requests("web_fetch_requests"),
            beside: self.beside(),
        })
    }

    fn requests(&self, tool: &str) -> u64 {
        self.server_tool_use.as_ref().and_then(|counts| counts.get(tool)?.as_u64()).unwrap_or(0)
    }

    /// The iterations that the totals leave out: those that summed up the conversation, those of an adviser, and those of a
    /// model that gave up before the one that answers took over.
    fn beside(&self) -> Vec<Beside> {
        let text = |item: &Json, key: &str| item.get(key).and_then(Json::as_str).map(str::to_owned);
        let all = self.iterations.as_ref().and_then(Json::items).unwrap_or_default();
        let kind = |item: &Json| text(item, "type").unwrap_or_default();
        let answering = all.iter().find(|item| kind(item) == "fallback_message").and_then(|item| text(item, "model"));
        let left_out = |item: &&Json| match kind(item).as_str() {
            "compaction" | "advisor_message" => true,
            "message" => answering.is_some() && item.get("model").is_some() && text(item, "model") != answering,
            _ => false,
        };
        let read = |item: &Json| {
            let counts: Self = serde_json::from_str(&item.to_string()).ok()?;
            Some(Beside { model: text(item, "model"), usage: Self { iterations: None, ..counts }.usage()? })
        };
        all.iter().filter(left_out).filter_map(read).collect()
    }
}

/// The sources in a list of citations.
pub(super) fn citations(list: Option<&RawValue>) -> impl Iterator<Item = Citation> {
    let items = list.and_then(|raw| serde_json::from_str::<Option<Vec<Json>>>(raw.get()).ok().flatten());
    items.unwrap_or_default().into_iter().map(|item| citation(&item))
}

/// A source, whichever of its kinds: a place in a document, a page found on the web, a search result of the client's.
pub(super) fn citation(item: &Json) -> Citation {
    let text = |key| item.get(key).and_then(Json::as_str).map(str::to_owned);
    let source = text("source").filter(|source| source.starts_with("http"));
    Citation {
        url: text("url").or(source),
        title: text("title").or_else(|| text("document_title")),
        quote: text("cited_text"),
        span: None,
    }
}

/// A citation of the characters from the first up to the second of `span`.
pub(super) fn spanning(citation: Citation, span: (u64, u64)) -> Citation {
    Citation { span: Some(span), ..citation }
}

/// In characters, as spans are counted.
pub(super) fn length(text: &str) -> u64 {
    text.chars().count() as u64
}

pub(super) fn signed(value: String) -> Signature {
    Signature { origin: ProtocolId::Anthropic, value }
}
