//! Reads the tools a client offers, and how the model is to choose among them.

use std::collections::BTreeSet;

use super::{
    fields::{Fields, snake},
    schema,
};
use crate::{
    ProtocolId,
    ir::{FunctionTool, Malformed, Request, Tool, ToolChoice, Unmapped},
    json::Json,
};

/// Tools that search the web.
const SEARCHES: [&str; 3] = ["googleSearch", "googleSearchRetrieval", "enterpriseWebSearch"];

/// Reads `tools`: each holds functions, or tools that run at Google by name, or both.
pub fn read(tools: Vec<Json>, request: &mut Request) -> Result<(), Malformed> {
    for (at, tool) in tools.into_iter().enumerate() {
        let mut tool = Fields::of(tool, format!("tools[{at}]"))?;
        let path = tool.path("functionDeclarations");
        for (at, function) in tool.list("functionDeclarations").into_iter().enumerate() {
            let function = Fields::of(function, format!("{path}[{at}]"))?;
            request.tools.push(Tool::Function(declaration(function, &mut request.rest)?));
        }
        let path = tool.path("");
        let Json::Object(hosted) = tool.into_json() else { continue };
        for (key, settings) in hosted.into_iter().filter(|(_, settings)| !settings.is_null()) {
            let web_search = SEARCHES.iter().any(|search| key == *search || key == snake(search));
            let place = format!("{path}{key}").into();
            let raw = Json::object([(key, settings)]);
            request.tools.push(Tool::Hosted { origin: ProtocolId::Gemini, raw, web_search, place });
        }
    }
    Ok(())
}

fn declaration(mut function: Fields, rest: &mut Vec<Unmapped>) -> Result<FunctionTool, Malformed> {
    let name = function.need("name", "the function's name")?;
    let description = function.string("description")?;
    let parameters = match (function.take("parametersJsonSchema"), function.take("parameters")) {
        (None, None) => None,
        (Some(schema @ Json::Object(_)), _) | (None, Some(schema @ Json::Object(_))) => Some(schema::plain(schema)),
        _ => return Err(function.must_be("parameters", "a schema object")),
    };
    let place = function.place();
    function.leave(rest);
    Ok(FunctionTool { name, description, parameters, place, ..FunctionTool::default() })
}

/// Reads `toolConfig`.
pub fn config(mut config: Fields, request: &mut Request) -> Result<(), Malformed> {
    // Others run their tools beside functions without being told.
    config.take("includeServerSideToolInvocations");
    if let Some(mut calling) = config.object("functionCallingConfig")? {
        request.tool_choice = choice(&mut calling, &mut request.rest)?;
        // Whether calls come in pieces is for the stream's writer to choose.
        calling.take("streamFunctionCallArguments");
        calling.leave(&mut request.rest);
    }
    config.leave(&mut request.rest);
    Ok(())
}

fn choice(calling: &mut Fields, rest: &mut Vec<Unmapped>) -> Result<Option<ToolChoice>, Malformed> {
    const MODES: &str = "one of AUTO, ANY, NONE, VALIDATED";
    let mode = calling.string("mode")?.unwrap_or_default().to_ascii_uppercase();
    let names: BTreeSet<String> = calling.strings("allowedFunctionNames")?.into_iter().collect();
    if mode == "VALIDATED" {
        // The others promise it for single functions, whose schemas must then be of a stricter sort.
        rest.push(Unmapped { path: calling.path("mode"), ..Unmapped::default() });
    }
    Ok(match (mode.as_str(), names.len()) {
        ("" | "MODE_UNSPECIFIED", _) => None,
        ("NONE", _) => Some(ToolChoice::None),
        ("ANY", 0) => Some(ToolChoice::Required),
        ("ANY", 1) => names.into_iter().next().map(ToolChoice::Named),
        ("ANY", _) => Some(ToolChoice::Allowed { names, required: true }),
        ("AUTO" | "VALIDATED", 0) => Some(ToolChoice::Auto),
        ("AUTO" | "VALIDATED", _) => Some(ToolChoice::Allowed { names, required: false }),
        _ => return Err(calling.must_be("mode", MODES)),
    })
}
