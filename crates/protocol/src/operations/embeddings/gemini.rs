//! Google's two calls for embeddings.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Embeddings, Vectors};
use crate::{
    gemini::{Fields, in_path},
    ir::{Losses, Malformed, Unmapped},
    json::Json,
    splice::{Edit, Members},
};

pub fn endpoint(model: &str, verb: &str) -> String {
    format!("/models/{}:{verb}", in_path(model))
}

/// Reads a request for one text.
pub fn read(members: &Members<'_>, losses: &mut Losses) -> Result<Embeddings, Malformed> {
    let body = Json::parse(&members.edit(&[])).unwrap_or_default();
    let (input, dimensions) = item(Fields::of(body, "")?, losses)?;
    Ok(Embeddings { inputs: vec![input], dimensions, base64: false })
}

/// Reads a request for many. All must want as many numbers: there is no other way to say it elsewhere.
pub fn read_batch(members: &Members<'_>, losses: &mut Losses) -> Result<Embeddings, Malformed> {
    let wrong = || Malformed::new("requests", "`requests` must be a list of at least one request");
    let requests = members.get("requests").and_then(|text| Json::parse(text.as_bytes()).ok());
    let requests = requests.as_ref().and_then(Json::items).filter(|items| !items.is_empty()).ok_or_else(wrong)?;
    members.keys().filter(|key| *key != "requests").for_each(|key| losses.dropped(key));
    let mut all = Embeddings::default();
    for (at, request) in requests.iter().enumerate() {
        let fields = Fields::of(request.clone(), format!("requests[{at}]"))?;
        let path = fields.path("outputDimensionality");
        let (input, dimensions) = item(fields, losses)?;
        if at > 0 && dimensions != all.dimensions {
            losses.refused(path.as_str(), "this provider gives all texts of a request as many numbers");
        }
        all.inputs.push(input);
        all.dimensions = dimensions;
    }
    Ok(all)
}

/// The text and the number of dimensions of one request.
fn item(mut fields: Fields, losses: &mut Losses) -> Result<(String, Option<u64>), Malformed> {
    fields.take("model");
    let dimensions = fields.count("outputDimensionality", 1)?;
    let wrong = fields.must_be("content", "a content with at least one part");
    let mut content = fields.object("content")?.ok_or(wrong)?;
    content.take("role");
    let (path, parts) = (content.path("parts"), content.list("parts"));
    if parts.is_empty() {
        return Err(content.must_be("parts", "a list of at least one part"));
    }
    let mut input = String::new();
    for (at, part) in parts.into_iter().enumerate() {
        let path = format!("{path}[{at}]");
        let mut part = Fields::of(part, path.clone())?;
        match part.string("text")? {
            Some(text) => input.push_str(&text),
            None => losses.refused(path.as_str(), "this provider embeds texts only"),
        }
    }
    let mut rest: Vec<Unmapped> = Vec::new();
    content.leave(&mut rest);
    fields.leave(&mut rest);
    rest.into_iter().for_each(|field| losses.dropped(field.path.as_str()));
    Ok((input, dimensions))
}

/// Writes a request for all texts at once.
pub fn write(request: &Embeddings, model: &str) -> Vec<u8> {
    let model = full(model);
    let item = |text: &String| Item {
        model: &model,
        content: Content { parts: [Part { text: text.clone() }] },
        output_dimensionality: request.dimensions,
    };
    let batch = Batch { requests: request.inputs.iter().map(item).collect() };
    serde_json::to_vec(&batch).expect("strings and numbers always serialise")
}

/// Each request of a batch must name the model, and one alone may.
pub fn rename(members: &Members<'_>, model: &str) -> Vec<Edit> {
    let name = Json::from(full(model)).to_string();
    let mut edits = Vec::new();
    if members.get("model").is_some_and(|named| named != name) {
        edits.push(Edit::set("model", name.as_str()));
    }
    if let Some(requests) = members.get("requests").and_then(|text| named(text, &name)) {
        edits.push(Edit::set("requests", requests));
    }
    edits
}

/// The requests of a batch with this model's name; `None` where they have it, or are no list of objects.
fn named(requests: &str, name: &str) -> Option<String> {
    let items: Vec<&RawValue> = serde_json::from_str(requests).ok()?;
    let items: Vec<Members<'_>> =
        items.iter().map(|item| Members::read(item.get().as_bytes()).ok()).collect::<Option<_>>()?;
    if items.iter().all(|item| item.get("model") == Some(name)) {
        return None;
    }
    let renamed = items.iter().map(|item| String::from_utf8(item.edit(&[Edit::set("model", name)])).ok());
    Some(format!("[{}]", renamed.collect::<Option<Vec<_>>>()?.join(",")))
}

fn full(model: &str) -> String {
    format!("models/{}", model.strip_prefix("models/").unwrap_or(model))
}

/// Reads an answer to a request for many.
pub fn read_answer(body: &[u8]) -> Option<Vectors<'_>> {
    let answer: Answer<'_> = serde_json::from_slice(body).ok()?;
    Some(Vectors {
        vectors: answer.embeddings.into_iter().map(|embedding| embedding.values).collect(),
        tokens: answer.usage_metadata.map(|usage| usage.prompt_token_count),
    })
}

pub fn write_answer(told: &Vectors<'_>) -> Vec<u8> {
    let embedding = told.vectors.first().map(|values| Values { values });
    serde_json::to_vec(&Single { embedding, usage_metadata: counts(told) })
        .expect("numbers that were read can be written")
}

pub fn write_batch_answer(told: &Vectors<'_>) -> Vec<u8> {
    let embeddings = told.vectors.iter().map(|values| Values { values }).collect();
    let answer = Answer { embeddings, usage_metadata: counts(told) };
    serde_json::to_vec(&answer).expect("numbers that were read can be written")
}

fn counts(told: &Vectors<'_>) -> Option<Counts> {
    told.tokens.map(|tokens| Counts { prompt_token_count: tokens, total_token_count: tokens })
}

#[derive(Serialize)]
struct Batch<'a> {
    requests: Vec<Item<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    model: &'a str,
    content: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u64>,
}

#[derive(Serialize)]
struct Content {
    parts: [Part; 1],
}

#[derive(Serialize)]
struct Part {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Single<'a> {
    embedding: Option<Values<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_metadata: Option<Counts>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow)]
    embeddings: Vec<Values<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_metadata: Option<Counts>,
}

#[derive(Serialize, Deserialize)]
struct Values<'a> {
    #[serde(borrow)]
    values: &'a RawValue,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Counts {
    prompt_token_count: u64,
    total_token_count: u64,
}
