//! The clients: what each would have sent for a recorded exchange.

use llm_protocol::{
    ProtocolId, Target,
    ir::{Losses, Request as Canonical},
    models::Models,
};
use serde_json::{Value, json};

use super::fixture::{Fixture, Wire};
use crate::support::{API_KEY, Request};

/// Of more tokens than this Claude is asked for a stream.
const MOST_WHOLE: u64 = 21_333;

/// A protocol that clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    Chat,
    Responses,
    Anthropic,
    Gemini,
}

impl Client {
    pub const ALL: [Self; 4] = [Self::Chat, Self::Responses, Self::Anthropic, Self::Gemini];

    pub fn id(self) -> ProtocolId {
        match self {
            Self::Chat => ProtocolId::OpenAiChat,
            Self::Responses => ProtocolId::OpenAiResponses,
            Self::Anthropic => ProtocolId::Anthropic,
            Self::Gemini => ProtocolId::Gemini,
        }
    }

    /// Whether it has words for such a call: each counts tokens in its own way only, and only OpenAI's embeds.
    pub fn asks(self, fixture: &Fixture) -> bool {
        match fixture.wire {
            Wire::Embeddings => self == Self::Chat,
            Wire::Counting => self == if fixture.is_googles() { Self::Gemini } else { Self::Anthropic },
            _ => true,
        }
    }

    /// Whether the bytes of the recorded answer are what this client must get. Bedrock wraps a stream in frames of its own.
    pub fn speaks(self, fixture: &Fixture) -> bool {
        match fixture.wire {
            Wire::Embeddings => !fixture.is_googles(),
            Wire::Counting => true,
            Wire::BedrockInvoke => self == Self::Anthropic && !fixture.stream,
            wire => self.id_of(wire),
        }
    }

    fn id_of(self, wire: Wire) -> bool {
        matches!(
            (self, wire),
            (Self::Chat, Wire::Chat)
                | (Self::Responses, Wire::Responses)
                | (Self::Anthropic, Wire::Anthropic)
                | (Self::Gemini, Wire::Gemini)
        )
    }

    /// The body that this client would have sent for the same, without the model.
    pub fn body(self, fixture: &Fixture) -> Value {
        let mut body = match (self, fixture.wire) {
            (_, Wire::Embeddings) if fixture.is_googles() => return from_batch(&fixture.body),
            (_, Wire::Embeddings | Wire::Counting) => return fixture.body.clone(),
            _ if self.id_of(fixture.wire) => fixture.body.clone(),
            (Self::Anthropic, Wire::BedrockInvoke) => from_invoke(fixture),
            (Self::Chat, _) => fixture.chat_request(),
            _ => self.translated(fixture),
        };
        if !fixture.stream && matches!(fixture.wire, Wire::Anthropic | Wire::Bedrock | Wire::BedrockInvoke) {
            self.limit(&mut body);
        }
        if self == Self::Gemini {
            return body;
        }
        if fixture.stream {
            body["stream"] = json!(true);
        }
        if self == Self::Chat && fixture.stream {
            body["stream_options"] = json!({"include_usage": true});
        }
        body
    }

    /// Asks for no more than what comes whole: a recording of a whole answer is none of a stream.
    fn limit(self, body: &mut Value) {
        let field = match self {
            Self::Chat if !body["max_tokens"].is_null() => &mut body["max_tokens"],
            Self::Chat => &mut body["max_completion_tokens"],
            Self::Responses => &mut body["max_output_tokens"],
            Self::Anthropic => &mut body["max_tokens"],
            Self::Gemini => &mut body["generationConfig"]["maxOutputTokens"],
        };
        *field = json!(field.as_u64().map_or(MOST_WHOLE, |asked| asked.min(MOST_WHOLE)));
    }

    /// The same in this client's words: of the recorded request if it can be said in them, else of what chat has words for,
    /// else of a mere question, for which the recorded answer is as good as for any.
    fn translated(self, fixture: &Fixture) -> Value {
        let recorded = fixture.canonical();
        let chat = || canonical(ProtocolId::OpenAiChat, &fixture.chat_request());
        let question =
            || canonical(ProtocolId::OpenAiChat, &json!({"messages": [{"role": "user", "content": "Hello"}]}));
        let spoken = recorded.and_then(|request| self.write(request, fixture.stream));
        let spoken = spoken.or_else(|| self.write(chat()?, fixture.stream));
        spoken.or_else(|| self.write(question()?, fixture.stream)).expect("everybody can ask a question")
    }

    /// Writes a request as one for the maker's own models; `None` if it would not mean the same.
    fn write(self, mut request: Canonical, stream: bool) -> Option<Value> {
        request.stream = stream;
        let protocol = llm_protocol::outbound(self.id()).expect("every client's protocol is an upstream's too");
        let (kind, model) = match self {
            Self::Chat | Self::Responses => ("openai", "gpt-5.4"),
            Self::Anthropic => ("anthropic", "claude-sonnet-4-5"),
            Self::Gemini => ("gemini", "gemini-2.5-flash"),
        };
        let rules = Models::builtin().rules(self.id(), kind, model);
        let mut losses = Losses::default();
        let body = protocol.encode_request(&request, Target { model, rules: &rules }, &mut losses);
        if losses.refusals().next().is_some() {
            return None;
        }
        let mut body: Value = serde_json::from_slice(&body).expect("requests are JSON");
        body.as_object_mut()?.remove("stream_options");
        if self == Self::Gemini {
            // Google's models show no thoughts unless asked to.
            body["generationConfig"]["thinkingConfig"]["includeThoughts"] = json!(true);
        }
        Some(body)
    }

    /// The request for `model`, which a provider's name may precede.
    pub fn ask(self, fixture: &Fixture, body: &Value, model: &str) -> Request {
        let mut body = body.clone();
        let path = match self {
            _ if fixture.wire == Wire::Embeddings => "/v1/embeddings",
            Self::Anthropic if fixture.wire == Wire::Counting => "/v1/messages/count_tokens",
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Anthropic => "/v1/messages",
            Self::Gemini => {
                let method = match fixture.wire {
                    Wire::Counting => "countTokens",
                    _ if fixture.stream => "streamGenerateContent?alt=sse",
                    _ => "generateContent",
                };
                return Request::post(&format!("/v1beta/models/{model}:{method}"), &body)
                    .header("x-goog-api-key", API_KEY);
            }
        };
        body["model"] = json!(model);
        let request = Request::post(path, &body);
        match self {
            Self::Anthropic => request.header("x-api-key", API_KEY).header("anthropic-version", "2023-06-01"),
            _ => request.bearer(API_KEY),
        }
    }
}

/// A request in no protocol's words, if it is a valid one. Readers want a model, which nobody looks at.
pub fn canonical(protocol: ProtocolId, body: &Value) -> Option<Canonical> {
    let mut body = body.clone();
    if protocol != ProtocolId::Gemini {
        body["model"] = json!("any");
    }
    llm_protocol::inbound(protocol)?.decode_request(body.to_string().as_bytes()).ok()
}

/// What Anthropic's own API would have been asked.
fn from_invoke(fixture: &Fixture) -> Value {
    let mut body = fixture.body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("anthropic_version");
        fields.remove("anthropic_beta");
    }
    body
}

/// What OpenAI's client would have sent for Gemini's batch.
fn from_batch(body: &Value) -> Value {
    let requests = body["requests"].as_array().map_or(&[][..], Vec::as_slice);
    let texts: Vec<&Value> = requests.iter().map(|request| &request["content"]["parts"][0]["text"]).collect();
    let mut asked = json!({"input": texts});
    if let Some(dimensions) = requests.iter().find_map(|request| request["outputDimensionality"].as_u64()) {
        asked["dimensions"] = json!(dimensions);
    }
    asked
}
