//! Texts as lists of numbers: OpenAI's call and Google's two, each in front of a provider of either.
//!
//! What the client asked in its call's words ([`Call::read`]) is written in those of the provider's ([`Call::write`]), and the
//! numbers go back the same way. They are never parsed unless base64 is asked for, so that they arrive as they came.

mod gemini;
mod openai;

use serde_json::value::RawValue;

use crate::{
    ir::{ApiError, Losses, Malformed, Usage},
    splice::{Edit, Members},
};

/// One way to ask for embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// OpenAI's `/embeddings`.
    OpenAi,
    /// Google's `:embedContent`, for one text.
    Gemini,
    /// Google's `:batchEmbedContents`.
    GeminiBatch,
}

/// A request for embeddings, as far as another protocol can say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Embeddings {
    pub inputs: Vec<String>,
    /// Numbers an embedding.
    pub dimensions: Option<u64>,
    /// Whether the numbers are wanted as base64 of 32-bit floats, little end first.
    pub base64: bool,
}

/// An answer's numbers as they were written, in the order of the texts.
struct Vectors<'a> {
    vectors: Vec<&'a RawValue>,
    /// That the texts had, where it is told.
    tokens: Option<u64>,
}

impl Call {
    /// The path, below a base URL that ends with the version segment.
    pub fn endpoint(self, model: &str) -> String {
        match self {
            Self::OpenAi => "/embeddings".to_owned(),
            Self::Gemini => gemini::endpoint(model, "embedContent"),
            Self::GeminiBatch => gemini::endpoint(model, "batchEmbedContents"),
        }
    }

    /// Whether the call is Google's.
    pub fn is_googles(self) -> bool {
        self != Self::OpenAi
    }

    /// Reads a client's request. What no other call has a word for goes into `losses`.
    pub fn read(self, members: &Members<'_>, losses: &mut Losses) -> Result<Embeddings, Malformed> {
        match self {
            Self::OpenAi => openai::read(members, losses),
            Self::Gemini => gemini::read(members, losses),
            Self::GeminiBatch => gemini::read_batch(members, losses),
        }
    }

    /// Writes a request for a provider.
    pub fn write(self, request: &Embeddings, model: &str) -> Vec<u8> {
        match self {
            Self::OpenAi => openai::write(request, model),
            Self::Gemini | Self::GeminiBatch => gemini::write(request, model),
        }
    }

    /// The edits that name `model` in a request whose bytes otherwise pass: Google wants it named as in the path.
    pub fn rename(self, members: &Members<'_>, model: &str) -> Vec<Edit> {
        match self {
            // Its `model` is replaced as in every other body.
            Self::OpenAi => Vec::new(),
            Self::Gemini | Self::GeminiBatch => gemini::rename(members, model),
        }
    }

    /// Turns the answer to a request of the call `asked` into one of this, which names `model`.
    pub fn answer(
        self,
        asked: Self,
        request: &Embeddings,
        body: &[u8],
        model: &str,
    ) -> Result<(Vec<u8>, Option<Usage>), ApiError> {
        let told = match asked {
            Self::OpenAi => openai::read_answer(body),
            Self::Gemini | Self::GeminiBatch => gemini::read_answer(body),
        };
        let told = told.filter(|told| told.vectors.len() == request.inputs.len()).ok_or_else(unreadable)?;
        let body = match self {
            Self::OpenAi => openai::write_answer(request, &told, model).ok_or_else(unreadable)?,
            Self::Gemini => gemini::write_answer(&told),
            Self::GeminiBatch => gemini::write_batch_answer(&told),
        };
        Ok((body, told.tokens.map(|input| Usage { input, ..Usage::default() })))
    }
}

fn unreadable() -> ApiError {
    ApiError::malformed("the provider answered something that is no list of embeddings")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base64, json::Json};

    fn read(call: Call, body: &str) -> (Embeddings, Losses) {
        let mut losses = Losses::default();
        let members = Members::read(body.as_bytes()).unwrap();
        (call.read(&members, &mut losses).unwrap(), losses)
    }

    fn text(body: Vec<u8>) -> String {
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn openais_request_is_said_in_geminis_words() {
        let body = r#"{"model":"e","input":["a","b"],"dimensions":3,"encoding_format":"base64"}"#;
        let (request, losses) = read(Call::OpenAi, body);
        assert!(losses.is_empty());
        assert_eq!(
            text(Call::GeminiBatch.write(&request, "models/x")),
            r#"{"requests":[{"model":"models/x","content":{"parts":[{"text":"a"}]},"outputDimensionality":3},{"model":"models/x","content":{"parts":[{"text":"b"}]},"outputDimensionality":3}]}"#
        );
        assert_eq!(Call::GeminiBatch.endpoint("models/a b"), "/models/a%20b:batchEmbedContents");
        assert_eq!(read(Call::OpenAi, r#"{"input":"a","user":"u"}"#).1.paths(), "user");
    }

    #[test]
    fn geminis_requests_are_said_in_openais_words() {
        let one =
            r#"{"content":{"parts":[{"text":"a "},{"text":"b"}]},"taskType":"CLUSTERING","output_dimensionality":3}"#;
        let (request, losses) = read(Call::Gemini, one);
        assert_eq!(text(Call::OpenAi.write(&request, "e")), r#"{"model":"e","input":["a b"],"dimensions":3}"#);
        assert_eq!(losses.paths(), "taskType");
        let batch = r#"{"requests":[{"model":"models/e","content":{"parts":[{"text":"a"}],"role":"user"}},{"content":{"parts":{"text":"b"}}}]}"#;
        let (request, losses) = read(Call::GeminiBatch, batch);
        assert_eq!(text(Call::OpenAi.write(&request, "e")), r#"{"model":"e","input":["a","b"]}"#);
        assert!(losses.is_empty(), "{}", losses.paths());
    }

    #[test]
    fn what_another_protocol_cannot_embed_is_refused() {
        for (call, body, path) in [
            (Call::OpenAi, r#"{"model":"e","input":[1,2]}"#, "input"),
            (Call::OpenAi, r#"{"model":"e","input":[[1,2],[3]]}"#, "input"),
            (
                Call::Gemini,
                r#"{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"AA=="}}]}}"#,
                "content.parts[0]",
            ),
            (
                Call::GeminiBatch,
                r#"{"requests":[{"content":{"parts":[{"text":"a"}]},"outputDimensionality":3},{"content":{"parts":[{"text":"b"}]}}]}"#,
                "requests[1].outputDimensionality",
            ),
        ] {
            let (_, losses) = read(call, body);
            assert_eq!(losses.refusals().next().map(|(path, _)| path), Some(path), "{body}");
        }
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (call, body, field) in [
            (Call::OpenAi, "{}", "input"),
            (Call::OpenAi, r#"{"input":[]}"#, "input"),
            (Call::OpenAi, r#"{"input":["a",null]}"#, "input"),
            (Call::OpenAi, r#"{"input":"a","dimensions":0}"#, "dimensions"),
            (Call::OpenAi, r#"{"input":"a","encoding_format":"hex"}"#, "encoding_format"),
            (Call::OpenAi, r#"{"input":"a","encoding_format":1}"#, "encoding_format"),
            (Call::Gemini, "{}", "content"),
            (Call::Gemini, r#"{"content":{"parts":[]}}"#, "content.parts"),
            (Call::Gemini, r#"{"content":{"parts":[{"text":1}]}}"#, "content.parts[0].text"),
            (Call::GeminiBatch, r#"{"requests":[]}"#, "requests"),
            (Call::GeminiBatch, r#"{"requests":[{"content":{}}]}"#, "requests[0].content.parts"),
            (
                Call::GeminiBatch,
                r#"{"requests":[{"content":{"parts":[{"text":"a"}]},"outputDimensionality":0}]}"#,
                "requests[0].outputDimensionality",
            ),
        ] {
            let members = Members::read(body.as_bytes()).unwrap();
            assert_eq!(call.read(&members, &mut Losses::default()).unwrap_err().param, field, "{body}");
        }
    }

    const GEMINIS: &[u8] =
        br#"{"embeddings":[{"values":[-0.010658385, 4.623822e-05, 1]}],"usageMetadata":{"promptTokenCount":4}}"#;

    #[test]
    fn geminis_answer_is_said_in_openais_words_and_base64_holds_the_same_numbers() {
        let (floats, _) = read(Call::OpenAi, r#"{"input":"a"}"#);
        let answer = |request: &Embeddings| Call::OpenAi.answer(Call::GeminiBatch, request, GEMINIS, "e").unwrap();
        let (body, usage) = answer(&floats);
        assert_eq!(
            text(body),
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[-0.010658385, 4.623822e-05, 1]}],"model":"e","usage":{"prompt_tokens":4,"total_tokens":4}}"#
        );
        assert_eq!(usage.unwrap().input, 4);
        let packed = Json::parse(&answer(&Embeddings { base64: true, ..floats }).0).unwrap();
        let text = packed.get("data").unwrap().items().unwrap()[0].get("embedding").unwrap().as_str().unwrap();
        let bytes = base64::decode(text).unwrap();
        let numbers: Vec<f32> = bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        assert_eq!(numbers, [-0.010658385, 4.623822e-05, 1.0]);
    }

    #[test]
    fn openais_answer_is_said_in_geminis_words_in_the_order_of_the_texts() {
        let body =
            br#"{"data":[{"index":1,"embedding":[2.50]},{"index":0,"embedding":[1e-3]}],"usage":{"prompt_tokens":4}}"#;
        let (two, _) = read(
            Call::GeminiBatch,
            r#"{"requests":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"b"}]}}]}"#,
        );
        let (batch, usage) = Call::GeminiBatch.answer(Call::OpenAi, &two, body, "e").unwrap();
        assert_eq!(
            text(batch),
            r#"{"embeddings":[{"values":[1e-3]},{"values":[2.50]}],"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}}"#
        );
        assert_eq!(usage.unwrap().input, 4);
        let (one, _) = read(Call::Gemini, r#"{"content":{"parts":[{"text":"a"}]}}"#);
        let (one, usage) = Call::Gemini.answer(Call::OpenAi, &one, br#"{"data":[{"embedding":[1]}]}"#, "e").unwrap();
        assert_eq!((text(one).as_str(), usage), (r#"{"embedding":{"values":[1]}}"#, None));
    }

    #[test]
    fn a_request_that_passes_names_the_model_in_the_path() {
        for (call, body, renamed) in [
            (
                Call::Gemini,
                r#"{"model":"models/mine", "content":{"later":1.0}}"#,
                r#"{"model":"models/theirs", "content":{"later":1.0}}"#,
            ),
            (Call::Gemini, r#"{"content":{}}"#, r#"{"content":{}}"#),
            (
                Call::GeminiBatch,
                r#"{"requests":[{"model":"models/mine","a":1.0}, {"b":2}]}"#,
                r#"{"requests":[{"model":"models/theirs","a":1.0},{"b":2,"model":"models/theirs"}]}"#,
            ),
        ] {
            let members = Members::read(body.as_bytes()).unwrap();
            assert_eq!(text(members.edit(&call.rename(&members, "theirs"))), renamed);
        }
        let same = br#"{"requests":[{"model":"models/theirs"} ]}"#;
        assert!(Call::GeminiBatch.rename(&Members::read(same).unwrap(), "theirs").is_empty());
    }

    #[test]
    fn an_answer_of_another_length_is_no_answer() {
        let (two, _) = read(Call::OpenAi, r#"{"input":["a","b"]}"#);
        for body in [&br#"{"embeddings":[{"values":[1]}]}"#[..], b"{}", b"<html>"] {
            let error = Call::OpenAi.answer(Call::GeminiBatch, &two, body, "e").unwrap_err();
            assert_eq!(error.reason, Some("malformed"));
        }
        let (packed, _) = read(Call::OpenAi, r#"{"input":"a","encoding_format":"base64"}"#);
        let words = br#"{"embeddings":[{"values":["x"]}]}"#;
        assert!(Call::OpenAi.answer(Call::GeminiBatch, &packed, words, "e").is_err());
        let (one, _) = read(Call::Gemini, r#"{"content":{"parts":[{"text":"a"}]}}"#);
        let packed = br#"{"data":[{"index":0,"embedding":"AACAPw=="}]}"#;
        assert!(Call::Gemini.answer(Call::OpenAi, &one, packed, "e").is_err(), "that was not asked for");
    }
}
