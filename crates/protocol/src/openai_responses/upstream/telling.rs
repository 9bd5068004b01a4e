//! What an item says, in events, whether it comes in pieces, whole, or both.

use super::item::{Item, Kind, citation};
use crate::{
    ProtocolId,
    ir::{Block, Delta, Event, Signature},
    json::Json,
    openai::lenient::{Raw, Str, json_text, read},
};

/// A place within an item that text is added to, numbered as the wire numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    Text(u64),
    Refusal(u64),
    /// What stands for the model's thoughts, and the thoughts themselves where a provider shows them.
    Summary(u64),
    Thought(u64),
    /// Of a call of a function, and of a free-text tool.
    Arguments,
    Input,
}

impl Slot {
    /// The sort of item that has such a place.
    pub fn kind(self) -> Kind {
        match self {
            Self::Text(_) | Self::Refusal(_) => Kind::Message,
            Self::Summary(_) | Self::Thought(_) => Kind::Reasoning,
            Self::Arguments => Kind::Call { custom: false },
            Self::Input => Kind::Call { custom: true },
        }
    }

    fn calls(self) -> bool {
        matches!(self, Self::Arguments | Self::Input)
    }

    /// The piece of a message that it is.
    fn piece(self) -> Option<u64> {
        match self {
            Self::Text(at) | Self::Refusal(at) => Some(at),
            Self::Summary(_) | Self::Thought(_) | Self::Arguments | Self::Input => None,
        }
    }

    fn thinks(self) -> bool {
        matches!(self, Self::Summary(_) | Self::Thought(_))
    }
}

/// What has been told of one item. The pieces of an item come once as they are made and once more when they are whole; some
/// servers leave out the one, some the other.
#[derive(Debug)]
pub struct Telling {
    kind: Kind,
    /// Made up for a call that comes without an id.
    stand_in: String,
    open: Option<Slot>,
    /// The text that was told at each place.
    told: Vec<(Slot, String)>,
    /// Sources told of the open text.
    cited: usize,
    /// The block of a call, or of what only this protocol knows, is open.
    begun: bool,
    /// Arguments that came before the name.
    early: String,
    /// Which part of the answer a message is, where the server tells.
    phase: Option<String>,
}

impl Telling {
    pub fn new(kind: Kind, stand_in: String) -> Self {
        Self { kind, stand_in, open: None, told: Vec::new(), cited: 0, begun: false, early: String::new(), phase: None }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The item began.
    pub fn begin(&mut self, item: &Item<'_>, out: &mut Vec<Event>) {
        self.phase = item.phase.some();
        match self.kind {
            Kind::Call { custom } => self.name(item, custom, out),
            Kind::Other if !self.begun => {
                self.begun = true;
                out.push(Event::Open(Block::Opaque));
            }
            Kind::Message | Kind::Reasoning | Kind::Image | Kind::Other => {}
        }
    }

    /// Adds a piece of text.
    pub fn add(&mut self, slot: Slot, text: &str, out: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        if slot.calls() && !self.begun {
            return self.early.push_str(text);
        }
        self.switch(slot, out);
        if let Some((_, told)) = self.told.iter_mut().find(|(told, _)| *told == slot) {
            told.push_str(text);
        }
        let text = text.to_owned();
        out.push(Event::Delta(if slot.calls() { Delta::Arguments(text) } else { Delta::Text(text) }));
    }

    /// The text of a place is whole: tells what its pieces left out of it. True if there were no pieces.
    pub fn whole(&mut self, slot: Slot, text: &str, out: &mut Vec<Event>) -> bool {
        let known = self.told.iter().find(|(told, _)| *told == slot);
        let rest = known.map_or(Some(text), |(_, told)| text.strip_prefix(told.as_str()));
        let fresh = known.is_none() && self.early.is_empty();
        // A block that is closed stays closed.
        if fresh || self.open == Some(slot) {
            self.add(slot, rest.unwrap_or_default(), out);
        }
        fresh
    }

    /// Adds a source to the text it belongs to.
    pub fn cite(&mut self, slot: Slot, annotation: Raw<'_>, out: &mut Vec<Event>) {
        if self.open != Some(slot) {
            return;
        }
        self.cited += 1;
        out.extend(citation(annotation).map(|source| Event::Delta(Delta::Citation(source))));
    }

    /// Adds the probabilities of the last tokens of a text, in the form that the chat protocol has for them.
    pub fn logprobs(&mut self, slot: Slot, raw: Raw<'_>, out: &mut Vec<Event>) {
        let tokens: Option<Json> = read(raw);
        if let Some(tokens) = tokens.filter(|tokens| tokens.items().is_some_and(|tokens| !tokens.is_empty()))
            && self.open == Some(slot)
        {
            out.push(Event::Delta(Delta::Logprobs(Json::object([("content", tokens)]))));
        }
    }

    /// The item is whole: tells what was not told, and ends.
    pub fn end(&mut self, item: &Item<'_>, out: &mut Vec<Event>) {
        match self.kind {
            Kind::Message => self.message(item, out),
            Kind::Reasoning => self.reasoning(item, out),
            Kind::Call { custom } => {
                self.name(item, custom, out);
                if custom {
                    self.whole(Slot::Input, item.input.as_str(), out);
                } else {
                    self.whole(Slot::Arguments, &json_text(item.arguments), out);
                }
            }
            Kind::Image => {
                if let Some((mime, data)) = item.picture() {
                    out.extend([Event::Open(Block::Media { mime, data }), Event::Close]);
                }
            }
            Kind::Other => {}
        }
        self.cut_off(out);
    }

    /// Ends an item of which nothing more will be heard.
    pub fn cut_off(&mut self, out: &mut Vec<Event>) {
        let begun = std::mem::take(&mut self.begun);
        if self.open.take().is_some() || begun {
            out.push(Event::Close);
        }
    }

    fn message(&mut self, item: &Item<'_>, out: &mut Vec<Event>) {
        // Some servers count the reasoning before a message among its pieces, but only in a stream.
        let told: Vec<u64> = self.told.iter().filter_map(|(slot, _)| slot.piece()).collect();
        let shifted = told.len() == item.content.0.len();
        for (at, piece) in (0..).zip(&item.content.0) {
            let at = if shifted { told[at] } else { at as u64 };
            let slot = Slot::Text(at);
            let fresh = self.whole(slot, piece.text.as_str(), out);
            if fresh {
                self.logprobs(slot, piece.logprobs, out);
            }
            let known = if fresh { 0 } else { self.cited };
            piece.annotations.0.iter().skip(known).for_each(|annotation| self.cite(slot, Some(annotation), out));
            self.whole(Slot::Refusal(at), piece.refusal.as_str(), out);
        }
    }

    fn reasoning(&mut self, item: &Item<'_>, out: &mut Vec<Event>) {
        for (at, piece) in (0..).zip(&item.summary.0) {
            self.whole(Slot::Summary(at), piece.text.as_str(), out);
        }
        for (at, piece) in (0..).zip(&item.content.0) {
            self.whole(Slot::Thought(at), piece.text.as_str(), out);
        }
        if let Some(value) = item.encrypted_content.some() {
            if self.open.is_none() {
                self.switch(Slot::Summary(0), out);
            }
            out.push(Event::Delta(Delta::Signature(Signature { origin: ProtocolId::OpenAiResponses, value })));
        }
    }

    /// Opens the block of a call once its name is known.
    fn name(&mut self, item: &Item<'_>, custom: bool, out: &mut Vec<Event>) {
        if self.begun || item.name.is_empty() {
            return;
        }
        self.begun = true;
        let told = [&item.call_id, &item.id].into_iter().find_map(Str::some);
        let id = told.unwrap_or_else(|| std::mem::take(&mut self.stand_in));
        out.push(Event::Open(Block::ToolCall { id, name: item.name.as_str().to_owned(), custom }));
        let early = std::mem::take(&mut self.early);
        self.add(if custom { Slot::Input } else { Slot::Arguments }, &early, out);
    }

    /// Makes `slot` the open one. All of an item's reasoning is one block, since one signature covers it.
    fn switch(&mut self, slot: Slot, out: &mut Vec<Event>) {
        let before = self.open.replace(slot);
        let fresh = self.told.iter().all(|(told, _)| *told != slot);
        if fresh {
            self.told.push((slot, String::new()));
        }
        if before == Some(slot) || slot.calls() {
            return;
        }
        if before.is_some_and(Slot::thinks) && slot.thinks() {
            if fresh {
                out.push(Event::Delta(Delta::Text("\n\n".to_owned())));
            }
            return;
        }
        if before.is_some() {
            out.push(Event::Close);
        }
        self.cited = 0;
        out.push(Event::Open(match slot {
            Slot::Text(_) => Block::Text,
            Slot::Refusal(_) => Block::Refusal,
            Slot::Summary(_) | Slot::Thought(_) | Slot::Arguments | Slot::Input => Block::Reasoning,
        }));
        if let (Slot::Text(_), Some(value)) = (slot, self.phase.clone()) {
            out.push(Event::Delta(Delta::Signature(Signature { origin: ProtocolId::OpenAiResponses, value })));
        }
    }
}
