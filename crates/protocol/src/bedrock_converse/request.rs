//! Writing a request.

use super::{
    family::Family,
    media,
    wire::{
        Body, CachePoint, Fields, InferenceConfig, NovaReasoning, NovaSampling, OutputConfig, Schema, Structure,
        TextFormat, Tool, ToolChoice, ToolConfig,
    },
    write::Writer,
};
use crate::{
    ProtocolId, Target,
    anthropic::{
        self, Dialect,
        wire::{self as theirs, Format, Thinking},
    },
    ir::{self, Losses, Request, ResponseFormat, ToolChoice as Asked},
};

const DIALECT: Dialect = Dialect {
    name: "Bedrock",
    media: media::block,
    opaque: false,
    redacted: ProtocolId::BedrockConverse,
    longest_name: 64,
};

/// Writes `request` for `target`.
pub(super) fn encode(request: &Request, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let said = anthropic::body(request, target, &DIALECT, losses);
    for (at, tool) in request.tools.iter().enumerate().filter(|(_, tool)| matches!(tool, ir::Tool::Hosted { .. })) {
        losses.refused(&*tool.place(at), "Converse runs no tools at the provider");
    }
    let family = Family::of(target.model);
    if said.metadata.is_some() {
        losses.dropped("user");
    }
    // Anthropic demands a number where Converse leaves it to the model.
    let max_tokens = request.max_output_tokens.or(target.rules.max_output_tokens).map(|_| said.max_tokens);
    let additional_model_request_fields = fields(family, &said, losses);
    let mut writer = Writer::new(family, losses);
    let system = writer.blocks(said.system);
    let messages = writer.messages(said.messages);
    let calls = writer.saw_tools();
    let body = Body {
        system,
        messages,
        tool_config: tools(said.tools, said.tool_choice, calls, family, losses),
        output_config: output(family, said.output_config, request),
        additional_model_response_field_paths: match family {
            Family::Claude if !said.stop_sequences.is_empty() => stop_sequence_paths(request.stream),
            _ => &[],
        },
        inference_config: InferenceConfig {
            max_tokens,
            temperature: said.temperature,
            top_p: said.top_p,
            stop_sequences: said.stop_sequences,
        },
        additional_model_request_fields,
    };
    if request.tool_choice == Some(Asked::None) && body.tool_config.is_some() {
        losses.approximated("tool_choice");
    }
    serde_json::to_vec(&body).expect("a body of strings, numbers and parsed JSON can always be written")
}

/// Where Claude's own answer says which stop sequence it met, which Converse tells only if asked to.
fn stop_sequence_paths(stream: bool) -> &'static [&'static str] {
    if stream { &["/delta/stop_sequence"] } else { &["/stop_sequence"] }
}

/// What Converse has no words for and the model has.
fn fields(family: Family, said: &theirs::Body<'_>, losses: &mut Losses) -> Fields {
    let effort = said.output_config.effort;
    let mut fields = Fields::default();
    match family {
        Family::Claude => fields.thinking.clone_from(&said.thinking),
        Family::Nova => {
            fields.reasoning_config = match (&said.thinking, effort) {
                (Some(Thinking::Disabled), _) => Some(NovaReasoning::Disabled),
                (_, Some(effort)) => Some(NovaReasoning::Enabled { max_reasoning_effort: effort }),
                _ => None,
            }
        }
        Family::GptOss => fields.reasoning_effort = effort,
        Family::Other if said.thinking.is_some() => losses.dropped("reasoning_effort"),
        Family::Other => {}
    }
    match (family, said.top_k) {
        (_, None) => {}
        (Family::Claude, top_k) => fields.top_k = top_k,
        (Family::Nova, Some(top_k)) => fields.inference_config = Some(NovaSampling { top_k }),
        (Family::GptOss | Family::Other, Some(_)) => losses.dropped("top_k"),
    }
    fields
}

fn output<'a>(family: Family, said: theirs::OutputConfig, request: &'a Request) -> OutputConfig<'a> {
    let text_format = said.format.map(|Format::JsonSchema { schema }| {
        let (name, description) = match &request.response_format {
            Some(ResponseFormat::JsonSchema { name, description, .. }) => (name.as_deref(), description.as_deref()),
            _ => (None, None),
        };
        let structure = Structure::JsonSchema { schema: schema.to_string(), name, description };
        TextFormat { kind: "json_schema", structure }
    });
    OutputConfig { effort: said.effort.filter(|_| family == Family::Claude), text_format }
}

/// Tools and the choice among them. Converse knows no "none": tools that nothing calls for are left out then.
fn tools<'a>(
    declared: Vec<theirs::Tool<'a>>,
    choice: Option<theirs::ToolChoice<'a>>,
    calls: bool,
    family: Family,
    losses: &mut Losses,
) -> Option<ToolConfig<'a>> {
    if choice == Some(theirs::ToolChoice::None) && !calls {
        return None;
    }
    let mut tools = Vec::with_capacity(declared.len());
    for tool in declared {
        // Tools that run at Anthropic are refused above.
        let theirs::Tool::Function(tool) = tool else { continue };
        tools.push(Tool::ToolSpec {
            name: tool.name,
            description: tool.description.filter(|text| !text.trim().is_empty()),
            input_schema: Schema { json: tool.input_schema },
            strict: tool.strict,
        });
        match tool.cache_control {
            Some(mark) if family.caches_tools() => tools.push(Tool::CachePoint(CachePoint::of(&mark))),
            Some(mark) => losses.dropped(mark.place()),
            None => {}
        }
    }
    let tool_choice = choice.and_then(|choice| chosen(choice, losses));
    (!tools.is_empty()).then_some(ToolConfig { tools, tool_choice })
}

fn chosen<'a>(choice: theirs::ToolChoice<'a>, losses: &mut Losses) -> Option<ToolChoice<'a>> {
    let (choice, single) = match choice {
        theirs::ToolChoice::None => return None,
        theirs::ToolChoice::Auto { disable_parallel_tool_use } => (ToolChoice::Auto {}, disable_parallel_tool_use),
        theirs::ToolChoice::Any { disable_parallel_tool_use } => (ToolChoice::Any {}, disable_parallel_tool_use),
        theirs::ToolChoice::Tool { name, disable_parallel_tool_use } => {
            (ToolChoice::Tool { name }, disable_parallel_tool_use)
        }
    };
    if single {
        losses.dropped("parallel_tool_calls");
    }
    Some(choice)
}
