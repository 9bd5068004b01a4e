//! Anthropic's Messages API, upstream side.

mod cache;
mod dialect;
mod error;
mod ids;
mod media;
mod request;
#[cfg(test)]
mod request_tests;
mod response;
#[cfg(test)]
mod response_tests;
mod schema;
mod stream;
mod thinking;
mod tools;
mod turns;
#[cfg(test)]
mod turns_tests;
pub(crate) mod wire;

pub(crate) use self::{dialect::Dialect, request::body, turns::NOTHING};
use crate::{
    Outbound, ProtocolId, StreamDecoder, Target,
    ir::{ApiError, Losses, Request, Response},
    splice::{Edit, Members},
};

/// `POST /messages`.
#[derive(Clone, Copy, Debug)]
pub struct Anthropic;

impl Outbound for Anthropic {
    fn id(&self) -> ProtocolId {
        ProtocolId::Anthropic
    }

    fn endpoint(&self, _model: &str, _stream: bool) -> String {
        "/messages".to_owned()
    }

    fn encode_request(&self, request: &Request, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
        request::encode(request, target, losses)
    }

    fn adapt_request(&self, _members: &Members<'_>, target: Target<'_>) -> Vec<Edit> {
        vec![Edit::set("model", crate::json::Json::from(target.model).to_string())]
    }

    fn decode_response(&self, body: &[u8]) -> Result<Response, ApiError> {
        response::decode(body)
    }

    fn decode_error(&self, status: u16, body: &[u8]) -> ApiError {
        error::decode(status, body)
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(stream::Decoder::default())
    }
}
