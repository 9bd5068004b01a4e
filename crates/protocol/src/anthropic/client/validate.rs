//! The cheap check of a request whose bytes pass: what every request of this protocol must have, and the ranges of its
//! numbers.

use super::fields::{boolean, count, must_be, number, string};
use crate::{ir::Malformed, roles, splice::Members};

/// The roles that a message may have; `system` since the API's version of October 2026.
const ROLES: [&str; 3] = ["user", "assistant", "system"];

/// Checks the required fields, the ranges of the scalar ones, and that `messages` is an array of objects with known roles.
pub fn validate(members: &Members<'_>) -> Result<(), Malformed> {
    // Zero only fills the cache.
    if count(members, "max_tokens", 0)?.is_none() {
        return Err(Malformed::new("max_tokens", "`max_tokens` is required: a whole number of at least 0"));
    }
    validate_count(members)
}

/// As [`validate`], of a request to count tokens, which limits no output.
pub fn validate_count(members: &Members<'_>) -> Result<(), Malformed> {
    match string(members, "model")? {
        None => return Err(Malformed::new("model", "`model` is required: a string that names the model")),
        Some(model) if model.trim().is_empty() => {
            return Err(must_be("model", "the name of a model, not an empty string"));
        }
        Some(_) => {}
    }
    number(members, "temperature", 0.0..=1.0)?;
    number(members, "top_p", 0.0..=1.0)?;
    count(members, "top_k", 0)?;
    boolean(members, "stream")?;
    roles::check(members, &ROLES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str) -> Result<(), Malformed> {
        validate(&Members::read(body.as_bytes()).unwrap())
    }

    #[test]
    fn a_mistake_is_told_with_its_path() {
        let rest = r#""max_tokens":1,"messages":[{"role":"user","content":"x"}]"#;
        for (body, param) in [
            (format!("{{{rest}}}"), "model"),
            (format!(r#"{{"model":"",{rest}}}"#), "model"),
            (format!(r#"{{"model":5,{rest}}}"#), "model"),
            (r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#.to_owned(), "max_tokens"),
            (r#"{"model":"m","max_tokens":-1,"messages":[{"role":"user"}]}"#.to_owned(), "max_tokens"),
            (r#"{"model":"m","max_tokens":1.5,"messages":[{"role":"user"}]}"#.to_owned(), "max_tokens"),
            (r#"{"model":"m","max_tokens":1}"#.to_owned(), "messages"),
            (r#"{"model":"m","max_tokens":1,"messages":[]}"#.to_owned(), "messages"),
            (r#"{"model":"m","max_tokens":1,"messages":[5]}"#.to_owned(), "messages[0]"),
            (r#"{"model":"m","max_tokens":1,"messages":[{"role":"tool"}]}"#.to_owned(), "messages[0].role"),
            (format!(r#"{{"model":"m",{rest},"temperature":1.1}}"#), "temperature"),
            (format!(r#"{{"model":"m",{rest},"top_p":2}}"#), "top_p"),
            (format!(r#"{{"model":"m",{rest},"top_k":-1}}"#), "top_k"),
            (format!(r#"{{"model":"m",{rest},"stream":1}}"#), "stream"),
        ] {
            let error = check(&body).unwrap_err();
            assert_eq!(error.param, param, "{body}");
            assert!(error.message.contains(param), "{}", error.message);
        }
    }

    #[test]
    fn system_messages_and_the_smallest_limits_pass() {
        for most in [0, 1] {
            let body = format!(
                r#"{{"model":"m","max_tokens":{most},"messages":[{{"role":"user"}},{{"role":"system"}}],"new":[1]}}"#
            );
            assert_eq!(check(&body), Ok(()));
        }
    }

    #[test]
    fn a_count_needs_no_limit() {
        let body = br#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
        assert_eq!(validate_count(&Members::read(body).unwrap()), Ok(()));
    }
}
