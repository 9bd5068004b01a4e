//! Tools, and which of them the model may or must call.

use std::{borrow::Cow, collections::HashSet};

use super::{
    Dialect, ids, schema,
    wire::{Block, CacheControl, Function, Tool, ToolChoice, Turn},
};
use crate::{
    ProtocolId, ir,
    ir::{FunctionTool, Losses, Place, StandIn},
    json::Json,
    models::{ForcedToolChoice, ModelRules},
};

/// Greatest numbers for tools whose calls are held to their schema, in one request.
const MOST_STRICT: usize = 20;
const MOST_OPTIONAL: usize = 24;
const MOST_UNIONS: usize = 16;

/// The name that Anthropic's search of the web must have.
const WEB_SEARCH: &str = "web_search";

/// The tools of a request as Anthropic declares them.
pub(super) fn declare<'a>(
    request: &'a ir::Request,
    rules: &ModelRules,
    dialect: &Dialect,
    losses: &mut Losses,
) -> Vec<Tool<'a>> {
    let &Dialect { name: taker, longest_name, .. } = dialect;
    let mut strictness = Strictness { allowed: rules.structured_output, ..Strictness::default() };
    let mut names = HashSet::new();
    let mut tools = Vec::new();
    for (at, tool) in request.tools.iter().enumerate() {
        let place = tool.place(at);
        if !is_offered(tool, request.tool_choice.as_ref(), rules) {
            continue;
        }
        if let Some(name) = tool.name() {
            if !ids::is_safe(name) || name.len() > longest_name {
                let why = format!("{taker} takes tool names of 1 to {longest_name} letters, digits, `_` and `-`");
                losses.refused((&*place, "name"), why);
                continue;
            }
            if !names.insert(name) {
                losses.dropped(&*place);
                continue;
            }
        }
        match tool {
            ir::Tool::Function(tool) => tools.push(Tool::Function(function(tool, &place, &mut strictness, losses))),
            ir::Tool::Custom { name, description, format, .. } => {
                if format.is_some() {
                    losses.approximated((&*place, "format"));
                }
                tools.push(Tool::Function(free_text(name, description.as_deref(), format.as_ref())));
            }
            ir::Tool::Hosted { origin: ProtocolId::Anthropic, raw, .. } => {
                tools.push(Tool::Hosted(Cow::Borrowed(raw)));
            }
            ir::Tool::Hosted { web_search: true, .. } if names.insert(WEB_SEARCH) => {
                losses.approximated(&*place);
                tools.push(Tool::Hosted(Cow::Owned(web_search())));
            }
            ir::Tool::Hosted { .. } => losses.refused(&*place, "this tool runs at another provider"),
        }
    }
    if dialect.opaque && request.asks_for_web_search() && names.insert(WEB_SEARCH) {
        losses.approximated(ir::WEB_SEARCH_OPTIONS);
        tools.push(Tool::Hosted(Cow::Owned(web_search())));
    }
    tools
}

/// The search of the web in its form that every model takes.
fn web_search() -> Json {
    Json::object([("type", Json::from("web_search_20250305")), ("name", Json::from(WEB_SEARCH))])
}

/// Anthropic cannot be told "any of these": the others are not offered. The same goes for a tool that may not be
/// forced.
fn is_offered(tool: &ir::Tool, choice: Option<&ir::ToolChoice>, rules: &ModelRules) -> bool {
    match choice {
        Some(ir::ToolChoice::Allowed { names, .. }) => tool.name().is_some_and(|name| names.contains(name)),
        Some(ir::ToolChoice::Named(known)) if rules.forced_tool_choice == ForcedToolChoice::Never => {
            tool.name() == Some(known.as_str())
        }
        _ => true,
    }
}

/// How much of what a request may hold its tools to has been used.
#[derive(Debug, Default)]
struct Strictness {
    allowed: bool,
    tools: usize,
    optional: usize,
    unions: usize,
}

impl Strictness {
    /// Takes the room that a schema needs, if there is as much.
    fn take(&mut self, needs: &schema::Constrained) -> bool {
        let (optional, unions) = (self.optional + needs.optional, self.unions + needs.unions);
        let fits = self.allowed
            && !needs.recursive
            && self.tools < MOST_STRICT
            && optional <= MOST_OPTIONAL
            && unions <= MOST_UNIONS;
        if fits {
            (self.tools, self.optional, self.unions) = (self.tools + 1, optional, unions);
        }
        fits
    }
}

fn function<'a>(
    tool: &'a FunctionTool,
    place: &Place,
    strictness: &mut Strictness,
    losses: &mut Losses,
) -> Function<'a> {
    let (mut input_schema, weaker) = schema::arguments(tool.parameters.as_ref());
    if weaker {
        losses.approximated((place, "parameters"));
    }
    let mut strict = tool.strict == Some(true);
    if strict {
        let constrained = schema::constrain(&input_schema);
        strict = strictness.take(&constrained);
        if strict {
            if constrained.weaker {
                losses.approximated((place, "parameters"));
            }
            input_schema = Cow::Owned(constrained.schema);
        } else {
            losses.dropped((place, "strict"));
        }
    }
    Function {
        name: Cow::Borrowed(&tool.name),
        description: tool.description.as_deref().filter(|text| !text.trim().is_empty()).map(Cow::Borrowed),
        input_schema,
        strict,
        cache_control: CacheControl::of(&tool.cache),
    }
}

/// A tool that takes free text takes it as its one argument here.
fn free_text<'a>(name: &'a str, description: Option<&'a str>, format: Option<&Json>) -> Function<'a> {
    let StandIn { description, parameters } = StandIn::of(description, format);
    Function {
        name: Cow::Borrowed(name),
        description,
        input_schema: Cow::Owned(parameters),
        strict: false,
        cache_control: None,
    }
}

/// A history that holds calls needs tools: those that it names, if the client defines none. The model is not to call
/// them.
pub(super) fn from_history<'a>(turns: &[Turn<'a>]) -> Vec<Tool<'a>> {
    let mut names: HashSet<Cow<'a, str>> = HashSet::new();
    let blocks = turns.iter().flat_map(|turn| &turn.content);
    let called = blocks.filter_map(|block| if let Block::ToolUse { name, .. } = block { Some(name) } else { None });
    let fresh = called.filter(|name| names.insert((*name).clone()));
    fresh
        .map(|name| {
            Tool::Function(Function {
                name: name.clone(),
                description: None,
                input_schema: schema::arguments(None).0,
                strict: false,
                cache_control: None,
            })
        })
        .collect()
}

fn offers(declared: &[Tool<'_>], name: &str) -> bool {
    declared.iter().any(|tool| matches!(tool, Tool::Function(function) if function.name == name))
}

/// What the model may or must call of the tools that were declared, of which there is one at least.
pub(super) fn choose<'a>(
    request: &'a ir::Request,
    declared: &[Tool<'_>],
    rules: &ModelRules,
    losses: &mut Losses,
) -> Option<ToolChoice<'a>> {
    let single = request.parallel_tool_calls == Some(false);
    let auto = ToolChoice::Auto { disable_parallel_tool_use: single };
    let forced = match request.tool_choice.as_ref() {
        None => return single.then_some(auto),
        Some(ir::ToolChoice::None) => return Some(ToolChoice::None),
        Some(ir::ToolChoice::Auto | ir::ToolChoice::Allowed { required: false, .. }) => return Some(auto),
        Some(ir::ToolChoice::Required | ir::ToolChoice::Allowed { required: true, .. }) => {
            ToolChoice::Any { disable_parallel_tool_use: single }
        }
        Some(ir::ToolChoice::Named(name)) if !offers(declared, name) => {
            losses.refused("tool_choice", ir::NOT_OFFERED);
            return single.then_some(auto);
        }
        Some(ir::ToolChoice::Named(name)) => ToolChoice::Tool { name, disable_parallel_tool_use: single },
    };
    if rules.forced_tool_choice == ForcedToolChoice::Never {
        losses.approximated("tool_choice");
        return Some(auto);
    }
    Some(forced)
}
