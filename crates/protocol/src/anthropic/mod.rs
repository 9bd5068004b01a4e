//! Anthropic's Messages API.
//!
//! - `client`: what agents and SDKs send. What breaks the protocol is named; what nobody knows is passed over and told.
//! - `upstream`: what Anthropic, and whoever speaks as it does, is sent.
//!
//! A client of this protocol sends every block back to whoever it talks to next. What other models sign stands in such
//! blocks too, each in a [`Carrier`](crate::ir::Carrier): `client` wraps and unwraps them, `upstream` never sends one on.

mod client;
mod upstream;

use bytes::Bytes;
use memchr::memmem;

pub(crate) use self::upstream::{Dialect, NOTHING, body, takes_long, wire};
use crate::{
    Assembler, Counting, Envelope, ErrorContext, Inbound, Needs, Outbound, Passthrough, ProtocolId, Served,
    StreamDecoder, StreamEncoder, Target, estimate,
    ir::{ApiError, Losses, Malformed, Request, Response},
    json::Json,
    splice::{Edit, Members},
};

/// The arguments of a call as a model wrote them. What is no object, or no JSON at all, becomes the one member of one, so
/// that the model can be shown what it wrote.
fn arguments(text: &str) -> Json {
    match (text.trim(), Json::parse(text.as_bytes())) {
        (_, Ok(object @ Json::Object(_))) => object,
        ("" | "null", _) => Json::Object(Vec::new()),
        (text, _) => Json::object([("input", Json::from(text))]),
    }
}

/// `POST /v1/messages`, from both sides.
#[derive(Clone, Copy, Debug)]
pub struct Anthropic;

impl Inbound for Anthropic {
    fn id(&self) -> ProtocolId {
        ProtocolId::Anthropic
    }

    fn needs(&self, members: &Members<'_>) -> Needs {
        let messages = members.get("messages").unwrap_or_default().as_bytes();
        let format = ["output_config", "output_format"].map(|field| members.get(field).unwrap_or_default());
        Needs {
            tool_call: members.get("tools").is_some_and(|list| list != "[]"),
            structured_output: format.iter().any(|format| format.contains("\"json_schema\"")),
            image: memmem::find(messages, b"\"image\"").is_some(),
        }
    }

    fn validate(&self, members: &Members<'_>) -> Result<(), Malformed> {
        client::validate(members)
    }

    fn validate_count(&self, members: &Members<'_>) -> Result<(), Malformed> {
        client::validate_count(members)
    }

    fn decode_request(&self, body: &[u8]) -> Result<Request, Malformed> {
        client::decode_request(body)
    }

    fn encode_response(&self, _: &Request, response: &Response, envelope: &Envelope, _: &Served) -> Vec<u8> {
        client::encode_response(response, envelope)
    }

    fn encode_error(&self, error: &ApiError, context: &ErrorContext) -> Vec<u8> {
        client::encode_error(error, context)
    }

    fn status(&self, error: &ApiError) -> u16 {
        client::status(error)
    }

    fn encoder(&self, request: &Request, envelope: Envelope) -> Box<dyn StreamEncoder> {
        Box::new(client::Encoder::new(envelope, estimate::tokens(request)))
    }

    fn keep_alive(&self, _: &Envelope) -> &'static [u8] {
        b"event: ping\ndata: {\"type\":\"ping\"}\n\n"
    }

    fn forwarded_headers(&self) -> &'static [&'static str] {
        &["anthropic-version", "anthropic-beta"]
    }

    /// Nothing is added: who answered is told in headers.
    fn sign_response(&self, body: Bytes, _: &Served) -> Bytes {
        body
    }

    fn passthrough(&self, _: &Envelope) -> Box<dyn Passthrough> {
        Box::new(client::Filter)
    }
}

impl Outbound for Anthropic {
    fn id(&self) -> ProtocolId {
        ProtocolId::Anthropic
    }

    fn endpoint(&self, _model: &str, _stream: bool) -> String {
        "/messages".to_owned()
    }

    fn encode_request(&self, request: &Request, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
        upstream::encode_request(request, target, losses)
    }

    fn adapt_request(&self, members: &Members<'_>, target: Target<'_>) -> Vec<Edit> {
        upstream::adapt_request(members, target)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Response, ApiError> {
        upstream::decode_response(body)
    }

    fn decode_error(&self, status: u16, body: &[u8]) -> ApiError {
        upstream::decode_error(status, body)
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(upstream::Decoder::default())
    }

    fn rather_streamed(&self, request: &Members<'_>, _model: &str) -> Option<Vec<Edit>> {
        let asked = request.get("max_tokens")?.parse().ok()?;
        takes_long(asked).then(|| vec![Edit::set("stream", "true")])
    }

    fn assembler(&self) -> Option<Box<dyn Assembler>> {
        Some(Box::<upstream::Assembler>::default())
    }

    fn counting(&self) -> Option<&dyn Counting> {
        Some(&upstream::COUNT)
    }
}
