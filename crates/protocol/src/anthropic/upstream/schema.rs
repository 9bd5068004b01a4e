//! JSON Schemas within Anthropic's limits.

use std::{borrow::Cow, collections::HashSet};

use crate::json::Json;

/// Formats of strings that an answer can be held to.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// The ways in which the top of a tool's schema must not branch.
const BRANCHES: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// The schema of a tool's arguments, whose top has to be a plain object; and whether it says less than the one given.
pub(super) fn arguments(schema: Option<&Json>) -> (Cow<'_, Json>, bool) {
    let Some(schema @ Json::Object(members)) = schema else { return (Cow::Owned(no_arguments()), false) };
    let branches = members.iter().any(|(key, _)| key == "$ref" || BRANCHES.contains(&key.as_str()));
    let is_object = schema.get("type").and_then(Json::as_str) == Some("object");
    if is_object && !branches {
        return (Cow::Borrowed(schema), false);
    }
    let mut plain = schema.clone();
    let weaker = flatten(&mut plain, schema);
    plain.remove("type");
    if let Json::Object(members) = &mut plain {
        members.insert(0, ("type".to_owned(), Json::from("object")));
    }
    (Cow::Owned(plain), weaker)
}

fn no_arguments() -> Json {
    Json::object([("type", Json::from("object")), ("properties", Json::object::<String>([]))])
}

/// Brings what stands in branches of the top up to the top. Whether that says less: a choice of branches does not
/// survive.
fn flatten(plain: &mut Json, root: &Json) -> bool {
    let mut weaker = false;
    if let Some(target) = plain.remove("$ref").and_then(|name| resolve(root, &name)) {
        absorb(plain, target, true);
    }
    for branch in BRANCHES {
        let Some(Json::Array(variants)) = plain.remove(branch) else { continue };
        let all = branch == "allOf" || variants.len() == 1;
        weaker |= !all;
        let objects: Vec<&Json> = variants
            .iter()
            .filter_map(|variant| resolve_or(root, variant))
            .filter(|it| it.members().is_some())
            .collect();
        for object in &objects {
            absorb(plain, object, all);
        }
        if !all {
            require_common(plain, &objects);
        }
    }
    weaker
}

fn resolve<'a>(root: &'a Json, name: &Json) -> Option<&'a Json> {
    let path = name.as_str()?.strip_prefix("#/")?;
    path.split('/').try_fold(root, |value, key| value.get(key))
}

fn resolve_or<'a>(root: &'a Json, variant: &'a Json) -> Option<&'a Json> {
    match variant.get("$ref") {
        Some(name) => resolve(root, name),
        None => Some(variant),
    }
}

/// Adds what `other` says; of what both say, only properties (and, if `required`, their being required) are joined.
fn absorb(plain: &mut Json, other: &Json, required: bool) {
    for (key, value) in other.members().unwrap_or_default() {
        match (key.as_str(), plain.get(key)) {
            ("type" | "$ref", _) => {}
            ("required", known) => {
                if required {
                    let mut names = known.and_then(Json::items).unwrap_or_default().to_vec();
                    names.extend(value.items().unwrap_or_default().iter().cloned());
                    dedup(&mut names);
                    plain.set(key, Json::Array(names));
                }
            }
            ("properties" | "$defs" | "definitions", Some(known)) => {
                let mut both = known.clone();
                for (name, value) in value.members().unwrap_or_default() {
                    if both.get(name).is_none() {
                        both.set(name, value.clone());
                    }
                }
                plain.set(key, both);
            }
            // One branch's limit on further properties would forbid the other branches' properties.
            ("additionalProperties", _) if !required => {}
            (_, None) => plain.set(key, value.clone()),
            (_, Some(_)) => {}
        }
    }
}

fn require_common(plain: &mut Json, objects: &[&Json]) {
    let required = |object: &Json| object.get("required").and_then(Json::items).unwrap_or_default().to_vec();
    let Some((first, rest)) = objects.split_first() else { return };
    let common = required(first).into_iter().filter(|name| rest.iter().all(|other| required(other).contains(name)));
    let mut names = required(plain);
    names.extend(common);
    dedup(&mut names);
    if !names.is_empty() {
        plain.set("required", Json::Array(names));
    }
}

fn dedup(names: &mut Vec<Json>) {
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.to_string()));
}

/// A schema that Anthropic can hold an answer to.
#[derive(Debug)]
pub(super) struct Constrained {
    pub schema: Json,
    /// Something that it does not enforce went into a description.
    pub weaker: bool,
    /// It refers to itself, which Anthropic refuses.
    pub recursive: bool,
    /// Properties that may be left out.
    pub optional: usize,
    /// Places where several types are possible.
    pub unions: usize,
}

/// Closes every object, and moves into descriptions what Anthropic does not enforce.
pub(super) fn constrain(schema: &Json) -> Constrained {
    let mut out =
        Constrained { schema: Json::Null, weaker: false, recursive: is_recursive(schema), optional: 0, unions: 0 };
    out.schema = out.node(schema);
    out
}

impl Constrained {
    fn node(&mut self, schema: &Json) -> Json {
        let Some(members) = schema.members() else {
            self.weaker = true;
            return Json::object::<String>([]);
        };
        if let Some(name) = schema.get("$ref") {
            return Json::object(
                members
                    .iter()
                    .filter_map(|(key, value)| match key.as_str() {
                        "$ref" => Some((key.clone(), name.clone())),
                        "$defs" | "definitions" => Some((key.clone(), self.each_member(value))),
                        _ => None,
                    })
                    .collect::<Vec<_>>(),
            );
        }
        let mut out = Vec::with_capacity(members.len() + 1);
        let mut notes = Vec::new();
        for (key, value) in members {
            match self.keyword(key, value) {
                Keyword::Keep(key, value) => out.push((key.to_owned(), value)),
                Keyword::Describe => notes.push(format!("{key}: {value}")),
                Keyword::Forget => {}
            }
        }
        let mut node = Json::Object(out);
        self.close(&mut node, schema);
        if !notes.is_empty() {
            self.weaker = true;
            describe(&mut node, &notes.join(", "));
        }
        node
    }

    fn keyword<'k>(&mut self, key: &'k str, value: &Json) -> Keyword<'k> {
        match key {
            "title" | "description" | "enum" | "const" | "default" | "required" => Keyword::Keep(key, value.clone()),
            "type" => {
                self.unions += usize::from(value.items().is_some_and(|types| types.len() > 1));
                Keyword::Keep(key, value.clone())
            }
            "properties" | "$defs" | "definitions" => Keyword::Keep(key, self.each_member(value)),
            "items" if value.members().is_some() => Keyword::Keep(key, self.node(value)),
            "anyOf" | "oneOf" => {
                self.unions += 1;
                Keyword::Keep("anyOf", self.each_item(value))
            }
            "allOf" => Keyword::Keep(key, self.each_item(value)),
            "format" if value.as_str().is_some_and(|format| FORMATS.contains(&format)) => {
                Keyword::Keep(key, value.clone())
            }
            "minItems" if value.as_u64().is_some_and(|least| least <= 1) => Keyword::Keep(key, value.clone()),
            "additionalProperties" if value.as_bool() == Some(false) => Keyword::Forget,
            "additionalProperties" if value.as_bool() == Some(true) => {
                self.weaker = true;
                Keyword::Forget
            }
            "$schema" | "$id" | "$comment" => Keyword::Forget,
            _ => Keyword::Describe,
        }
    }

    fn each_member(&mut self, value: &Json) -> Json {
        let members = value.members().unwrap_or_default();
        Json::Object(members.iter().map(|(name, schema)| (name.clone(), self.node(schema))).collect())
    }

    fn each_item(&mut self, value: &Json) -> Json {
        Json::Array(value.items().unwrap_or_default().iter().map(|schema| self.node(schema)).collect())
    }

    /// Every object has to say that it takes no further properties.
    fn close(&mut self, node: &mut Json, schema: &Json) {
        let is_object = match schema.get("type") {
            Some(Json::Array(types)) => types.iter().any(|kind| kind.as_str() == Some("object")),
            Some(kind) => kind.as_str() == Some("object"),
            None => schema.get("properties").is_some(),
        };
        if !is_object {
            return;
        }
        let required = schema.get("required").and_then(Json::items).unwrap_or_default();
        let required: HashSet<&str> = required.iter().filter_map(Json::as_str).collect();
        let properties = schema.get("properties").and_then(Json::members).unwrap_or_default();
        self.optional += properties.iter().filter(|(name, _)| !required.contains(name.as_str())).count();
        node.set("additionalProperties", Json::from(false));
    }
}

/// What becomes of a keyword.
enum Keyword<'k> {
    Keep(&'k str, Json),
    Describe,
    Forget,
}

fn describe(node: &mut Json, notes: &str) {
    let text = match node.get("description").and_then(Json::as_str) {
        Some(known) if !known.is_empty() => format!("{known} ({notes})"),
        _ => notes.to_owned(),
    };
    node.set("description", Json::from(text));
}

/// Whether a definition is reached from itself, or the whole schema from within.
fn is_recursive(schema: &Json) -> bool {
    let mut direct = Vec::new();
    references(schema, &mut direct);
    direct.iter().any(|start| {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut next = vec![*start];
        while let Some(name) = next.pop() {
            let mut found = Vec::new();
            match name {
                "#" => return true,
                name => {
                    if let Some(target) = resolve(schema, &Json::from(name)) {
                        references(target, &mut found);
                    }
                }
            }
            if found.contains(start) {
                return true;
            }
            next.extend(found.into_iter().filter(|name| seen.insert(name)));
        }
        false
    })
}

fn references<'a>(schema: &'a Json, out: &mut Vec<&'a str>) {
    match schema {
        Json::Object(members) => {
            for (key, value) in members {
                match value {
                    Json::String(name) if key == "$ref" => out.push(name),
                    _ => references(value, out),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| references(item, out)),
        _ => {}
    }
}
