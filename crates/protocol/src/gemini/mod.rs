//! Google's Gemini API (`generateContent`), upstream side.
//!
//! What is peculiar to it: the model stands in the path, tool calls mostly come without ids, whatever the model thought
//! comes back as signatures on ordinary parts, a finish reason of `STOP` also ends an answer that calls tools, and a
//! stream has no sign of its end but the closed body.

mod body;
mod contents;
mod error;
mod evidence;
mod generation;
mod media;
mod names;
mod partial;
mod reader;
mod request;
mod response;
mod stream;
#[cfg(test)]
mod tests;
mod tools;
mod wire;

pub(crate) use names::in_path;

use crate::{
    Outbound, ProtocolId, StreamDecoder, Target,
    ir::{ApiError, Losses, Request, Response},
    splice,
};

/// The upstream side of Google's Gemini API.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gemini;

impl Outbound for Gemini {
    fn id(&self) -> ProtocolId {
        ProtocolId::Gemini
    }

    fn endpoint(&self, model: &str, stream: bool) -> String {
        let model = names::in_path(model);
        match stream {
            // Without `alt=sse` the stream is one long JSON array.
            true => format!("/models/{model}:streamGenerateContent?alt=sse"),
            false => format!("/models/{model}:generateContent"),
        }
    }

    fn encode_request(&self, request: &Request, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
        request::encode(request, target.rules, losses)
    }

    /// Nothing: the model is named by the path, and usage always comes.
    fn adapt_request(&self, _: &splice::Members<'_>, _: Target<'_>) -> Vec<splice::Edit> {
        Vec::new()
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
