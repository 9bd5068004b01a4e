//! What an operator may say about a model, and what is checked about it.

use llm_protocol::ir::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    admin::{
        error::invalid,
        input::{Change, checked_name},
    },
    pricing,
    store::Model,
};

/// The fields of a model. What is left out stays; `null` clears a field, or puts its default back. A new model needs `name`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelInput {
    /// Unique among names and aliases.
    #[schema(value_type = Option<String>, example = "best")]
    #[serde(default)]
    name: Change<String>,
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    aliases: Change<Vec<String>>,
    #[schema(value_type = Option<bool>, default = true)]
    #[serde(default)]
    enabled: Change<bool>,
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    description: Change<String>,
    #[schema(value_type = Option<i64>, minimum = 1)]
    #[serde(default)]
    max_output_tokens: Change<i64>,
    /// US dollars per million tokens, as all prices here. With an `input_price` there must be an `output_price`.
    #[schema(value_type = Option<f64>, minimum = 0, example = 2.5)]
    #[serde(default)]
    input_price: Change<f64>,
    #[schema(value_type = Option<f64>, minimum = 0, example = 10.0)]
    #[serde(default)]
    output_price: Change<f64>,
    #[schema(value_type = Option<f64>, minimum = 0)]
    #[serde(default)]
    cached_input_price: Change<f64>,
    #[schema(value_type = Option<f64>, minimum = 0)]
    #[serde(default)]
    cache_write_price: Change<f64>,
    /// Anything; kept and shown.
    #[schema(value_type = Option<Object>)]
    #[serde(default)]
    metadata: Change<Map<String, Value>>,
}

impl ModelInput {
    /// Makes `row` what the operator wants, or says what stands against it.
    pub fn apply(&self, row: &mut Model) -> Result<(), ApiError> {
        self.name.or_default(&mut row.name, String::new());
        self.aliases.or_default(&mut row.aliases, Vec::new());
        self.enabled.or_default(&mut row.enabled, true);
        self.description.trimmed().or_none(&mut row.description);
        self.max_output_tokens.within("max_output_tokens", 1..=i64::MAX)?.or_none(&mut row.max_output_tokens);
        price("input_price", &self.input_price, &mut row.input_price)?;
        price("output_price", &self.output_price, &mut row.output_price)?;
        price("cached_input_price", &self.cached_input_price, &mut row.cached_input_price)?;
        price("cache_write_price", &self.cache_write_price, &mut row.cache_write_price)?;
        self.metadata.or_none(&mut row.metadata);
        check(row)
    }
}

fn price(name: &str, change: &Change<f64>, field: &mut Option<i64>) -> Result<(), ApiError> {
    match change {
        Change::Keep => {}
        Change::Clear => *field = None,
        Change::Set(dollars) => {
            let micro = pricing::micro(*dollars).map_err(|error| {
                invalid(name, format!("`{name}` must be dollars per million tokens, at least 0: {error}"))
            })?;
            *field = Some(micro);
        }
    }
    Ok(())
}

fn check(row: &Model) -> Result<(), ApiError> {
    checked_name("name", &row.name)?;
    for (at, alias) in row.aliases.iter().enumerate() {
        checked_name("aliases", alias)?;
        if *alias == row.name || row.aliases[..at].contains(alias) {
            return Err(invalid(
                "aliases",
                format!("`aliases` holds `{alias}`, which is a name of this model already"),
            ));
        }
    }
    let (input, output) = (row.input_price.is_some(), row.output_price.is_some());
    let partly = row.cached_input_price.is_some() || row.cache_write_price.is_some();
    match (input, output) {
        (true, false) => {
            Err(invalid("output_price", "`output_price` is required with `input_price`; 0 if there is none"))
        }
        (false, true) => Err(invalid("input_price", "`input_price` is required with `output_price`")),
        (false, false) if partly => {
            Err(invalid("input_price", "cache prices need an `input_price` and an `output_price`"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(body: &str) -> Result<Model, String> {
        let mut row = Model { name: "best".into(), ..Model::with_defaults(1, 0) };
        let input: ModelInput = serde_json::from_str(body).unwrap();
        input.apply(&mut row).map_err(|error| error.message)?;
        Ok(row)
    }

    #[test]
    fn dollars_become_whole_micro_dollars() {
        let row = applied(r#"{"input_price": 0.0375, "output_price": 0, "cached_input_price": 0.1}"#).unwrap();
        assert_eq!((row.input_price, row.output_price, row.cached_input_price), (Some(37_500), Some(0), Some(100_000)));
    }

    #[test]
    fn mistakes_are_answered_with_what_would_be_right() {
        for (body, expected) in [
            (r#"{"name": ""}"#, "`name` must not be empty"),
            (r#"{"aliases": ["x", "x"]}"#, "holds `x`"),
            (r#"{"aliases": ["best"]}"#, "holds `best`"),
            (r#"{"aliases": [" x"]}"#, "`aliases` must not begin or end with a space"),
            (r#"{"max_output_tokens": 0}"#, "`max_output_tokens` must be an integer at least 1, not 0"),
            (r#"{"input_price": -1, "output_price": 1}"#, "`input_price` must be dollars"),
            (r#"{"input_price": 1}"#, "`output_price` is required"),
            (r#"{"output_price": 1}"#, "`input_price` is required"),
            (r#"{"cache_write_price": 1}"#, "cache prices need"),
        ] {
            let message = applied(body).unwrap_err();
            assert!(message.contains(expected), "{body}: {message}");
        }
    }
}
