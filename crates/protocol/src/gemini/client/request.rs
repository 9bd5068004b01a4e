//! Reads a request into the canonical form.

use super::{
    contents,
    fields::{Fields, must_be},
    generation, tools,
    validate::{WHOLE, validate_count},
};
use crate::{
    ir::{Malformed, Names, Request, Unmapped, Ways},
    json::Json,
    splice::Members,
};

/// This gateway's own fields, and the model, which the path names.
const NOT_GOOGLES: [&str; 4] = ["fallback_providers", "timeout", "retry_count", "model"];

/// What this protocol calls the fields that OpenAI's has as well, as its definition spells them.
const WAYS: &Ways = &[
    ("messages", &["contents"]),
    ("max_tokens", &["generationConfig.maxOutputTokens"]),
    ("temperature", &["generationConfig.temperature"]),
    ("top_p", &["generationConfig.topP"]),
    ("top_k", &["generationConfig.topK"]),
    ("presence_penalty", &["generationConfig.presencePenalty"]),
    ("frequency_penalty", &["generationConfig.frequencyPenalty"]),
    ("seed", &["generationConfig.seed"]),
    ("n", &["generationConfig.candidateCount"]),
    ("logprobs", &["generationConfig.responseLogprobs"]),
    ("stop", &["generationConfig.stopSequences"]),
    (
        "reasoning_effort",
        &[
            "generationConfig.thinkingConfig.thinkingBudget",
            "generationConfig.thinkingConfig.thinkingLevel",
            "generationConfig.thinkingConfig",
        ],
    ),
    (
        "response_format",
        &[
            "generationConfig.responseJsonSchema",
            "generationConfig.responseSchema",
            "generationConfig.responseMimeType",
        ],
    ),
    ("tool_choice", &["toolConfig.functionCallingConfig"]),
    ("arguments", &["args"]),
    ("filename", &["displayName"]),
];

/// Reads a generating request, or the one inside a request that asks for a count.
pub fn decode_request(body: &[u8]) -> Result<Request, Malformed> {
    let members = Members::read(body)?;
    validate_count(&members)?;
    let names = Names::of(WAYS, &members);
    let body = Json::parse(body).map_err(|_| must_be("", "a JSON object"))?;
    let mut body = Fields::of(body, "")?;
    if let Some(whole) = body.object(WHOLE)? {
        body = whole;
    }
    let mut request = Request { include_usage: true, names, ..Request::default() };
    if let Some(system) = body.take("systemInstruction") {
        contents::system(system, &mut request)?;
    }
    contents::read(body.list("contents"), &mut request)?;
    tools::read(body.list("tools"), &mut request)?;
    if let Some(config) = body.object("toolConfig")? {
        tools::config(config, &mut request)?;
    }
    if let Some(config) = body.object("generationConfig")? {
        generation::read(config, &mut request)?;
    }
    rest(body, &mut request.rest);
    Ok(request)
}

/// What has no place in the canonical form. A default said aloud is no loss.
fn rest(mut body: Fields, rest: &mut Vec<Unmapped>) {
    NOT_GOOGLES.iter().for_each(|key| drop(body.take(key)));
    for key in ["provider", "store"] {
        match body.take(key) {
            None | Some(Json::String(_) | Json::Bool(false)) => {}
            Some(_) => rest.push(Unmapped { path: key.to_owned(), ..Unmapped::default() }),
        }
    }
    if body.take("cachedContent").is_some() {
        let refusal = Some("what was cached at Google is not known to other providers");
        rest.push(Unmapped { path: "cachedContent".to_owned(), refusal, ..Unmapped::default() });
    }
    body.leave(rest);
}
