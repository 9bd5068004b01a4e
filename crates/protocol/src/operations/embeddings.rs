//! OpenAI's embeddings in front of Gemini's `batchEmbedContents`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    base64,
    gemini::in_path,
    ir::{ApiError, Losses, Malformed, Usage},
    json::Json,
    splice::Members,
};

/// The path of the call, below a base URL that ends with the version segment.
pub fn endpoint(model: &str) -> String {
    format!("/models/{}:batchEmbedContents", in_path(model))
}

/// A request for embeddings, as far as another protocol can say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embeddings {
    pub inputs: Vec<String>,
    /// Numbers an embedding.
    pub dimensions: Option<u64>,
    /// Whether the numbers are wanted as base64 of 32-bit floats, little end first.
    pub base64: bool,
}

impl Embeddings {
    /// Reads OpenAI's request. Tokens instead of text are refused, since they mean something to one vendor's models only.
    pub fn decode(members: &Members<'_>, losses: &mut Losses) -> Result<Self, Malformed> {
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
        Ok(Self { inputs, dimensions, base64 })
    }

    /// Gemini's request body.
    pub fn encode(&self, model: &str) -> Vec<u8> {
        let model = format!("models/{}", model.strip_prefix("models/").unwrap_or(model));
        let request = |text: &String| Item {
            model: &model,
            content: Content { parts: [Part { text: text.clone() }] },
            output_dimensionality: self.dimensions,
        };
        let batch = Batch { requests: self.inputs.iter().map(request).collect() };
        serde_json::to_vec(&batch).expect("strings and numbers always serialise")
    }

    /// Turns Gemini's answer into OpenAI's, which names `model`. The numbers are written as they came.
    pub fn answer(&self, body: &[u8], model: &str) -> Result<(Vec<u8>, Option<Usage>), ApiError> {
        let unreadable = || ApiError::malformed("the provider answered something that is no list of embeddings");
        let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| unreadable())?;
        if answer.embeddings.len() != self.inputs.len() {
            return Err(unreadable());
        }
        let mut data = Vec::with_capacity(answer.embeddings.len());
        for (index, embedding) in answer.embeddings.iter().enumerate() {
            let embedding = if self.base64 {
                Numbers::Base64(packed(embedding.values).ok_or_else(unreadable)?)
            } else {
                Numbers::List(embedding.values)
            };
            data.push(Embedding { object: "embedding", index, embedding });
        }
        let tokens = answer.usage.map(|usage| usage.prompt_token_count);
        let count = tokens.unwrap_or(0);
        let usage = Counts { prompt_tokens: count, total_tokens: count };
        let list = serde_json::to_vec(&List { object: "list", data, model, usage }).map_err(|_| unreadable())?;
        Ok((list, tokens.map(|input| Usage { input, ..Usage::default() })))
    }
}

/// The numbers as base64 of 32-bit floats.
fn packed(values: &RawValue) -> Option<String> {
    let numbers: Vec<f32> = serde_json::from_str(values.get()).ok()?;
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Some(base64::encode(&bytes))
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

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    embeddings: Vec<Values<'a>>,
    #[serde(rename = "usageMetadata")]
    usage: Option<GeminiCounts>,
}

#[derive(Deserialize)]
struct Values<'a> {
    #[serde(borrow)]
    values: &'a RawValue,
}

#[derive(Deserialize)]
struct GeminiCounts {
    #[serde(rename = "promptTokenCount", default)]
    prompt_token_count: u64,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(body: &str) -> (Embeddings, Losses) {
        let mut losses = Losses::default();
        let members = Members::read(body.as_bytes()).unwrap();
        (Embeddings::decode(&members, &mut losses).unwrap(), losses)
    }

    #[test]
    fn a_request_is_said_in_geminis_words() {
        let (request, losses) = decoded(r#"{"model":"e","input":["a","b"],"dimensions":3,"encoding_format":"base64"}"#);
        assert!(losses.is_empty());
        assert_eq!(
            String::from_utf8(request.encode("models/x")).unwrap(),
            r#"{"requests":[{"model":"models/x","content":{"parts":[{"text":"a"}]},"outputDimensionality":3},{"model":"models/x","content":{"parts":[{"text":"b"}]},"outputDimensionality":3}]}"#
        );
        assert_eq!(endpoint("models/a b"), "/models/a%20b:batchEmbedContents");
        assert_eq!(decoded(r#"{"input":"a","user":"u"}"#).1.paths(), "user");
    }

    #[test]
    fn tokens_instead_of_text_are_refused() {
        for input in ["[1,2]", "[[1,2],[3]]"] {
            let (_, losses) = decoded(&format!(r#"{{"model":"e","input":{input}}}"#));
            assert_eq!(losses.refusals().next().map(|(path, _)| path), Some("input"));
        }
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (body, field) in [
            ("{}", "input"),
            (r#"{"input":[]}"#, "input"),
            (r#"{"input":["a",null]}"#, "input"),
            (r#"{"input":"a","dimensions":0}"#, "dimensions"),
            (r#"{"input":"a","encoding_format":"hex"}"#, "encoding_format"),
            (r#"{"input":"a","encoding_format":1}"#, "encoding_format"),
        ] {
            let members = Members::read(body.as_bytes()).unwrap();
            assert_eq!(Embeddings::decode(&members, &mut Losses::default()).unwrap_err().param, field, "{body}");
        }
    }

    #[test]
    fn an_answer_is_said_in_openais_words_and_base64_holds_the_same_numbers() {
        let gemini =
            br#"{"embeddings":[{"values":[-0.010658385, 4.623822e-05, 1]}],"usageMetadata":{"promptTokenCount":4}}"#;
        let (floats, _) = decoded(r#"{"input":"a"}"#);
        let (body, usage) = floats.answer(gemini, "e").unwrap();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[-0.010658385, 4.623822e-05, 1]}],"model":"e","usage":{"prompt_tokens":4,"total_tokens":4}}"#
        );
        assert_eq!(usage.unwrap().input, 4);
        let packed = Embeddings { base64: true, ..floats }.answer(gemini, "e").unwrap().0;
        let packed = Json::parse(&packed).unwrap();
        let text = packed.get("data").unwrap().items().unwrap()[0].get("embedding").unwrap().as_str().unwrap();
        let bytes = base64::decode(text).unwrap();
        let numbers: Vec<f32> = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        assert_eq!(numbers, [-0.010658385, 4.623822e-05, 1.0]);
    }

    #[test]
    fn an_answer_of_another_length_is_no_answer() {
        let (request, _) = decoded(r#"{"input":["a","b"]}"#);
        for body in [&br#"{"embeddings":[{"values":[1]}]}"#[..], b"{}", b"<html>"] {
            assert_eq!(request.answer(body, "e").unwrap_err().reason, Some("malformed"));
        }
        let (request, _) = decoded(r#"{"input":"a","encoding_format":"base64"}"#);
        assert!(request.answer(br#"{"embeddings":[{"values":["x"]}]}"#, "e").is_err());
    }
}
