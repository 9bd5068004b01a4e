//! Writing a request.

use super::{
    Dialect, cache, dialect, schema, thinking, tools,
    turns::{self, Conversation},
    wire::{self, Block, Body, Format, Metadata, OutputConfig, Thinking, ToolChoice, Turn},
};
use crate::{
    Target, ir,
    ir::{Losses, ResponseFormat, Tool},
    models::{ModelRules, Sampling},
};

/// Asked for where neither the client nor the model's rules name a number, which Anthropic demands.
const DEFAULT_MAX_TOKENS: u64 = 8192;

/// The lowest `top_p` that a thinking model takes.
const LEAST_TOP_P: f64 = 0.95;

/// Longest name of an end user, in characters.
const LONGEST_USER: usize = 256;

/// Writes `request` for `target`.
pub fn encode(request: &ir::Request, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let body = body(request, target, &dialect::NATIVE, losses);
    serde_json::to_vec(&body).expect("a body of strings, numbers and parsed JSON can always be written")
}

/// What is said to `target`, and how, but for the words of a dialect.
pub(crate) fn body<'a>(
    request: &'a ir::Request,
    target: Target<'a>,
    dialect: &Dialect,
    losses: &mut Losses,
) -> Body<'a> {
    let rules = target.rules;
    losses.name_as(&request.names);
    report(request, dialect, losses);
    let max_tokens = max_tokens(request, rules, losses);
    let Conversation { mut system, turns } = turns::arrange(request, rules, dialect, losses);
    let (tools, tool_choice) = tools(request, rules, dialect, &turns, losses);
    let mut output_config = OutputConfig::default();
    let thinking = request.reasoning.as_ref().and_then(|asked| {
        let forced_tool = tool_choice.as_ref().is_some_and(ToolChoice::forces);
        let at = thinking::Circumstances { rules, max_tokens, forced_tool, turns: &turns };
        thinking::plan(asked, at, &mut output_config, losses)
    });
    output_config.format = format(request, rules, losses, &mut system);
    let thinks = match &thinking {
        Some(thinking) => *thinking != Thinking::Disabled,
        None => rules.reasons_by_default,
    };
    let (temperature, top_p, top_k) = sampling(&request.sampling, rules, thinks, losses);
    let mut body = Body {
        model: target.model,
        max_tokens,
        system,
        messages: turns,
        tools,
        tool_choice,
        thinking,
        output_config,
        temperature,
        top_p,
        top_k,
        stop_sequences: stop(request, rules, losses),
        stream: request.stream,
        metadata: user(request, losses),
    };
    cache::limit(&mut body, losses);
    odd_lifetimes(request, losses);
    body
}

/// Names what there is no word for at all.
fn report(request: &ir::Request, dialect: &Dialect, losses: &mut Losses) {
    if request.candidates.is_some_and(|count| count > 1) {
        losses.refused("n", format!("{}'s models give one answer to a request", dialect.name));
    }
    if request.logprobs.is_some() {
        losses.refused("logprobs", format!("{}'s models tell no log probabilities", dialect.name));
    }
    let sampling = &request.sampling;
    if sampling.seed.is_some() {
        losses.dropped("seed");
    }
    let penalties =
        [("presence_penalty", sampling.presence_penalty), ("frequency_penalty", sampling.frequency_penalty)];
    for (path, penalty) in penalties {
        // Zero is no penalty, which is what happens without one.
        if penalty.is_some_and(|penalty| penalty != 0.0) {
            losses.dropped(path);
        }
    }
    for field in request.rest.iter().filter(|field| !dialect.opaque || field.path != ir::WEB_SEARCH_OPTIONS) {
        losses.note(field.into());
    }
}

fn max_tokens(request: &ir::Request, rules: &ModelRules, losses: &mut Losses) -> u64 {
    let most = rules.max_output_tokens;
    let Some(asked) = request.max_output_tokens else { return most.unwrap_or(DEFAULT_MAX_TOKENS) };
    let given = most.map_or(asked, |most| asked.min(most));
    if given != asked {
        losses.approximated("max_tokens");
    }
    given
}

fn tools<'a>(
    request: &'a ir::Request,
    rules: &ModelRules,
    dialect: &Dialect,
    turns: &[Turn<'a>],
    losses: &mut Losses,
) -> (Vec<wire::Tool<'a>>, Option<ToolChoice<'a>>) {
    let declared = tools::declare(request, rules, dialect, losses);
    if !declared.is_empty() {
        let choice = tools::choose(request, &declared, rules, losses);
        return (declared, choice);
    }
    if let Some(ir::ToolChoice::Required | ir::ToolChoice::Named(_) | ir::ToolChoice::Allowed { .. }) =
        request.tool_choice
    {
        losses.refused("tool_choice", ir::NOT_OFFERED);
    }
    let known = tools::from_history(turns);
    let choice = (!known.is_empty()).then_some(ToolChoice::None);
    (known, choice)
}

/// The schema to hold the answer to. Where the model cannot be held to one, the system prompt asks for it.
fn format(
    request: &ir::Request,
    rules: &ModelRules,
    losses: &mut Losses,
    system: &mut Vec<Block<'_>>,
) -> Option<Format> {
    let instruction = match request.response_format.as_ref()? {
        ResponseFormat::Text => return None,
        ResponseFormat::JsonObject => {
            "Answer with one JSON object and nothing else: no words before or after it, no code fence.".to_owned()
        }
        ResponseFormat::JsonSchema { schema, description, .. } => {
            let constrained = schema::constrain(schema);
            let tools_allow = request.tools.is_empty() || rules.structured_output_with_tools;
            if rules.structured_output && tools_allow && !constrained.recursive {
                if constrained.weaker {
                    losses.approximated("response_format");
                }
                return Some(Format::JsonSchema { schema: constrained.schema });
            }
            let about = description.as_deref().map(|text| format!(" It is: {text}")).unwrap_or_default();
            format!(
                "Answer with one JSON value and nothing else: no words before or after it, no code fence.{about} \
                 It must be valid by this JSON Schema:\n{schema}"
            )
        }
    };
    losses.approximated("response_format");
    system.push(Block::Text { text: instruction.into(), cache_control: None });
    None
}

type Drawn = (Option<f64>, Option<f64>, Option<u64>);

/// `temperature`, `top_p` and `top_k` as far as the model takes them now.
fn sampling(asked: &ir::Sampling, rules: &ModelRules, thinks: bool, losses: &mut Losses) -> Drawn {
    let ir::Sampling { mut temperature, mut top_p, mut top_k, .. } = *asked;
    match rules.sampling {
        Sampling::Always => {}
        Sampling::UnlessReasoning if !thinks => {}
        Sampling::UnlessReasoning => {
            // A thinking model draws with temperature 1, so that one is not lost by leaving it out.
            drop_if(&mut temperature, |value| value != 1.0, "temperature", losses);
            temperature = None;
            drop_if(&mut top_p, |value| value < LEAST_TOP_P, "top_p", losses);
            drop_if(&mut top_k, |_| true, "top_k", losses);
        }
        Sampling::Never => {
            drop_if(&mut temperature, |_| true, "temperature", losses);
            drop_if(&mut top_p, |_| true, "top_p", losses);
            drop_if(&mut top_k, |_| true, "top_k", losses);
        }
    }
    if let Some(value) = temperature.as_mut().filter(|value| **value > rules.max_temperature) {
        losses.approximated("temperature");
        *value = rules.max_temperature;
    }
    if temperature.is_some() && !rules.temperature_with_top_p {
        drop_if(&mut top_p, |_| true, "top_p", losses);
    }
    (temperature, top_p, top_k)
}

fn drop_if<T: Copy>(field: &mut Option<T>, refused: impl Fn(T) -> bool, name: &str, losses: &mut Losses) {
    if field.is_some_and(refused) {
        *field = None;
        losses.dropped(name);
    }
}

fn stop<'a>(request: &'a ir::Request, rules: &ModelRules, losses: &mut Losses) -> Vec<&'a str> {
    let sequences: Vec<&str> =
        request.stop.iter().map(String::as_str).filter(|text| rules.stop && !text.trim().is_empty()).collect();
    if sequences.len() < request.stop.len() {
        losses.dropped("stop");
    }
    sequences
}

fn user<'a>(request: &'a ir::Request, losses: &mut Losses) -> Option<Metadata<'a>> {
    let user_id = request.user.as_deref().filter(|user| !user.is_empty())?;
    if user_id.chars().count() > LONGEST_USER {
        losses.dropped("user");
        return None;
    }
    Some(Metadata { user_id })
}

/// Notes the cache hints that ask for a lifetime other than Anthropic's.
fn odd_lifetimes(request: &ir::Request, losses: &mut Losses) {
    let parts = request.system.iter().chain(request.messages.iter().flat_map(|message| &message.parts));
    let tools = request.tools.iter().filter_map(|tool| match tool {
        Tool::Function(tool) => tool.cache.as_ref(),
        Tool::Custom { .. } | Tool::Hosted { .. } => None,
    });
    let odd = |hint: &&ir::Cache| hint.ttl.as_deref().is_some_and(|ttl| !matches!(ttl, "5m" | "1h"));
    parts.filter_map(ir::Part::cache).chain(tools).filter(odd).for_each(|hint| losses.approximated(&hint.place));
}
