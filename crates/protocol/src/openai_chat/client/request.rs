//! Reads a request into the canonical form.

use super::{messages, tools, validate};
use crate::{
    fields::{self, array, below, boolean, count, integer, must_be, number, object, string, take, take_string},
    ir::{Effort, Hint, Malformed, Names, ReasoningRequest, Request, ResponseFormat, Sampling, Unmapped, Ways},
    json::Json,
    splice::Members,
};

/// Fields that clients have several names for.
const WAYS: &Ways = &[
    ("max_tokens", &["max_completion_tokens", "max_tokens"]),
    ("user", &["safety_identifier", "user"]),
    ("tools", &["tools", "functions"]),
    ("tool_choice", &["tool_choice", "function_call"]),
    (
        "reasoning_effort",
        &[
            "thinking.budget_tokens",
            "thinking.type",
            "reasoning.max_tokens",
            "reasoning.effort",
            "reasoning.enabled",
            "reasoning_effort",
        ],
    ),
];

pub fn decode_request(body: &[u8]) -> Result<Request, Malformed> {
    let members = Members::read(body)?;
    validate(&members)?;
    let mut request = Request {
        model: string(&members, "model")?.unwrap_or_default(),
        sampling: sampling(&members)?,
        candidates: count(&members, "n", 1)?.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
        logprobs: logprobs(&members)?,
        max_output_tokens: count(&members, "max_completion_tokens", 1)?.or(count(&members, "max_tokens", 1)?),
        reasoning: reasoning(&members)?,
        response_format: response_format(&members)?,
        stop: stop(&members)?,
        stream: boolean(&members, "stream")?.unwrap_or(false),
        include_usage: include_usage(&members)?,
        user: string(&members, "safety_identifier")?.or(string(&members, "user")?),
        parallel_tool_calls: boolean(&members, "parallel_tool_calls")?,
        names: Names::of(WAYS, &members),
        ..Request::default()
    };
    tools::read(&members, &mut request)?;
    messages::read(array(&members, "messages")?.unwrap_or_default(), &mut request)?;
    rest(&members, &mut request.rest);
    Ok(request)
}

fn sampling(members: &Members<'_>) -> Result<Sampling, Malformed> {
    Ok(Sampling {
        temperature: number(members, "temperature", 0.0..=2.0)?,
        top_p: number(members, "top_p", 0.0..=1.0)?,
        top_k: count(members, "top_k", 0)?,
        presence_penalty: number(members, "presence_penalty", -2.0..=2.0)?,
        frequency_penalty: number(members, "frequency_penalty", -2.0..=2.0)?,
        seed: integer(members, "seed")?,
    })
}

fn logprobs(members: &Members<'_>) -> Result<Option<u32>, Malformed> {
    let top = count(members, "top_logprobs", 0)?;
    if top.is_some_and(|top| top > 20) {
        return Err(must_be("top_logprobs", "a whole number between 0 and 20"));
    }
    match (boolean(members, "logprobs")?, top) {
        (Some(true), top) => Ok(Some(u32::try_from(top.unwrap_or(0)).unwrap_or(0))),
        (_, None | Some(0)) => Ok(None),
        (_, Some(_)) => Err(must_be("logprobs", "true where `top_logprobs` is given")),
    }
}

fn stop(members: &Members<'_>) -> Result<Vec<String>, Malformed> {
    let text = |(at, value): (usize, Json)| match value {
        Json::String(text) => Ok(text),
        _ => Err(must_be(&format!("stop[{at}]"), "a string")),
    };
    match fields::json(members, "stop") {
        None => Ok(Vec::new()),
        Some(Json::String(text)) => Ok(vec![text]),
        Some(Json::Array(items)) => items.into_iter().enumerate().map(text).collect(),
        Some(_) => Err(must_be("stop", "a string or an array of strings")),
    }
}

fn include_usage(members: &Members<'_>) -> Result<bool, Malformed> {
    let options = object(members, "stream_options")?;
    Ok(options.and_then(|options| options.get("include_usage")?.as_bool()).unwrap_or(false))
}

/// `reasoning_effort`; the extension `thinking` as Anthropic has it; `reasoning` as OpenRouter has it.
fn reasoning(members: &Members<'_>) -> Result<Option<ReasoningRequest>, Malformed> {
    let mut asked: Option<ReasoningRequest> = None;
    if let Some(name) = string(members, "reasoning_effort")? {
        asked.get_or_insert_default().effort = Some(effort(&name, "reasoning_effort")?);
    }
    if let Some(mut other) = object(members, "reasoning")? {
        let named = take_string(&mut other, "effort", "reasoning")?;
        let enabled = take(&mut other, "enabled").and_then(|value| value.as_bool());
        let asked = asked.get_or_insert_default();
        if let Some(name) = named {
            asked.effort = Some(effort(&name, "reasoning.effort")?);
        } else if enabled == Some(false) {
            asked.effort = Some(Effort::None);
        }
        asked.budget = budget(take(&mut other, "max_tokens"), "reasoning.max_tokens")?;
    }
    if let Some(mut thinking) = object(members, "thinking")? {
        let asked = asked.get_or_insert_default();
        match take_string(&mut thinking, "type", "thinking")?.as_deref() {
            Some("disabled") => asked.budget = Some(0),
            Some("enabled" | "adaptive" | "auto") => {
                asked.budget = budget(take(&mut thinking, "budget_tokens"), "thinking.budget_tokens")?;
            }
            _ => return Err(must_be("thinking.type", "one of enabled, disabled, adaptive")),
        }
    }
    Ok(asked)
}

fn effort(name: &str, path: &str) -> Result<Effort, Malformed> {
    Effort::parse(name).ok_or_else(|| must_be(path, &format!("one of {}", Effort::ALL.map(Effort::as_str).join(", "))))
}

fn budget(value: Option<Json>, path: &str) -> Result<Option<u64>, Malformed> {
    match value {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| must_be(path, "a whole number of tokens")),
    }
}

fn response_format(members: &Members<'_>) -> Result<Option<ResponseFormat>, Malformed> {
    let Some(mut format) = object(members, "response_format")? else { return Ok(None) };
    let kind = take_string(&mut format, "type", "response_format")?.unwrap_or_default();
    match kind.as_str() {
        "text" => Ok(Some(ResponseFormat::Text)),
        "json_object" => Ok(Some(ResponseFormat::JsonObject)),
        "json_schema" => json_schema(take(&mut format, "json_schema")).map(Some),
        _ => Err(must_be("response_format.type", "one of text, json_object, json_schema")),
    }
}

fn json_schema(value: Option<Json>) -> Result<ResponseFormat, Malformed> {
    const PATH: &str = "response_format.json_schema";
    let Some(mut value @ Json::Object(_)) = value else { return Err(must_be(PATH, "an object")) };
    let schema = match take(&mut value, "schema") {
        None => return Ok(ResponseFormat::JsonObject),
        Some(schema @ Json::Object(_)) => schema,
        Some(_) => return Err(must_be(&below(PATH, "schema"), "an object")),
    };
    Ok(ResponseFormat::JsonSchema {
        name: take_string(&mut value, "name", PATH)?,
        description: take_string(&mut value, "description", PATH)?,
        schema,
        strict: take(&mut value, "strict").and_then(|strict| strict.as_bool()),
    })
}

/// Fields that are read above, or that this gateway keeps for itself.
const SPOKEN_FOR: &[&str] = &[
    "model",
    "messages",
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "n",
    "logprobs",
    "top_logprobs",
    "max_tokens",
    "max_completion_tokens",
    "reasoning_effort",
    "reasoning",
    "thinking",
    "response_format",
    "stop",
    "stream",
    "user",
    "safety_identifier",
    "parallel_tool_calls",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "fallback_providers",
    "timeout",
    "retry_count",
];

/// What has no place in the canonical form. A default said aloud is no loss.
fn rest(members: &Members<'_>, rest: &mut Vec<Unmapped>) {
    for key in members.keys().filter(|key| !SPOKEN_FOR.contains(key)) {
        let Some(value) = fields::json(members, key) else { continue };
        let (path, refusal) = match (key, &value) {
            ("provider", Json::String(_)) | ("store", Json::Bool(false)) => continue,
            ("service_tier", Json::String(tier)) if tier == "auto" || tier == "default" => continue,
            ("verbosity", Json::String(level)) if level == "medium" => continue,
            ("logit_bias" | "metadata", Json::Object(bias)) if bias.is_empty() => continue,
            ("modalities", Json::Array(kinds)) if kinds.iter().all(|kind| kind.as_str() == Some("text")) => continue,
            ("stream_options", options) => {
                if options.get("include_obfuscation").and_then(Json::as_bool) == Some(true) {
                    rest.push(Unmapped {
                        path: "stream_options.include_obfuscation".to_owned(),
                        refusal: None,
                        ..Unmapped::default()
                    });
                }
                continue;
            }
            ("logit_bias", _) => (key, Some("token ids mean something else to another model")),
            ("prediction", _) => (key, Some("predicted output exists in OpenAI's own protocol only")),
            ("modalities" | "audio", _) => (key, Some("this model's protocol gives text only to chat clients")),
            ("web_search_options", _) => (key, Some("web search is built into OpenAI's search models only")),
            _ => (key, None),
        };
        let hint = hint(key).map(|hint| (hint, value));
        rest.push(Unmapped { path: path.to_owned(), refusal, hint });
    }
}

/// What the Responses protocol has a field for as well.
fn hint(key: &str) -> Option<Hint> {
    const SHARED: [Hint; 6] = [
        Hint::Verbosity,
        Hint::ServiceTier,
        Hint::PromptCacheKey,
        Hint::PromptCacheRetention,
        Hint::Metadata,
        Hint::Store,
    ];
    SHARED.into_iter().find(|hint| hint.as_str() == key)
}
