//! stub
pub struct OpenAiChat;
impl crate::Inbound for OpenAiChat {
    fn id(&self) -> crate::ProtocolId {
        crate::ProtocolId::OpenAiChat
    }
    fn validate(&self, _m: &crate::splice::Members<'_>) -> Result<(), crate::ir::Malformed> {
        Ok(())
    }
    fn decode_request(&self, _b: &[u8]) -> Result<crate::ir::Request, crate::ir::Malformed> {
        Ok(Default::default())
    }
    fn encode_response(&self, _r: &crate::ir::Response, _e: &crate::Envelope, _s: &crate::Served) -> Vec<u8> {
        vec![]
    }
    fn encode_error(&self, _e: &crate::ir::ApiError, _c: &crate::ErrorContext) -> Vec<u8> {
        vec![]
    }
    fn encoder(&self, _e: crate::Envelope) -> Box<dyn crate::StreamEncoder> {
        loop {}
    }
    fn sign_response(&self, b: bytes::Bytes, _s: &crate::Served) -> bytes::Bytes {
        b
    }
    fn passthrough(&self, _e: &crate::Envelope) -> Box<dyn crate::Passthrough> {
        loop {}
    }
}
