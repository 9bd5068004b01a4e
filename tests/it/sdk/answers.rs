//! Answers that only these tests need: calls of a tool, and JSON by a schema.

use serde_json::json;

use crate::support::{Dialect, Script, acting};

/// An object by the schema that the scripts ask for.
pub const STRUCTURED: &str = r#"{"name": "Science fair", "date": "Friday", "participants": ["Alice", "Bob"]}"#;

/// The model calls `get_weather` for Paris.
pub fn tool_call(dialect: Dialect, streamed: bool) -> Script {
    acting::call(dialect, streamed, "call_1", "get_weather", &json!({"city": "Paris"}))
}
