//! Which call a result answers. Newer clients say so by the call's id; for the others it is the first call of that name that
//! has no answer yet.

use std::collections::{HashMap, HashSet, VecDeque};

/// Begins each id that is made up because the client sent none.
const MADE_UP: &str = "call_";

/// The calls met so far, each with an id that no other has.
#[derive(Debug, Default)]
pub struct Pairing {
    calls: Vec<Call>,
    ids: HashSet<String>,
    /// Calls without an answer by the id that the client gave them, and by name.
    by_id: HashMap<String, VecDeque<usize>>,
    by_name: HashMap<String, VecDeque<usize>>,
    made_up: usize,
}

#[derive(Debug)]
struct Call {
    id: String,
    answered: bool,
}

impl Pairing {
    /// The id of a call: the one given, unless an earlier call had it. The same history always gets the same ids.
    pub fn called(&mut self, given: Option<String>, name: &str) -> String {
        let id = match &given {
            Some(given) if self.ids.insert(given.clone()) => given.clone(),
            _ => self.fresh(),
        };
        let at = self.calls.len();
        self.calls.push(Call { id: id.clone(), answered: false });
        if let Some(given) = given {
            self.by_id.entry(given).or_default().push_back(at);
        }
        self.by_name.entry(name.to_owned()).or_default().push_back(at);
        id
    }

    /// The id of the call that a result answers; one of its own if it answers none.
    pub fn answered(&mut self, given: Option<String>, name: &str) -> String {
        let by_id = given.as_deref().and_then(|id| first_waiting(self.by_id.get_mut(id)?, &self.calls));
        let found = by_id.or_else(|| first_waiting(self.by_name.get_mut(name)?, &self.calls));
        if let Some(call) = found.and_then(|at| self.calls.get_mut(at)) {
            call.answered = true;
            return call.id.clone();
        }
        match given {
            Some(given) if !given.is_empty() => given,
            _ => self.fresh(),
        }
    }

    fn fresh(&mut self) -> String {
        loop {
            self.made_up += 1;
            let id = format!("{MADE_UP}{}", self.made_up);
            if self.ids.insert(id.clone()) {
                return id;
            }
        }
    }
}

/// The first call that has no answer yet. Those that have one are forgotten on the way.
fn first_waiting(waiting: &mut VecDeque<usize>, calls: &[Call]) -> Option<usize> {
    while waiting.front().is_some_and(|at| calls.get(*at).is_none_or(|call| call.answered)) {
        waiting.pop_front();
    }
    waiting.front().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_find_their_calls_by_id_then_by_name_and_order() {
        let mut pairing = Pairing::default();
        let id = |id: &str| Some(id.to_owned());
        assert_eq!(pairing.called(id("x"), "f"), "x");
        assert_eq!(pairing.called(None, "f"), "call_1");
        assert_eq!(pairing.called(None, "g"), "call_2");
        assert_eq!(pairing.answered(None, "g"), "call_2");
        assert_eq!(pairing.answered(None, "f"), "x");
        assert_eq!(pairing.answered(id("unheard"), "f"), "call_1");
        assert_eq!(pairing.answered(id("late"), "f"), "late");
        assert_eq!(pairing.answered(None, "f"), "call_3");
    }

    #[test]
    fn an_id_that_comes_again_is_another_call() {
        let mut pairing = Pairing::default();
        let mut turn = |given: &str| {
            let called = pairing.called(Some(given.to_owned()), "f");
            assert_eq!(pairing.answered(Some(given.to_owned()), "f"), called);
            called
        };
        assert_eq!([turn("call_1"), turn("call_1"), turn("call_2")], ["call_1", "call_2", "call_3"]);
    }
}
