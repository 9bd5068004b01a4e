//! How much the model is to think: by a number of tokens on older models, by a word on newer ones.

use super::wire::{Block, OutputConfig, Role, Thinking, Turn};
use crate::{
    ir::{Effort, Losses, ReasoningRequest},
    models::{ForcedToolChoice, ModelRules, Thinking as Way},
};

/// The least number of tokens that Anthropic lets a model think with.
const LEAST_BUDGET: u64 = 1024;

/// The tokens that stand for each effort, on models that know tokens only.
const BUDGETS: [(Effort, u64); 6] = [
    (Effort::Minimal, 1024),
    (Effort::Low, 2048),
    (Effort::Medium, 10_000),
    (Effort::High, 16_384),
    (Effort::Xhigh, 32_768),
    (Effort::Max, 64_000),
];

/// The field by which a chat client asks.
const PATH: &str = "reasoning_effort";

/// What thinking has to agree with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances<'a> {
    pub rules: &'a ModelRules,
    pub max_tokens: u64,
    pub forced_tool: bool,
    pub turns: &'a [Turn<'a>],
}

/// Says in Anthropic's words what was asked for; the effort goes into `output`.
pub(super) fn plan(
    asked: &ReasoningRequest,
    at: Circumstances<'_>,
    output: &mut OutputConfig,
    losses: &mut Losses,
) -> Option<Thinking> {
    let off = asked.budget.map_or(asked.effort == Some(Effort::None), |budget| budget == 0);
    // What is left out is not shown by a model that hides it.
    let display = (at.rules.hides_reasoning && asked.visible != Some(false)).then_some("summarized");
    if !off && asked.budget.is_none() && asked.effort.is_none() {
        let shown = asked.visible == Some(true) && at.rules.thinking == Way::Effort;
        return shown.then_some(Thinking::Adaptive { display });
    }
    match at.rules.thinking {
        Way::None => {
            if !off {
                losses.dropped(PATH);
            }
            None
        }
        Way::Budget | Way::Effort if off && at.rules.thinking_can_be_off => Some(Thinking::Disabled),
        Way::Effort => {
            let effort = if off { Effort::None } else { asked.effort.unwrap_or_else(|| effort_of(asked.budget)) };
            output.effort = nearest(at.rules, effort);
            if output.effort != Some(effort) {
                losses.approximated(PATH);
            }
            Some(Thinking::Adaptive { display })
        }
        Way::Budget => {
            let wanted = asked.budget.unwrap_or_else(|| budget_of(asked.effort));
            let budget = fitting(wanted, at);
            if budget != Some(wanted) {
                losses.approximated(PATH);
            }
            budget.map(|budget_tokens| Thinking::Enabled { budget_tokens })
        }
    }
}

/// `max` stands in for an `xhigh` that a model does not know: who asks for more than `high` does not mean `high`.
fn nearest(rules: &ModelRules, asked: Effort) -> Option<Effort> {
    let stronger = asked == Effort::Xhigh && !rules.efforts.contains(&asked) && rules.efforts.contains(&Effort::Max);
    if stronger { Some(Effort::Max) } else { rules.nearest_effort(asked) }
}

fn effort_of(budget: Option<u64>) -> Effort {
    let budget = budget.unwrap_or_default();
    BUDGETS.iter().find(|(_, tokens)| budget <= *tokens).map_or(Effort::Max, |(effort, _)| *effort)
}

fn budget_of(effort: Option<Effort>) -> u64 {
    BUDGETS.iter().find(|(known, _)| Some(*known) == effort).map_or(LEAST_BUDGET, |(_, tokens)| *tokens)
}

/// The budget that the request has room for: all but a quarter of the output, which is left for the answer. `None` if
/// thinking by budget does not go with the rest of the request.
fn fitting(wanted: u64, at: Circumstances<'_>) -> Option<u64> {
    let clashes = at.forced_tool && at.rules.forced_tool_choice != ForcedToolChoice::Always;
    if clashes || at.max_tokens <= LEAST_BUDGET || !history_allows(at.turns) {
        return None;
    }
    let room = (at.max_tokens - at.max_tokens / 4).clamp(LEAST_BUDGET, at.max_tokens - 1);
    let wanted = wanted.max(LEAST_BUDGET);
    Some(if wanted < at.max_tokens { wanted } else { room })
}

/// With a budget, the turn whose tools' results come next has to begin with its signed thinking, and no turn can be
/// continued.
fn history_allows(turns: &[Turn<'_>]) -> bool {
    if turns.last().is_some_and(|turn| turn.role == Role::Assistant) {
        return false;
    }
    let Some(last) = turns.iter().rev().find(|turn| turn.role == Role::Assistant) else { return true };
    let calls = last.content.iter().any(|block| matches!(block, Block::ToolUse { .. }));
    let thought = matches!(last.content.first(), Some(Block::Thinking { .. } | Block::RedactedThinking { .. }));
    !calls || thought
}
