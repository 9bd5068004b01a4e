//! The conversation as Anthropic wants it: user and assistant by turns, results of tools first in the turn that
//! follows their calls, no empty text, system text in the middle only where the model knows it.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;

use super::{
    Dialect,
    ids::Ids,
    wire::{Block, CacheControl, Input, Role, Turn},
};
use crate::{
    ProtocolId, ir,
    ir::{FOREIGN, Losses, Message, Part, Place, ToolCall, ToolResult},
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
        scribe.drafts.push(Draft { rest, ..Draft::new(Role::User, Place::NOWHERE) });
    }
    let turns = scribe.finish();
    Conversation { system, turns }
}

/// A turn while messages are still added to it.
#[derive(Debug)]
struct Draft<'a> {
    role: Role,
    place: &'a Place,
    results: Vec<Block<'a>>,
    rest: Vec<Block<'a>>,
    calls: Vec<Block<'a>>,
}

impl<'a> Draft<'a> {
    fn new(role: Role, place: &'a Place) -> Self {
        Self { role, place, results: Vec::new(), rest: Vec::new(), calls: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.results.is_empty() && self.rest.is_empty() && self.calls.is_empty()
    }

    fn into_turn(self) -> Turn<'a> {
        let mut content = self.results;
        content.extend(self.rest);
        content.extend(self.calls);
        Turn { role: self.role, content, place: self.place }
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
            ir::Role::System => self.system(message),
            ir::Role::User => {
                let draft = self.user(message);
                self.push(draft);
            }
            ir::Role::Assistant => {
                let draft = self.assistant(message);
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

    fn system(&mut self, message: &'a Message) {
        let rest = self.system_text(&message.parts);
        if !rest.is_empty() {
            self.push(Draft { rest, ..Draft::new(Role::System, &message.place) });
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
                self.losses.approximated(draft.place);
                let rest = draft.rest.into_iter().map(marked).collect();
                draft = Draft { rest, ..Draft::new(Role::User, draft.place) };
            }
            self.push(draft);
        }
    }

    fn system_text(&mut self, parts: &'a [Part]) -> Vec<Block<'a>> {
        let mut blocks = Vec::new();
        for part in parts {
            match part {
                Part::Text(text) => blocks.extend(text_block(text)),
                Part::Opaque { raw, .. } if self.understands(part) => blocks.push(Block::Raw(raw)),
                Part::Opaque { place, .. } => self.losses.dropped(place),
                other => self.losses.refused(other.place(), "nothing but text can stand in system messages"),
            }
        }
        blocks
    }

    /// Whether an opaque part is one that the upstream has words for.
    fn understands(&self, part: &Part) -> bool {
        self.dialect.opaque && matches!(part, Part::Opaque { origin: ProtocolId::Anthropic, .. })
    }

    fn user(&mut self, message: &'a Message) -> Draft<'a> {
        let mut draft = Draft::new(Role::User, &message.place);
        for part in &message.parts {
            match part {
                Part::ToolResult(result) => {
                    let (block, moved) = self.tool_result(result);
                    draft.results.push(block);
                    draft.rest.extend(moved);
                }
                // Neither can stand in a user's turn.
                Part::ToolCall(_) | Part::Reasoning(_) => self.losses.dropped(part.place()),
                _ => draft.rest.extend(self.content(part)),
            }
        }
        draft
    }

    fn assistant(&mut self, message: &'a Message) -> Draft<'a> {
        let mut draft = Draft::new(Role::Assistant, &message.place);
        for part in &message.parts {
            match part {
                Part::ToolCall(call) => {
                    let block = self.tool_call(call);
                    draft.calls.push(block);
                }
                Part::Reasoning(reasoning) => {
                    let block = thinking(reasoning, self.dialect);
                    if block.is_none() && reasoning.says_something() {
                        self.losses.dropped(&reasoning.place);
                    }
                    draft.rest.extend(block);
                }
                Part::Media(_) | Part::ToolResult(_) => self.losses.dropped(part.place()),
                Part::Opaque { place, .. } if !self.understands(part) => self.losses.dropped(place),
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
                    self.losses.refused(&media.place, why);
                    None
                }
            },
            Part::Opaque { raw, .. } if self.understands(part) => Some(Block::Raw(raw)),
            Part::Opaque { place, .. } => {
                self.losses.refused(place, FOREIGN);
                None
            }
            Part::Reasoning(_) | Part::ToolCall(_) | Part::ToolResult(_) => {
                self.losses.dropped(part.place());
                None
            }
        }
    }

    fn tool_call(&mut self, call: &'a ToolCall) -> Block<'a> {
        let input = if call.custom { wrapped(Json::from(&*call.arguments)) } else { self.arguments(call) };
        Block::ToolUse { id: self.ids.call(&call.id), name: tool_name(&call.name), input, place: &call.place }
    }

    fn arguments(&mut self, call: &'a ToolCall) -> Input<'a> {
        let text = call.arguments.trim();
        if text.is_empty() {
            return Input::Made(Json::object::<String>([]));
        }
        match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) if raw.get().starts_with('{') => Input::Verbatim(raw),
            known => {
                self.losses.approximated((&call.place, "arguments"));
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
            self.losses.approximated(&result.place);
        }
        let block = Block::ToolResult {
            tool_use_id: self.ids.result(&result.id),
            content,
            is_error: result.is_error,
            cache_control: CacheControl::of(&result.cache),
            place: &result.place,
        };
        (block, moved)
    }

    fn finish(mut self) -> Vec<Turn<'a>> {
        self.settle_system();
        for draft in &mut self.drafts {
            if draft.is_empty() {
                self.losses.approximated(draft.place);
                draft.rest.extend(plain(NOTHING));
            }
        }
        if let Some(first) = self.drafts.first().filter(|first| first.role == Role::Assistant) {
            self.losses.approximated(first.place);
            let opening = Draft { rest: plain(NOTHING).into_iter().collect(), ..Draft::new(Role::User, first.place) };
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
            .refused(turn.place, "the last message must not be the assistant's: this model does not continue it");
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
    let mut open: BTreeMap<&str, &Place> = BTreeMap::new();
    for turn in turns.iter().filter(|turn| turn.role != Role::System) {
        for block in &turn.content {
            if let Block::ToolResult { tool_use_id, place, .. } = block
                && open.remove(tool_use_id.as_str()).is_none()
            {
                let why = format!("the tool result for `{tool_use_id}` answers no call of the message before it");
                losses.refused(*place, why);
            }
        }
        missing(&mut open, losses);
        open.extend(turn.content.iter().filter_map(|block| match block {
            Block::ToolUse { id, place, .. } => Some((id.as_str(), *place)),
            _ => None,
        }));
    }
    missing(&mut open, losses);
}

fn missing(open: &mut BTreeMap<&str, &Place>, losses: &mut Losses) {
    while let Some((id, place)) = open.pop_first() {
        losses.refused(place, format!("the tool call `{id}` has no result in the message after it"));
    }
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
