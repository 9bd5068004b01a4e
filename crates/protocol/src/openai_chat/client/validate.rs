//! The cheap check of a request whose bytes pass: what this gateway promises to check, and nothing that would need
//! the contents read.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    fields::{boolean, count, must_be, number, object, string},
    ir::Malformed,
    json::Json,
    openai_chat::wire::Str,
    splice::Members,
};

/// The roles that a message may have.
const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

/// Checks the required fields, the ranges of the scalar ones, and that `messages` is an array of objects with known roles.
pub fn validate(members: &Members<'_>) -> Result<(), Malformed> {
    if !members.contains("model") || members.get("model").is_none() {
        return Err(Malformed::new("model", "`model` is required: a string that names the model"));
    }
    if string(members, "model")?.is_some_and(|model| model.trim().is_empty()) {
        return Err(must_be("model", "the name of a model, not an empty string"));
    }
    number(members, "temperature", 0.0..=2.0)?;
    number(members, "top_p", 0.0..=1.0)?;
    number(members, "presence_penalty", -2.0..=2.0)?;
    number(members, "frequency_penalty", -2.0..=2.0)?;
    count(members, "n", 1)?;
    count(members, "max_tokens", 1)?;
    count(members, "max_completion_tokens", 1)?;
    boolean(members, "stream")?;
    if let Some(options) = object(members, "stream_options")?
        && !matches!(options.get("include_usage"), None | Some(Json::Null | Json::Bool(_)))
    {
        return Err(must_be("stream_options.include_usage", "true or false"));
    }
    messages(members)
}

fn messages(members: &Members<'_>) -> Result<(), Malformed> {
    let Some(text) = members.get("messages") else {
        return Err(Malformed::new("messages", "`messages` is required: an array of at least one message"));
    };
    if !text.starts_with('[') {
        return Err(must_be("messages", "an array of messages"));
    }
    let turns: Turns = serde_json::from_str(text).map_err(|_| must_be("messages", "an array of messages"))?;
    if turns.count == 0 {
        return Err(must_be("messages", "an array of at least one message"));
    }
    match turns.wrong {
        None => Ok(()),
        Some((at, Turn::NoObject)) => Err(must_be(&format!("messages[{at}]"), "an object")),
        Some((at, _)) => Err(must_be(&format!("messages[{at}].role"), &format!("one of {}", ROLES.join(", ")))),
    }
}

/// How many messages there are, and the first that is wrong.
struct Turns {
    count: usize,
    wrong: Option<(usize, Turn)>,
}

#[derive(PartialEq)]
enum Turn {
    Fine,
    NoRole,
    NoObject,
}

impl<'de> Deserialize<'de> for Turns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Turns;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("messages")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Turns, A::Error> {
                let mut turns = Turns { count: 0, wrong: None };
                while let Some(turn) = sequence.next_element::<Turn>()? {
                    if turn != Turn::Fine && turns.wrong.is_none() {
                        turns.wrong = Some((turns.count, turn));
                    }
                    turns.count += 1;
                }
                Ok(turns)
            }
        }
        deserializer.deserialize_seq(Each)
    }
}

impl<'de> Deserialize<'de> for Turn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = Turn;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Turn, A::Error> {
                let mut turn = Turn::NoRole;
                while let Some(key) = map.next_key::<Str<'de>>()? {
                    if key.as_str() == "role" {
                        let role = map.next_value::<Str<'de>>()?;
                        turn = if ROLES.contains(&role.as_str()) { Turn::Fine } else { Turn::NoRole };
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(turn)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Turn, A::Error> {
                while sequence.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Turn::NoObject)
            }
            fn visit_str<E>(self, _: &str) -> Result<Turn, E> {
                Ok(Turn::NoObject)
            }
            fn visit_unit<E>(self) -> Result<Turn, E> {
                Ok(Turn::NoObject)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Turn, E> {
                Ok(Turn::NoObject)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Turn, E> {
                Ok(Turn::NoObject)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Turn, E> {
                Ok(Turn::NoObject)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Turn, E> {
                Ok(Turn::NoObject)
            }
        }
        deserializer.deserialize_any(One)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str) -> Result<(), Malformed> {
        validate(&Members::read(body.as_bytes()).unwrap())
    }

    #[test]
    fn a_mistake_is_told_with_its_path() {
        let turn = r#""messages":[{"role":"user","content":"x"}]"#;
        for (body, param) in [
            (r#"{"messages":[{"role":"user"}]}"#.to_owned(), "model"),
            (format!(r#"{{"model":null,{turn}}}"#), "model"),
            (format!(r#"{{"model":" ",{turn}}}"#), "model"),
            (format!(r#"{{"model":3,{turn}}}"#), "model"),
            (r#"{"model":"m"}"#.to_owned(), "messages"),
            (r#"{"model":"m","messages":[]}"#.to_owned(), "messages"),
            (r#"{"model":"m","messages":"x"}"#.to_owned(), "messages"),
            (r#"{"model":"m","messages":["x"]}"#.to_owned(), "messages[0]"),
            (r#"{"model":"m","messages":[{"role":"user"},null]}"#.to_owned(), "messages[1]"),
            (r#"{"model":"m","messages":[{"role":"user"},{"role":"robot"}]}"#.to_owned(), "messages[1].role"),
            (r#"{"model":"m","messages":[{"content":"x"}]}"#.to_owned(), "messages[0].role"),
            (format!(r#"{{"model":"m",{turn},"temperature":2.1}}"#), "temperature"),
            (format!(r#"{{"model":"m",{turn},"temperature":"hot"}}"#), "temperature"),
            (format!(r#"{{"model":"m",{turn},"top_p":-0.1}}"#), "top_p"),
            (format!(r#"{{"model":"m",{turn},"n":0}}"#), "n"),
            (format!(r#"{{"model":"m",{turn},"n":1.5}}"#), "n"),
            (format!(r#"{{"model":"m",{turn},"max_tokens":0}}"#), "max_tokens"),
            (format!(r#"{{"model":"m",{turn},"max_completion_tokens":-1}}"#), "max_completion_tokens"),
            (format!(r#"{{"model":"m",{turn},"presence_penalty":3}}"#), "presence_penalty"),
            (format!(r#"{{"model":"m",{turn},"frequency_penalty":-3}}"#), "frequency_penalty"),
            (format!(r#"{{"model":"m",{turn},"stream":"yes"}}"#), "stream"),
            (
                format!(r#"{{"model":"m",{turn},"stream_options":{{"include_usage":1}}}}"#),
                "stream_options.include_usage",
            ),
        ] {
            let error = check(&body).unwrap_err();
            assert_eq!(error.param, param, "{body}");
            assert!(error.message.contains(param), "{}", error.message);
        }
    }

    #[test]
    fn null_is_the_same_as_absent_and_unknown_fields_pass() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"new"}],"x":1}],"temperature":null,"n":null,"stream":null,"n_ctx":{"a":[1]}}"#;
        assert_eq!(check(body), Ok(()));
    }

    #[test]
    fn the_ends_of_each_range_are_inside_it() {
        let body = r#"{"model":"m","messages":[{"role":"tool"}],"temperature":2,"top_p":0,"n":1,"max_tokens":1,"presence_penalty":-2,"frequency_penalty":2.0}"#;
        assert_eq!(check(body), Ok(()));
    }
}
