//! OpenAI's call for embeddings.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Embeddings, Vectors};
use crate::{
    base64,
    ir::{Losses, Malformed},
    json::Json,
    splice::Members,
};

/// Reads a request. Tokens instead of text are refused, since they mean something to one vendor's models only.
pub fn read(members: &Members<'_>, losses: &mut Losses) -> Result<Embeddings, Malformed> {
    let expected = "a text that is not empty, or a list of such texts";
    let wrong = || Malformed::new("input", format!("`input` must be {expected}"));
    let input = members.get("input").and_then(|text| Json::parse(text.as_bytes()).ok()).ok_or_else(wrong)?;
    let inputs = match &input {
        Json::String(text) => vec![text.clone()],
        Json::Array(items) if items.iter().any(|item| item.items().is_some() || item.as_f64().is_some()) => {
            losses.refused("input", "tokens of another vendor's models; send texts");
            Vec::new()
        }
        Json::Array(items) if !items.is_empty() => {
            items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect::<Result<_, _>>()?
        }
        _ => return Err(wrong()),
    };
    let dimensions = match members.get("dimensions").map(str::parse) {
        None => None,
        Some(Ok(count)) if count > 0 => Some(count),
        Some(_) => return Err(Malformed::new("dimensions", "`dimensions` must be a whole number, at least 1")),
    };
    let base64 = match members.string("encoding_format").as_deref() {
        Some("base64") => true,
        Some("float") => false,
        None if members.get("encoding_format").is_none() => false,
        _ => return Err(Malformed::new("encoding_format", "`encoding_format` must be `float` or `base64`")),
    };
    let known = ["model", "input", "dimensions", "encoding_format"];
    members.keys().filter(|key| !known.contains(key)).for_each(|key| losses.dropped(key));
    Ok(Embeddings { inputs, dimensions, base64 })
}

/// Writes a request.
pub fn write(request: &Embeddings, model: &str) -> Vec<u8> {
    let request = Request { model, input: &request.inputs, dimensions: request.dimensions };
    serde_json::to_vec(&request).expect("strings and numbers always serialise")
}

/// Reads an answer of lists of numbers, in whichever order they are told.
pub fn read_answer(body: &[u8]) -> Option<Vectors<'_>> {
    let answer: Answer<'_> = serde_json::from_slice(body).ok()?;
    let mut data = answer.data;
    data.sort_by_key(|item| item.index);
    let vectors: Vec<&RawValue> = data.into_iter().map(|item| item.embedding).collect();
    let are_lists = vectors.iter().all(|vector| vector.get().starts_with('['));
    are_lists.then_some(Vectors { vectors, tokens: answer.usage.map(|usage| usage.prompt_tokens) })
}

/// Writes an answer. `None` where base64 is asked for and the numbers are none.
pub fn write_answer(request: &Embeddings, told: &Vectors<'_>, model: &str) -> Option<Vec<u8>> {
    let mut data = Vec::with_capacity(told.vectors.len());
    for (index, vector) in told.vectors.iter().enumerate() {
        let embedding = if request.base64 { Numbers::Base64(packed(vector)?) } else { Numbers::List(vector) };
        data.push(Embedding { object: "embedding", index, embedding });
    }
    let count = told.tokens.unwrap_or(0);
    let usage = Counts { prompt_tokens: count, total_tokens: count };
    serde_json::to_vec(&List { object: "list", data, model, usage }).ok()
}

/// The numbers as base64 of 32-bit floats.
fn packed(values: &RawValue) -> Option<String> {
    let numbers: Vec<f32> = serde_json::from_str(values.get()).ok()?;
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Some(base64::encode(&bytes))
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u64>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Vec<Item<'a>>,
    usage: Option<Counted>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(default)]
    index: usize,
    #[serde(borrow)]
    embedding: &'a RawValue,
}

#[derive(Deserialize)]
struct Counted {
    #[serde(default)]
    prompt_tokens: u64,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Embedding<'a>>,
    model: &'a str,
    usage: Counts,
}

#[derive(Serialize)]
struct Embedding<'a> {
    object: &'static str,
    index: usize,
    embedding: Numbers<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Numbers<'a> {
    List(&'a RawValue),
    Base64(String),
}

#[derive(Serialize)]
struct Counts {
    prompt_tokens: u64,
    total_tokens: u64,
}
