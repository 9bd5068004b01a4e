//! An answer as Google writes it: a whole one and a piece of a stream have the same shape.

use serde::Serialize;

use crate::{
    Envelope,
    gemini::part::Part,
    ir::{FinishReason, Usage},
    json::Json,
};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer<'a> {
    pub candidates: Vec<Candidate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_metadata: Option<Counts>,
    pub model_version: &'a str,
    pub response_id: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate<'a> {
    pub content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<&'static str>,
    pub index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grounding_metadata: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs_result: Option<Json>,
}

#[derive(Debug, Serialize)]
pub struct Content<'a> {
    parts: Vec<Part<'a>>,
    role: &'static str,
}

impl<'a> From<Vec<Part<'a>>> for Content<'a> {
    /// Clients take a content without parts for a broken one, so that nothing said is an empty text.
    fn from(mut parts: Vec<Part<'a>>) -> Self {
        if parts.is_empty() {
            parts.push(Part::text(""));
        }
        Self { parts, role: "model" }
    }
}

/// `usageMetadata`, as Google counts: thoughts beside the answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    prompt_token_count: u64,
    candidates_token_count: u64,
    total_token_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_content_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thoughts_token_count: Option<u64>,
}

impl From<&Usage> for Counts {
    fn from(usage: &Usage) -> Self {
        let thoughts = usage.reasoning.unwrap_or(0).min(usage.output);
        Self {
            prompt_token_count: usage.input,
            candidates_token_count: usage.output - thoughts,
            total_token_count: usage.total(),
            cached_content_token_count: Some(usage.cache_read).filter(|count| *count > 0),
            thoughts_token_count: usage.reasoning.map(|_| thoughts),
        }
    }
}

/// Google's word for why an answer ended; it has none for calls.
pub fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls => "STOP",
        FinishReason::Length => "MAX_TOKENS",
        FinishReason::ContentFilter => "SAFETY",
        FinishReason::Pause => "CONTINUATION",
    }
}

/// The upstream's id, else one made of the request's.
pub fn response_id(upstream: &str, envelope: &Envelope) -> String {
    match upstream {
        "" => envelope.request_id.trim_start_matches("req_").to_owned(),
        known => known.to_owned(),
    }
}

/// The model by the upstream's name for it, else by the client's.
pub fn model_version<'a>(upstream: &'a str, envelope: &'a Envelope) -> &'a str {
    if upstream.is_empty() { &envelope.model } else { upstream }
}
