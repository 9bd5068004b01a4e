//! Which call a tool's result answers: the history tells what the result does not.

use std::collections::HashMap;

/// The calls met so far.
#[derive(Debug, Default)]
pub struct History {
    names: HashMap<String, String>,
    /// Calls of the form before `tool_calls`, which have no ids: name and made-up id, the unanswered ones.
    unanswered: Vec<(String, String)>,
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
        self.unanswered.push((name.to_owned(), id.clone()));
        id
    }

    /// The name of the tool whose call had this id.
    pub fn name_of(&self, id: &str) -> Option<String> {
        self.names.get(id).cloned()
    }

    /// The id of the call that a message of role `function` answers.
    pub fn answered_legacy(&mut self, name: &str) -> String {
        match self.unanswered.iter().position(|(called, _)| called == name) {
            Some(at) => self.unanswered.remove(at).1,
            None => self.next_id(),
        }
    }

    fn next_id(&mut self) -> String {
        self.legacy += 1;
        format!("call_function_{}", self.legacy)
    }
}
