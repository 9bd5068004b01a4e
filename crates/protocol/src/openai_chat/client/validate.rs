//! The cheap check of a request whose bytes pass: what this gateway promises to check, and nothing that would need
//! the contents read.

use crate::{
    fields::{boolean, count, must_be, number, object, string},
    ir::Malformed,
    json::Json,
    roles,
    splice::Members,
};

/// The roles that a message may have.
const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

/// Checks the required fields (but for the model, which may stand in the path), the ranges of the scalar ones, and that `messages` is an array of objects with known roles.
pub fn validate(members: &Members<'_>) -> Result<(), Malformed> {
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
    roles::check(members, &ROLES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str) -> Result<(), Malformed> {
        validate(&Members::read(body.as_bytes()).unwrap())
    }

    #[test]
    fn the_model_may_stand_in_the_path_instead() {
        assert_eq!(check(r#"{"messages":[{"role":"user"}]}"#), Ok(()));
    }

    #[test]
    fn a_mistake_is_told_with_its_path() {
        let turn = r#""messages":[{"role":"user","content":"x"}]"#;
        for (body, param) in [
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
