//! Reads the tools a client offers, and which of them the model may or must call.

use std::collections::BTreeSet;

use super::names::Names;
use crate::{
    ProtocolId,
    fields::{self, array, below, must_be, need_string, take, take_string},
    ir::{FunctionTool, Malformed, Request, Tool, ToolChoice, Unmapped},
    json::Json,
    openai::cache,
    splice::Members,
};

/// Members of a tool that no other protocol has. That a tool may be loaded later is no loss: it is there from the start.
const UNMAPPED: &[&str] = &["allowed_callers", "async", "output_schema"];

/// Reads `tools` and `tool_choice`.
pub fn read(members: &Members<'_>, request: &mut Request) -> Result<Names, Malformed> {
    let tools = array(members, "tools")?.unwrap_or_default();
    let mut names = Names::default();
    for tool in &tools {
        if let (Some("function" | "custom"), Some(name)) = (text(tool, "type"), text(tool, "name")) {
            names.take(name);
        }
    }
    for (at, value) in tools.into_iter().enumerate() {
        offer(value, &format!("tools[{at}]"), request, &mut names)?;
    }
    if let Some(value) = fields::json(members, "tool_choice") {
        request.tool_choice = choice(&value, request, &mut names)?;
    }
    Ok(names)
}

/// Adds tools that the conversation brought, but for those that are there already.
pub fn join(list: Vec<Json>, path: &str, request: &mut Request, names: &mut Names) -> Result<(), Malformed> {
    for (at, value) in list.into_iter().enumerate() {
        let known = match (text(&value, "type"), text(&value, "name")) {
            (Some("function" | "custom"), Some(name)) => !names.take(name),
            _ => false,
        };
        if !known {
            offer(value, &format!("{path}[{at}]"), request, names)?;
        }
    }
    Ok(())
}

fn offer(mut value: Json, path: &str, request: &mut Request, names: &mut Names) -> Result<(), Malformed> {
    if value.members().is_none() {
        return Err(must_be(path, "an object"));
    }
    let kind = text(&value, "type").ok_or_else(|| must_be(&below(path, "type"), "a string such as `function`"))?;
    match kind.to_owned().as_str() {
        kind @ ("function" | "custom") => {
            let tool = callable(value, kind, path, None, request)?;
            request.tools.push(tool);
        }
        "namespace" => {
            let namespace = need_string(&mut value, "name", path, "the namespace's name")?;
            unmapped(&value, path, &["description"], request);
            let Some(Json::Array(tools)) = take(&mut value, "tools") else {
                return Err(must_be(&below(path, "tools"), "an array of tools"));
            };
            for (at, tool) in tools.into_iter().enumerate() {
                let path = format!("{path}.tools[{at}]");
                let kind = text(&tool, "type").unwrap_or_default().to_owned();
                if !matches!(kind.as_str(), "function" | "custom") {
                    return Err(must_be(&below(&path, "type"), "function or custom"));
                }
                if names.has(&namespace, text(&tool, "name").unwrap_or_default()) {
                    continue;
                }
                let tool = callable(tool, &kind, &path, Some((&namespace, names)), request)?;
                request.tools.push(tool);
            }
        }
        // What could be searched for is offered already, or comes with the conversation.
        "tool_search" => request.rest.push(Unmapped { path: path.to_owned(), ..Unmapped::default() }),
        // Nobody else searches what OpenAI keeps of the web.
        "web_search" if value.get("external_web_access") == Some(&Json::Bool(false)) => {
            request.rest.push(Unmapped { path: path.to_owned(), ..Unmapped::default() });
        }
        kind => {
            let web_search = kind.starts_with("web_search");
            request.tools.push(Tool::Hosted {
                origin: ProtocolId::OpenAiResponses,
                raw: value,
                web_search,
                place: path.into(),
            });
        }
    }
    Ok(())
}

/// A tool that the client runs.
fn callable(
    mut value: Json,
    kind: &str,
    path: &str,
    within: Option<(&str, &mut Names)>,
    request: &mut Request,
) -> Result<Tool, Malformed> {
    let plain = need_string(&mut value, "name", path, "the tool's name")?;
    let (name, namespace) = match within {
        Some((namespace, names)) => (names.flat(namespace, &plain), Some((namespace.to_owned(), plain))),
        None => (plain, None),
    };
    let description = take_string(&mut value, "description", path)?;
    unmapped(&value, path, UNMAPPED, request);
    if kind == "custom" {
        let format = take(&mut value, "format").map(grammar);
        return Ok(Tool::Custom { name, namespace, description, format, place: path.into() });
    }
    let parameters = match take(&mut value, "parameters") {
        None => None,
        Some(schema @ Json::Object(_)) => Some(schema),
        Some(_) => return Err(must_be(&below(path, "parameters"), "a JSON Schema object")),
    };
    let strict = match take(&mut value, "strict") {
        Some(strict) => strict.as_bool(),
        // Here `strict` is the default, and OpenAI makes a schema fit for it by itself; others refuse one that is not.
        None => parameters.as_ref().is_some_and(is_strict).then_some(true),
    };
    let cache = cache(&mut value, path);
    Ok(Tool::Function(FunctionTool { name, namespace, description, parameters, strict, cache, place: path.into() }))
}

/// The form of free text, as OpenAI's chat protocol writes it: what a grammar says stands in a member of its own.
fn grammar(mut format: Json) -> Json {
    if text(&format, "type") != Some("grammar") {
        return format;
    }
    let inner = ["definition", "syntax"].into_iter().filter_map(|key| Some((key, format.remove(key)?)));
    let inner = Json::object(inner.collect::<Vec<_>>());
    Json::object([("type", Json::from("grammar")), ("grammar", inner)])
}

/// Whether a schema leaves nothing open: every object names all its members, needs them all, and allows no other.
fn is_strict(schema: &Json) -> bool {
    match schema {
        Json::Object(members) => {
            let closed = schema.get("properties").and_then(Json::members).is_none_or(|properties| {
                let required = schema.get("required").and_then(Json::items).unwrap_or_default();
                schema.get("additionalProperties") == Some(&Json::Bool(false))
                    && properties.iter().all(|(name, _)| required.iter().any(|item| item.as_str() == Some(name)))
            });
            let object = text(schema, "type") == Some("object") && schema.get("properties").is_none();
            closed && !object && members.iter().all(|(_, value)| is_strict(value))
        }
        Json::Array(items) => items.iter().all(is_strict),
        _ => true,
    }
}

fn unmapped(value: &Json, path: &str, keys: &[&str], request: &mut Request) {
    let present = keys.iter().filter(|key| value.get(key).is_some_and(|value| !value.is_null()));
    request.rest.extend(present.map(|key| Unmapped { path: below(path, key), ..Unmapped::default() }));
}

const CHOICE: &str = "tool_choice";

fn choice(value: &Json, request: &mut Request, names: &mut Names) -> Result<Option<ToolChoice>, Malformed> {
    let wrong = || must_be(CHOICE, "none, auto, required, or an object that names a tool");
    match value.as_str().or_else(|| text(value, "type")).ok_or_else(wrong)? {
        "none" => Ok(Some(ToolChoice::None)),
        "auto" => Ok(Some(ToolChoice::Auto)),
        "required" => Ok(Some(ToolChoice::Required)),
        _ if value.as_str().is_some() => Err(wrong()),
        "function" | "custom" => {
            let name = named(value, names).ok_or_else(|| must_be("tool_choice.name", "the tool's name"))?;
            Ok(Some(ToolChoice::Named(name)))
        }
        "allowed_tools" => allowed(value, request, names).map(Some),
        _ => {
            let refusal = Some("only a provider of this protocol has such a tool");
            request.rest.push(Unmapped { path: CHOICE.to_owned(), refusal, ..Unmapped::default() });
            Ok(None)
        }
    }
}

fn allowed(value: &Json, request: &mut Request, names: &mut Names) -> Result<ToolChoice, Malformed> {
    let required = text(value, "mode") == Some("required");
    let tools = value.get("tools").and_then(Json::items);
    let tools = tools.ok_or_else(|| must_be("tool_choice.tools", "an array of tools"))?;
    let mut allowed = BTreeSet::new();
    for (at, tool) in tools.iter().enumerate() {
        let path = format!("tool_choice.tools[{at}]");
        match text(tool, "type") {
            Some("function" | "custom") => {
                let name = named(tool, names).ok_or_else(|| must_be(&below(&path, "name"), "the tool's name"))?;
                allowed.insert(name);
            }
            Some(_) => request.rest.push(Unmapped { path, ..Unmapped::default() }),
            None => return Err(must_be(&path, "an object that names a tool")),
        }
    }
    Ok(ToolChoice::Allowed { names: allowed, required })
}

/// The one name of a tool that is named with or without its namespace.
fn named(value: &Json, names: &mut Names) -> Option<String> {
    let name = text(value, "name").filter(|name| !name.is_empty())?;
    Some(match text(value, "namespace") {
        Some(namespace) => names.flat(namespace, name),
        None => name.to_owned(),
    })
}

fn text<'a>(value: &'a Json, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}
