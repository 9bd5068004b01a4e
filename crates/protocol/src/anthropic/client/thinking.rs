//! Reads how much the model is to think, and what form its answer is to have.

use super::{
    fields::{must_be, object, take, take_string},
    leftovers, unmapped,
};
use crate::{
    ir::{Effort, Malformed, ReasoningRequest, Request, ResponseFormat},
    json::Json,
    splice::Members,
};

/// Reads `thinking`, `output_config` and `output_format`, which was the name of `output_config.format` at first.
pub fn read(members: &Members<'_>, request: &mut Request) -> Result<(), Malformed> {
    let mut output = object(members, "output_config")?.unwrap_or_default();
    let effort = effort(&mut output, request)?;
    request.response_format = match take(&mut output, "format") {
        Some(format) => Some(response_format(format, "output_config.format")?),
        None => object(members, "output_format")?.map(|format| response_format(format, "output_format")).transpose()?,
    };
    leftovers(&output, "output_config", &mut request.rest);
    request.reasoning = match object(members, "thinking")? {
        Some(thinking) => wanted(thinking, effort, request)?,
        None => effort.map(|effort| ReasoningRequest { effort: Some(effort), ..ReasoningRequest::default() }),
    };
    Ok(())
}

fn effort(output: &mut Json, request: &mut Request) -> Result<Option<Effort>, Malformed> {
    let Some(name) = take_string(output, "effort", "output_config")? else { return Ok(None) };
    let effort = Effort::parse(&name);
    if effort.is_none() {
        unmapped("output_config.effort".to_owned(), &mut request.rest);
    }
    Ok(effort)
}

fn wanted(
    mut thinking: Json,
    effort: Option<Effort>,
    request: &mut Request,
) -> Result<Option<ReasoningRequest>, Malformed> {
    let kind = take_string(&mut thinking, "type", "thinking")?.unwrap_or_default();
    let visible = match take_string(&mut thinking, "display", "thinking")?.as_deref() {
        Some("omitted") => Some(false),
        Some(_) => Some(true),
        None => None,
    };
    let budget = match take(&mut thinking, "budget_tokens") {
        None => None,
        Some(tokens) => {
            let tokens = tokens.as_u64();
            Some(tokens.ok_or_else(|| must_be("thinking.budget_tokens", "a whole number of tokens"))?)
        }
    };
    leftovers(&thinking, "thinking", &mut request.rest);
    Ok(match kind.as_str() {
        "disabled" => {
            if effort.is_some() {
                unmapped("output_config.effort".to_owned(), &mut request.rest);
            }
            Some(ReasoningRequest { effort: Some(Effort::None), budget: Some(0), visible: None })
        }
        "enabled" => Some(ReasoningRequest { effort, budget, visible: visible.or(Some(true)) }),
        "adaptive" | "between_tools" => Some(ReasoningRequest { effort, budget: None, visible }),
        "" => return Err(must_be("thinking.type", "one of enabled, disabled, adaptive, between_tools")),
        _ => {
            unmapped("thinking.type".to_owned(), &mut request.rest);
            effort.map(|effort| ReasoningRequest { effort: Some(effort), budget: None, visible })
        }
    })
}

fn response_format(mut format: Json, path: &str) -> Result<ResponseFormat, Malformed> {
    let kind = take_string(&mut format, "type", path)?.unwrap_or_default();
    let schema = take(&mut format, "schema");
    match (kind.as_str(), schema) {
        ("text", _) => Ok(ResponseFormat::Text),
        ("json_schema", Some(schema @ Json::Object(_))) => {
            let strict = is_strict(&schema).then_some(true);
            Ok(ResponseFormat::JsonSchema { name: None, description: None, schema, strict })
        }
        ("json_schema", _) => Err(must_be(&format!("{path}.schema"), "a JSON Schema object")),
        _ => Err(must_be(&format!("{path}.type"), "json_schema")),
    }
}

/// Whether every object in the schema requires all of its properties and takes no others: the schemas that OpenAI, too,
/// holds its answers to.
fn is_strict(schema: &Json) -> bool {
    let Some(members) = schema.members() else { return true };
    if let Some(properties) = schema.get("properties").and_then(Json::members) {
        let required = schema.get("required").and_then(Json::items).unwrap_or_default();
        let all = properties.iter().all(|(name, _)| required.iter().any(|known| known.as_str() == Some(name)));
        if !all || schema.get("additionalProperties").and_then(Json::as_bool) != Some(false) {
            return false;
        }
    }
    members.iter().all(|(_, value)| match value {
        Json::Array(items) => items.iter().all(is_strict),
        value => is_strict(value),
    })
}
