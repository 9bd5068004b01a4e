//! A recorded exchange.

use std::path::Path;

use llm_protocol::{ProtocolId, ir::Request as Canonical};
use serde_json::Value;

use super::{client::canonical, from_anthropic, from_bedrock, from_gemini, from_responses, overlooked};

/// The protocol of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wire {
    Chat,
    Anthropic,
    Gemini,
    /// Bedrock's Converse.
    Bedrock,
    /// Anthropic's, inside Bedrock's InvokeModel.
    BedrockInvoke,
    Responses,
    /// OpenAI's, and Gemini's for many texts at once.
    Embeddings,
    /// Anthropic's and Gemini's.
    Counting,
}

impl Wire {
    /// The name of the protocol's main operation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "Chat Completions",
            Self::Anthropic => "Messages",
            Self::Gemini => "generateContent",
            Self::Bedrock => "Converse",
            Self::BedrockInvoke => "InvokeModel",
            Self::Responses => "Responses",
            Self::Embeddings => "Embeddings",
            Self::Counting => "Count tokens",
        }
    }
}

pub struct Fixture {
    pub id: String,
    pub wire: Wire,
    /// In front of whom it was recorded.
    pub provider: String,
    /// The recorded request's path.
    pub path: String,
    pub stream: bool,
    pub model: String,
    /// The recorded request's body.
    pub body: Value,
    /// The recorded answer's status.
    pub status: u16,
    /// What the answer means, in no protocol's words.
    pub expect: Value,
    /// Whether the provider said in its own words that the key is wrong, whatever the status.
    pub key_refused: bool,
}

impl Fixture {
    /// Whether Google's own words were recorded.
    pub fn is_googles(&self) -> bool {
        self.path.contains("/models/") && self.path.contains(':')
    }

    /// Whether the recorded request speaks of what the provider kept of an earlier one.
    pub fn names_kept_state(&self) -> bool {
        ["container", "previous_response_id", "conversation"].iter().any(|name| !self.body[*name].is_null())
    }

    /// What a chat client would have sent for the same.
    pub fn chat_request(&self) -> Value {
        let mut body = match self.wire {
            Wire::Chat => self.body.clone(),
            Wire::Anthropic | Wire::BedrockInvoke => from_anthropic::convert(&self.body),
            Wire::Bedrock => from_bedrock::convert(&self.body),
            Wire::Gemini => from_gemini::convert(&self.body),
            Wire::Responses => from_responses::convert(&self.body),
            Wire::Embeddings | Wire::Counting => unreachable!("nobody asks for these by a conversation"),
        };
        if self.stream {
            body["stream"] = true.into();
        }
        body
    }

    /// The recorded request in no protocol's words, where it is a valid one of a protocol that clients speak.
    pub fn canonical(&self) -> Option<Canonical> {
        let protocol = match self.wire {
            Wire::Chat => ProtocolId::OpenAiChat,
            Wire::Anthropic => ProtocolId::Anthropic,
            Wire::Gemini => ProtocolId::Gemini,
            Wire::Responses => ProtocolId::OpenAiResponses,
            _ => return None,
        };
        canonical(protocol, &self.body)
    }
}

/// All recordings of calls that a client can make.
pub fn load(folder: &Path) -> Vec<Fixture> {
    let mut fixtures: Vec<Fixture> = recordings(folder).filter_map(|recording| parse(&recording)).collect();
    fixtures.sort_by(|a, b| (a.wire, &a.id).cmp(&(b.wire, &b.id)));
    assert!(fixtures.len() > 400, "only {} recordings in {}", fixtures.len(), folder.display());
    fixtures
}

/// All recordings, as they are.
pub fn recordings(folder: &Path) -> impl Iterator<Item = Value> {
    ["public", "documented"].into_iter().flat_map(|part| recordings_in(&folder.join(part)))
}

fn recordings_in(folder: &Path) -> Vec<Value> {
    let index = read(&folder.join("index.json"));
    let rows = index.as_array().cloned().expect("the index is a list");
    let file = |row: &Value| row["file"].as_str().map(|file| folder.join(file)).expect("a row names its file");
    rows.iter().map(|row| read(&file(row))).collect()
}

fn parse(fixture: &Value) -> Option<Fixture> {
    let path = fixture["request"]["path"].as_str().unwrap_or_default();
    let wire = match fixture["wire"].as_str()? {
        "chat" => Wire::Chat,
        "anthropic" => Wire::Anthropic,
        "gemini" => Wire::Gemini,
        "bedrock" => Wire::Bedrock,
        // Embeddings come the same way.
        "bedrock_invoke" if fixture["request"]["body"]["messages"].is_array() => Wire::BedrockInvoke,
        "responses" => Wire::Responses,
        "embeddings" if path.ends_with("/embeddings") || path.ends_with(":batchEmbedContents") => Wire::Embeddings,
        "count_tokens" => Wire::Counting,
        _ => return None,
    };
    let text = |key: &str| fixture[key].as_str().unwrap_or_default().to_owned();
    let request = &fixture["request"];
    let answer = fixture["response"].to_string();
    let model = request["body"]["model"].as_str().map_or_else(|| model_in(&request["path"]), str::to_owned);
    Some(Fixture {
        id: text("id"),
        wire,
        provider: text("provider").trim_end_matches("_stream").to_owned(),
        path: path.to_owned(),
        stream: fixture["stream"] == true,
        model,
        body: request["body"].clone(),
        status: fixture["response"]["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(200),
        expect: overlooked::corrected(wire, &fixture["response"], fixture["expect"].clone()),
        key_refused: ["API_KEY_INVALID", "Incorrect API key"].iter().any(|words| answer.contains(words)),
    })
}

fn model_in(path: &Value) -> String {
    let path = path.as_str().unwrap_or_default();
    let tail = path.rsplit("models/").next().unwrap_or_default();
    let tail = tail.rsplit("model/").next().unwrap_or_default();
    tail.split([':', '/']).next().unwrap_or_default().to_owned()
}

fn read(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
