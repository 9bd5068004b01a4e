//! What OpenAI's two protocols have in common, as clients and upstreams word it.
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
pub mod media;

use crate::{
    ProtocolId,
    fields::{below, take},
    ir::Cache,
    json::Json,
};

/// Whether what was issued in the protocol `origin` is OpenAI's own: an uploaded file is known in both of its protocols.
pub fn is_own(origin: ProtocolId) -> bool {
    matches!(origin, ProtocolId::OpenAiChat | ProtocolId::OpenAiResponses)
}

/// Takes the extension `cache_control`, or OpenAI's own `prompt_cache_breakpoint`, of the object at `path`.
pub fn cache(value: &mut Json, path: &str) -> Option<Cache> {
    let (key, hint) =
        ["cache_control", "prompt_cache_breakpoint"].into_iter().find_map(|key| Some((key, take(value, key)?)))?;
    let ttl = hint.get("ttl").and_then(Json::as_str).map(str::to_owned);
    Some(Cache { ttl, place: below(path, key).into() })
}
