//! Reads the tools a client offers, and which of them the model may or must call.

use super::{
    fields::{array, below, boolean_in, must_be, need_string, object, take, take_string},
    leftovers,
    request::cache,
};
use crate::{
    ProtocolId,
    ir::{FunctionTool, Malformed, Request, Tool, ToolChoice},
    json::Json,
    splice::Members,
};

/// Reads `tools` and `tool_choice`.
pub fn read(members: &Members<'_>, request: &mut Request) -> Result<(), Malformed> {
    for (at, value) in array(members, "tools")?.unwrap_or_default().into_iter().enumerate() {
        let tool = tool(value, &format!("tools[{at}]"), request)?;
        request.tools.push(tool);
    }
    if let Some(choice) = object(members, "tool_choice")? {
        choose(choice, request)?;
    }
    Ok(())
}

fn tool(mut value: Json, path: &str, request: &mut Request) -> Result<Tool, Malformed> {
    if value.members().is_none() {
        return Err(must_be(path, "an object"));
    }
    match value.get("type") {
        None | Some(Json::Null) => {}
        Some(Json::String(kind)) if kind == "custom" => {}
        Some(Json::String(kind)) => {
            let web_search = kind.starts_with("web_search_");
            return Ok(Tool::Hosted { origin: ProtocolId::Anthropic, raw: value, web_search, place: path.into() });
        }
        Some(_) => return Err(must_be(&below(path, "type"), "a string")),
    }
    let parameters = match take(&mut value, "input_schema") {
        None => None,
        Some(schema @ Json::Object(_)) => Some(schema),
        Some(_) => return Err(must_be(&below(path, "input_schema"), "a JSON Schema object")),
    };
    let function = FunctionTool {
        namespace: None,
        name: need_string(&mut value, "name", path, "the tool's name")?,
        description: take_string(&mut value, "description", path)?,
        parameters,
        strict: boolean_in(&mut value, "strict", path)?,
        cache: cache(&mut value, path),
        place: path.into(),
    };
    leftovers(&value, path, &mut request.rest);
    Ok(Tool::Function(function))
}

fn choose(mut choice: Json, request: &mut Request) -> Result<(), Malformed> {
    const PATH: &str = "tool_choice";
    request.tool_choice = Some(match take_string(&mut choice, "type", PATH)?.as_deref() {
        Some("auto") => ToolChoice::Auto,
        Some("any") => ToolChoice::Required,
        Some("none") => ToolChoice::None,
        Some("tool") => ToolChoice::Named(need_string(&mut choice, "name", PATH, "the tool's name")?),
        _ => return Err(must_be(&below(PATH, "type"), "one of auto, any, tool, none")),
    });
    if boolean_in(&mut choice, "disable_parallel_tool_use", PATH)? == Some(true) {
        request.parallel_tool_calls = Some(false);
    }
    leftovers(&choice, PATH, &mut request.rest);
    Ok(())
}
