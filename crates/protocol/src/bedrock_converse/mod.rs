//! Converse, which Amazon Bedrock puts in front of all its models, upstream side.
//!
//! A request is Anthropic's in other words: the conversation is arranged by the same rules, and only then written as
//! Converse writes it. Of the models on Bedrock only Claude signs its reasoning, and with the same signatures at
//! Anthropic's own address: they belong to [`ProtocolId::Anthropic`]. Encrypted reasoning is packed in another way
//! here, and belongs to [`ProtocolId::BedrockConverse`].

mod count;
mod error;
mod family;
mod media;
mod request;
#[cfg(test)]
mod request_tests;
mod response;
#[cfg(test)]
mod response_tests;
mod stream;
mod wire;
mod write;

use crate::{
    Counting, Outbound, ProtocolId, StreamDecoder, Target,
    anthropic::takes_long,
    ir::{ApiError, Losses, Request, Response},
    json::Json,
    splice::{Edit, Members},
};

/// `POST /model/{model}/converse`.
#[derive(Clone, Copy, Debug)]
pub struct BedrockConverse;

impl Outbound for BedrockConverse {
    fn id(&self) -> ProtocolId {
        ProtocolId::BedrockConverse
    }

    fn endpoint(&self, model: &str, stream: bool) -> String {
        let action = if stream { "converse-stream" } else { "converse" };
        format!("{}/{action}", model_path(model))
    }

    fn encode_request(&self, request: &Request, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
        request::encode(request, target, losses)
    }

    fn adapt_request(&self, _members: &Members<'_>, _target: Target<'_>) -> Vec<Edit> {
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

    /// The path says that a stream is wanted.
    fn rather_streamed(&self, request: &Members<'_>, model: &str) -> Option<Vec<Edit>> {
        let asked = Json::parse(request.get("inferenceConfig")?.as_bytes()).ok()?.get("maxTokens")?.as_u64()?;
        (family::Family::of(model) == family::Family::Claude && takes_long(asked)).then(Vec::new)
    }

    fn counting(&self) -> Option<&dyn Counting> {
        Some(&count::Count)
    }
}

/// The path below which a model's operations lie. Names of models hold colons, and ARNs slashes: both are escaped, so that
/// the name stays one segment.
pub fn model_path(model: &str) -> String {
    let mut path = "/model/".to_owned();
    for byte in model.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => path.push(char::from(byte)),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_is_one_segment_of_the_path() {
        assert_eq!(
            BedrockConverse.endpoint("us.anthropic.claude-haiku-4-5-20251001-v1:0", false),
            "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse"
        );
        assert_eq!(
            BedrockConverse.endpoint("arn:aws:bedrock:eu-west-1:1:inference-profile/x y", true),
            "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fx%20y/converse-stream"
        );
    }
}
