//! The pieces that a whole answer and a stream have in common.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    Envelope, ProtocolId,
    anthropic::arguments,
    base64,
    ir::{Carrier, Citation, Finish, FinishReason, Reasoning, Signature, Usage, carrier::MARK},
    json::Json,
};

/// A block of an answer, or the beginning of one in a stream.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        citations: Vec<Json>,
    },
    Thinking {
        thinking: &'a str,
        signature: Cow<'a, str>,
    },
    RedactedThinking {
        data: Cow<'a, str>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Input<'a>,
    },
    /// A block of this protocol that nobody else understands, as it came.
    #[serde(untagged)]
    Raw(&'a Json),
}

impl<'a> Block<'a> {
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text { text: text.into(), citations: Vec::new() }
    }

    /// A block that only carries another protocol's proof, as `carrier` has it.
    pub fn carrying(carrier: &Carrier) -> Self {
        Self::RedactedThinking { data: Cow::Owned(carrier.wrap()) }
    }
}

/// A call's arguments.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Input<'a> {
    Verbatim(&'a RawValue),
    Made(Json),
}

impl<'a> Input<'a> {
    pub const fn none() -> Self {
        Self::Made(Json::Object(Vec::new()))
    }

    /// The arguments that a model wrote, to the letter where they are an object.
    pub fn of(text: &'a str) -> Self {
        match serde_json::from_str::<&RawValue>(text.trim()) {
            Ok(raw) if raw.get().starts_with('{') => Self::Verbatim(raw),
            _ => Self::Made(arguments(text)),
        }
    }

    /// Free text, for a tool that takes nothing else.
    pub fn wrapped(text: &str) -> Self {
        Self::Made(Json::object([("input", Json::from(text))]))
    }
}

/// What stands where Anthropic's own signature would: that very signature; another protocol's, marked as what it is; or
/// the mark that nobody signed.
pub fn proof(signature: Option<&Signature>, redacted: bool) -> Cow<'_, str> {
    let unsigned = || Signature { origin: ProtocolId::OpenAiChat, value: String::new() };
    match signature.filter(|known| !known.value.is_empty()) {
        Some(known) if known.origin == ProtocolId::Anthropic => Cow::Borrowed(&known.value),
        known => {
            let signature = known.cloned().unwrap_or_else(unsigned);
            Cow::Owned(Carrier::Reasoning { signature, redacted }.wrap())
        }
    }
}

/// The block of what a model thought; `None` if it thought nothing and proves nothing.
pub fn reasoning(part: &Reasoning) -> Option<Block<'_>> {
    let signature = part.signature.as_ref().filter(|known| !known.value.is_empty());
    if part.text.is_empty() && signature.is_none() {
        return None;
    }
    let proof = proof(signature, part.redacted);
    Some(if part.redacted && part.text.is_empty() {
        Block::RedactedThinking { data: proof }
    } else {
        Block::Thinking { thinking: &part.text, signature: proof }
    })
}

/// A source on the web. A source of any other kind has no place of its own in this protocol.
pub fn citation(source: &Citation) -> Option<Json> {
    let url = source.url.as_deref()?;
    Some(Json::object([
        ("type", Json::from("web_search_result_location")),
        ("cited_text", Json::from(source.quote.as_deref().unwrap_or_default())),
        ("url", Json::from(url)),
        ("title", source.title.as_deref().map_or(Json::Null, Json::from)),
        // Anthropic would look this up; the mark says that it is not Anthropic's.
        ("encrypted_index", Json::from(MARK)),
    ]))
}

/// What is said in place of a picture or sound, for which an answer of this protocol has no block.
pub fn instead_of_media(mime: &str) -> String {
    format!("[The model made content of type {mime}, which this protocol cannot carry.]")
}

/// The upstream's id if it looks like one of Anthropic's, else one made of the request's.
pub fn message_id(upstream: &str, envelope: &Envelope) -> String {
    if upstream.starts_with("msg_") {
        return upstream.to_owned();
    }
    format!("msg_{}", envelope.request_id.trim_start_matches("req_"))
}

/// The id of a call, made of the request's where the model gave none, and wrapped where clients of this protocol would not
/// take it.
pub fn call_id<'a>(id: &'a str, number: usize, envelope: &Envelope) -> Cow<'a, str> {
    if id.is_empty() {
        return Cow::Owned(format!("toolu_{}_{number}", envelope.request_id.trim_start_matches("req_")));
    }
    let taken = id.bytes().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-'));
    if taken && !id.starts_with(MARK) { Cow::Borrowed(id) } else { Cow::Owned(base64::wrap_url_safe(MARK, id)) }
}

/// The id that [`call_id`] was given, as far as it wrapped it.
pub fn plain_id(id: String) -> String {
    let wrapped = id.strip_prefix(MARK).and_then(base64::decode);
    wrapped.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(id)
}

/// What an answer was seen to hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub calls: usize,
    pub refusal: bool,
}

/// The word for the end of an answer. Calls are to be run whatever word the model's server had for its end, and a refusal
/// is one even where it came as an ordinary answer.
pub fn stop_reason(finish: Option<&Finish>, seen: Seen) -> &'static str {
    let raw = finish.map_or("", |finish| finish.raw.as_str());
    match finish.map_or(FinishReason::Stop, |finish| finish.reason) {
        FinishReason::Length if raw == "model_context_window_exceeded" => "model_context_window_exceeded",
        FinishReason::Length => "max_tokens",
        FinishReason::Pause => "pause_turn",
        FinishReason::ContentFilter => "refusal",
        FinishReason::Stop | FinishReason::ToolCalls if seen.calls > 0 => "tool_use",
        _ if seen.refusal => "refusal",
        _ if finish.is_some_and(|finish| finish.stop_sequence.is_some()) => "stop_sequence",
        FinishReason::Stop | FinishReason::ToolCalls => "end_turn",
    }
}

/// `usage`, as Anthropic counts: cached tokens beside the others.
#[derive(Debug, Default, Serialize)]
pub struct Counts {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation: Creation,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<Details>,
}

#[derive(Debug, Default, Serialize)]
struct Creation {
    ephemeral_5m_input_tokens: u64,
    ephemeral_1h_input_tokens: u64,
}

#[derive(Debug, Serialize)]
struct Details {
    thinking_tokens: u64,
}

impl From<&Usage> for Counts {
    fn from(usage: &Usage) -> Self {
        Self {
            input_tokens: usage.input.saturating_sub(usage.cache_read).saturating_sub(usage.cache_write),
            cache_creation_input_tokens: usage.cache_write,
            cache_read_input_tokens: usage.cache_read,
            cache_creation: Creation {
                ephemeral_5m_input_tokens: usage.cache_write.saturating_sub(usage.cache_write_1h),
                ephemeral_1h_input_tokens: usage.cache_write_1h,
            },
            output_tokens: usage.output,
            output_tokens_details: usage.reasoning.map(|thinking_tokens| Details { thinking_tokens }),
        }
    }
}
