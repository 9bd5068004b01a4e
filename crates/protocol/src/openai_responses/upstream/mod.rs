//! The provider's side: requests written from the canonical form, answers read from whatever came.
//!
//! - `request`, `input`, `tools`: what is asked. The gateway keeps no state, so nothing is left with the provider either.
//! - `item`, `telling`, `queue`: an item on the wire, what it says, and how items that come side by side are put one behind
//!   the other.
//! - `response`, `stream`: whole answers and streams, both read through those.

mod adapt;
mod count;
mod input;
mod item;
mod queue;
mod request;
mod response;
mod stream;
mod telling;
mod tools;

#[cfg(test)]
mod request_tests;
#[cfg(test)]
mod stream_tests;

use super::OpenAiResponses;
use crate::{
    Counting, Outbound, ProtocolId, StreamDecoder, Target,
    ir::{ApiError, Losses, Request, Response},
    openai::error,
    splice::{Edit, Members},
};

impl Outbound for OpenAiResponses {
    fn id(&self) -> ProtocolId {
        ProtocolId::OpenAiResponses
    }

    fn endpoint(&self, _model: &str, _stream: bool) -> String {
        "/responses".to_owned()
    }

    fn encode_request(&self, request: &Request, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
        request::encode_request(request, target, losses)
    }

    fn adapt_request(&self, members: &Members<'_>, target: Target<'_>) -> Vec<Edit> {
        adapt::adapt_request(members, target)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Response, ApiError> {
        response::decode_response(body)
    }

    fn decode_error(&self, status: u16, body: &[u8]) -> ApiError {
        error::decode_error(ProtocolId::OpenAiResponses, status, body)
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(stream::Decoder::default())
    }

    fn counting(&self) -> Option<&dyn Counting> {
        Some(&count::COUNT)
    }
}
