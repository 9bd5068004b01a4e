//! The tool calls of an answer: which piece belongs to which call.
//!
//! OpenAI numbers calls by `index` and names each once. Others give every call index 0, or the same id, or no id, or
//! send a call whole in one piece.

use crate::{ir::Signature, openai::ids, openai_chat::wire};

/// One tool call while it is read.
#[derive(Debug, Default)]
pub struct Call {
    index: Option<u64>,
    /// As the upstream gave it; may repeat.
    told_id: String,
    /// As it is handed on: never empty, and once per answer.
    pub id: String,
    pub name: String,
    pub custom: bool,
    /// Arguments that came while the call had to wait.
    pub buffer: String,
    pub signature: Option<Signature>,
    pub closed: bool,
    shape: Braces,
}

impl Call {
    /// Whether nothing can follow: its arguments are a whole object. Free text has no end of its own.
    pub fn complete(&self) -> bool {
        self.custom || self.shape.complete()
    }

    /// Whether it can be shown: its name is known.
    pub fn named(&self) -> bool {
        !self.name.is_empty()
    }

    /// Takes note of a piece of arguments, without keeping it.
    pub fn note(&mut self, arguments: &str) {
        self.shape.feed(arguments);
    }
}

/// A piece of a call, as one delta has it.
#[derive(Debug, Default)]
pub struct Piece<'a> {
    pub index: Option<u64>,
    pub id: &'a str,
    pub name: &'a str,
    pub arguments: &'a str,
    pub custom: bool,
}

/// All calls of one answer.
#[derive(Debug, Default)]
pub struct Calls {
    pub list: Vec<Call>,
    /// Makes synthetic ids unique to the answer.
    pub seed: String,
}

impl Calls {
    /// The call that `piece` belongs to; a new one if it begins one.
    pub fn place(&mut self, piece: &Piece<'_>) -> usize {
        let known = match piece.index {
            Some(index) => self.list.iter().rposition(|call| call.index == Some(index)),
            None if !piece.id.is_empty() => self.list.iter().rposition(|call| call.told_id == piece.id),
            None if piece.name.is_empty() => self.list.len().checked_sub(1),
            None => None,
        };
        let at = match known {
            Some(at) if !begins_another(&self.list[at], piece) => at,
            _ => {
                self.list.push(Call { index: piece.index, custom: piece.custom, ..Call::default() });
                self.list.len() - 1
            }
        };
        if self.list[at].name.is_empty() {
            self.list[at].name = piece.name.to_owned();
        }
        if self.list[at].told_id.is_empty() {
            self.list[at].told_id = piece.id.to_owned();
        }
        at
    }

    /// Settles the id under which a call is handed on.
    pub fn settle_id(&mut self, at: usize) {
        let told = &self.list[at].told_id;
        let taken = |id: &str| self.list.iter().any(|call| call.id == id);
        let mut id = if told.is_empty() { ids::call_id(&self.seed, at) } else { told.clone() };
        while taken(&id) {
            id = format!("{id}_{at}");
        }
        self.list[at].id = id;
    }
}

/// Whether a piece that stands at the place of `call` cannot belong to it.
fn begins_another(call: &Call, piece: &Piece<'_>) -> bool {
    if piece.name.is_empty() || call.name.is_empty() {
        return false;
    }
    let other_id = !piece.id.is_empty() && !call.told_id.is_empty() && piece.id != call.told_id;
    other_id || piece.name != call.name || (call.shape.complete() && !piece.arguments.is_empty())
}

/// Tells, piece by piece, when a JSON object is whole.
#[derive(Debug, Default)]
struct Braces {
    depth: u32,
    in_string: bool,
    escaped: bool,
    begun: bool,
}

impl Braces {
    fn feed(&mut self, text: &str) {
        for byte in text.bytes() {
            if self.escaped {
                self.escaped = false;
            } else if self.in_string {
                self.escaped = byte == b'\\';
                self.in_string = byte != b'"';
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => {
                        self.depth += 1;
                        self.begun = true;
                    }
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }

    fn complete(&self) -> bool {
        self.begun && self.depth == 0 && !self.in_string
    }
}

/// The name, the arguments and the sort of a call's piece.
pub fn read<'a>(call: &'a wire::Call<'_>, arguments: &'a str) -> Piece<'a> {
    let (name, custom) = match (&call.function, &call.custom) {
        (_, Some(custom)) => (custom.name.as_str(), true),
        (Some(function), None) => (function.name.as_str(), false),
        (None, None) => ("", false),
    };
    Piece { index: call.index.0, id: call.id.as_str(), name, arguments, custom }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_whole_when_its_last_brace_has_come() {
        let mut braces = Braces::default();
        for (piece, whole) in [("", false), ("{\"a\":", false), ("\"}\\\"", false), ("{\"", false), ("}", true)] {
            braces.feed(piece);
            assert_eq!(braces.complete(), whole, "{piece}");
        }
    }

    fn placed(pieces: &[Piece<'_>]) -> Vec<usize> {
        let mut calls = Calls::default();
        let mut place = |piece: &Piece<'_>| {
            let at = calls.place(piece);
            calls.list[at].note(piece.arguments);
            at
        };
        pieces.iter().map(&mut place).collect()
    }

    fn piece<'a>(index: Option<u64>, id: &'a str, name: &'a str, arguments: &'a str) -> Piece<'a> {
        Piece { index, id, name, arguments, custom: false }
    }

    #[test]
    fn whole_calls_that_all_have_index_0_are_different_calls() {
        assert_eq!(placed(&[piece(Some(0), "a", "f", "{}"), piece(Some(0), "b", "f", "{}")]), [0, 1]);
        assert_eq!(placed(&[piece(Some(0), "a", "f", "{}"), piece(Some(0), "a", "g", "{}")]), [0, 1]);
        assert_eq!(placed(&[piece(Some(0), "", "f", "{}"), piece(Some(0), "", "f", "{}")]), [0, 1]);
    }

    #[test]
    fn pieces_of_one_call_stay_together_though_its_name_or_an_id_comes_again() {
        assert_eq!(
            placed(&[piece(Some(0), "a", "f", ""), piece(Some(0), "a", "f", "{"), piece(Some(0), "b", "", "}")]),
            [0, 0, 0]
        );
        assert_eq!(
            placed(&[piece(None, "a", "f", ""), piece(None, "", "", "{}"), piece(None, "b", "g", "{}")]),
            [0, 0, 1]
        );
    }

    #[test]
    fn an_id_that_comes_twice_is_handed_on_as_two() {
        let mut calls = Calls::default();
        for (index, id) in [(0, "x"), (1, "x"), (2, ""), (3, "")] {
            let at = calls.place(&piece(Some(index), id, "f", "{}"));
            calls.settle_id(at);
        }
        let ids: std::collections::BTreeSet<_> = calls.list.iter().map(|call| call.id.clone()).collect();
        assert_eq!(ids.len(), 4);
        assert!(!ids.contains(""));
    }
}
