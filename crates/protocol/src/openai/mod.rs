//! What OpenAI's two protocols have in common.

pub mod media;

use crate::{fields::take, ir::Cache, json::Json};

/// The extension `cache_control`, and OpenAI's own `prompt_cache_breakpoint`.
pub fn cache(value: &mut Json) -> Option<Cache> {
    let hint = take(value, "cache_control").or_else(|| take(value, "prompt_cache_breakpoint"))?;
    Some(Cache { ttl: hint.get("ttl").and_then(Json::as_str).map(str::to_owned) })
}
