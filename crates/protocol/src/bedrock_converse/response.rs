//! Reading a whole answer, and what a stream's pieces have in common with it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error;
use crate::{
    ProtocolId,
    ir::{
        ApiError, Citation, Finish, FinishReason, Media, MediaKind, MediaSource, Output, Part, Place, Reasoning,
        Response, Signature, Text, ToolCall, Usage,
    },
    json::Json,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow, default)]
    output: Option<Said<'a>>,
    #[serde(default)]
    stop_reason: Option<String>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(default)]
    additional_model_response_fields: Option<Json>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    message: Option<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Vec<&'a RawValue>,
}

/// Reads a whole answer.
pub(super) fn decode(body: &[u8]) -> Result<Response, ApiError> {
    let answer: Answer<'_> =
        serde_json::from_slice(body).map_err(|_| ApiError::malformed("the provider's answer could not be read"))?;
    let Some(message) = answer.output.and_then(|output| output.message) else { return Err(error::within(body)) };
    let mut output = Output::default();
    let mut position = 0;
    for raw in message.content {
        read_block(raw, &mut position, &mut output)?;
    }
    let stop = Stop {
        reason: answer.stop_reason.unwrap_or_default(),
        sequence: answer.additional_model_response_fields.as_ref().and_then(stop_sequence),
    };
    let seen = Seen {
        calls: output.parts.iter().any(|part| matches!(part, Part::ToolCall(_))),
        content: !output.parts.is_empty(),
    };
    output.finish = Some(stop.finish(seen)?);
    let usage = answer.usage.and_then(Counts::usage);
    Ok(Response { id: String::new(), model: String::new(), outputs: vec![output], usage })
}

/// A block: an object with one member that says which.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Block<'a> {
    text: Option<String>,
    reasoning_content: Option<Thought>,
    #[serde(borrow)]
    tool_use: Option<ToolUse<'a>>,
    citations_content: Option<Cited>,
    image: Option<Image>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Thought {
    reasoning_text: Option<SignedText>,
    redacted_content: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SignedText {
    text: Option<String>,
    signature: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ToolUse<'a> {
    pub tool_use_id: Option<String>,
    pub name: Option<String>,
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

impl ToolUse<'_> {
    /// Whether the tool ran at the provider, so that nobody is asked to call it.
    pub fn ran(&self) -> bool {
        self.kind.as_deref() == Some("server_tool_use")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cited {
    content: Vec<Passage>,
    citations: Vec<Json>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Passage {
    text: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Image {
    format: Option<String>,
    source: ImageSource,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImageSource {
    bytes: Option<String>,
}

fn read_block(raw: &RawValue, position: &mut u64, output: &mut Output) -> Result<(), ApiError> {
    let block: Block<'_> = serde_json::from_str(raw.get())
        .map_err(|_| ApiError::malformed("a block of the provider's answer could not be read"))?;
    match block {
        Block { text: Some(text), .. } => {
            *position += length(&text);
            output.parts.push(Part::Text(Text { text, ..Text::default() }));
        }
        Block { citations_content: Some(cited), .. } => {
            let text: String = cited.content.into_iter().filter_map(|passage| passage.text).collect();
            let start = *position;
            *position += length(&text);
            let span = Some((start, *position));
            output.citations.extend(cited.citations.iter().map(|item| Citation { span, ..citation(item) }));
            output.parts.push(Part::Text(Text { text, ..Text::default() }));
        }
        Block { reasoning_content: Some(thought), .. } => output.parts.push(Part::Reasoning(reasoning(thought))),
        Block { tool_use: Some(call), .. } if !call.ran() => output.parts.push(Part::ToolCall(ToolCall {
            id: call.tool_use_id.unwrap_or_default(),
            name: call.name.unwrap_or_default(),
            arguments: call.input.map_or_else(|| "{}".to_owned(), |input| input.get().to_owned()),
            ..ToolCall::default()
        })),
        Block { image: Some(Image { format, source: ImageSource { bytes: Some(data) } }), .. } => {
            output.parts.push(Part::Media(Media {
                kind: MediaKind::Image,
                source: MediaSource::Base64(data),
                mime: Some(image_type(format.as_deref())),
                name: None,
                detail: None,
                cache: None,
                place: Place::default(),
            }));
        }
        _ => {
            if let Ok(raw) = Json::parse(raw.get().as_bytes()) {
                output.parts.push(Part::Opaque { origin: ProtocolId::BedrockConverse, raw, place: Place::default() });
            }
        }
    }
    Ok(())
}

fn reasoning(thought: Thought) -> Reasoning {
    if let Some(data) = thought.redacted_content {
        return Reasoning { signature: Some(redacted(data)), redacted: true, ..Reasoning::default() };
    }
    let SignedText { text, signature } = thought.reasoning_text.unwrap_or_default();
    let signature = signature.filter(|value| !value.is_empty()).map(signed);
    Reasoning { text: text.unwrap_or_default(), signature, ..Reasoning::default() }
}

/// The type of a picture, by Bedrock's word for it.
pub(super) fn image_type(format: Option<&str>) -> String {
    format!("image/{}", format.unwrap_or("png"))
}

/// Only Claude signs its reasoning here.
pub(super) fn signed(value: String) -> Signature {
    Signature { origin: ProtocolId::Anthropic, value }
}

/// Encrypted reasoning, as Converse packs it.
pub(super) fn redacted(value: String) -> Signature {
    Signature { origin: ProtocolId::BedrockConverse, value }
}

/// Why the model stopped, in Bedrock's words.
#[derive(Debug, Default)]
pub(super) struct Stop {
    pub reason: String,
    pub sequence: Option<String>,
}

/// What an answer was seen to hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub calls: bool,
    pub content: bool,
}

impl Stop {
    /// An unknown word is an end like any other if there is an answer, and else no answer.
    pub fn finish(self, seen: Seen) -> Result<Finish, ApiError> {
        let reason = match self.reason.as_str() {
            "end_turn" | "stop_sequence" if seen.calls => FinishReason::ToolCalls,
            "end_turn" | "stop_sequence" => FinishReason::Stop,
            "tool_use" => FinishReason::ToolCalls,
            "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
            "guardrail_intervened" | "content_filtered" => FinishReason::ContentFilter,
            "malformed_model_output" | "malformed_tool_use" => {
                return Err(ApiError::malformed(format!("the model failed: `{}`", self.reason)));
            }
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

/// The stop sequence that was met, among the fields of Claude's own answer that were asked for.
pub(super) fn stop_sequence(fields: &Json) -> Option<String> {
    let met = fields.get("stop_sequence").or_else(|| fields.at(&["delta", "stop_sequence"]))?;
    met.as_str().map(str::to_owned)
}

/// Token counts as Bedrock reports them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Counts {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_write_input_tokens: Option<u64>,
    cache_details: Option<Vec<Written>>,
}

/// How long what was written to the cache is kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Written {
    ttl: Option<String>,
    input_tokens: u64,
}

impl Counts {
    /// The counts with the cached tokens, which Bedrock reports beside the others, among the input. `None` where nothing
    /// was counted.
    pub fn usage(self) -> Option<Usage> {
        self.input_tokens.or(self.output_tokens)?;
        let cache_read = self.cache_read_input_tokens.unwrap_or(0);
        let cache_write = self.cache_write_input_tokens.unwrap_or(0);
        let details = self.cache_details.unwrap_or_default();
        let for_an_hour = details.iter().filter(|written| written.ttl.as_deref() == Some("1h"));
        Some(Usage {
            input: self.input_tokens.unwrap_or(0).saturating_add(cache_read).saturating_add(cache_write),
            output: self.output_tokens.unwrap_or(0),
            cache_read,
            cache_write,
            cache_write_1h: for_an_hour.fold(0, |sum, written| sum.saturating_add(written.input_tokens)),
            ..Usage::default()
        })
    }
}

/// A source: a place in a document, a page found on the web, a search result of the client's.
pub(super) fn citation(item: &Json) -> Citation {
    let text = |key| item.get(key).and_then(Json::as_str).map(str::to_owned);
    let passages = item.get("sourceContent").and_then(Json::items).unwrap_or_default();
    let quote: String = passages.iter().filter_map(|passage| passage.get("text")?.as_str()).collect();
    let web = item.at(&["location", "web", "url"]).and_then(Json::as_str).map(str::to_owned);
    Citation {
        url: web.or_else(|| text("source").filter(|source| source.starts_with("http"))),
        title: text("title"),
        quote: Some(quote).filter(|quote| !quote.is_empty()),
        span: None,
    }
}

/// In characters, as spans are counted.
pub(super) fn length(text: &str) -> u64 {
    text.chars().count() as u64
}
