//! What has to change in a request of this protocol whose bytes otherwise pass.

use memchr::memmem;

use crate::{
    gemini::signature::UNSIGNED,
    ir::carrier::MARK,
    json::Json,
    models::ModelRules,
    splice::{Edit, Members},
};

/// The two spellings of the field.
const SIGNATURE: [&str; 2] = ["thoughtSignature", "thought_signature"];

/// Takes out what this gateway wrapped in the place of signatures while another model answered. The first call of each
/// step gets the word for "unsigned" instead, where the model insists on a signature.
pub fn adapt(members: &Members<'_>, rules: &ModelRules) -> Vec<Edit> {
    let marked = members.get("contents").filter(|text| memmem::find(text.as_bytes(), MARK.as_bytes()).is_some());
    let Some(mut contents) = marked.and_then(|text| Json::parse(text.as_bytes()).ok()) else { return Vec::new() };
    let mut changed = false;
    for content in each(&mut contents) {
        changed |= content.get_mut("parts").is_some_and(|parts| strip(parts, rules.signed_tool_calls));
    }
    if changed { vec![Edit::set("contents", contents.to_string())] } else { Vec::new() }
}

/// Whether anything was taken out of the parts of one content.
fn strip(parts: &mut Json, must_sign: bool) -> bool {
    let (mut changed, mut first) = (false, true);
    for part in each(parts) {
        let call = ["functionCall", "function_call"].iter().any(|key| part.get(key).is_some());
        let unsigned = (must_sign && call && std::mem::take(&mut first)).then_some(UNSIGNED);
        for key in SIGNATURE {
            if !part.get(key).and_then(Json::as_str).is_some_and(|text| text.starts_with(MARK)) {
                continue;
            }
            changed = true;
            match unsigned {
                Some(word) => part.set(key, Json::from(word)),
                None => drop(part.remove(key)),
            }
        }
    }
    changed
}

/// The items of a list. Google takes one item for a list of one.
fn each(value: &mut Json) -> &mut [Json] {
    match value {
        Json::Array(items) => items,
        one => std::slice::from_mut(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ProtocolId, models::Models};

    fn adapted(model: &str, body: &str) -> String {
        let rules = Models::builtin().rules(ProtocolId::Gemini, "gemini", model);
        let members = Members::read(body.as_bytes()).unwrap();
        String::from_utf8(members.edit(&adapt(&members, &rules))).unwrap()
    }

    #[test]
    fn what_another_model_proved_is_not_shown_to_gemini() {
        let body = concat!(
            r#"{"contents": [{"role":"model","parts":[{"text":"a","thought_signature":"LLMOe30="},"#,
            r#"{"functionCall":{"name":"f"},"thoughtSignature":"LLMOe30="},{"functionCall":{"name":"g"},"thoughtSignature":"LLMOe30="}]}], "x": 1.50}"#
        );
        let told = |word: &str| {
            format!(
                r#"{{"contents": [{{"role":"model","parts":[{{"text":"a"}},{{"functionCall":{{"name":"f"}}{word}}},{{"functionCall":{{"name":"g"}}}}]}}], "x": 1.50}}"#
            )
        };
        let word = format!(r#","thoughtSignature":"{UNSIGNED}""#);
        assert_eq!(adapted("gemini-3-flash", body), told(&word));
        assert_eq!(adapted("gemini-2.0-flash", body), told(""));
    }

    #[test]
    fn a_body_without_anything_of_ours_passes_as_it_is() {
        for body in [
            r#"{"contents": [ {"parts":[{"text":"LLMO"},{"functionCall":{},"thoughtSignature":"x"}]} ] }"#,
            r#"{"contents":"LLMO"}"#,
            r#"{"contents":[1,{"parts":["LLMO"]}]}"#,
        ] {
            assert_eq!(adapted("gemini-3-flash", body), body);
        }
    }
}
