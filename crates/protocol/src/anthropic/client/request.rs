//! Reads a request into the canonical form. A field that nobody knows is no mistake: agents send more of them with every
//! version.

use super::{
    fields::{self, array, below, boolean, count, must_be, number, object, string, take},
    leftovers, messages, thinking, tools, unmapped,
};
use crate::{
    ir::{Cache, Hint, Malformed, Names, Part, Request, Sampling, Unmapped, Ways},
    json::Json,
    splice::Members,
};

/// What this protocol calls the fields that OpenAI's has as well.
const WAYS: &Ways = &[
    ("stop", &["stop_sequences"]),
    ("user", &["metadata.user_id"]),
    ("reasoning_effort", &["thinking.budget_tokens", "output_config.effort", "thinking"]),
    ("response_format", &["output_config.format", "output_format"]),
    ("parallel_tool_calls", &["tool_choice.disable_parallel_tool_use"]),
    ("parameters", &["input_schema"]),
    ("arguments", &["input"]),
    ("filename", &["title"]),
];

pub fn decode_request(body: &[u8]) -> Result<Request, Malformed> {
    let members = Members::read(body)?;
    let mut request = Request {
        model: string(&members, "model")?.unwrap_or_default(),
        sampling: Sampling {
            temperature: number(&members, "temperature", 0.0..=1.0)?,
            top_p: number(&members, "top_p", 0.0..=1.0)?,
            top_k: count(&members, "top_k", 0)?,
            ..Sampling::default()
        },
        // A request that only fills the cache has the smallest of answers elsewhere.
        max_output_tokens: count(&members, "max_tokens", 0)?.map(|most| most.max(1)),
        stop: stop(&members)?,
        stream: boolean(&members, "stream")?.unwrap_or(false),
        names: Names::of(WAYS, &members),
        ..Request::default()
    };
    tools::read(&members, &mut request)?;
    thinking::read(&members, &mut request)?;
    messages::system(fields::json(&members, "system"), &mut request)?;
    messages::read(array(&members, "messages")?.unwrap_or_default(), &mut request)?;
    if let Some(hint) = object(&members, CACHE)? {
        cache_all(cache_of(&hint, CACHE), &mut request);
    }
    user(object(&members, "metadata")?, &mut request)?;
    rest(&members, &mut request.rest);
    Ok(request)
}

fn stop(members: &Members<'_>) -> Result<Vec<String>, Malformed> {
    let text = |(at, value): (usize, Json)| match value {
        Json::String(text) => Ok(text),
        _ => Err(must_be(&format!("stop_sequences[{at}]"), "a string")),
    };
    array(members, "stop_sequences")?.unwrap_or_default().into_iter().enumerate().map(text).collect()
}

/// The hint that a prompt may be cached.
const CACHE: &str = "cache_control";

/// Takes the hint that a prompt may be cached up to the end of a block, tool or message.
pub fn cache(value: &mut Json, path: &str) -> Option<Cache> {
    take(value, CACHE).map(|hint| cache_of(&hint, &below(path, CACHE)))
}

fn cache_of(hint: &Json, path: &str) -> Cache {
    Cache { ttl: hint.get("ttl").and_then(Json::as_str).map(str::to_owned), place: path.into() }
}

/// A hint for the whole request stands at its last block.
fn cache_all(hint: Cache, request: &mut Request) {
    let parts = request.messages.iter_mut().rev().flat_map(|message| message.parts.iter_mut().rev());
    let place = parts.chain(request.system.iter_mut().rev()).find_map(|part| match part {
        Part::Text(text) => Some(&mut text.cache),
        Part::Media(media) => Some(&mut media.cache),
        Part::ToolResult(result) => Some(&mut result.cache),
        _ => None,
    });
    if let Some(place) = place {
        place.get_or_insert(hint);
    }
}

fn user(metadata: Option<Json>, request: &mut Request) -> Result<(), Malformed> {
    let Some(mut metadata) = metadata else { return Ok(()) };
    request.user = fields::take_string(&mut metadata, "user_id", "metadata")?;
    leftovers(&metadata, "metadata", &mut request.rest);
    Ok(())
}

/// Has the provider keep the conversation. Only the one that did can go on with what it keeps.
pub const THREAD: &str = "thread";

/// Fields that are read above, or that this gateway keeps for itself.
const SPOKEN_FOR: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "system",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "stream",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "cache_control",
    "metadata",
    "fallback_providers",
    "timeout",
    "retry_count",
];

/// What has no place in the canonical form. A default said aloud is no loss.
fn rest(members: &Members<'_>, rest: &mut Vec<Unmapped>) {
    for key in members.keys().filter(|key| !SPOKEN_FOR.contains(key)) {
        let Some(value) = fields::json(members, key) else { continue };
        match (key, &value) {
            ("provider", Json::String(_)) => {}
            ("service_tier", Json::String(tier)) if tier == "auto" => {}
            ("service_tier", Json::String(tier)) if tier == "standard_only" => rest.push(Unmapped {
                path: key.to_owned(),
                hint: Some((Hint::ServiceTier, Json::from("default"))),
                ..Unmapped::default()
            }),
            (THREAD, thread) if thread.get("previous_message_id").is_some() => rest.push(Unmapped {
                path: key.to_owned(),
                refusal: Some("the conversation is kept elsewhere; it must be sent whole"),
                ..Unmapped::default()
            }),
            (_, Json::Array(items)) if items.is_empty() => {}
            _ => unmapped(key.to_owned(), rest),
        }
    }
}
