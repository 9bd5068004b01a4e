//! A tool call's arguments that come piece by piece, each piece addressed by a JSON path (RFC 9535, names and indexes).

use crate::{gemini::wire::PartialArg, json::Json};

/// Steps that a path may have, and elements that an array may be padded with to reach an index.
const MAX_STEPS: usize = 64;
const MAX_GAP: usize = 1024;

/// Arguments under assembly.
#[derive(Debug)]
pub struct Partial {
    value: Json,
    /// The place whose text continues in the next piece.
    growing: Option<String>,
}

/// A piece that belongs nowhere.
#[derive(Debug, PartialEq, Eq)]
pub struct Misplaced;

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl Default for Partial {
    fn default() -> Self {
        Self { value: Json::Object(Vec::new()), growing: None }
    }
}

impl Partial {
    /// Begins with what came whole.
    pub fn from_whole(args: &str) -> Self {
        match Json::parse(args.as_bytes()) {
            Ok(value @ Json::Object(_)) => Self { value, growing: None },
            _ => Self::default(),
        }
    }

    pub fn add(&mut self, piece: PartialArg) -> Result<(), Misplaced> {
        let path = piece.json_path.unwrap_or_default();
        let place = steps(&path)?.iter().try_fold(&mut self.value, enter)?;
        let continued = self.growing.as_deref() == Some(path.as_str());
        match (piece.string_value, piece.number_value, piece.bool_value, place) {
            (Some(more), _, _, Json::String(known)) if continued => known.push_str(&more),
            (Some(text), _, _, place) => *place = Json::String(text),
            (None, Some(number), _, place) => *place = Json::Number(number),
            (None, None, Some(value), place) => *place = Json::Bool(value),
            (None, None, None, place) => *place = Json::Null,
        }
        self.growing = piece.will_continue.unwrap_or(false).then_some(path);
        Ok(())
    }

    /// The arguments as JSON text.
    pub fn into_text(self) -> String {
        self.value.to_string()
    }
}

fn enter<'a>(value: &'a mut Json, step: &Step<'_>) -> Result<&'a mut Json, Misplaced> {
    match step {
        Step::Key(key) => {
            if value.is_null() {
                *value = Json::Object(Vec::new());
            }
            let Json::Object(members) = value else { return Err(Misplaced) };
            let at = members.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
                members.push(((*key).to_owned(), Json::Null));
                members.len() - 1
            });
            Ok(&mut members[at].1)
        }
        Step::Index(at) => {
            if value.is_null() {
                *value = Json::Array(Vec::new());
            }
            let Json::Array(items) = value else { return Err(Misplaced) };
            if *at >= items.len() {
                if *at - items.len() > MAX_GAP {
                    return Err(Misplaced);
                }
                items.resize(at + 1, Json::Null);
            }
            Ok(&mut items[*at])
        }
    }
}

/// `$.a.b[0]['c d']` as steps.
fn steps(path: &str) -> Result<Vec<Step<'_>>, Misplaced> {
    let mut rest = path.strip_prefix('$').ok_or(Misplaced)?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == MAX_STEPS {
            return Err(Misplaced);
        }
        if let Some(tail) = rest.strip_prefix('.') {
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            if end == 0 {
                return Err(Misplaced);
            }
            steps.push(Step::Key(&tail[..end]));
            rest = &tail[end..];
        } else {
            let (step, tail) = bracketed(rest).ok_or(Misplaced)?;
            steps.push(step);
            rest = tail;
        }
    }
    Ok(steps)
}

fn bracketed(text: &str) -> Option<(Step<'_>, &str)> {
    let inner = text.strip_prefix('[')?;
    match inner.chars().next()? {
        quote @ ('\'' | '"') => {
            let (key, tail) = inner[1..].split_once(quote)?;
            Some((Step::Key(key), tail.strip_prefix(']')?))
        }
        _ => {
            let (index, tail) = inner.split_once(']')?;
            Some((Step::Index(index.parse().ok()?), tail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembled(pieces: &str) -> Result<String, Misplaced> {
        let pieces: Vec<PartialArg> = serde_json::from_str(pieces).unwrap();
        let mut partial = Partial::default();
        pieces.into_iter().try_for_each(|piece| partial.add(piece))?;
        Ok(partial.into_text())
    }

    #[test]
    fn text_grows_while_it_continues_and_every_kind_of_value_finds_its_place() {
        let pieces = r#"[
            {"jsonPath":"$.a.b[0].c","stringValue":"x","willContinue":true},
            {"jsonPath":"$.a.b[0].c","stringValue":"y"},
            {"jsonPath":"$.a.b[1]['d e']","numberValue":1.5},
            {"jsonPath":"$.t","boolValue":true},
            {"jsonPath":"$.n","nullValue":"NULL_VALUE"}]"#;
        assert_eq!(assembled(pieces).unwrap(), r#"{"a":{"b":[{"c":"xy"},{"d e":1.5}]},"t":true,"n":null}"#);
    }

    #[test]
    fn a_path_that_leads_nowhere_is_an_error() {
        for path in ["a", "$.", "$[x]", "$.a[99999999]", "$['a", "$.s.x", "$."] {
            let pieces =
                format!(r#"[{{"jsonPath":"$.s","stringValue":"x"}},{{"jsonPath":"{path}","stringValue":"x"}}]"#);
            assert_eq!(assembled(&pieces), Err(Misplaced), "{path}");
        }
    }
}
