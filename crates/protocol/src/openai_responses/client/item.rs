//! What an answer consists of, as it is written.

use serde::Serialize;

use crate::{
    ir::{Carrier, Citation, Signature},
    json::Json,
};

/// One item of an answer.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    Message {
        id: String,
        status: Status,
        role: &'static str,
        content: Vec<Content>,
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<String>,
    },
    Reasoning {
        id: String,
        summary: Vec<Content>,
        #[serde(skip_serializing_if = "Option::is_none")]
        encrypted_content: Option<String>,
    },
    FunctionCall {
        id: String,
        status: Status,
        call_id: String,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        arguments: String,
    },
    CustomToolCall {
        id: String,
        status: Status,
        call_id: String,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        input: String,
    },
    ImageGenerationCall {
        id: String,
        status: Status,
        /// Base64.
        result: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        output_format: Option<String>,
    },
}

/// How far an item has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    InProgress,
    Completed,
    /// Cut short with the answer.
    Incomplete,
}

/// One piece of an item.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    OutputText { annotations: Vec<Json>, logprobs: Vec<Json>, text: String },
    Refusal { refusal: String },
    SummaryText { text: String },
}

impl Content {
    /// An empty text, or an empty refusal.
    pub fn empty(refusal: bool) -> Self {
        match refusal {
            true => Self::Refusal { refusal: String::new() },
            false => Self::OutputText { annotations: Vec::new(), logprobs: Vec::new(), text: String::new() },
        }
    }

    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refusal { .. })
    }
}

impl Item {
    /// Says how far it has come, of an item that tells.
    pub fn set_status(&mut self, now: Status) {
        match self {
            Self::Message { status, .. }
            | Self::FunctionCall { status, .. }
            | Self::CustomToolCall { status, .. }
            | Self::ImageGenerationCall { status, .. } => *status = now,
            Self::Reasoning { .. } => {}
        }
    }
}

/// Proof of reasoning, as the client is to send it back: its own protocol's as it is, another's wrapped.
pub fn proof(signature: Signature, redacted: bool) -> String {
    match signature.origin {
        crate::ProtocolId::OpenAiResponses if !redacted => signature.value,
        _ => Carrier::Reasoning { signature, redacted }.wrap(),
    }
}

pub fn annotation(citation: &Citation) -> Json {
    let (start, end) = citation.span.unwrap_or((0, 0));
    Json::object([
        ("type", Json::from("url_citation")),
        ("start_index", Json::from(start)),
        ("end_index", Json::from(end)),
        ("url", Json::from(citation.url.as_deref().unwrap_or_default())),
        ("title", Json::from(citation.title.as_deref().unwrap_or_default())),
    ])
}
