//! The conversation as Anthropic wants it: user and assistant by turns, results of tools first in the turn that
//! follows their calls, no empty text, system text in the middle only where the model knows it.

use std::{borrow::Cow, collections::HashSet};

use serde_json::value::RawValue;

use super::{
    Dialect,
    ids::Ids,
    wire::{Block, CacheControl, Input, Role, Turn},
};
use crate::{
    ProtocolId, ir,
    ir::{Losses, Part, ToolCall, ToolResult},
    json::Json,
    models::ModelRules,
};

/// Stands for a user's message that holds nothing, and before a conversation that the assistant begins.
pub(crate) const NOTHING: &str = "(no text)";

/// The system prompt and the turns of a request.
#[derive(Debug, Default)]
pub(super) struct Conversation<'a> {
    pub system: Vec<Block<'a>>,
    pub turns: Vec<Turn<'a>>,
}

/// Arranges the conversation of `request`.
pub(super) fn arrange<'a>(
    request: &'a ir::Request,
    rules: &ModelRules,
    dialect: &Dialect,
    losses: &mut Losses,
) -> Conversation<'a> {
    let mut scribe = Scribe { rules, dialect, losses, ids: Ids::default(), drafts: Vec::new() };
    let mut system = scribe.system_text(&request.system);
    for message in &request.messages {
        scribe.message(message);
    }
    if scribe.drafts.is_empty() && !system.is_empty() {
        scribe.losses.approximated("messages");
        let rest = std::mem::take(&mut system);
        scribe.drafts.push(Draft { rest, ..Draft::new(Role::User) });
    }
    let turns = scribe.finish();
    Conversation { system, turns }
}

/// A turn while messages are still added to it.
#[derive(Debug)]
struct Draft<'a> {
    role: Role,
    results: Vec<Block<'a>>,
    rest: Vec<Block<'a>>,
    calls: Vec<Block<'a>>,
}

impl<'a> Draft<'a> {
    fn new(role: Role) -> Self {
        Self { role, results: Vec::new(), rest: Vec::new(), calls: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.results.is_empty() && self.rest.is_empty() && self.calls.is_empty()
    }

    fn into_turn(self) -> Turn<'a> {
        let mut content = self.results;
        content.extend(self.rest);
        content.extend(self.calls);
        Turn { role: self.role, content }
    }
}

struct Scribe<'a, 'r> {
    rules: &'r ModelRules,
    dialect: &'r Dialect,
    losses: &'r mut Losses,
    ids: Ids<'a>,
    drafts: Vec<Draft<'a>>,
}

impl<'a> Scribe<'a, '_> {
    fn message(&mut self, message: &'a ir::Message) {
        match message.role {
            ir::Role::System => self.system(&message.parts),
            ir::Role::User => {
                let draft = self.user(&message.parts);
                self.push(draft);
            }
            ir::Role::Assistant => {
                let draft = self.assistant(&message.parts);
                if !draft.is_empty() {
                    self.push(draft);
                }
            }
        }
    }

    /// Adds to the last turn if it is the same party's.
    fn push(&mut self, draft: Draft<'a>) {
        match self.drafts.last_mut().filter(|last| last.role == draft.role) {
            Some(last) => {
                last.results.extend(draft.results);
                last.rest.extend(draft.rest);
                last.calls.extend(draft.calls);
            }
            None => self.drafts.push(draft),
        }
    }

    fn system(&mut self, parts: &'a [Part]) {
        let rest = self.system_text(parts);
        if !rest.is_empty() {
            self.push(Draft { rest, ..Draft::new(Role::System) });
        }
    }

    /// System text stays in its place where the model knows it there, and where Anthropic allows it: between a user's
    /// turn and the assistant's, or at the end behind a user's turn. Elsewhere the user says it, marked as what it
    /// is.
    fn settle_system(&mut self) {
        let mut drafts = std::mem::take(&mut self.drafts).into_iter().peekable();
        while let Some(mut draft) = drafts.next() {
            let follows_user = self.drafts.last().is_some_and(|last| last.role == Role::User);
            let precedes_user = drafts.peek().is_some_and(|next| next.role == Role::User);
            let stays = self.rules.system_in_messages && follows_user && !precedes_user;
            if draft.role == Role::System && !stays {
                self.losses.approximated("messages");
                draft = Draft { rest: draft.rest.into_iter().map(marked).collect(), ..Draft::new(Role::User) };
            }
            self.push(draft);
        }
    }

    fn system_text(&mut self, parts: &'a [Part]) -> Vec<Block<'a>> {
        let mut blocks = Vec::new();
        for part in parts {
            match part {
                Part::Text(text) => blocks.extend(text_block(text)),
                Part::Opaque { origin: ProtocolId::Anthropic, raw } => blocks.push(Block::Raw(raw)),
                Part::Opaque { .. } => self.losses.dropped("messages"),
                _ => self.losses.refused("messages", "nothing but text can stand in system messages"),
            }
        }
        blocks
    }

    fn user(&mut self, parts: &'a [Part]) -> Draft<'a> {
        let mut draft = Draft::new(Role::User);
        for part in parts {
            match part {
                Part::ToolResult(result) => {
                    let (block, moved) = self.tool_result(result);
                    draft.results.push(block);
                    draft.rest.extend(moved);
                }
                // Neither can stand in a user's turn.
                Part::ToolCall(_) | Part::Reasoning(_) => self.losses.dropped("messages"),
                _ => draft.rest.extend(self.content(part)),
            }
        }
        draft
    }

    fn assistant(&mut self, parts: &'a [Part]) -> Draft<'a> {
        let mut draft = Draft::new(Role::Assistant);
        for part in parts {
            match part {
                Part::ToolCall(call) => {
                    let block = self.tool_call(call);
                    draft.calls.push(block);
                }
                Part::Reasoning(reasoning) => draft.rest.extend(thinking(reasoning, self.dialect)),
                Part::Media(_) | Part::ToolResult(_) => self.losses.dropped("messages"),
                _ => draft.rest.extend(self.content(part)),
            }
        }
        draft
    }

    /// What may stand in a user's turn and in a tool's result.
    fn content(&mut self, part: &'a Part) -> Option<Block<'a>> {
        match part {
            Part::Text(text) => text_block(text),
            Part::Refusal(text) => plain(text),
            Part::Media(media) => match (self.dialect.media)(media, self.losses) {
                Ok(block) => Some(block),
                Err(why) => {
                    self.losses.refused("messages", why);
                    None
                }
            },
            Part::Opaque { origin: ProtocolId::Anthropic, raw } => Some(Block::Raw(raw)),
            Part::Opaque { .. } | Part::Reasoning(_) | Part::ToolCall(_) | Part::ToolResult(_) => {
                self.losses.dropped("messages");
                None
            }
        }
    }

    fn tool_call(&mut self, call: &'a ToolCall) -> Block<'a> {
        let input = if call.custom { wrapped(Json::from(&*call.arguments)) } else { self.arguments(&call.arguments) };
        Block::ToolUse { id: self.ids.call(&call.id), name: tool_name(&call.name), input }
    }

    fn arguments(&mut self, text: &'a str) -> Input<'a> {
        let text = text.trim();
        if text.is_empty() {
            return Input::Made(Json::object::<String>([]));
        }
        match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) if raw.get().starts_with('{') => Input::Verbatim(raw),
            known => {
                self.losses.approximated("messages");
                let value = known.ok().and_then(|raw| Json::parse(raw.get().as_bytes()).ok());
                wrapped(value.unwrap_or_else(|| Json::from(text)))
            }
        }
    }

    /// The result, and those of its pieces that have to stand behind it.
    fn tool_result(&mut self, result: &'a ToolResult) -> (Block<'a>, Vec<Block<'a>>) {
        let blocks: Vec<_> = result.content.iter().filter_map(|part| self.content(part)).collect();
        let (content, moved): (Vec<_>, Vec<_>) = blocks
            .into_iter()
            .partition(|block| self.rules.media_in_tool_results || matches!(block, Block::Text { .. } | Block::Raw(_)));
        if !moved.is_empty() {
            self.losses.approximated("messages");
        }
        let block = Block::ToolResult {
            tool_use_id: self.ids.result(&result.id),
            content,
            is_error: result.is_error,
            cache_control: CacheControl::of(&result.cache),
        };
        (block, moved)
    }

    fn finish(mut self) -> Vec<Turn<'a>> {
        self.settle_system();
        for draft in &mut self.drafts {
            if draft.is_empty() {
                self.losses.approximated("messages");
                draft.rest.extend(plain(NOTHING));
            }
        }
        if self.drafts.first().is_some_and(|first| first.role == Role::Assistant) {
            self.losses.approximated("messages");
            let opening = Draft { rest: plain(NOTHING).into_iter().collect(), ..Draft::new(Role::User) };
            self.drafts.insert(0, opening);
        }
        if self.drafts.is_empty() {
            self.losses.refused("messages", format!("`messages` holds nothing that {} takes", self.dialect.name));
        }
        let mut turns: Vec<_> = self.drafts.into_iter().map(Draft::into_turn).collect();
        check_pairs(&turns, self.losses);
        if let Some(last) = turns.last_mut().filter(|last| last.role == Role::Assistant) {
            prefill(last, self.rules, self.losses);
        }
        turns
    }
}

/// An assistant's turn at the end is one to be continued, where the model can, and may not end with white space.
fn prefill(turn: &mut Turn<'_>, rules: &ModelRules, losses: &mut Losses) {
    if !rules.prefill {
        return losses
            .refused("messages", "the last message must not be the assistant's: this model does not continue it");
    }
    if let Some(Block::Text { text, .. }) = turn.content.last_mut() {
        let kept = text.trim_end().len();
        match text {
            Cow::Borrowed(text) => *text = &text[..kept],
            Cow::Owned(text) => text.truncate(kept),
        }
    }
}

/// Every call needs its result in the next turn, and every result its call in the one before.
fn check_pairs(turns: &[Turn<'_>], losses: &mut Losses) {
    let mut open: HashSet<&str> = HashSet::new();
    for turn in turns.iter().filter(|turn| turn.role != Role::System) {
        for block in &turn.content {
            if let Block::ToolResult { tool_use_id, .. } = block
                && !open.remove(tool_use_id.as_str())
            {
                let why = format!("the tool result for `{tool_use_id}` answers no call of the message before it");
                losses.refused("messages", why);
            }
        }
        missing(&mut open, losses);
        open.extend(turn.content.iter().filter_map(|block| match block {
            Block::ToolUse { id, .. } => Some(id.as_str()),
            _ => None,
        }));
    }
    missing(&mut open, losses);
}

fn missing(open: &mut HashSet<&str>, losses: &mut Losses) {
    if let Some(id) = open.iter().min() {
        losses.refused("messages", format!("the tool call `{id}` has no result in the message after it"));
    }
    open.clear();
}

fn marked(mut block: Block<'_>) -> Block<'_> {
    if let Block::Text { text, .. } = &mut block {
        *text = Cow::Owned(format!("<system>\n{text}\n</system>"));
    }
    block
}

/// No block for text that is empty or white space, which Anthropic refuses.
fn text_block(text: &ir::Text) -> Option<Block<'_>> {
    let cache_control = CacheControl::of(&text.cache);
    has_words(&text.text).then(|| Block::Text { text: Cow::Borrowed(&text.text), cache_control })
}

fn plain(text: &str) -> Option<Block<'_>> {
    has_words(text).then_some(Block::Text { text: Cow::Borrowed(text), cache_control: None })
}

fn has_words(text: &str) -> bool {
    !text.trim().is_empty()
}

/// Only reasoning that Anthropic signed means anything to it; signed reasoning without a text does.
fn thinking<'a>(reasoning: &'a ir::Reasoning, dialect: &Dialect) -> Option<Block<'a>> {
    let understood = if reasoning.redacted { dialect.redacted } else { ProtocolId::Anthropic };
    let signature = reasoning.signature.as_ref().filter(|signature| signature.origin == understood)?;
    let value = Some(&*signature.value).filter(|value| !value.is_empty())?;
    Some(match reasoning.redacted {
        true => Block::RedactedThinking { data: value },
        false => Block::Thinking { thinking: &reasoning.text, signature: value },
    })
}

/// What is no object becomes the one argument of an object, as the tool's schema says for tools that take free text.
fn wrapped(value: Json) -> Input<'static> {
    Input::Made(Json::object([("input", value)]))
}

/// The name of a tool that was called, in Anthropic's alphabet.
pub(super) fn tool_name(name: &str) -> Cow<'_, str> {
    if super::ids::is_safe(name) {
        return Cow::Borrowed(name);
    }
    let letters = name.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' });
    let mapped: String = letters.collect();
    Cow::Owned(if mapped.is_empty() { "_".to_owned() } else { mapped })
}
