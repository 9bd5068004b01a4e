//! Puts items that come side by side one behind the other.
//!
//! The first item that is not whole is told as it comes; what comes meanwhile of others waits in line. Items are told apart
//! by their place in the answer: there are servers that give an item another id in each event.

use serde_json::value::RawValue;

use super::{
    item::{Item, Kind},
    telling::Telling,
};
use crate::{
    ir::{Block, Delta, Event},
    openai::{ids, lenient::Num},
};

/// All items of one answer.
#[derive(Debug, Default)]
pub struct Queue {
    items: Vec<Entry>,
    /// How many of the items, from the first on, have been told to their ends.
    told: usize,
    /// Makes ids made up for calls unique to the answer.
    seed: String,
    pub has_calls: bool,
    in_text: bool,
    /// Characters of text told, and how many of them stood before the open block: sources point into the whole text.
    characters: u64,
    before: u64,
}

#[derive(Debug)]
struct Entry {
    index: Option<u64>,
    /// The id under which it began.
    id: String,
    telling: Telling,
    whole: bool,
    waiting: Vec<Event>,
}

/// Where an event belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub index: Num,
    pub id: &'a str,
}

impl Queue {
    /// Names the answer.
    pub fn name(&mut self, seed: &str) {
        self.seed = seed.to_owned();
    }

    /// An item began.
    pub fn begin(&mut self, place: Place<'_>, item: &Item<'_>, out: &mut Vec<Event>) {
        let known =
            self.find(place).filter(|at| !self.items[*at].whole && self.items[*at].telling.kind() == item.kind());
        let at = match known {
            Some(at) => at,
            None => self.append(Place { id: item.id.as_str(), ..place }, item.kind()),
        };
        self.tell(at, out, |telling, out| telling.begin(item, out));
    }

    /// An item is whole.
    pub fn end(&mut self, place: Place<'_>, item: &Item<'_>, out: &mut Vec<Event>) {
        let at = match self.find(place) {
            Some(at) if self.items[at].telling.kind() == item.kind() => at,
            _ => {
                let at = self.append(Place { id: item.id.as_str(), ..place }, item.kind());
                self.tell(at, out, |telling, out| telling.begin(item, out));
                at
            }
        };
        if !self.items[at].whole {
            self.tell(at, out, |telling, out| telling.end(item, out));
            self.finish(at, out);
        }
    }

    /// Something is said at a place within an item, which may never have been told to begin.
    pub fn say(
        &mut self,
        place: Place<'_>,
        kind: Kind,
        out: &mut Vec<Event>,
        say: impl FnOnce(&mut Telling, &mut Vec<Event>),
    ) {
        let at = match self.find(place) {
            Some(at) if self.items[at].telling.kind() == kind => at,
            _ => self.append(place, kind),
        };
        if !self.items[at].whole {
            self.tell(at, out, say);
        }
    }

    /// The answer is over, and consists of `items` if it says so itself: ends what has not ended. Servers that told of any
    /// item on the way may leave all or some out here.
    pub fn conclude(&mut self, items: &[&RawValue], out: &mut Vec<Event>) {
        if self.items.is_empty() {
            items.iter().for_each(|raw| self.add(&Item::read(raw), out));
        }
        for at in self.told..self.items.len() {
            if self.items[at].whole {
                continue;
            }
            let final_item = self.items[at].index.and_then(|index| items.get(usize::try_from(index).ok()?));
            let item =
                final_item.map(|raw| Item::read(raw)).filter(|item| item.kind() == self.items[at].telling.kind());
            self.tell(at, out, |telling, out| match &item {
                Some(item) => telling.end(item, out),
                None => telling.cut_off(out),
            });
            self.finish(at, out);
        }
    }

    /// Adds an item that is whole.
    pub fn add(&mut self, item: &Item<'_>, out: &mut Vec<Event>) {
        let place = Place { index: Num(Some(self.items.len() as u64)), id: item.id.as_str() };
        self.end(place, item, out);
    }

    fn find(&self, place: Place<'_>) -> Option<usize> {
        match place.index.0 {
            Some(index) => self.items.iter().rposition(|entry| entry.index == Some(index)),
            None if !place.id.is_empty() => self.items.iter().rposition(|entry| entry.id == place.id),
            None => self.items.len().checked_sub(1),
        }
    }

    fn append(&mut self, place: Place<'_>, kind: Kind) -> usize {
        let at = self.items.len();
        self.has_calls |= matches!(kind, Kind::Call { .. });
        let telling = Telling::new(kind, ids::call_id(&self.seed, at));
        let id = place.id.to_owned();
        self.items.push(Entry { index: place.index.0, id, telling, whole: false, waiting: Vec::new() });
        at
    }

    /// Lets an item tell something: right away if it is the first that is not whole, else later.
    fn tell(&mut self, at: usize, out: &mut Vec<Event>, tell: impl FnOnce(&mut Telling, &mut Vec<Event>)) {
        let entry = &mut self.items[at];
        if at != self.told {
            return tell(&mut entry.telling, &mut entry.waiting);
        }
        let mut events = Vec::new();
        tell(&mut entry.telling, &mut events);
        self.hand_on(events, out);
    }

    fn finish(&mut self, at: usize, out: &mut Vec<Event>) {
        self.items[at].whole = true;
        while self.items.get(self.told).is_some_and(|entry| entry.whole) {
            self.told += 1;
            if let Some(next) = self.items.get_mut(self.told) {
                let waiting = std::mem::take(&mut next.waiting);
                self.hand_on(waiting, out);
            }
        }
    }

    /// Sources point into the text they stand at, and are to point into the text of the whole answer.
    fn hand_on(&mut self, events: Vec<Event>, out: &mut Vec<Event>) {
        for mut event in events {
            match &mut event {
                Event::Open(block) => {
                    self.in_text = *block == Block::Text;
                    self.before = self.characters;
                }
                Event::Delta(Delta::Text(text)) if self.in_text => self.characters += text.chars().count() as u64,
                Event::Delta(Delta::Citation(source)) => {
                    source.span = source.span.map(|(start, end)| (start + self.before, end + self.before));
                }
                _ => {}
            }
            out.push(event);
        }
    }
}
