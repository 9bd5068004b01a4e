//! Anthropic's Messages API.

mod upstream;

use crate::{
    Counting, Outbound, ProtocolId, StreamDecoder, Target,
    ir::{ApiError, Losses, Request, Response},
    splice::{Edit, Members},
};

/// `POST /v1/messages`, from both sides.
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

    fn counting(&self) -> Option<&dyn Counting> {
        Some(&upstream::Count)
    }
}
