//! Reads the tools a client offers, in the present form and in the one before it (`functions`).

use crate::{
    ProtocolId,
    fields::{self, array, below, must_be, need_string, take, take_string},
    ir::{FunctionTool, Malformed, Request, Tool, ToolChoice},
    json::Json,
    openai::cache,
    splice::Members,
};

/// Reads `tools`, `tool_choice`, `functions` and `function_call`.
pub fn read(members: &Members<'_>, request: &mut Request) -> Result<(), Malformed> {
    for (at, value) in array(members, "tools")?.unwrap_or_default().into_iter().enumerate() {
        request.tools.push(tool(value, &format!("tools[{at}]"))?);
    }
    for (at, value) in array(members, "functions")?.unwrap_or_default().into_iter().enumerate() {
        request.legacy_functions = true;
        request.tools.push(Tool::Function(function(value, &format!("functions[{at}]"))?));
    }
    request.tool_choice = match fields::json(members, "tool_choice") {
        Some(value) => Some(choice(value)?),
        None => fields::json(members, "function_call").map(legacy_choice).transpose()?,
    };
    Ok(())
}

fn tool(mut value: Json, path: &str) -> Result<Tool, Malformed> {
    if value.members().is_none() {
        return Err(must_be(path, "an object"));
    }
    let kind = value.get("type").and_then(Json::as_str);
    // Mistral's clients leave the type out.
    match kind.or_else(|| value.get("function").map(|_| "function")) {
        Some("function") => {
            let outer = cache(&mut value, path);
            let inner = take(&mut value, "function").unwrap_or(Json::Null);
            let mut function = function(inner, &below(path, "function"))?;
            function.cache = function.cache.or(outer);
            Ok(Tool::Function(function))
        }
        Some("custom") => custom(take(&mut value, "custom").unwrap_or(Json::Null), &below(path, "custom")),
        Some(kind) => {
            let web_search = kind.starts_with("web_search");
            Ok(Tool::Hosted { origin: ProtocolId::OpenAiChat, raw: value, web_search, place: path.into() })
        }
        None => Err(must_be(&below(path, "type"), "a string such as `function`")),
    }
}

fn function(mut value: Json, path: &str) -> Result<FunctionTool, Malformed> {
    if value.members().is_none() {
        return Err(must_be(path, "an object"));
    }
    let parameters = match take(&mut value, "parameters") {
        None => None,
        Some(schema @ Json::Object(_)) => Some(schema),
        Some(_) => return Err(must_be(&below(path, "parameters"), "a JSON Schema object")),
    };
    Ok(FunctionTool {
        namespace: None,
        name: need_string(&mut value, "name", path, "the function's name")?,
        description: take_string(&mut value, "description", path)?,
        parameters,
        strict: take(&mut value, "strict").and_then(|strict| strict.as_bool()),
        cache: cache(&mut value, path),
        place: path.into(),
    })
}

fn custom(mut value: Json, path: &str) -> Result<Tool, Malformed> {
    Ok(Tool::Custom {
        namespace: None,
        name: need_string(&mut value, "name", path, "the tool's name")?,
        description: take_string(&mut value, "description", path)?,
        format: take(&mut value, "format"),
        place: path.into(),
    })
}

const CHOICES: &str = "none, auto, required, or an object that names a tool";

fn choice(mut value: Json) -> Result<ToolChoice, Malformed> {
    if let Some(word) = value.as_str() {
        return match word {
            "none" => Ok(ToolChoice::None),
            "auto" => Ok(ToolChoice::Auto),
            "required" | "any" => Ok(ToolChoice::Required),
            _ => Err(must_be("tool_choice", CHOICES)),
        };
    }
    let kind = value.get("type").and_then(Json::as_str).unwrap_or_default().to_owned();
    match kind.as_str() {
        "function" | "custom" => {
            let path = format!("tool_choice.{kind}");
            let mut inner = take(&mut value, &kind).unwrap_or(Json::Null);
            need_string(&mut inner, "name", &path, "the tool's name").map(ToolChoice::Named)
        }
        "allowed_tools" => allowed(take(&mut value, "allowed_tools").unwrap_or(value)),
        "none" => Ok(ToolChoice::None),
        "auto" => Ok(ToolChoice::Auto),
        "required" | "any" => Ok(ToolChoice::Required),
        _ => Err(must_be("tool_choice", CHOICES)),
    }
}

fn allowed(mut value: Json) -> Result<ToolChoice, Malformed> {
    const PATH: &str = "tool_choice.allowed_tools";
    let required = value.get("mode").and_then(Json::as_str) == Some("required");
    let Some(Json::Array(tools)) = take(&mut value, "tools") else {
        return Err(must_be(&below(PATH, "tools"), "an array of tools"));
    };
    let name = |(at, tool): (usize, &Json)| {
        let name = ["function", "custom"].iter().find_map(|kind| tool.at(&[kind, "name"])).or_else(|| tool.get("name"));
        let name = name.and_then(Json::as_str).map(str::to_owned);
        name.ok_or_else(|| must_be(&format!("{PATH}.tools[{at}]"), "an object that names a tool"))
    };
    Ok(ToolChoice::Allowed { names: tools.iter().enumerate().map(name).collect::<Result<_, _>>()?, required })
}

fn legacy_choice(mut value: Json) -> Result<ToolChoice, Malformed> {
    match value.as_str() {
        Some("none") => Ok(ToolChoice::None),
        Some("auto") => Ok(ToolChoice::Auto),
        Some(_) => Err(must_be("function_call", "none, auto, or an object that names a function")),
        None => need_string(&mut value, "name", "function_call", "the function's name").map(ToolChoice::Named),
    }
}
