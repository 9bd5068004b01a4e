//! Names that must fit two protocols: models in a path, ids of tool calls, names of functions.

use std::{borrow::Cow, fmt::Write};

/// Begins each id that this side made up because Gemini gave none. Such an id is never sent to Gemini.
const OWN_ID: &str = "gemcall_";

/// Begins a function's name that Gemini would refuse as it is. A client's name that begins so is marked too, so that
/// [`plain`] undoes [`fitting`] whatever the name.
const MARK: &str = "fn__";

/// The model as one segment of a path: percent-encoded, without the `models/` that Google's own lists put before it.
pub fn in_path(model: &str) -> String {
    let model = model.strip_prefix("models/").unwrap_or(model);
    let mut out = String::with_capacity(model.len());
    for byte in model.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("a String can always be written to"),
        }
    }
    out
}

/// An id for the `ordinal`-th call of an answer, the same each time the same answer is read. `seed` tells answers apart.
pub fn call_id(seed: u64, ordinal: usize) -> String {
    format!("{OWN_ID}{seed:016x}_{ordinal}")
}

/// Whether `id` looks like one that Gemini gives: eight or so lower-case letters and digits. Ids of other protocols
/// (`call_…`, `toolu_…`, UUIDs) do not, and leaving an id out is always legal.
pub fn is_native_id(id: &str) -> bool {
    let short =
        (4..=16).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    short || id.starts_with("function-call-")
}

/// Whether this side made the id up.
pub fn is_own_id(id: &str) -> bool {
    id.starts_with(OWN_ID)
}

/// A function's name as Gemini takes it: a letter or `_` first. `None` if no mark can make it fit.
pub fn fitting(name: &str) -> Option<Cow<'_, str>> {
    let tail = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-');
    let head = name.bytes().next()?;
    if !name.bytes().all(tail) {
        return None;
    }
    let fits = head.is_ascii_alphabetic() || head == b'_';
    let name = if fits && !name.starts_with(MARK) { Cow::Borrowed(name) } else { Cow::Owned(format!("{MARK}{name}")) };
    (name.len() <= 128).then_some(name)
}

/// The client's name for the function that Gemini calls `name`.
pub fn plain(name: &str) -> &str {
    name.strip_prefix(MARK).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_stands_in_the_path_without_its_collection() {
        assert_eq!(in_path("models/gemini-2.5-flash.fx-a_b~c"), "gemini-2.5-flash.fx-a_b~c");
        assert_eq!(in_path("tuned/a b?é"), "tuned%2Fa%20b%3F%C3%A9");
    }

    #[test]
    fn names_that_gemini_refuses_are_marked_and_come_back_unmarked() {
        for name in ["get_weather", "3d-search", "-x", "fn__a", "a.b:c"] {
            let sent = fitting(name).unwrap();
            assert!(sent.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'), "{sent}");
            assert_eq!(plain(&sent), name);
        }
        assert_eq!(fitting("get_weather").unwrap(), "get_weather");
        assert!(fitting("a b").is_none() && fitting("").is_none() && fitting(&"a".repeat(129)).is_none());
    }

    #[test]
    fn ids_of_other_protocols_are_not_taken_for_geminis() {
        assert!(is_native_id("0b3pdf3o") && is_native_id("function-call-123"));
        let own = call_id(crate::fnv::hash(0, b"x"), 3);
        for id in ["call_abc", "toolu_01X", "D681PevKs", "", "2f1b-3c", &own] {
            assert!(!is_native_id(id), "{id}");
        }
        assert!(is_own_id(&own) && own.len() <= 64);
    }
}
