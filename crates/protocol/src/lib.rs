//! The wire grammars of large-language-model APIs, and the translation between them.
//!
//! Everything here is a pure function of its arguments: no socket, no clock, no global state. One canonical form
//! ([`ir`]) sits between the protocols, so that N client protocols and M upstream protocols cost N + M codecs.
//!
//! - [`Inbound`] is the client's side of a protocol: read a request, write an answer, an error, a stream.
//! - [`Outbound`] is the upstream's side: write a request, read an answer, an error, a stream.
//! - [`INBOUND`] and [`OUTBOUND`] list who implements them; nothing else names a protocol.
//!
//! Where both sides speak the same protocol nothing is translated: [`splice`] edits a request in place, frames of a
//! stream pass through [`Passthrough`], and the upstream's decoder only observes.

pub mod anthropic;
pub mod aws_events;
mod base64;
pub mod bedrock_converse;
mod counted;
pub mod estimate;
mod fields;
mod fnv;
pub mod gemini;
pub mod ir;
pub mod json;
pub mod models;
pub mod multipart;
mod openai;
pub mod openai_chat;
pub mod openai_responses;
pub mod operations;
mod roles;
mod scan;
pub mod splice;
pub mod sse;

use bytes::Bytes;

use crate::{
    ir::{ApiError, Event, Losses, Malformed, Request, Response},
    models::ModelRules,
    sse::Frame,
};

/// A wire grammar. What a provider is reached by, and what a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolId {
    /// `POST /v1/chat/completions`, OpenAI's and everybody's who is compatible with it.
    #[serde(rename = "openai_chat")]
    OpenAiChat,
    /// `POST /v1/responses`, OpenAI's newer API.
    #[serde(rename = "openai_responses")]
    OpenAiResponses,
    /// `POST /v1/messages`, Anthropic's.
    Anthropic,
    /// `POST /v1beta/models/{model}:generateContent`, Google's.
    Gemini,
    /// `POST /model/{model}/converse`, what Amazon Bedrock puts in front of all its models.
    BedrockConverse,
}

impl ProtocolId {
    /// The name used in configuration, in the admin API and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai_chat",
            Self::OpenAiResponses => "openai_responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::BedrockConverse => "bedrock_converse",
        }
    }

    /// All there are, spoken by this version or not.
    pub const ALL: [Self; 5] =
        [Self::OpenAiChat, Self::OpenAiResponses, Self::Anthropic, Self::Gemini, Self::BedrockConverse];

    /// Reads the name that [`ProtocolId::as_str`] writes.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|id| id.as_str() == name)
    }
}

/// What an answer is wrapped in besides what the model said: facts that only the caller knows, since this crate has
/// no clock and draws no random numbers.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Made into an answer's id where the upstream gave none; unique per request, and not the client's choice.
    pub request_id: String,
    /// Seconds since the epoch.
    pub created: u64,
    /// The model as the client named it, for upstreams that do not say what answered.
    pub model: String,
    /// Whether a chat client asked for the usage chunk (`stream_options.include_usage`).
    pub include_usage: bool,
    /// Whether a chat client knows `functions` only ([`Request::legacy_functions`]).
    pub legacy_functions: bool,
    /// Whether a stream is to be one JSON array rather than server-sent events, as Gemini's is without `alt=sse`.
    pub array: bool,
}

/// Who answered and how long it took: the two additions that a chat answer carries.
#[derive(Clone, Debug)]
pub struct Served {
    /// The provider's name.
    pub provider: String,
    /// The whole request, in milliseconds.
    pub latency_ms: u64,
}

/// When and to whom an error is reported: what an error body holds besides the error.
#[derive(Clone, Debug)]
pub struct ErrorContext {
    /// The request's id, as in the `X-Request-ID` header.
    pub request_id: String,
    /// RFC 3339, in UTC.
    pub timestamp: String,
}

/// The model that a request is encoded for.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The name under which the upstream knows it.
    pub model: &'a str,
    /// What that model takes and refuses.
    pub rules: &'a ModelRules,
}

/// What a request needs of the model that serves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub tool_call: bool,
    pub structured_output: bool,
    pub image: bool,
}

/// Names of what is needed, as capabilities are named in the admin API.
impl std::fmt::Display for Needs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let wanted =
            [(self.tool_call, "tool_call"), (self.structured_output, "structured_output"), (self.image, "image")];
        let names: Vec<_> = wanted.iter().filter(|(needed, _)| *needed).map(|(_, name)| *name).collect();
        f.write_str(&names.join(", "))
    }
}

/// The client's side of a protocol.
pub trait Inbound: Send + Sync {
    /// Which protocol this is.
    fn id(&self) -> ProtocolId;

    /// What the model must be able to do, told without parsing contents: a substring that only a picture has tells enough.
    fn needs(&self, members: &splice::Members<'_>) -> Needs;

    /// Checks what can be checked at little cost, before anybody is asked: the fields every request of this protocol
    /// must have, and the ranges of its numbers. `Malformed` names the field and what was expected of it.
    fn validate(&self, members: &splice::Members<'_>) -> Result<(), Malformed>;

    /// As [`Inbound::validate`], of a request that asks how many tokens another would take.
    fn validate_count(&self, members: &splice::Members<'_>) -> Result<(), Malformed> {
        self.validate(members)
    }

    /// Reads and checks a request body. `Malformed` names the field and what was expected of it. Where a protocol names the
    /// model and asks for a stream in the path, the caller sets [`Request::model`] and [`Request::stream`] afterwards.
    fn decode_request(&self, body: &[u8]) -> Result<Request, Malformed>;

    /// Writes a whole answer to `request`.
    fn encode_response(&self, request: &Request, response: &Response, envelope: &Envelope, served: &Served) -> Vec<u8>;

    /// Writes an error body in this protocol's shape. The status is [`Inbound::status`].
    fn encode_error(&self, error: &ApiError, context: &ErrorContext) -> Vec<u8>;

    /// The HTTP status of an error, where this protocol has one of its own for it.
    fn status(&self, error: &ApiError) -> u16 {
        error.status()
    }

    /// A writer of the stream that answers `request`; its state is that stream's alone.
    fn encoder(&self, request: &Request, envelope: Envelope) -> Box<dyn StreamEncoder>;

    /// What may be sent between two events so that nobody takes the connection for dead.
    fn keep_alive(&self, envelope: &Envelope) -> &'static [u8] {
        if envelope.array { b"\n" } else { b": keep-alive\n\n" }
    }

    /// Request headers, in lower case, that mean something to an upstream of this same protocol and pass to it.
    fn forwarded_headers(&self) -> &'static [&'static str] {
        &[]
    }

    /// Adds to a same-protocol whole answer what this gateway promises to add. A body that is no JSON object comes back as it is.
    fn sign_response(&self, body: Bytes, served: &Served) -> Bytes;

    /// The filter that a same-protocol stream goes through.
    fn passthrough(&self, envelope: &Envelope) -> Box<dyn Passthrough>;
}

/// The upstream's side of a protocol.
pub trait Outbound: Send + Sync {
    /// Which protocol this is.
    fn id(&self) -> ProtocolId;

    /// The path and query of the generating call, below a base URL that ends with the version segment.
    fn endpoint(&self, model: &str, stream: bool) -> String;

    /// Writes a request for `target`, and into `losses` whatever of it could not be said. What is refused is left out of the
    /// result, which may then be sent only as [`LossKind`](ir::LossKind) says.
    fn encode_request(&self, request: &Request, target: Target<'_>, losses: &mut Losses) -> Vec<u8>;

    /// The edits that make a request of this same protocol fit for `target`, when its bytes otherwise pass: model
    /// name, and what metering needs. `body` is a checked JSON object.
    fn adapt_request(&self, members: &splice::Members<'_>, target: Target<'_>) -> Vec<splice::Edit>;

    /// Reads a whole answer. `Err` is an answer that is no answer: an error inside a 200, or nonsense.
    fn decode_response(&self, body: &[u8]) -> Result<Response, ApiError>;

    /// Reads of a whole answer that passes on as it is what is counted: its usage, and of each candidate why it ended. Nothing
    /// else need be in the result, and the errors are the same.
    fn summarize_response(&self, body: &[u8]) -> Result<Response, ApiError> {
        self.decode_response(body)
    }

    /// Reads an error answer, whatever it holds: JSON of any shape, HTML, nothing. Never fails.
    fn decode_error(&self, status: u16, body: &[u8]) -> ApiError;

    /// A reader of one stream; its state is that stream's alone.
    fn decoder(&self) -> Box<dyn StreamDecoder>;

    /// The edits that make an encoded request for a whole answer ask for a stream, where the whole answer could take longer
    /// than upstreams let one take. `None` where it may come whole.
    fn rather_streamed(&self, _request: &splice::Members<'_>, _model: &str) -> Option<Vec<splice::Edit>> {
        None
    }

    /// What puts such a stream together for a client of this same protocol; its state is that stream's alone.
    fn assembler(&self) -> Option<Box<dyn Assembler>> {
        None
    }

    /// How the upstream counts a request's tokens without answering it, if it does.
    fn counting(&self) -> Option<&dyn Counting> {
        None
    }
}

/// The call of a protocol that counts a request's tokens.
pub trait Counting: Send + Sync {
    /// The path and query of the call, as in [`Outbound::endpoint`].
    fn endpoint(&self, model: &str) -> String;

    /// Makes a request of this call of an encoded generating one.
    fn request(&self, generating: &[u8], model: &str) -> Vec<u8>;

    /// As [`Outbound::adapt_request`], of a client's own request of this call.
    fn adapt(&self, members: &splice::Members<'_>, target: Target<'_>) -> Vec<splice::Edit>;

    /// Reads the number. `Err` is an answer that is no answer.
    fn decode(&self, body: &[u8]) -> Result<u64, ApiError>;
}

/// Reads one upstream stream into [`Event`]s that obey [`ir::Grammar`].
///
/// A decoder that never saw its first message emits nothing: no `Start` means that nothing was promised to anyone.
pub trait StreamDecoder: Send {
    /// Reads one frame. `Err` is an error event inside the stream, or a frame that makes no sense; after it the stream is over.
    fn push(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), ApiError>;

    /// Whether the protocol's own last word was read, so that nothing that may follow matters.
    fn is_over(&self) -> bool {
        false
    }

    /// The upstream closed: close what is open if the stream had ended by its protocol's own sign, or fail with what is missing.
    fn end(&mut self, out: &mut Vec<Event>) -> Result<(), ApiError>;
}

/// Puts a stream together to the body that its upstream would have answered with, had it answered whole.
pub trait Assembler: Send {
    /// Takes a frame that the stream's decoder has read.
    fn push(&mut self, frame: &Frame);

    /// The body, once the stream has ended well.
    fn whole(self: Box<Self>) -> Vec<u8>;
}

/// Writes one client stream from [`Event`]s.
pub trait StreamEncoder: Send {
    /// Writes what one event means, possibly nothing yet.
    fn push(&mut self, event: &Event, out: &mut Vec<u8>);

    /// Writes the protocol's own end after a stream that finished.
    fn end(&mut self, served: &Served, out: &mut Vec<u8>);

    /// Writes an error in the protocol's own way; nothing follows it, and no sign of a clean end precedes it.
    fn fail(&mut self, error: &ApiError, context: &ErrorContext, out: &mut Vec<u8>);
}

/// Forwards one same-protocol stream, frame by frame, with only the documented additions.
pub trait Passthrough: Send {
    /// Takes a frame and hands on those that may go now.
    fn push(&mut self, frame: Frame, out: &mut Vec<Bytes>);

    /// The upstream ended well: hand on what was held back.
    fn end(&mut self, served: &Served, out: &mut Vec<Bytes>);

    /// The stream broke: hand on what was held back if it still helps, then the error in the protocol's own way.
    fn fail(&mut self, error: &ApiError, context: &ErrorContext, out: &mut Vec<Bytes>);
}

/// The client protocols that this crate speaks.
pub static INBOUND: &[&dyn Inbound] =
    &[&openai_chat::OpenAiChat, &openai_responses::OpenAiResponses, &anthropic::Anthropic, &gemini::Gemini];

/// The upstream protocols that this crate speaks.
pub static OUTBOUND: &[&dyn Outbound] = &[
    &openai_chat::OpenAiChat,
    &openai_responses::OpenAiResponses,
    &anthropic::Anthropic,
    &gemini::Gemini,
    &bedrock_converse::BedrockConverse,
];

/// The client's side of `id`, if this crate speaks it.
pub fn inbound(id: ProtocolId) -> Option<&'static dyn Inbound> {
    INBOUND.iter().copied().find(|protocol| protocol.id() == id)
}

/// The upstream side of `id`, if this crate speaks it.
pub fn outbound(id: ProtocolId) -> Option<&'static dyn Outbound> {
    OUTBOUND.iter().copied().find(|protocol| protocol.id() == id)
}
