//! What a request of this same protocol must change before its bytes pass.
//!
//! A conversation that another provider's model took part in holds that model's proofs, each in a
//! [`Carrier`](crate::ir::Carrier). Anthropic would refuse them, so they are taken out; every other block stays as the
//! client wrote it.

use memchr::memmem;
use serde_json::value::RawValue;

use crate::{
    Target,
    ir::carrier::MARK,
    json::Json,
    splice::{Edit, Members},
};

/// The edits: the model's name, and the conversation if there is anything to take out of it.
pub fn adapt_request(members: &Members<'_>, target: Target<'_>) -> Vec<Edit> {
    let mut edits = vec![Edit::set("model", Json::from(target.model).to_string())];
    let messages = members.get("messages").filter(|text| is_marked(text));
    edits.extend(messages.and_then(without_carriers).map(|kept| Edit::set("messages", kept)));
    edits
}

fn is_marked(text: &str) -> bool {
    memmem::find(text.as_bytes(), MARK.as_bytes()).is_some()
}

/// The list of messages without carriers; `None` if it holds none, or is no list.
fn without_carriers(messages: &str) -> Option<String> {
    let messages: Vec<&RawValue> = serde_json::from_str(messages).ok()?;
    let mut changed = false;
    let mut kept = Vec::with_capacity(messages.len());
    for message in messages.iter().map(|raw| raw.get()) {
        match is_marked(message).then(|| cleaned(message)).flatten() {
            None => kept.push(message.to_owned()),
            Some(rest) => {
                changed = true;
                kept.extend(rest);
            }
        }
    }
    changed.then(|| list(&kept))
}

/// The message without its carriers: `Some(None)` if nothing is left of it, `None` if it holds none.
fn cleaned(message: &str) -> Option<Option<String>> {
    let members = Members::read(message.as_bytes()).ok()?;
    let blocks: Vec<&RawValue> = serde_json::from_str(members.get("content")?).ok()?;
    let mut kept = Vec::with_capacity(blocks.len());
    let mut changed = false;
    for block in blocks.iter().map(|raw| raw.get()) {
        match is_marked(block).then(|| fate(block)) {
            None | Some(Fate::Stays) => kept.push(block.to_owned()),
            Some(Fate::Goes) => changed = true,
            Some(Fate::Changes(block)) => {
                changed = true;
                kept.push(block);
            }
        }
    }
    if !changed {
        return None;
    }
    let edited = (!kept.is_empty()).then(|| members.edit(&[Edit::set("content", list(&kept))]));
    Some(edited.and_then(|bytes| String::from_utf8(bytes).ok()))
}

/// What becomes of a block that has the mark somewhere.
enum Fate {
    Stays,
    Goes,
    Changes(String),
}

fn fate(block: &str) -> Fate {
    let Ok(members) = Members::read(block.as_bytes()) else { return Fate::Stays };
    let carried = |key: &str| members.string(key).is_some_and(|value| value.starts_with(MARK));
    match members.string("type").as_deref() {
        Some("thinking") if carried("signature") => Fate::Goes,
        Some("redacted_thinking") if carried("data") => Fate::Goes,
        Some("text") => match members.get("citations").and_then(own_citations) {
            Some(citations) => {
                let edited = members.edit(&[Edit::set("citations", citations)]);
                String::from_utf8(edited).map_or(Fate::Stays, Fate::Changes)
            }
            None => Fate::Stays,
        },
        _ => Fate::Stays,
    }
}

/// The citations that are not another provider's; `None` if all are.
fn own_citations(citations: &str) -> Option<String> {
    let all: Vec<&RawValue> = serde_json::from_str(citations).ok()?;
    let own = |raw: &&&RawValue| {
        let index = Members::read(raw.get().as_bytes()).ok().and_then(|members| members.string("encrypted_index"));
        !index.is_some_and(|index| index.starts_with(MARK))
    };
    let kept: Vec<&str> = all.iter().filter(own).map(|raw| raw.get()).collect();
    (kept.len() < all.len()).then(|| if kept.is_empty() { "null".to_owned() } else { list(&kept) })
}

fn list<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    format!("[{}]", items.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ProtocolId,
        ir::{Carrier, Signature},
        models::ModelRules,
    };

    fn adapted(body: &str) -> String {
        let members = Members::read(body.as_bytes()).unwrap();
        let target = Target { model: "theirs", rules: &ModelRules::default() };
        String::from_utf8(members.edit(&adapt_request(&members, target))).unwrap()
    }

    fn carrier() -> String {
        let signature = Signature { origin: ProtocolId::Gemini, value: "s".into() };
        Carrier::Reasoning { signature, redacted: false }.wrap()
    }

    #[test]
    fn only_the_model_changes_where_nothing_is_carried() {
        let body = |model: &str| {
            format!(
                r#"{{ "model" : "{model}", "messages":[ {{"role":"user","content":"What is LLMO? "}},
                {{"role":"assistant","content":[{{"type":"thinking","thinking":"","signature":"Eq=="}}, {{"type":"text","text":"LLMO"}}]}} ], "n" : 1.0 }}"#
            )
        };
        assert_eq!(adapted(&body("m")), body("theirs"));
    }

    #[test]
    fn another_providers_proofs_are_taken_out_and_the_rest_stays_as_it_was() {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"a"}},{{"role":"assistant","content":[{{"type":"thinking","thinking":"t","signature":"{0}"}},{{"type":"redacted_thinking","data":"{0}"}},{{"type": "tool_use","id":"x","name":"f","input":{{"n":1.0}}}}]}}]}}"#,
            carrier()
        );
        assert_eq!(
            adapted(&body),
            r#"{"model":"theirs","messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type": "tool_use","id":"x","name":"f","input":{"n":1.0}}]}]}"#
        );
    }

    #[test]
    fn a_message_of_which_nothing_is_left_goes() {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"assistant","content":[{{"type":"redacted_thinking","data":"{}"}}]}},{{"role":"user","content":"a"}}]}}"#,
            carrier()
        );
        assert_eq!(adapted(&body), r#"{"model":"theirs","messages":[{"role":"user","content":"a"}]}"#);
    }

    #[test]
    fn sources_that_another_provider_named_are_taken_out() {
        let cited = |index: &str| format!(r#"{{"type":"web_search_result_location","encrypted_index":"{index}"}}"#);
        let body = |citations: &str| {
            format!(
                r#"{{"model":"theirs","messages":[{{"role":"assistant","content":[{{"type":"text","text":"a","citations":{citations}}}]}}]}}"#
            )
        };
        let (own, foreign) = (cited("Eo8="), cited(MARK));
        assert_eq!(adapted(&body(&format!("[{foreign},{own}]"))), body(&format!("[{own}]")));
        assert_eq!(adapted(&body(&format!("[{foreign}]"))), body("null"));
        assert_eq!(adapted(&body(&format!("[{own}]"))), body(&format!("[{own}]")));
    }
}
