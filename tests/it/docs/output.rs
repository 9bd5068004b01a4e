//! Whether a program printed what a page shows.

use serde_json::Value;

/// Stands for whatever is there.
const ANYTHING: char = '…';

/// What is missing in `printed` of what the page shows, if anything is.
pub fn differs(shown: &str, printed: &str) -> Option<String> {
    match serde_json::from_str::<Value>(shown) {
        Ok(shown) => match json(printed) {
            Some(printed) => difference(&shown, &printed, "$"),
            None => Some("no JSON was printed".to_owned()),
        },
        Err(_) => lines(shown, printed),
    }
}

/// The first JSON document in it.
fn json(printed: &str) -> Option<Value> {
    let start = printed.find(['{', '['])?;
    serde_json::Deserializer::from_str(&printed[start..]).into_iter().next()?.ok()
}

/// Fields that the page shows must be there, with the same texts and flags. Numbers differ from run to run.
fn difference(shown: &Value, printed: &Value, path: &str) -> Option<String> {
    match (shown, printed) {
        (Value::Object(shown), Value::Object(printed)) => shown.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            printed
                .get(name)
                .map_or_else(|| Some(format!("{path} is missing")), |found| difference(value, found, &path))
        }),
        (Value::Array(shown), Value::Array(printed)) => shown.iter().enumerate().find_map(|(at, value)| {
            let path = format!("{path}[{at}]");
            printed.get(at).map_or_else(|| Some(format!("{path} is missing")), |found| difference(value, found, &path))
        }),
        (Value::String(pattern), Value::String(text)) if fits(pattern, text) => None,
        (Value::Number(_), Value::Number(_)) => None,
        (shown, printed) if shown == printed => None,
        _ => Some(format!("{path} is {printed}, and not {shown}")),
    }
}

/// Every line that the page shows must be there, in this order.
fn lines(shown: &str, printed: &str) -> Option<String> {
    let mut left = printed.lines();
    let shown = shown.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "…");
    shown.map(str::to_owned).find(|line| !left.any(|found| fits(line, found.trim())))
}

/// Whether a text is what a pattern says.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split(ANYTHING);
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(previous) = last.replace(part) {
            let Some(at) = rest.find(previous) else { return false };
            rest = &rest[at + previous.len()..];
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[test]
fn dots_stand_for_anything_and_nothing_else_does() {
    assert!(fits("a…c…e", "abcde") && fits("…", "") && fits("same", "same") && fits("ends …", "ends somehow"));
    assert!(!fits("a…c", "abcd") && !fits("same", "same more") && !fits("a…b…c", "acb"));
    assert_eq!(differs(r#"{"a": 1, "b": ["x…"]}"#, "HTTP\n{\"a\": 2, \"b\": [\"xyz\", 3], \"c\": null}"), None);
    assert!(differs(r#"{"a": true}"#, r#"{"a": false}"#).unwrap().contains("$.a"));
    assert_eq!(differs("one\n…\nthree", "zero\none\ntwo\nthree\n"), None);
    assert_eq!(differs("two\none\n", "one\ntwo\n").as_deref(), Some("one"));
}
