//! Google's Gemini API (`generateContent`).
//!
//! What is peculiar to it: the model stands in the path, tool calls mostly come without ids, whatever the model thought
//! comes back as signatures on ordinary parts, a finish reason of `STOP` also ends an answer that calls tools, and a
//! stream has no sign of its end but the closed body.
//!
//! - `client`: what Google's SDKs and its coding agent speak to this gateway. Either spelling of a field's name is read.
//! - `upstream`: what Google speaks.

mod client;
mod mime;
mod part;
mod signature;
mod upstream;
mod wire;

pub use self::upstream::flat_count;
pub(crate) use self::{client::Fields, upstream::in_path};

use bytes::Bytes;

use crate::{
    Counting, Envelope, ErrorContext, Inbound, Needs, Outbound, Passthrough, ProtocolId, Served, StreamDecoder,
    StreamEncoder, Target,
    ir::{ApiError, Losses, Malformed, Request, Response},
    splice::{Edit, Members},
};

/// `generateContent` and `streamGenerateContent`, from both sides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gemini;

impl Inbound for Gemini {
    fn id(&self) -> ProtocolId {
        ProtocolId::Gemini
    }

    fn needs(&self, members: &Members<'_>) -> Needs {
        client::needs(members)
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

    fn encode_response(&self, request: &Request, response: &Response, envelope: &Envelope, _: &Served) -> Vec<u8> {
        client::encode_response(request, response, envelope)
    }

    fn encode_error(&self, error: &ApiError, context: &ErrorContext) -> Vec<u8> {
        client::encode_error(error, self.status(error), context)
    }

    fn encoder(&self, request: &Request, envelope: Envelope) -> Box<dyn StreamEncoder> {
        Box::new(client::Encoder::new(request, envelope))
    }

    /// An empty line: Google's SDK for Python takes a comment for a broken answer.
    fn keep_alive(&self, envelope: &Envelope) -> &'static [u8] {
        if envelope.array { b"\n" } else { b"\r\n" }
    }

    /// Nothing: who answered is told by headers.
    fn sign_response(&self, body: Bytes, _: &Served) -> Bytes {
        body
    }

    fn passthrough(&self, envelope: &Envelope) -> Box<dyn Passthrough> {
        Box::new(client::Filter::new(envelope.array))
    }
}

impl Outbound for Gemini {
    fn id(&self) -> ProtocolId {
        ProtocolId::Gemini
    }

    fn endpoint(&self, model: &str, stream: bool) -> String {
        upstream::endpoint(model, stream)
    }

    fn encode_request(&self, request: &Request, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
        upstream::encode_request(request, target.rules, losses)
    }

    fn adapt_request(&self, members: &Members<'_>, target: Target<'_>) -> Vec<Edit> {
        upstream::adapt_request(members, target.rules)
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

    fn counting(&self) -> Option<&dyn Counting> {
        Some(&upstream::Count)
    }
}
