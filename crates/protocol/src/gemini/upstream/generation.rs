//! How the answer is to be generated: sampling, limits, thinking, format.

use super::body::{GenerationConfig, ThinkingConfig};
use crate::{
    ir::{Effort, Losses, ReasoningRequest, Request, ResponseFormat, Sampling},
    models::{self, ModelRules, Thinking},
};

/// Stop sequences that Gemini takes.
const MAX_STOPS: usize = 5;
/// Candidates that Gemini takes.
const MAX_CANDIDATES: u32 = 8;
/// Penalties lie below 2, which OpenAI's may reach.
const MAX_PENALTY: f64 = 1.99;

pub fn config<'a>(request: &'a Request, rules: &ModelRules, losses: &mut Losses) -> GenerationConfig<'a> {
    let thinking_config = request.reasoning.as_ref().and_then(|asked| thinking(asked, rules, losses));
    let mut config = GenerationConfig {
        candidate_count: candidates(request, losses),
        max_output_tokens: request.max_output_tokens.map(|asked| limited(asked, rules, losses)),
        stop_sequences: stops(request, rules, losses),
        response_logprobs: request.logprobs.map(|_| true),
        logprobs: request.logprobs.filter(|alternatives| *alternatives > 0),
        thinking_config,
        ..GenerationConfig::default()
    };
    sample(&request.sampling, request.reasoning.is_some(), rules, &mut config, losses);
    format(request, rules, &mut config);
    config
}

fn candidates(request: &Request, losses: &mut Losses) -> Option<u32> {
    let asked = request.candidates.filter(|count| *count > 1)?;
    if request.stream {
        losses.refused("n", "`n` above 1 cannot be streamed from Gemini");
        return None;
    }
    if asked > MAX_CANDIDATES {
        losses.refused("n", format!("`n` must be at most {MAX_CANDIDATES} for Gemini"));
        return None;
    }
    Some(asked)
}

fn limited(asked: u64, rules: &ModelRules, losses: &mut Losses) -> u64 {
    let limit = rules.max_output_tokens.unwrap_or(u64::MAX).min(i32::MAX as u64);
    if asked > limit {
        losses.approximated("max_tokens");
    }
    asked.min(limit)
}

fn stops<'a>(request: &'a Request, rules: &ModelRules, losses: &mut Losses) -> Vec<&'a str> {
    let mut stops: Vec<&str> = request.stop.iter().map(String::as_str).filter(|stop| !stop.is_empty()).collect();
    if !rules.stop && !stops.is_empty() {
        losses.dropped("stop");
        stops.clear();
    }
    if stops.len() > MAX_STOPS {
        losses.approximated("stop");
        stops.truncate(MAX_STOPS);
    }
    stops
}

fn sample(asked: &Sampling, reasons: bool, rules: &ModelRules, config: &mut GenerationConfig<'_>, losses: &mut Losses) {
    let taken = match rules.sampling {
        models::Sampling::Always => true,
        models::Sampling::UnlessReasoning => !reasons && !rules.reasons_by_default,
        models::Sampling::Never => false,
    };
    config.seed = asked.seed.map(|seed| narrow(seed, losses));
    // A penalty of nothing is no penalty, and many clients send it by default.
    let presence = asked.presence_penalty.filter(|penalty| *penalty != 0.0);
    let frequency = asked.frequency_penalty.filter(|penalty| *penalty != 0.0);
    config.temperature = kept(asked.temperature, taken, "temperature", losses);
    config.top_p = kept(asked.top_p, taken, "top_p", losses);
    config.top_k = kept(asked.top_k, taken, "top_k", losses);
    config.presence_penalty = kept(presence, taken && rules.penalties, "presence_penalty", losses);
    config.frequency_penalty = kept(frequency, taken && rules.penalties, "frequency_penalty", losses);
    lower(&mut config.temperature, rules.max_temperature, "temperature", losses);
    lower(&mut config.presence_penalty, MAX_PENALTY, "presence_penalty", losses);
    lower(&mut config.frequency_penalty, MAX_PENALTY, "frequency_penalty", losses);
}

fn kept<T>(value: Option<T>, taken: bool, path: &str, losses: &mut Losses) -> Option<T> {
    if value.is_some() && !taken {
        losses.dropped(path);
    }
    value.filter(|_| taken)
}

fn lower(value: &mut Option<f64>, limit: f64, path: &str, losses: &mut Losses) {
    if let Some(value) = value.as_mut().filter(|value| **value > limit) {
        *value = limit;
        losses.approximated(path);
    }
}

/// Gemini's seeds have 32 bits. A longer one is folded: the same seed stays the same seed.
#[expect(clippy::cast_possible_truncation, reason = "folding is the purpose")]
fn narrow(seed: i64, losses: &mut Losses) -> i32 {
    i32::try_from(seed).unwrap_or_else(|_| {
        losses.approximated("seed");
        (seed ^ (seed >> 32)) as i32
    })
}

/// A level for models that take levels, a budget for those that take budgets: both together are refused.
fn thinking(asked: &ReasoningRequest, rules: &ModelRules, losses: &mut Losses) -> Option<ThinkingConfig> {
    let config = match rules.thinking {
        Thinking::None => {
            if asked.effort.is_some_and(|effort| effort != Effort::None)
                || asked.budget.is_some_and(|budget| budget > 0)
            {
                losses.dropped("reasoning_effort");
            }
            return None;
        }
        Thinking::Effort => {
            let wanted = asked.effort.or(asked.budget.map(effort_of))?;
            let taken = rules.nearest_effort(wanted);
            if taken != asked.effort {
                losses.approximated("reasoning_effort");
            }
            let include_thoughts = wanted != Effort::None;
            ThinkingConfig { include_thoughts, thinking_level: taken.map(level), thinking_budget: None }
        }
        Thinking::Budget => {
            let budget = match (asked.budget, asked.effort) {
                (Some(budget), _) => budget,
                (None, effort) => budget_of(effort?),
            };
            let (least, greatest) = rules.thinking_budget.unwrap_or((0, u64::MAX));
            let off = budget == 0 && rules.efforts.contains(&Effort::None);
            let taken = if off { 0 } else { budget.clamp(least, greatest) };
            if taken != budget && (asked.budget.is_some() || budget == 0) {
                losses.approximated("reasoning_effort");
            }
            ThinkingConfig { include_thoughts: budget > 0, thinking_level: None, thinking_budget: Some(taken) }
        }
    };
    Some(config)
}

fn level(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal => "MINIMAL",
        Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High => "HIGH",
        Effort::Xhigh | Effort::Max => "XHIGH",
    }
}

/// The budgets that Google's own OpenAI-compatible endpoint uses; above them, as much as the model takes.
fn budget_of(effort: Effort) -> u64 {
    match effort {
        Effort::None => 0,
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High => 24_576,
        Effort::Xhigh | Effort::Max => u64::MAX,
    }
}

fn effort_of(budget: u64) -> Effort {
    match budget {
        0 => Effort::None,
        1..=1024 => Effort::Low,
        1025..=8192 => Effort::Medium,
        _ => Effort::High,
    }
}

/// The format as a setting, where the model takes it as one.
fn format<'a>(request: &'a Request, rules: &ModelRules, config: &mut GenerationConfig<'a>) {
    if !takes_format(request, rules) {
        return;
    }
    match &request.response_format {
        None | Some(ResponseFormat::Text) => {}
        Some(ResponseFormat::JsonObject) => config.response_mime_type = Some("application/json"),
        Some(ResponseFormat::JsonSchema { schema, .. }) => {
            config.response_mime_type = Some("application/json");
            config.response_json_schema = Some(schema);
        }
    }
}

fn takes_format(request: &Request, rules: &ModelRules) -> bool {
    rules.structured_output && (rules.structured_output_with_tools || request.tools.is_empty())
}

/// The format in words, for a model that cannot be held to it.
pub fn format_in_words(request: &Request, rules: &ModelRules, losses: &mut Losses) -> Option<String> {
    let format = request.response_format.as_ref().filter(|format| **format != ResponseFormat::Text)?;
    if let ResponseFormat::JsonSchema { description: Some(_), .. } = format {
        losses.dropped("response_format.json_schema.description");
    }
    if takes_format(request, rules) {
        return None;
    }
    losses.approximated("response_format");
    let answer = "Unless you call a tool, answer with a single JSON";
    let alone = "Write nothing before or after it, and no code fence.";
    Some(match format {
        ResponseFormat::JsonSchema { schema, .. } => {
            format!("{answer} value that is valid against this JSON Schema. {alone}\n{schema}")
        }
        ResponseFormat::JsonObject | ResponseFormat::Text => format!("{answer} object. {alone}"),
    })
}
