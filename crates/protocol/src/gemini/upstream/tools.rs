//! Functions, tools that run at Google, and how the model is to choose among them.

use std::borrow::Cow;

use super::{
    body::{Declaration, Empty, FunctionCallingConfig, Mode, Tool, ToolConfig},
    names,
};
use crate::{
    ProtocolId,
    ir::{self, FunctionTool, Losses, Place, Request, StandIn, ToolChoice},
    json::Json,
    models::{ForcedToolChoice, ModelRules},
};

/// All that a request says about tools.
pub fn tools<'a>(
    request: &'a Request,
    rules: &ModelRules,
    losses: &mut Losses,
) -> (Vec<Tool<'a>>, Option<ToolConfig<'a>>) {
    let mut functions = Vec::new();
    let (mut tools, mut searches) = (Vec::new(), Vec::new());
    for (at, tool) in request.tools.iter().enumerate() {
        let place = tool.place(at);
        match tool {
            ir::Tool::Function(function) => functions.extend(declaration(function, &place, losses)),
            ir::Tool::Custom { name, description, format, .. } => {
                if format.is_some() {
                    losses.approximated((&*place, "format"));
                }
                let stand_in = StandIn::of(description.as_deref(), format.as_ref());
                functions.extend(free_text(name, stand_in, &place, losses));
            }
            ir::Tool::Hosted { origin: ProtocolId::Gemini, raw, .. } => tools.push(Tool::Raw(raw)),
            ir::Tool::Hosted { web_search: true, .. } => {
                searches.push(place);
            }
            ir::Tool::Hosted { .. } => losses.refused(&*place, "this tool runs at another provider"),
        }
    }
    for place in searches {
        // Agents offer a search of the web with everything they ask, and do without.
        if functions.is_empty() || rules.hosted_tools_with_functions {
            losses.approximated(&*place);
            tools.push(Tool::GoogleSearch(Empty {}));
        } else {
            losses.dropped(&*place);
        }
    }
    if request.asks_for_web_search() {
        losses.approximated(ir::WEB_SEARCH_OPTIONS);
        tools.push(Tool::GoogleSearch(Empty {}));
    }
    if !tools.is_empty() && !functions.is_empty() && !rules.hosted_tools_with_functions {
        losses.refused("tools", "this model takes functions or provider-run tools, not both");
        tools.clear();
    }
    let beside = !tools.is_empty() && !functions.is_empty();
    let config = calling(request, rules, &mut functions, losses);
    if !functions.is_empty() {
        tools.insert(0, Tool::FunctionDeclarations(functions));
    }
    let config = (config.is_some() || beside)
        .then_some(ToolConfig { function_calling_config: config, include_server_side_tool_invocations: beside });
    (tools, config)
}

fn declaration<'a>(function: &'a FunctionTool, place: &Place, losses: &mut Losses) -> Option<Declaration<'a>> {
    if let Some(hint) = &function.cache {
        losses.dropped(&hint.place);
    }
    Some(Declaration {
        name: name(&function.name, place, losses)?,
        description: function.description.as_deref().filter(|text| !text.is_empty()).map(Cow::Borrowed),
        parameters_json_schema: function.parameters.as_ref().filter(|schema| takes_any(schema)).map(Cow::Borrowed),
    })
}

/// A tool of free text, as a function with one argument.
fn free_text<'a>(tool: &'a str, stand_in: StandIn<'a>, place: &Place, losses: &mut Losses) -> Option<Declaration<'a>> {
    Some(Declaration {
        name: name(tool, place, losses)?,
        description: stand_in.description,
        parameters_json_schema: Some(Cow::Owned(stand_in.parameters)),
    })
}

fn name<'a>(name: &'a str, place: &Place, losses: &mut Losses) -> Option<Cow<'a, str>> {
    let fitting = names::fitting(name);
    if fitting.is_none() {
        let why = format!(
            "Gemini takes no function named `{name}`: only letters, digits, `_`, `-`, `.` and `:`, at most 128"
        );
        losses.refused((place, "name"), why);
    }
    fitting
}

/// Whether a schema allows any argument. Gemini refuses an object without properties; no schema says the same.
fn takes_any(schema: &Json) -> bool {
    let members = schema.members().unwrap_or_default();
    let empty_properties =
        schema.get("properties").is_none_or(|properties| properties.members().is_none_or(<[_]>::is_empty));
    let says_more = members.iter().any(|(key, _)| {
        matches!(key.as_str(), "$ref" | "anyOf" | "oneOf" | "allOf" | "patternProperties")
            || (key == "additionalProperties" && schema.get(key).and_then(Json::as_bool) != Some(false))
    });
    !empty_properties || says_more
}

/// The choice among functions; may take declarations away. `None` where there is nothing to choose.
fn calling<'a>(
    request: &'a Request,
    rules: &ModelRules,
    functions: &mut Vec<Declaration<'a>>,
    losses: &mut Losses,
) -> Option<FunctionCallingConfig<'a>> {
    if functions.is_empty() {
        if let Some(ToolChoice::Named(_)) = request.tool_choice {
            losses.refused("tool_choice", ir::NOT_OFFERED);
        }
        return None;
    }
    if request.parallel_tool_calls == Some(false) {
        losses.dropped("parallel_tool_calls");
    }
    let strict =
        request.tools.iter().any(|tool| matches!(tool, ir::Tool::Function(FunctionTool { strict: Some(true), .. })));
    let free = if strict { Mode::Validated } else { Mode::Auto };
    let (mut mode, mut names) = match request.tool_choice.as_ref() {
        None if !strict => return None,
        None | Some(ToolChoice::Auto) => (free, Vec::new()),
        Some(ToolChoice::None) => (Mode::None, Vec::new()),
        Some(ToolChoice::Required) => (Mode::Any, Vec::new()),
        Some(ToolChoice::Named(name)) => (Mode::Any, vec![name]),
        Some(ToolChoice::Allowed { names, required: true }) => (Mode::Any, names.iter().collect()),
        // Names may be given only where a call is forced, so the others are not even shown.
        Some(ToolChoice::Allowed { names, required: false }) => {
            functions.retain(|function| names.contains(names::plain(&function.name)));
            (free, Vec::new())
        }
    };
    let budgeted = request.reasoning.as_ref().is_some_and(|asked| asked.budget.is_some_and(|budget| budget > 0));
    let may_force = match rules.forced_tool_choice {
        ForcedToolChoice::Always => true,
        ForcedToolChoice::UnlessBudget => !budgeted,
        ForcedToolChoice::Never => false,
    };
    let asked = names.len();
    names.retain(|name| functions.iter().any(|function| names::plain(&function.name) == name.as_str()));
    if names.is_empty() && asked > 0 {
        losses.refused("tool_choice", ir::NOT_OFFERED);
        mode = free;
    }
    if mode == Mode::Any && !may_force {
        losses.approximated("tool_choice");
        (mode, names) = (free, Vec::new());
    }
    let allowed_function_names = names.into_iter().filter_map(|name| names::fitting(name)).collect();
    (!functions.is_empty()).then_some(FunctionCallingConfig { mode, allowed_function_names })
}
