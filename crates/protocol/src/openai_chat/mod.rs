//! OpenAI's Chat Completions, the protocol that everybody is compatible with, more or less.
//!
//! - `client`: what this gateway's clients speak. Requests are read strictly: a wrong field is named, not guessed at.
//! - `upstream`: what providers speak. Answers are read leniently: servers that call themselves compatible put
//!   numbers where strings belong, lists where text belongs, and leave out what they like.

mod client;
mod upstream;
mod wire;

pub(crate) use self::client::encode_error;

use bytes::Bytes;

use crate::{
    Envelope, ErrorContext, Inbound, Needs, Outbound, Passthrough, ProtocolId, Served, StreamDecoder, StreamEncoder,
    Target,
    ir::{ApiError, Losses, Malformed, Request, Response},
    openai::error,
    splice::{Edit, Members},
};

/// `POST /v1/chat/completions`, from both sides.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiChat;

impl Inbound for OpenAiChat {
    fn id(&self) -> ProtocolId {
        ProtocolId::OpenAiChat
    }

    fn needs(&self, members: &Members<'_>) -> Needs {
        let images = |messages: &str| messages.contains("\"image_url\"");
        Needs {
            tool_call: ["tools", "functions"].iter().any(|field| members.get(field).is_some_and(|list| list != "[]")),
            structured_output: members.get("response_format").is_some_and(|format| format.contains("\"json_schema\"")),
            image: members.mentions("image_url") && members.get("messages").is_some_and(images),
        }
    }

    fn validate(&self, members: &Members<'_>) -> Result<(), Malformed> {
        client::validate(members)
    }

    fn decode_request(&self, body: &[u8]) -> Result<Request, Malformed> {
        client::decode_request(body)
    }

    fn encode_response(&self, _: &Request, response: &Response, envelope: &Envelope, served: &Served) -> Vec<u8> {
        client::encode_response(response, envelope, served)
    }

    fn encode_error(&self, error: &ApiError, context: &ErrorContext) -> Vec<u8> {
        client::encode_error(error, context)
    }

    fn encoder(&self, _: &Request, envelope: Envelope) -> Box<dyn StreamEncoder> {
        Box::new(client::Encoder::new(envelope))
    }

    fn sign_response(&self, body: Bytes, served: &Served) -> Bytes {
        client::sign(&body, served).map_or(body, Bytes::from)
    }

    fn passthrough(&self, envelope: &Envelope) -> Box<dyn Passthrough> {
        Box::new(client::Filter::new(envelope.include_usage))
    }
}

impl Outbound for OpenAiChat {
    fn id(&self) -> ProtocolId {
        ProtocolId::OpenAiChat
    }

    fn endpoint(&self, _model: &str, _stream: bool) -> String {
        "/chat/completions".to_owned()
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

    fn summarize_response(&self, body: &[u8]) -> Result<Response, ApiError> {
        upstream::summary(body).map_or_else(|| self.decode_response(body), Ok)
    }

    fn decode_error(&self, status: u16, body: &[u8]) -> ApiError {
        error::decode_error(ProtocolId::OpenAiChat, status, body)
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(upstream::Decoder::default())
    }
}
