//! Counting tokens without an answer.

use super::{adapt::adapt, names};
use crate::{
    Counting, Target,
    ir::ApiError,
    json::Json,
    splice::{Edit, Members},
};

/// The member that holds a whole generating request.
const WHOLE: &str = "generateContentRequest";

/// `POST /models/{model}:countTokens`.
#[derive(Clone, Copy, Debug)]
pub struct Count;

impl Counting for Count {
    fn endpoint(&self, model: &str) -> String {
        format!("/models/{}:countTokens", names::in_path(model))
    }

    /// Only a whole generating request is counted with its system text and tools.
    fn request(&self, generating: &[u8], model: &str) -> Vec<u8> {
        let inner = Members::read(generating).map(|members| members.edit(&[Edit::set("model", name(model))]));
        [b"{\"generateContentRequest\":", &inner.unwrap_or_default()[..], b"}"].concat()
    }

    /// The model that a whole request inside names must be the one in the path.
    fn adapt(&self, members: &Members<'_>, target: Target<'_>) -> Vec<Edit> {
        let inner = members.get(WHOLE).and_then(|text| Members::read(text.as_bytes()).ok());
        let Some(inner) = inner else { return adapt(members, target.rules) };
        let mut edits = adapt(&inner, target.rules);
        edits.push(Edit::set("model", name(target.model)));
        String::from_utf8(inner.edit(&edits)).map(|edited| Edit::set(WHOLE, edited)).into_iter().collect()
    }

    fn decode(&self, body: &[u8]) -> Result<u64, ApiError> {
        let tokens = Json::parse(body).ok().and_then(|answer| answer.get("totalTokens")?.as_u64());
        tokens.ok_or_else(|| ApiError::malformed("the provider's count of tokens could not be read"))
    }
}

/// The request of this call as Vertex takes it: no whole generating request inside, and nothing of one but what is counted.
/// A body that is no JSON object stays as it is.
pub fn flat(body: &[u8]) -> Vec<u8> {
    const COUNTED: [&str; 4] = ["contents", "systemInstruction", "tools", "generationConfig"];
    let Ok(members) = Members::read(body) else { return body.to_vec() };
    let inner = members.get(WHOLE).and_then(|text| Members::read(text.as_bytes()).ok());
    inner.unwrap_or(members).keep(&COUNTED)
}

/// The model's name as it stands in a body, as JSON.
fn name(model: &str) -> String {
    Json::from(format!("models/{}", model.trim_start_matches("models/"))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::ModelRules;

    #[test]
    fn a_whole_request_is_counted_for_the_model_in_the_path() {
        let whole = br#"{"contents":[],"tools":[]}"#;
        assert_eq!(
            Count.request(whole, "gemini-3"),
            br#"{"generateContentRequest":{"contents":[],"tools":[],"model":"models/gemini-3"}}"#
        );
        assert_eq!(Count.endpoint("gemini-3"), "/models/gemini-3:countTokens");
    }

    #[test]
    fn a_clients_own_whole_request_names_the_targets_model() {
        let target = Target { model: "theirs", rules: &ModelRules::default() };
        for (body, adapted) in [
            (r#"{"contents":[]}"#, r#"{"contents":[]}"#),
            (
                r#"{"generateContentRequest":{"model":"models/mine","contents":[]}}"#,
                r#"{"generateContentRequest":{"model":"models/theirs","contents":[]}}"#,
            ),
        ] {
            let members = Members::read(body.as_bytes()).unwrap();
            assert_eq!(members.edit(&Count.adapt(&members, target)), adapted.as_bytes());
        }
    }

    #[test]
    fn vertex_is_asked_without_a_request_inside() {
        let whole =
            br#"{"generateContentRequest":{"contents":[{}],"tools":[],"model":"models/m","safetySettings":[]}}"#;
        assert_eq!(flat(whole), br#"{"contents":[{}],"tools":[]}"#);
        assert_eq!(flat(br#"{"contents": [{}]}"#), br#"{"contents":[{}]}"#);
    }

    #[test]
    fn a_count_is_read_and_nonsense_is_an_error() {
        assert_eq!(Count.decode(br#"{"totalTokens":9,"promptTokensDetails":[]}"#).unwrap(), 9);
        assert!(Count.decode(b"{}").is_err());
    }
}
