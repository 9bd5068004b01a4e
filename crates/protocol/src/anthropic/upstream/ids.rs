//! Names of tool calls that Anthropic accepts: `^[a-zA-Z0-9_-]+$`, each once in a conversation.
//!
//! A history may hold ids of other providers (`call.1|fc:2`), and ids that begin anew in each round (`call_0`). The
//! same history always gives the same ids, so that a longer one shares its prompt cache.

use std::collections::{HashMap, HashSet, VecDeque};

/// The ids of one conversation, asked for in its order.
#[derive(Debug, Default)]
pub(super) struct Ids<'a> {
    used: HashSet<String>,
    /// By the client's id: the calls that have no result yet, oldest first.
    open: HashMap<&'a str, VecDeque<String>>,
}

impl<'a> Ids<'a> {
    /// The id of a new call.
    pub fn call(&mut self, id: &'a str) -> String {
        let plain = safe(id);
        let mut unique = plain.clone();
        let mut round = 2;
        while !self.used.insert(unique.clone()) {
            unique = format!("{plain}_{round}");
            round += 1;
        }
        self.open.entry(id).or_default().push_back(unique.clone());
        unique
    }

    /// The id of the call that a result answers: the oldest open one of that name.
    pub fn result(&mut self, id: &'a str) -> String {
        self.open.get_mut(id).and_then(VecDeque::pop_front).unwrap_or_else(|| safe(id))
    }
}

fn safe(id: &str) -> String {
    if is_safe(id) {
        return id.to_owned();
    }
    let kept: String = id.chars().map(|letter| if is_letter(letter) { letter } else { '_' }).collect();
    // Ids that differ only in what was replaced stay different.
    format!("{kept}_{:08x}", fingerprint(id))
}

/// Whether Anthropic takes `name` as an id or as a tool's name, its length aside.
pub(super) fn is_safe(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_letter)
}

fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-')
}

/// FNV-1a, 32 bits.
fn fingerprint(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_the_alphabet_stay_as_they_are() {
        let mut ids = Ids::default();
        assert_eq!(ids.call("call_aB-9"), "call_aB-9");
        assert_eq!(ids.result("call_aB-9"), "call_aB-9");
    }

    #[test]
    fn other_ids_are_mapped_the_same_way_for_calls_and_results() {
        let mut ids = Ids::default();
        let (dot, bar) = (ids.call("a.b"), ids.call("a|b"));
        assert_ne!(dot, bar);
        assert!(is_safe(&dot) && is_safe(&bar));
        assert_eq!((ids.result("a|b"), ids.result("a.b")), (bar, dot));
        assert!(is_safe(&Ids::default().call("")));
    }

    #[test]
    fn an_id_used_again_in_a_later_round_gets_a_number() {
        let mut ids = Ids::default();
        assert_eq!((ids.call("call_0"), ids.result("call_0")), ("call_0".into(), "call_0".into()));
        assert_eq!((ids.call("call_0"), ids.result("call_0")), ("call_0_2".into(), "call_0_2".into()));
    }

    #[test]
    fn parallel_calls_of_one_id_are_answered_in_order() {
        let mut ids = Ids::default();
        let calls = [ids.call("x"), ids.call("x")];
        assert_eq!([ids.result("x"), ids.result("x")], calls);
    }
}
