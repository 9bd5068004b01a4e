//! The conversation, once it is arranged, in Converse's words.

use std::{borrow::Cow, collections::HashSet};

use super::{
    family::Family,
    media::{self, Sort},
    wire::{Block, CachePoint, File, Message, Reasoning, Source},
};
use crate::{
    anthropic::{
        NOTHING,
        wire::{self as theirs, CacheControl, Turn},
    },
    fnv,
    ir::{Losses, Place},
};

/// Longest id of a tool call.
const LONGEST_ID: usize = 64;

/// Longest name of a document, in characters.
const LONGEST_NAME: usize = 200;

/// The name of a document that has none. It is neutral, since the model reads it.
const UNNAMED: &str = "Document";

/// Stands for a tool's result that holds nothing.
const NO_OUTPUT: &str = "(no output)";

impl<'a> CachePoint<'a> {
    /// Five minutes are the usual time, which not every model lets be named.
    pub fn of(mark: &CacheControl<'a>) -> Self {
        Self { kind: "default", ttl: mark.ttl().filter(|ttl| *ttl != "5m") }
    }
}

/// Writes one request's messages.
pub(super) struct Writer<'l> {
    family: Family,
    losses: &'l mut Losses,
    /// No two documents may have one name.
    names: HashSet<String>,
    saw_tools: bool,
}

impl<'l> Writer<'l> {
    pub fn new(family: Family, losses: &'l mut Losses) -> Self {
        Self { family, losses, names: HashSet::new(), saw_tools: false }
    }

    /// Whether a tool was called or answered, so that there have to be tools.
    pub fn saw_tools(&self) -> bool {
        self.saw_tools
    }

    pub fn messages<'a>(&mut self, turns: Vec<Turn<'a>>) -> Vec<Message<'a>> {
        turns
            .into_iter()
            .map(|turn| Message { role: turn.role, content: self.content(turn.content, turn.place) })
            .collect()
    }

    /// A message is never empty, and one that shows a document says something about it.
    fn content<'a>(&mut self, blocks: Vec<theirs::Block<'a>>, place: &Place) -> Vec<Block<'a>> {
        let mut content = self.blocks(blocks);
        let silent = !content.iter().any(|block| matches!(block, Block::Text(_)));
        let shows = content.iter().any(|block| matches!(block, Block::Document(_)));
        if content.is_empty() || shows && silent {
            self.losses.approximated(place);
            content.push(Block::Text(Cow::Borrowed(NOTHING)));
        }
        content
    }

    pub fn blocks<'a>(&mut self, blocks: Vec<theirs::Block<'a>>) -> Vec<Block<'a>> {
        let mut written = Vec::with_capacity(blocks.len());
        for block in blocks {
            let mark = self.block(block, &mut written);
            self.mark(mark, &mut written);
        }
        written
    }

    fn mark<'a>(&mut self, mark: Option<CacheControl<'a>>, out: &mut Vec<Block<'a>>) {
        match mark {
            Some(mark) if self.family.caches() => out.push(Block::CachePoint(CachePoint::of(&mark))),
            Some(mark) => self.losses.dropped(mark.place()),
            None => {}
        }
    }

    /// Writes one block; returns the mark that stands behind it.
    fn block<'a>(&mut self, block: theirs::Block<'a>, out: &mut Vec<Block<'a>>) -> Option<CacheControl<'a>> {
        match block {
            theirs::Block::Text { text, cache_control } => {
                out.push(Block::Text(text));
                cache_control
            }
            theirs::Block::Image { source, cache_control } => {
                out.extend(self.file(source, None));
                cache_control
            }
            theirs::Block::Document { source, title, cache_control } => {
                out.extend(self.file(source, title));
                cache_control
            }
            // Others neither sign their reasoning nor take it back.
            theirs::Block::Thinking { .. } | theirs::Block::RedactedThinking { .. }
                if self.family != Family::Claude =>
            {
                None
            }
            theirs::Block::Thinking { thinking: text, signature } => {
                out.push(Block::ReasoningContent(Reasoning::ReasoningText { text, signature }));
                None
            }
            theirs::Block::RedactedThinking { data } => {
                out.push(Block::ReasoningContent(Reasoning::RedactedContent(data)));
                None
            }
            theirs::Block::ToolUse { id, name, input, .. } => {
                self.saw_tools = true;
                out.push(Block::ToolUse { tool_use_id: short(id), name, input });
                None
            }
            theirs::Block::ToolResult { tool_use_id, content, is_error, cache_control, .. } => {
                self.saw_tools = true;
                let (content, inner) = self.result(content);
                let status = is_error.then_some("error");
                out.push(Block::ToolResult { tool_use_id: short(tool_use_id), content, status });
                cache_control.or(inner)
            }
            // The dialect leaves these out.
            theirs::Block::Raw(_) => None,
        }
    }

    /// A tool's result cannot hold marks: the last of them goes behind it.
    fn result<'a>(&mut self, blocks: Vec<theirs::Block<'a>>) -> (Vec<Block<'a>>, Option<CacheControl<'a>>) {
        let mut content = Vec::with_capacity(blocks.len());
        let mut last = None;
        for block in blocks {
            last = self.block(block, &mut content).or(last);
        }
        if content.is_empty() {
            content.push(Block::Text(Cow::Borrowed(NO_OUTPUT)));
        }
        (content, last)
    }

    fn file<'a>(&mut self, source: theirs::Source<'a>, title: Option<&str>) -> Option<Block<'a>> {
        let theirs::Source::Base64 { media_type, data } = source else { return None };
        let (sort, format) = media::format(media_type)?;
        let file = |name| File { format, name, source: Source::Bytes(data) };
        Some(match sort {
            Sort::Image => Block::Image(file(None)),
            Sort::Video => Block::Video(file(None)),
            Sort::Audio => Block::Audio(file(None)),
            Sort::Document => Block::Document(file(Some(self.name(title.unwrap_or_default())))),
        })
    }

    /// The name of a document in Bedrock's alphabet: letters, digits, hyphens, brackets, and single spaces.
    fn name(&mut self, title: &str) -> String {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '(' | ')' | '[' | ']');
        let spaced: String = title.chars().map(|letter| if allowed(letter) { letter } else { ' ' }).collect();
        let words = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
        let plain: String = words.chars().take(LONGEST_NAME - 8).collect();
        let plain = if plain.is_empty() { UNNAMED.to_owned() } else { plain.trim_end().to_owned() };
        let mut name = plain.clone();
        let mut number = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{plain} {number}");
            number += 1;
        }
        name
    }
}

/// Ids that are too long stay different by a fingerprint.
fn short<'a>(id: String) -> Cow<'a, str> {
    if id.len() <= LONGEST_ID {
        return Cow::Owned(id);
    }
    let kept: String = id.chars().take(LONGEST_ID - 17).collect();
    Cow::Owned(format!("{kept}_{:016x}", fnv::hash(0, id.as_bytes())))
}
