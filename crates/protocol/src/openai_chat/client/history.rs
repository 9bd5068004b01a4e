//! Which call a tool's result answers: the history tells what the result does not.

use std::collections::{HashMap, VecDeque};

/// The calls met so far.
#[derive(Debug, Default)]
pub struct History {
    names: HashMap<String, String>,
    /// Calls of the form before `tool_calls`, which have no ids: the made-up ids of the unanswered ones, by name.
    unanswered: HashMap<String, VecDeque<String>>,
    legacy: usize,
}

impl History {
    /// Notes a call that was made.
    pub fn called(&mut self, id: &str, name: &str) {
        self.names.insert(id.to_owned(), name.to_owned());
    }

    /// The id for a `function_call`, which has none: the first is always the same, and so on.
    pub fn called_legacy(&mut self, name: &str) -> String {
        let id = self.next_id();
        self.unanswered.entry(name.to_owned()).or_default().push_back(id.clone());
        id
    }

    /// The name of the tool whose call had this id.
    pub fn name_of(&self, id: &str) -> Option<String> {
        self.names.get(id).cloned()
    }

    /// The id of the call that a message of role `function` answers.
    pub fn answered_legacy(&mut self, name: &str) -> String {
        let waiting = self.unanswered.get_mut(name).and_then(VecDeque::pop_front);
        waiting.unwrap_or_else(|| self.next_id())
    }

    fn next_id(&mut self) -> String {
        self.legacy += 1;
        format!("call_function_{}", self.legacy)
    }
}
