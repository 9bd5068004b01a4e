//! Writes a whole answer.

use std::{borrow::Cow, io::Write, sync::LazyLock};

use memchr::memmem::Finder;
use serde::Serialize;

use crate::{
    Envelope, ProtocolId, Served,
    ir::{
        Carrier, Citation, Finish, FinishReason, Media, MediaSource, Output, Part, Response, Signature, Text, ToolCall,
        Usage,
    },
    json::Json,
    splice::{Edit, Members},
};

#[derive(Serialize)]
struct Completion<'a> {
    id: String,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Counts>,
    system_fingerprint: Option<&'static str>,
    provider: &'a str,
    latency_ms: u64,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: usize,
    message: Message<'a>,
    logprobs: Option<&'a Json>,
    finish_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_sequence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    native_finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    thinking_blocks: Vec<ThinkingBlock<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Function<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    annotations: Vec<Json>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'a str>,
}

/// Anthropic's form of what a model thought, for the client to send back: with Anthropic's own signature, or with another's
/// wrapped.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ThinkingBlock<'a> {
    Thinking { thinking: &'a str, signature: Cow<'a, str> },
    RedactedThinking { data: Cow<'a, str> },
}

impl<'a> ThinkingBlock<'a> {
    /// The block that proves `text` by `signature`.
    pub fn of(text: &'a str, signature: &'a Signature, redacted: bool) -> Self {
        let proof = match signature.origin {
            ProtocolId::Anthropic => Cow::Borrowed(signature.value.as_str()),
            _ => Cow::Owned(Carrier::Reasoning { signature: signature.clone(), redacted }.wrap()),
        };
        match redacted {
            true => Self::RedactedThinking { data: proof },
            false => Self::Thinking { thinking: text, signature: proof },
        }
    }
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<Function<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<Custom<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<Json>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Custom<'a> {
    name: &'a str,
    input: &'a str,
}

/// `usage`, as OpenAI counts.
#[derive(Serialize)]
pub struct Counts {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl From<&Usage> for Counts {
    fn from(usage: &Usage) -> Self {
        Self {
            prompt_tokens: usage.input,
            completion_tokens: usage.output,
            total_tokens: usage.total(),
            prompt_tokens_details: PromptDetails {
                cached_tokens: usage.cache_read,
                cache_write_tokens: usage.cache_write,
            },
            completion_tokens_details: CompletionDetails { reasoning_tokens: usage.reasoning.unwrap_or(0) },
        }
    }
}

pub fn encode_response(response: &Response, envelope: &Envelope, served: &Served) -> Vec<u8> {
    let choice = |(index, output)| choice(index, output, envelope);
    let body = Completion {
        id: completion_id(&response.id, envelope),
        object: "chat.completion",
        created: envelope.created,
        model: if response.model.is_empty() { &envelope.model } else { &response.model },
        choices: response.outputs.iter().enumerate().map(choice).collect(),
        usage: response.usage.as_ref().map(Counts::from),
        system_fingerprint: None,
        provider: &served.provider,
        latency_ms: served.latency_ms,
    };
    serde_json::to_vec(&body).expect("keys are strings, and numbers finite")
}

/// The upstream's id if it looks like one of OpenAI's, else one made of the request's.
pub fn completion_id(upstream: &str, envelope: &Envelope) -> String {
    if upstream.starts_with("chatcmpl-") {
        return upstream.to_owned();
    }
    format!("chatcmpl-{}", envelope.request_id.trim_start_matches("req_"))
}

/// The word for a reason; `legacy` if the client knows `functions` only.
pub fn finish_reason(reason: FinishReason, legacy: bool) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::Pause => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls if legacy => "function_call",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}

/// The upstream's word for a pause, which `stop` does not tell from an end.
pub fn native(finish: &Finish) -> Option<&str> {
    (finish.reason == FinishReason::Pause).then_some(finish.raw.as_str())
}

fn choice<'a>(index: usize, output: &'a Output, envelope: &Envelope) -> Choice<'a> {
    let legacy = envelope.legacy_functions;
    Choice {
        index,
        message: message(output, envelope),
        logprobs: output.logprobs.as_ref(),
        finish_reason: finish_reason(output.reason(), legacy),
        stop_sequence: output.finish.as_ref().and_then(|finish| finish.stop_sequence.as_deref()),
        native_finish_reason: output.finish.as_ref().and_then(native),
    }
}

fn message<'a>(output: &'a Output, envelope: &Envelope) -> Message<'a> {
    let mut text = String::new();
    let (mut refusal, mut reasoning): (Option<String>, Option<String>) = (None, None);
    let (mut thinking_blocks, mut tool_calls, mut images) = (Vec::new(), Vec::new(), Vec::new());
    let (mut function_call, mut audio, mut extra_content) = (None, None, None);
    for part in &output.parts {
        match part {
            Part::Text(part) => {
                text.push_str(&part.text);
                extra_content = part.signature.as_ref().and_then(google).or(extra_content);
            }
            Part::Refusal(part) => refusal.get_or_insert_default().push_str(part),
            Part::Reasoning(part) => {
                if !part.text.is_empty() {
                    reasoning.get_or_insert_default().push_str(&part.text);
                }
                let signature = part.signature.as_ref();
                thinking_blocks
                    .extend(signature.map(|signature| ThinkingBlock::of(&part.text, signature, part.redacted)));
            }
            // The old form has room for one call.
            Part::ToolCall(call) if envelope.legacy_functions => {
                function_call.get_or_insert(Function { name: &call.name, arguments: arguments(call) });
            }
            Part::ToolCall(part) => tool_calls.push(call(part)),
            Part::Media(media) => match (&media.source, sound(media, envelope)) {
                (_, Some(sound)) => audio = Some(sound),
                (MediaSource::Base64(data), None) => images.push(image(media.mime.as_deref(), data)),
                (MediaSource::Url(url), None) => images.push(image_url(url.clone())),
                (MediaSource::File { .. }, None) => {}
            },
            Part::ToolResult(_) | Part::Opaque { .. } => {}
        }
    }
    let silent = text.is_empty() && (!tool_calls.is_empty() || function_call.is_some() || audio.is_some());
    Message {
        role: "assistant",
        content: (!silent && (!text.is_empty() || refusal.is_none())).then_some(text),
        refusal,
        reasoning_content: reasoning,
        thinking_blocks,
        tool_calls,
        function_call,
        annotations: output.citations.iter().map(annotation).collect(),
        images,
        audio,
        extra_content,
        phase: output.parts.iter().rev().find_map(phase),
    }
}

/// Which part of an answer a model of OpenAI's says that a text is.
fn phase(part: &Part) -> Option<&str> {
    let Part::Text(Text { signature: Some(signature), .. }) = part else { return None };
    (signature.origin == ProtocolId::OpenAiResponses).then_some(&signature.value)
}

fn arguments(call: &ToolCall) -> &str {
    if call.arguments.is_empty() { "{}" } else { &call.arguments }
}

fn call(call: &ToolCall) -> Call<'_> {
    let custom = call.custom.then_some(Custom { name: &call.name, input: &call.arguments });
    let function = (!call.custom).then(|| Function { name: &call.name, arguments: arguments(call) });
    Call {
        id: &call.id,
        kind: if call.custom { "custom" } else { "function" },
        function,
        custom,
        extra_content: call.signature.as_ref().and_then(google),
    }
}

/// Gemini's signature, where Google's own compatible server puts it.
pub fn google(signature: &Signature) -> Option<Json> {
    (signature.origin == ProtocolId::Gemini).then(|| {
        let google = Json::object([("thought_signature", Json::from(signature.value.as_str()))]);
        Json::object([("google", google)])
    })
}

pub fn annotation(citation: &Citation) -> Json {
    let (start, end) = citation.span.unwrap_or((0, 0));
    let mut source = vec![
        ("start_index", Json::from(start)),
        ("end_index", Json::from(end)),
        ("url", Json::from(citation.url.as_deref().unwrap_or_default())),
        ("title", Json::from(citation.title.as_deref().unwrap_or_default())),
    ];
    source.extend(citation.quote.as_deref().map(|quote| ("content", Json::from(quote))));
    Json::object([("type", Json::from("url_citation")), ("url_citation", Json::object(source))])
}

pub fn image(mime: Option<&str>, data: &str) -> Json {
    image_url(format!("data:{};base64,{data}", mime.unwrap_or("image/png")))
}

fn image_url(url: String) -> Json {
    let inner = Json::object([("url", Json::from(url))]);
    Json::object([("type", Json::from("image_url")), ("image_url", inner)])
}

fn sound(media: &Media, envelope: &Envelope) -> Option<Json> {
    let MediaSource::Base64(data) = &media.source else { return None };
    media.mime.as_deref().is_some_and(|mime| mime.starts_with("audio/")).then(|| audio(data, envelope))
}

/// A spoken answer. It cannot be referred to later, so it has expired by the time it arrives.
pub fn audio(data: &str, envelope: &Envelope) -> Json {
    Json::object([
        ("id", Json::from(format!("audio_{}", envelope.request_id.trim_start_matches("req_")))),
        ("data", Json::from(data)),
        ("expires_at", Json::from(envelope.created)),
        ("transcript", Json::from("")),
    ])
}

/// A whole same-protocol answer with the two additions; `None` if it is no JSON object.
pub fn sign(body: &[u8], served: &Served) -> Option<Vec<u8>> {
    append(body, served).or_else(|| Some(Members::read(body).ok()?.edit(&additions(served))))
}

/// The names of the two fields, to be looked for.
static ADDED: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| ["provider", "latency_ms"].map(Finder::new));

/// Signs a body of which the decoder has seen that it is an object: where it speaks of neither name, nothing of it need be
/// read again.
fn append(body: &[u8], served: &Served) -> Option<Vec<u8>> {
    let inside = body.trim_ascii_end().strip_suffix(b"}")?.trim_ascii_end();
    let follows = inside.trim_ascii_start().strip_prefix(b"{")?;
    if follows.is_empty() || ADDED.iter().any(|name| name.find(inside).is_some()) {
        return None;
    }
    let (provider, latency_ms) = (Json::from(served.provider.as_str()), served.latency_ms);
    let mut signed = Vec::with_capacity(inside.len() + served.provider.len() + 64);
    signed.extend_from_slice(inside);
    write!(signed, ",\"provider\":{provider},\"latency_ms\":{latency_ms}}}").ok()?;
    Some(signed)
}

/// Who answered, and how long it took.
pub fn additions(served: &Served) -> [Edit; 2] {
    [
        Edit::set("provider", Json::from(served.provider.as_str()).to_string()),
        Edit::set("latency_ms", served.latency_ms.to_string()),
    ]
}
