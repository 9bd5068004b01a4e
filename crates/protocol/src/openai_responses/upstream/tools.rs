//! Writes the tools that a request offers.

use crate::{
    ProtocolId,
    ir::Tool,
    json::Json,
    openai::body::{ELSEWHERE, flat_format, parameters},
};

/// One tool. Those of a namespace go by the name that is theirs alone, since a call comes back by that one.
pub fn write(tool: &Tool) -> Result<Json, &'static str> {
    let describe = |text: &Option<String>| text.as_deref().map(|text| ("description", Json::from(text)));
    let members = match tool {
        Tool::Function(function) => {
            let mut members = vec![("type", Json::from("function")), ("name", Json::from(function.name.as_str()))];
            members.extend(describe(&function.description));
            members.push(("parameters", parameters(function.parameters.as_ref())));
            // Unlike elsewhere, what is not said means yes here.
            members.push(("strict", Json::Bool(function.strict.unwrap_or(false))));
            members
        }
        Tool::Custom { name, description, format, .. } => {
            let mut members = vec![("type", Json::from("custom")), ("name", Json::from(name.as_str()))];
            members.extend(describe(description));
            members.extend(format.as_ref().map(|format| ("format", flat_format(format))));
            members
        }
        Tool::Hosted { origin: ProtocolId::OpenAiResponses, raw, .. } => return Ok(raw.clone()),
        Tool::Hosted { web_search: true, .. } => vec![("type", Json::from("web_search"))],
        Tool::Hosted { web_search: false, .. } => return Err(ELSEWHERE),
    };
    Ok(Json::object(members))
}

/// The choice of one tool.
pub fn named(name: &str, kind: &'static str) -> Json {
    Json::object([("type", Json::from(kind)), ("name", Json::from(name))])
}
