//! Google's dialect of schemas, put into plain JSON Schema: types in capitals, `nullable`, numbers as text, and an order of
//! properties that JSON Schema tells by the order itself.

use super::fields::snake;
use crate::json::Json;

/// Keywords whose value is a schema, a list of schemas, or schemas by name.
const ONE: [&str; 4] = ["items", "additionalProperties", "not", "contains"];
const MANY: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
const NAMED: [&str; 4] = ["properties", "$defs", "definitions", "patternProperties"];

/// Keywords of two words, which Google takes in snake case too.
const RESPELLED: [&str; 9] = [
    "anyOf",
    "additionalProperties",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
    "propertyOrdering",
];

/// The schema in plain JSON Schema. One that is that already stays as it is.
pub fn plain(schema: Json) -> Json {
    let Json::Object(members) = schema else { return schema };
    let mut out = Json::Object(members.into_iter().filter_map(keyword).collect());
    order(&mut out);
    if out.remove("nullable").and_then(|nullable| nullable.as_bool()) == Some(true) {
        allow_null(&mut out);
    }
    out
}

fn keyword((key, value): (String, Json)) -> Option<(String, Json)> {
    let key = match RESPELLED.iter().find(|camel| snake(camel) == key) {
        Some(camel) => (*camel).to_owned(),
        None if key == "defs" && value.members().is_some() => "$defs".to_owned(),
        None if key == "ref" && value.as_str().is_some() => "$ref".to_owned(),
        None => key,
    };
    let value = match (key.as_str(), value) {
        ("type", Json::String(name)) => Json::String(lowered(&name)?),
        ("type", Json::Array(names)) => Json::Array(names.into_iter().filter_map(lowered_json).collect()),
        // It says that there is an enum, which the enum says.
        ("format", Json::String(name)) if name == "enum" => return None,
        (key, Json::String(count)) if key.starts_with("min") || key.starts_with("max") => number(count),
        (key, value) if ONE.contains(&key) => plain(value),
        (key, Json::Array(items)) if MANY.contains(&key) => Json::Array(items.into_iter().map(plain).collect()),
        (key, Json::Object(named)) if NAMED.contains(&key) => {
            Json::Object(named.into_iter().map(|(name, schema)| (name, plain(schema))).collect())
        }
        (_, value) => value,
    };
    Some((key, value))
}

/// `None` where Google says that it does not know.
fn lowered(name: &str) -> Option<String> {
    (name != "TYPE_UNSPECIFIED").then(|| name.to_ascii_lowercase())
}

fn lowered_json(name: Json) -> Option<Json> {
    match name {
        Json::String(name) => lowered(&name).map(Json::String),
        other => Some(other),
    }
}

/// A whole number that was written as text.
fn number(text: String) -> Json {
    text.parse::<u64>().map_or(Json::String(text), Json::from)
}

/// Puts the properties into the order that is asked for; those not named come last.
fn order(schema: &mut Json) {
    let Some(Json::Array(order)) = schema.remove("propertyOrdering") else { return };
    if let Some(Json::Object(properties)) = schema.get_mut("properties") {
        let place = |name: &str| order.iter().position(|known| known.as_str() == Some(name)).unwrap_or(order.len());
        properties.sort_by_cached_key(|(name, _)| place(name));
    }
}

fn allow_null(schema: &mut Json) {
    let null = || Json::from("null");
    if let Some(kind @ Json::String(_)) = schema.get_mut("type") {
        *kind = Json::Array(vec![std::mem::take(kind), null()]);
        if let Some(Json::Array(values)) = schema.get_mut("enum") {
            values.push(Json::Null);
        }
    } else if let Some(Json::Array(kinds)) = schema.get_mut("anyOf") {
        kinds.push(Json::object([("type", null())]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(text: &str) -> String {
        plain(Json::parse(text.as_bytes()).unwrap()).to_string()
    }

    #[test]
    fn types_in_capitals_become_json_schemas() {
        assert_eq!(
            translated(
                r#"{"type":"OBJECT","properties":{"type":{"type":"STRING","format":"enum","enum":["STRING"]},"n":{"type":["INTEGER","NULL"]}},"required":["type"]}"#
            ),
            r#"{"type":"object","properties":{"type":{"type":"string","enum":["STRING"]},"n":{"type":["integer","null"]}},"required":["type"]}"#
        );
        assert_eq!(
            translated(r#"{"type":"TYPE_UNSPECIFIED","items":{"type":"NUMBER"}}"#),
            r#"{"items":{"type":"number"}}"#
        );
    }

    #[test]
    fn null_is_one_of_the_types() {
        assert_eq!(translated(r#"{"type":"STRING","nullable":true}"#), r#"{"type":["string","null"]}"#);
        assert_eq!(
            translated(r#"{"any_of":[{"type":"STRING"}],"nullable":true}"#),
            r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#
        );
        assert_eq!(translated(r#"{"type":"STRING","nullable":false}"#), r#"{"type":"string"}"#);
    }

    #[test]
    fn an_order_of_properties_is_their_order() {
        assert_eq!(
            translated(r#"{"properties":{"a":{},"b":{},"c":{}},"property_ordering":["c","a"],"min_items":"2"}"#),
            r#"{"properties":{"c":{},"a":{},"b":{}},"minItems":2}"#
        );
    }

    #[test]
    fn plain_json_schema_stays_as_it_is() {
        let schema = r##"{"$schema":"x","type":"object","properties":{"ref":{"$ref":"#/$defs/a"},"any_of":{"enum":["NULL",null,1.50]}},"$defs":{"a":{"oneOf":[{"const":"STRING"}]}},"additionalProperties":false}"##;
        assert_eq!(translated(schema), schema.replace("1.50", "1.5"));
    }
}
