//! OpenAI's Responses: a conversation of typed items rather than of messages, and streams of typed events.
//!
//! - `client`: what this gateway's clients speak. Requests are read strictly: a wrong field is named, not guessed at.
//! - `upstream`: what providers speak.

mod client;
mod upstream;

use bytes::Bytes;

pub use self::client::answer_of;

use crate::{
    Envelope, ErrorContext, Inbound, Needs, Passthrough, ProtocolId, Served, StreamEncoder,
    ir::{ApiError, Malformed, Request, Response},
    openai_chat::OpenAiChat,
    splice::Members,
};

/// `POST /v1/responses`.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiResponses;

impl Inbound for OpenAiResponses {
    fn id(&self) -> ProtocolId {
        ProtocolId::OpenAiResponses
    }

    fn needs(&self, members: &Members<'_>) -> Needs {
        Needs {
            tool_call: members.get("tools").is_some_and(|list| list != "[]"),
            structured_output: members.get("text").is_some_and(|text| text.contains("\"json_schema\"")),
            image: members.mentions("input_image")
                && members.get("input").is_some_and(|input| input.contains("\"input_image\"")),
        }
    }

    fn validate(&self, members: &Members<'_>) -> Result<(), Malformed> {
        client::validate(members)
    }

    fn decode_request(&self, body: &[u8]) -> Result<Request, Malformed> {
        client::decode_request(body)
    }

    fn encode_response(&self, request: &Request, response: &Response, envelope: &Envelope, _: &Served) -> Vec<u8> {
        client::encode_response(request, response, envelope)
    }

    /// The upstream's own words where it speaks this protocol, else the same as for clients of OpenAI's other one.
    fn encode_error(&self, error: &ApiError, context: &ErrorContext) -> Vec<u8> {
        match error.raw_in(ProtocolId::OpenAiResponses) {
            Some(body) => body.as_bytes().to_vec(),
            None => OpenAiChat.encode_error(error, context),
        }
    }

    fn encoder(&self, request: &Request, envelope: Envelope) -> Box<dyn StreamEncoder> {
        Box::new(client::Encoder::new(request, envelope))
    }

    /// Nothing is added: clients of this protocol check their answers more strictly, and headers tell who answered.
    fn sign_response(&self, body: Bytes, _: &Served) -> Bytes {
        body
    }

    fn passthrough(&self, _: &Envelope) -> Box<dyn Passthrough> {
        Box::new(client::Filter::default())
    }
}
