//! What a request asks of an upstream by its own words, so that many can meet different faults at the same time.
//!
//! `mock:a/status=529;ra=2` somewhere in the path, the model or a message tells upstream `a` to refuse it; without a name
//! every upstream obeys. A request may hold several.

use std::time::Duration;

use super::{
    Dialect, Script,
    upstream::{Seen, greeting, wants_stream},
};

const MARK: &str = "mock:";

/// The orders of one request, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scenario(Vec<(String, u64)>);

impl Scenario {
    /// What this request tells the upstream of this name to answer, if anything.
    pub fn for_upstream(name: &str, seen: &Seen) -> Option<Script> {
        let asked = String::from_utf8_lossy(&seen.body);
        let scenario = Self::parse(name, &asked).or_else(|| Self::parse(name, &seen.path.replace("%3B", ";")))?;
        let body = serde_json::from_str(&asked).unwrap_or_default();
        let path = seen.path.split('?').next().unwrap_or_default();
        Some(scenario.script(Dialect::of(path), wants_stream(path, &body), &greeting(name, seen.nonce())))
    }

    /// The orders in `text` that are for `name` or for everybody.
    fn parse(name: &str, text: &str) -> Option<Self> {
        let words = text.split(MARK).skip(1).map(|rest| {
            let end = rest.find(|letter: char| letter.is_whitespace() || "\"\\:".contains(letter));
            &rest[..end.unwrap_or(rest.len())]
        });
        let orders = words.filter_map(|word| match word.split_once('/') {
            Some((to, orders)) => (to == name).then_some(orders),
            None => Some(word),
        });
        let order = |order: &str| {
            let (name, value) = order.split_once('=').unwrap_or((order, "0"));
            let value = value.parse().unwrap_or_else(|_| panic!("`{order}` has no number"));
            (name.to_owned(), value)
        };
        let all: Vec<_> = orders.flat_map(|orders| orders.split(';')).map(order).collect();
        (!all.is_empty()).then_some(Self(all))
    }

    fn value(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// The answer in a dialect: an error, a whole body or a stream of `text`, and how it breaks.
    fn script(&self, dialect: Dialect, stream: bool, text: &str) -> Script {
        let mut script = match self.value("status") {
            Some(status) => Script::json(status as u16, &dialect.error(status as u16, "so it was ordered")),
            None if stream => self.stream(dialect, text),
            None => Script::json(200, &dialect.whole(text)),
        };
        for (name, value) in &self.0 {
            script = order(script, name, *value);
        }
        script
    }

    /// `pieces=N` says the text N times; `stall_after=N`, `cut_after=N`, `reset_after=N` and `end_after=N` leave out what
    /// comes behind the N-th event.
    fn stream(&self, dialect: Dialect, text: &str) -> Script {
        let pieces = self.value("pieces").unwrap_or(1) as usize;
        let mut frames = dialect.stream(&vec![text; pieces]);
        let after = ["stall_after", "cut_after", "reset_after", "end_after"].iter().find_map(|name| self.value(name));
        frames.truncate(after.map_or(frames.len(), |events| events as usize));
        Script::sse(&frames)
    }
}

/// Changes an answer as one order says.
fn order(script: Script, name: &str, value: u64) -> Script {
    let millis = Duration::from_millis(value);
    match name {
        "status" | "pieces" | "end_after" => script,
        "ra" => script.header("Retry-After", &value.to_string()),
        "wait" => script.after(millis),
        "pace" => script.paced(millis),
        "chunk" => script.in_pieces(value as usize),
        "cut_at" => promised(script).up_to(value as usize).then_cut(),
        "rst_at" => promised(script).up_to(value as usize).then_reset(),
        "stall_at" => promised(script).up_to(value as usize).then_stall(),
        "stall_after" => script.then_stall(),
        "cut_after" => script.then_cut(),
        "reset_after" => script.then_reset(),
        "silent" => Script::silent(),
        "hangup" => Script::hang_up(),
        "slam" => Script::slam(),
        "html" => Script::html(200),
        "empty" => Script::bytes(200, "application/json", ""),
        _ => panic!("nobody knows how to `{name}`"),
    }
}

/// With the length of the whole written down, before it is cut.
fn promised(script: Script) -> Script {
    match script.promise() {
        Some(length) => script.header("Content-Length", &length.to_string()),
        None => script,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_for_everybody_or_for_one() {
        let text = r#"{"model":"m","content":"mock:a/status=529;ra=2 and mock:b/rst_at=7"}"#;
        let orders = |name: &str| Scenario::parse(name, text).map(|scenario| scenario.0);
        assert_eq!(orders("a"), Some(vec![("status".into(), 529), ("ra".into(), 2)]));
        assert_eq!(orders("b"), Some(vec![("rst_at".into(), 7)]));
        assert_eq!(orders("c"), None);
        assert_eq!(Scenario::parse("x", "mock:silent"), Some(Scenario(vec![("silent".into(), 0)])));
        assert_eq!(Scenario::parse("x", "/models/mock:wait=5:generateContent").unwrap().value("wait"), Some(5));
    }

    #[test]
    #[should_panic(expected = "nobody knows how to `dance`")]
    fn an_order_that_nobody_knows_fails_the_test() {
        Scenario::parse("x", "mock:dance").unwrap().script(Dialect::OpenAi, true, "hi");
    }
}
