//! The cheap check of a request whose bytes pass: what this gateway promises to check, and nothing that would need
//! the contents read.

use crate::{
    fields::{boolean, count, must_be, number, string},
    ir::Malformed,
    splice::Members,
};

/// What may take the place of `input`, since it brings a conversation of its own.
const INSTEAD: [&str; 3] = ["previous_response_id", "conversation", "prompt"];

/// Checks the required fields, and the ranges of the scalar ones.
pub fn validate(members: &Members<'_>) -> Result<(), Malformed> {
    if members.get("model").is_none() {
        return Err(Malformed::new("model", "`model` is required: a string that names the model"));
    }
    if string(members, "model")?.is_some_and(|model| model.trim().is_empty()) {
        return Err(must_be("model", "the name of a model, not an empty string"));
    }
    number(members, "temperature", 0.0..=2.0)?;
    number(members, "top_p", 0.0..=1.0)?;
    count(members, "max_output_tokens", 1)?;
    boolean(members, "stream")?;
    string(members, "instructions")?;
    match members.get("input") {
        Some(input) if input.starts_with(['"', '[']) => Ok(()),
        Some(_) => Err(must_be("input", "a string or an array of items")),
        None if INSTEAD.iter().any(|field| members.get(field).is_some()) => Ok(()),
        None => Err(Malformed::new("input", "`input` is required: a string or an array of items")),
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
        for (body, param) in [
            (r#"{"input":"x"}"#, "model"),
            (r#"{"model":" ","input":"x"}"#, "model"),
            (r#"{"model":1,"input":"x"}"#, "model"),
            (r#"{"model":"m"}"#, "input"),
            (r#"{"model":"m","input":null}"#, "input"),
            (r#"{"model":"m","input":{}}"#, "input"),
            (r#"{"model":"m","input":"x","temperature":2.1}"#, "temperature"),
            (r#"{"model":"m","input":"x","top_p":-1}"#, "top_p"),
            (r#"{"model":"m","input":"x","max_output_tokens":0}"#, "max_output_tokens"),
            (r#"{"model":"m","input":"x","stream":"yes"}"#, "stream"),
            (r#"{"model":"m","input":"x","instructions":["y"]}"#, "instructions"),
        ] {
            let error = check(body).unwrap_err();
            assert_eq!(error.param, param, "{body}");
            assert!(error.message.contains(param), "{}", error.message);
        }
    }

    #[test]
    fn a_conversation_that_is_kept_elsewhere_needs_no_input() {
        for field in INSTEAD {
            assert_eq!(check(&format!(r#"{{"model":"m","{field}":"x"}}"#)), Ok(()));
        }
        assert_eq!(check(r#"{"model":"m","input":[],"stream":null,"new":{}}"#), Ok(()));
    }
}
