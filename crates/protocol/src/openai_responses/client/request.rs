//! Reads a request into the canonical form.

use super::{input, tools, validate};
use crate::{
    fields::{self, below, boolean, count, must_be, number, object, string, take, take_string},
    ir::{Effort, Hint, Malformed, Names, Part, ReasoningRequest, Request, ResponseFormat, Sampling, Unmapped, Ways},
    json::Json,
    splice::Members,
};

/// What this protocol calls the fields that it has in common with OpenAI's older one.
const WAYS: &Ways = &[
    ("messages", &["input"]),
    ("max_tokens", &["max_output_tokens"]),
    ("user", &["safety_identifier", "user"]),
    ("reasoning_effort", &["reasoning.effort"]),
    ("response_format", &["text.format"]),
    ("response_format.json_schema.description", &["text.format.description"]),
    ("logprobs", &["top_logprobs", "include"]),
];

pub fn decode_request(body: &[u8]) -> Result<Request, Malformed> {
    let members = Members::read(body)?;
    validate(&members)?;
    let mut request = Request {
        model: string(&members, "model")?.unwrap_or_default(),
        sampling: Sampling {
            temperature: number(&members, "temperature", 0.0..=2.0)?,
            top_p: number(&members, "top_p", 0.0..=1.0)?,
            ..Sampling::default()
        },
        max_output_tokens: count(&members, "max_output_tokens", 1)?,
        parallel_tool_calls: boolean(&members, "parallel_tool_calls")?,
        stream: boolean(&members, "stream")?.unwrap_or(false),
        include_usage: true,
        user: string(&members, "safety_identifier")?.or(string(&members, "user")?),
        echo: echo(&members),
        names: Names::of(WAYS, &members),
        ..Request::default()
    };
    request.system.extend(instructions(&members)?);
    reasoning(&members, &mut request)?;
    text(&members, &mut request)?;
    include(&members, &mut request)?;
    let names = tools::read(&members, &mut request)?;
    input::read(fields::json(&members, "input").unwrap_or_else(|| Json::Array(Vec::new())), &mut request, names)?;
    rest(&members, &mut request.rest);
    Ok(request)
}

fn instructions(members: &Members<'_>) -> Result<Option<Part>, Malformed> {
    Ok(string(members, "instructions")?.filter(|text| !text.is_empty()).map(Part::text))
}

fn reasoning(members: &Members<'_>, request: &mut Request) -> Result<(), Malformed> {
    const PATH: &str = "reasoning";
    let Some(mut value) = object(members, PATH)? else { return Ok(()) };
    let word = take_string(&mut value, "effort", PATH)?;
    let effort = word.map(|word| effort(&word, "reasoning.effort")).transpose()?;
    let summary = take_string(&mut value, "summary", PATH)?;
    let summary = take_string(&mut value, "generate_summary", PATH)?.or(summary);
    let visible = summary.map(|wish| wish != "none");
    if effort.is_some() || visible.is_some() {
        request.reasoning = Some(ReasoningRequest { effort, budget: None, visible });
    }
    request.rest.extend(remaining(&value, PATH));
    Ok(())
}

pub fn effort(name: &str, path: &str) -> Result<Effort, Malformed> {
    Effort::parse(name).ok_or_else(|| must_be(path, &format!("one of {}", Effort::ALL.map(Effort::as_str).join(", "))))
}

fn text(members: &Members<'_>, request: &mut Request) -> Result<(), Malformed> {
    const PATH: &str = "text";
    let Some(mut value) = object(members, PATH)? else { return Ok(()) };
    if let Some(format) = take(&mut value, "format") {
        request.response_format = Some(text_format(format, "text.format")?);
    }
    if let Some(level) = take_string(&mut value, "verbosity", PATH)?.filter(|level| level != "medium") {
        let hint = Some((Hint::Verbosity, Json::from(level)));
        request.rest.push(Unmapped { path: "text.verbosity".to_owned(), refusal: None, hint });
    }
    request.rest.extend(remaining(&value, PATH));
    Ok(())
}

/// Reads the form that an answer is to have.
pub fn text_format(mut format: Json, path: &str) -> Result<ResponseFormat, Malformed> {
    match take_string(&mut format, "type", path)?.as_deref() {
        Some("text") => Ok(ResponseFormat::Text),
        Some("json_object") => Ok(ResponseFormat::JsonObject),
        Some("json_schema") => {
            let Some(schema @ Json::Object(_)) = take(&mut format, "schema") else {
                return Err(must_be(&below(path, "schema"), "an object"));
            };
            Ok(ResponseFormat::JsonSchema {
                name: take_string(&mut format, "name", path)?,
                description: take_string(&mut format, "description", path)?,
                schema,
                strict: take(&mut format, "strict").and_then(|strict| strict.as_bool()),
            })
        }
        _ => Err(must_be(&below(path, "type"), "one of text, json_object, json_schema")),
    }
}

/// What is to be told besides the answer itself. Reasoning that must come back is told to everybody.
fn include(members: &Members<'_>, request: &mut Request) -> Result<(), Malformed> {
    let top = count(members, "top_logprobs", 0)?;
    if top.is_some_and(|top| top > 20) {
        return Err(must_be("top_logprobs", "a whole number between 0 and 20"));
    }
    let top = top.and_then(|top| u32::try_from(top).ok());
    request.logprobs = top.filter(|top| *top > 0);
    for (at, item) in fields::array(members, "include")?.unwrap_or_default().into_iter().enumerate() {
        match item.as_str() {
            Some("message.output_text.logprobs") => request.logprobs = Some(top.unwrap_or(0)),
            Some("reasoning.encrypted_content") => {}
            Some(_) => request.rest.push(Unmapped { path: format!("include[{at}]"), ..Unmapped::default() }),
            None => return Err(must_be(&format!("include[{at}]"), "a string")),
        }
    }
    Ok(())
}

/// Members of an object that nobody took and that say something.
fn remaining<'a>(value: &'a Json, path: &'a str) -> impl Iterator<Item = Unmapped> + 'a {
    let said = value.members().unwrap_or_default().iter().filter(|(_, value)| !value.is_null());
    said.map(move |(key, _)| Unmapped { path: below(path, key), ..Unmapped::default() })
}

/// Fields that are read above, or that this gateway keeps for itself.
const SPOKEN_FOR: &[&str] = &[
    "model",
    "input",
    "instructions",
    "temperature",
    "top_p",
    "max_output_tokens",
    "parallel_tool_calls",
    "stream",
    "safety_identifier",
    "user",
    "reasoning",
    "text",
    "include",
    "top_logprobs",
    "tools",
    "tool_choice",
    "fallback_providers",
    "timeout",
    "retry_count",
];

/// Fields that OpenAI's other protocol has as well.
const HINTS: &[(&str, Hint)] = &[
    ("metadata", Hint::Metadata),
    ("store", Hint::Store),
    ("service_tier", Hint::ServiceTier),
    ("prompt_cache_key", Hint::PromptCacheKey),
    ("prompt_cache_retention", Hint::PromptCacheRetention),
];

/// What has no place in the canonical form. A default said aloud is no loss.
fn rest(members: &Members<'_>, rest: &mut Vec<Unmapped>) {
    for key in members.keys().filter(|key| !SPOKEN_FOR.contains(key)) {
        let Some(value) = fields::json(members, key) else { continue };
        let refusal = match (key, &value) {
            ("provider", Json::String(_)) | ("store" | "background", Json::Bool(false)) => continue,
            ("service_tier", Json::String(tier)) if tier == "auto" || tier == "default" => continue,
            ("truncation", Json::String(way)) if way == "disabled" => continue,
            ("metadata", Json::Object(pairs)) if pairs.is_empty() => continue,
            ("stream_options", options) => {
                if options.get("include_obfuscation").and_then(Json::as_bool) == Some(true) {
                    rest.push(Unmapped {
                        path: "stream_options.include_obfuscation".to_owned(),
                        ..Unmapped::default()
                    });
                }
                continue;
            }
            ("previous_response_id", _) => Some("the response that it continues is not kept here"),
            ("conversation", _) => Some("the conversation is kept by a provider of this protocol only"),
            ("prompt", _) => Some("the template is kept by a provider of this protocol only"),
            ("background", _) => Some("an answer in the background exists in this protocol only"),
            _ => None,
        };
        let hint = HINTS.iter().find(|(name, _)| *name == key).map(|(_, hint)| (*hint, value));
        rest.push(Unmapped { path: key.to_owned(), refusal, hint });
    }
}

/// Fields that an answer repeats, and what it says of those that were not given.
const ECHOED: &[(&str, &str)] = &[
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("store", "true"),
    ("temperature", "1.0"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", r#""auto""#),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "1.0"),
    ("truncation", r#""disabled""#),
    ("user", "null"),
];

fn echo(members: &Members<'_>) -> Vec<(String, Json)> {
    let value = |key, default: &str| {
        let given = members.get(key).unwrap_or(default);
        Json::parse(given.as_bytes()).unwrap_or_default()
    };
    ECHOED.iter().map(|(key, default)| ((*key).to_owned(), value(key, default))).collect()
}
