//! What OpenAI's two protocols have in common, on the upstream's side.
//!
//! - [`body`]: the fields of a request that mean the same in both, and how model rules bend them.
//! - [`content`]: the parts of a conversation that are told in the same words.
//! - [`error`]: errors, in every shape that servers which call themselves compatible have for them.
//! - [`lenient`]: readers that forgive one field rather than lose a whole answer.

pub mod body;
pub mod content;
pub mod error;
pub mod ids;
pub mod lenient;

use crate::ProtocolId;

/// Whether what was issued in the protocol `origin` is OpenAI's own: an uploaded file is known in both of its protocols.
pub fn is_own(origin: ProtocolId) -> bool {
    matches!(origin, ProtocolId::OpenAiChat | ProtocolId::OpenAiResponses)
}
