//! What an operator may say about how a provider serves a model.

use llm_protocol::ir::ApiError;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    admin::{
        error::invalid,
        input::{Change, checked_name},
    },
    store::ModelProvider,
};

/// The fields of a row. What is left out stays; `null` puts the default back. A new row needs `model_id` and `provider_id`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelProviderInput {
    #[schema(value_type = Option<i64>, example = 1)]
    #[serde(default)]
    model_id: Change<i64>,
    #[schema(value_type = Option<i64>, example = 1)]
    #[serde(default)]
    provider_id: Change<i64>,
    /// What the provider calls the model; by default the model's own name.
    #[schema(value_type = Option<String>, example = "gpt-4o-2024-11-20")]
    #[serde(default)]
    upstream_name: Change<String>,
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 1000, default = 100)]
    #[serde(default)]
    weight: Change<i64>,
    #[schema(value_type = Option<bool>, default = true)]
    #[serde(default)]
    enabled: Change<bool>,
    #[schema(value_type = Option<bool>, default = true)]
    #[serde(default)]
    tool_call: Change<bool>,
    #[schema(value_type = Option<bool>, default = true)]
    #[serde(default)]
    structured_output: Change<bool>,
    #[schema(value_type = Option<bool>, default = true)]
    #[serde(default)]
    image: Change<bool>,
}

impl ModelProviderInput {
    /// Makes `row` what the operator wants, or says what stands against it.
    pub fn apply(&self, row: &mut ModelProvider) -> Result<(), ApiError> {
        self.model_id.or_default(&mut row.model_id, 0);
        self.provider_id.or_default(&mut row.provider_id, 0);
        self.upstream_name.trimmed().or_default(&mut row.upstream_name, String::new());
        self.weight.within("weight", 0..=1000)?.or_default(&mut row.weight, 100);
        self.enabled.or_default(&mut row.enabled, true);
        self.tool_call.or_default(&mut row.tool_call, true);
        self.structured_output.or_default(&mut row.structured_output, true);
        self.image.or_default(&mut row.image, true);
        for (name, id) in [("model_id", row.model_id), ("provider_id", row.provider_id)] {
            if id == 0 {
                return Err(invalid(name, format!("`{name}` is required")));
            }
        }
        if !row.upstream_name.is_empty() {
            checked_name("upstream_name", &row.upstream_name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_required_and_the_rest_has_defaults() {
        let applied = |body: &str| {
            let mut row = ModelProvider::with_defaults(1, 0);
            let input: ModelProviderInput = serde_json::from_str(body).unwrap();
            input.apply(&mut row).map(|()| row).map_err(|error| error.message)
        };
        assert_eq!(applied("{}").unwrap_err(), "`model_id` is required");
        assert_eq!(applied(r#"{"model_id": 1}"#).unwrap_err(), "`provider_id` is required");
        let row = applied(r#"{"model_id": 1, "provider_id": 2, "image": false, "upstream_name": " x "}"#).unwrap();
        assert_eq!((row.upstream_name.as_str(), row.weight, row.image, row.tool_call), ("x", 100, false, true));
        let heavy = applied(r#"{"model_id": 1, "provider_id": 2, "weight": -1}"#).unwrap_err();
        assert_eq!(heavy, "`weight` must be an integer from 0 to 1000, not -1");
    }
}
