//! The edits that make a client's own bytes fit for an upstream of the same protocol.

use crate::{
    Target,
    ir::{Carrier, carrier::MARK},
    json::Json,
    splice::{Edit, Members},
};

/// The target's model name, and no reasoning that somebody else signed.
pub fn adapt_request(members: &Members<'_>, target: Target<'_>) -> Vec<Edit> {
    let mut edits = vec![Edit::set("model", Json::from(target.model).to_string())];
    edits.extend(members.get("input").filter(|input| input.contains(MARK)).and_then(without_foreign));
    edits
}

/// The input without the reasoning items that hold what another protocol issued; `None` if there are none.
fn without_foreign(input: &str) -> Option<Edit> {
    let Ok(Json::Array(mut items)) = Json::parse(input.as_bytes()) else { return None };
    let before = items.len();
    items.retain(|item| !is_foreign(item));
    (items.len() < before).then(|| Edit::set("input", Json::Array(items).to_string()))
}

fn is_foreign(item: &Json) -> bool {
    item.get("type").and_then(Json::as_str) == Some("reasoning")
        && item.get("encrypted_content").and_then(Json::as_str).is_some_and(|text| Carrier::unwrap(text).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ProtocolId, ir::Signature, models::ModelRules};

    fn adapted(body: &str) -> String {
        let members = Members::read(body.as_bytes()).unwrap();
        let edits = adapt_request(&members, Target { model: "up", rules: &ModelRules::default() });
        String::from_utf8(members.edit(&edits)).unwrap()
    }

    #[test]
    fn only_the_model_of_a_plain_request_changes() {
        for body in [
            r#"{ "model":"a", "input":[ {"type":"reasoning","encrypted_content":"gAAA","summary":[ ]} ],"store":true}"#,
            r#"{"model":"a","input":"LLMO says hi"}"#,
            r#"{"model":"a","input":[{"role":"user","content":"LLMO" }]}"#,
        ] {
            assert_eq!(adapted(body), body.replace("\"a\"", "\"up\""));
        }
    }

    #[test]
    fn reasoning_that_another_protocol_signed_is_not_shown_to_this_one() {
        let signature = Signature { origin: ProtocolId::Anthropic, value: "x".into() };
        let wrapped = Carrier::Reasoning { signature, redacted: false }.wrap();
        let body = format!(
            r#"{{"model":"a","input":[{{"type":"reasoning","summary":[],"encrypted_content":"{wrapped}"}},{{"type":"reasoning","summary":[],"encrypted_content":"own"}}]}}"#
        );
        assert_eq!(
            adapted(&body),
            r#"{"model":"up","input":[{"type":"reasoning","summary":[],"encrypted_content":"own"}]}"#
        );
    }
}
