//! A recorded exchange.

use std::path::Path;

use serde_json::Value;

use super::{from_anthropic, from_bedrock, from_gemini};

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
}

/// A vendor with paths of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    Azure,
    /// Azure's address for other vendors' models.
    AzureModels,
    Vertex,
}

impl Vendor {
    fn of(provider: &str, path: &str) -> Option<Self> {
        match provider {
            "azure_chat" if path.starts_with("/models/") => Some(Self::AzureModels),
            "azure_chat" => Some(Self::Azure),
            "vertex_gemini" => Some(Self::Vertex),
            _ => None,
        }
    }
}

pub struct Fixture {
    pub id: String,
    pub wire: Wire,
    /// The type of provider in front of which it was recorded, where that has paths of its own.
    pub vendor: Option<Vendor>,
    pub feature: String,
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
    /// What a chat client would have sent for the same.
    pub fn chat_request(&self) -> Value {
        let mut body = match self.wire {
            Wire::Chat => self.body.clone(),
            Wire::Anthropic | Wire::BedrockInvoke => from_anthropic::convert(&self.body),
            Wire::Bedrock => from_bedrock::convert(&self.body),
            Wire::Gemini => from_gemini::convert(&self.body),
        };
        if self.stream {
            body["stream"] = true.into();
        }
        body
    }

    pub fn request_id(&self) -> String {
        format!("ask-{}", self.id)
    }
}

/// All recordings that a chat client can ask for.
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
    let wire = match fixture["wire"].as_str()? {
        "chat" => Wire::Chat,
        "anthropic" => Wire::Anthropic,
        "gemini" => Wire::Gemini,
        "bedrock" => Wire::Bedrock,
        // Embeddings come the same way.
        "bedrock_invoke" if fixture["request"]["body"]["messages"].is_array() => Wire::BedrockInvoke,
        _ => return None,
    };
    let text = |key: &str| fixture[key].as_str().unwrap_or_default().to_owned();
    let request = &fixture["request"];
    let model = request["body"]["model"].as_str().map_or_else(|| model_in(&request["path"]), str::to_owned);
    Some(Fixture {
        id: text("id"),
        wire,
        vendor: Vendor::of(&text("provider"), request["path"].as_str().unwrap_or_default()),
        feature: text("feature"),
        stream: fixture["stream"] == true,
        model,
        body: request["body"].clone(),
        status: fixture["response"]["status"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or(200),
        expect: fixture["expect"].clone(),
        key_refused: fixture["response"].to_string().contains("API_KEY_INVALID"),
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
