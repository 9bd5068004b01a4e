//! One flat list of names for tools that stand in namespaces, since no other protocol has those.

use std::collections::{HashMap, HashSet};

use crate::fnv;

/// Longest name of a function that every provider takes, in bytes.
const LONGEST: usize = 64;

/// The names of one request's tools.
#[derive(Debug, Default)]
pub struct Names {
    taken: HashSet<String>,
    flat: HashMap<(String, String), String>,
}

impl Names {
    /// Takes the name of a tool that stands in no namespace; false if it is taken already.
    pub fn take(&mut self, name: &str) -> bool {
        self.taken.insert(name.to_owned())
    }

    /// Whether a tool of this namespace is known.
    pub fn has(&self, namespace: &str, name: &str) -> bool {
        self.flat.contains_key(&(namespace.to_owned(), name.to_owned()))
    }

    /// The name of a tool in a namespace: both names where they fit and nobody else has them, else with a hash.
    pub fn flat(&mut self, namespace: &str, name: &str) -> String {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(known) = self.flat.get(&key) {
            return known.clone();
        }
        let plain: String = format!("{namespace}__{name}").chars().map(permitted).collect();
        let mut flat = plain.clone();
        let mut seed = 0;
        while flat.len() > LONGEST || self.taken.contains(&flat) {
            seed = fnv::hash(seed, format!("{namespace}\n{name}").as_bytes());
            flat = format!("{}_{seed:016x}", &plain[..plain.len().min(LONGEST - 17)]);
        }
        self.taken.insert(flat.clone());
        self.flat.insert(key, flat.clone());
        flat
    }
}

/// Names are ASCII everywhere.
fn permitted(letter: char) -> char {
    if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_name_is_short_unique_and_always_the_same() {
        let mut names = Names::default();
        assert!(names.take("a__b") && !names.take("a__b"));
        assert_eq!(names.flat("mail", "send"), "mail__send");
        assert_eq!(names.flat("mail", "send"), "mail__send", "asked again");
        let beside = names.flat("a", "b");
        assert!(beside.starts_with("a__b_") && beside != names.flat("a_", "_b"), "{beside}");
        let long = names.flat(&"é".repeat(40), &"n".repeat(40));
        assert_eq!(long.len(), LONGEST);
        assert!(names.has("mail", "send") && !names.has("mail", "read"));
    }
}
