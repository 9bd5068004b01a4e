//! At most four points of a prompt may be marked for caching.

use super::wire::{Block, Body, CacheControl, Tool};
use crate::ir::Losses;

const MOST: usize = 4;

/// Takes away the marks in front of the last four: a later mark covers all that an earlier one does.
pub(super) fn limit(body: &mut Body<'_>, losses: &mut Losses) {
    let mut marks = Vec::new();
    for tool in &mut body.tools {
        if let Tool::Function(function) = tool {
            marks.push(&mut function.cache_control);
        }
    }
    for block in body.system.iter_mut().chain(body.messages.iter_mut().flat_map(|turn| &mut turn.content)) {
        collect(block, &mut marks);
    }
    marks.retain(|mark| mark.is_some());
    let excess = marks.len().saturating_sub(MOST);
    for mark in marks.into_iter().take(excess).filter_map(Option::take) {
        losses.approximated(mark.place());
    }
}

fn collect<'b, 'a>(block: &'b mut Block<'a>, marks: &mut Vec<&'b mut Option<CacheControl<'a>>>) {
    match block {
        Block::Text { cache_control, .. }
        | Block::Image { cache_control, .. }
        | Block::Document { cache_control, .. } => marks.push(cache_control),
        Block::ToolResult { content, cache_control, .. } => {
            for inner in content {
                collect(inner, marks);
            }
            marks.push(cache_control);
        }
        Block::Thinking { .. } | Block::RedactedThinking { .. } | Block::ToolUse { .. } | Block::Raw(_) => {}
    }
}
