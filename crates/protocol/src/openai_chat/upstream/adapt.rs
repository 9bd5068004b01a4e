//! The edits that make a client's own bytes fit for an upstream of the same protocol.

use crate::{
    Target,
    ir::carrier::MARK,
    json::Json,
    models::OutputLimit,
    splice::{Edit, Members},
};

/// Where a chat client keeps what a model thought.
const THINKING: &str = "thinking_blocks";

/// Gemini's signatures, in a message or one of its calls.
const EXTRA: &str = "extra_content";

/// What answers of other protocols' models gave a client to keep in a message, for those models.
const KEPT: [&str; 4] = ["reasoning_content", THINKING, EXTRA, "phase"];

/// The target's model name; the usage of a stream, which must be metered; the name of the output limit, where the model
/// takes one of the two only; and fields that are refused by name, which go.
pub fn adapt_request(members: &Members<'_>, target: Target<'_>) -> Vec<Edit> {
    let mut edits = vec![Edit::set("model", Json::from(target.model).to_string())];
    let refused = target.rules.refused_fields.iter().filter(|field| members.contains(field));
    edits.extend(refused.map(|field| Edit::Remove(field.clone().into())));
    edits.extend(if target.rules.strict_messages { without_kept(members) } else { without_carriers(members) });
    // Who refuses to be asked for the usage sends it unasked.
    if members.get("stream") == Some("true") && !target.rules.refuses("stream_options") {
        edits.extend(ask_for_usage(members));
    }
    match target.rules.output_limit {
        OutputLimit::AsAsked => {}
        OutputLimit::MaxTokens => edits.extend(rename(members, "max_completion_tokens", "max_tokens")),
        OutputLimit::MaxCompletionTokens => edits.extend(rename(members, "max_tokens", "max_completion_tokens")),
    }
    edits
}

/// Takes away the reasoning of other protocols, which an earlier answer gave the client to keep: here it means nothing, and
/// strict servers refuse it.
fn without_carriers(members: &Members<'_>) -> Option<Edit> {
    let text = members.get("messages").filter(|_| members.mentions(THINKING))?;
    let mut messages = Json::parse(text.as_bytes()).ok()?;
    let Json::Array(list) = &mut messages else { return None };
    let mut changed = false;
    for message in list {
        let Some(mut blocks) = message.remove(THINKING) else { continue };
        let before = blocks.items().map_or(0, <[Json]>::len);
        if let Json::Array(blocks) = &mut blocks {
            blocks.retain(|block| !is_carrier(block));
        }
        let after = blocks.items().map_or(0, <[Json]>::len);
        changed |= after < before;
        if after > 0 || before == 0 {
            message.set(THINKING, blocks);
        }
    }
    changed.then(|| Edit::set("messages", messages.to_string()))
}

/// Takes away all that is kept for other protocols' models.
fn without_kept(members: &Members<'_>) -> Option<Edit> {
    let text = members.get("messages").filter(|_| KEPT.iter().any(|field| members.mentions(field)))?;
    let mut messages = Json::parse(text.as_bytes()).ok()?;
    let Json::Array(list) = &mut messages else { return None };
    let mut changed = false;
    for message in list {
        for field in KEPT {
            changed |= message.remove(field).is_some();
        }
        if let Some(Json::Array(calls)) = message.get_mut("tool_calls") {
            changed |= calls.iter_mut().filter_map(|call| call.remove(EXTRA)).count() > 0;
        }
    }
    changed.then(|| Edit::set("messages", messages.to_string()))
}

fn is_carrier(block: &Json) -> bool {
    let proof = ["signature", "data"].iter().find_map(|key| block.get(key)?.as_str());
    proof.is_some_and(|proof| proof.starts_with(MARK))
}

fn ask_for_usage(members: &Members<'_>) -> Option<Edit> {
    let options = members.get("stream_options").and_then(|text| Json::parse(text.as_bytes()).ok());
    let mut options = options.filter(|options| options.members().is_some()).unwrap_or_else(|| Json::Object(Vec::new()));
    if options.get("include_usage") == Some(&Json::Bool(true)) {
        return None;
    }
    options.set("include_usage", Json::Bool(true));
    Some(Edit::set("stream_options", options.to_string()))
}

/// Gives a member another name. Where both are there the client meant something, and the upstream may judge it.
fn rename(members: &Members<'_>, from: &'static str, to: &'static str) -> Vec<Edit> {
    match (members.get(from), members.get(to)) {
        (Some(value), None) => vec![Edit::remove(from), Edit::set(to, value)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::ModelRules;

    fn adapted(body: &str, output_limit: OutputLimit) -> String {
        let rules = ModelRules { output_limit, ..ModelRules::default() };
        let members = Members::read(body.as_bytes()).unwrap();
        let edits = adapt_request(&members, Target { model: "up", rules: &rules });
        String::from_utf8(members.edit(&edits)).unwrap()
    }

    #[test]
    fn only_the_model_of_a_plain_request_changes() {
        let body = r#"{ "model":"a", "x":1.0,"max_tokens":3,"stream":false}"#;
        assert_eq!(adapted(body, OutputLimit::AsAsked), body.replace("\"a\"", "\"up\""));
    }

    #[test]
    fn another_protocols_reasoning_stays_here_and_its_own_passes() {
        let body =
            |blocks: &str| format!(r#"{{"model":"up","messages":[{{"role":"assistant","content":"a"{blocks}}}]}}"#);
        let theirs = r#"{"type":"thinking","thinking":"","signature":"LLMOcm9w"}"#;
        let own = r#"{"type":"thinking","thinking":"t","signature":"sig"}"#;
        let sent = |blocks: &str| adapted(&body(&format!(r#","thinking_blocks":[{blocks}]"#)), OutputLimit::AsAsked);
        assert_eq!(sent(theirs), body(""));
        assert_eq!(sent(&format!("{theirs},{own}")), body(&format!(r#","thinking_blocks":[{own}]"#)));
        assert_eq!(sent(own), body(&format!(r#","thinking_blocks":[{own}]"#)));
    }

    #[test]
    fn a_server_that_refuses_unknown_fields_of_messages_is_shown_nothing_kept_for_other_models() {
        let strict = |body: &str| {
            let rules = ModelRules { strict_messages: true, ..ModelRules::default() };
            let members = Members::read(body.as_bytes()).unwrap();
            let edits = adapt_request(&members, Target { model: "up", rules: &rules });
            String::from_utf8(members.edit(&edits)).unwrap()
        };
        assert_eq!(
            strict(concat!(
                r#"{"model":"a","messages":[{"role":"assistant","content":"a","reasoning_content":"hm","extra_content":{},"#,
                r#""thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"sig"}],"#,
                r#""tool_calls":[{"id":"x","extra_content":{"google":{}}}]},{"role":"user","content":"n","name":"u"}]}"#
            )),
            concat!(
                r#"{"model":"up","messages":[{"role":"assistant","content":"a","tool_calls":[{"id":"x"}]},"#,
                r#"{"role":"user","content":"n","name":"u"}]}"#
            )
        );
        let said = r#"{"model":"a","messages":[ {"role":"user","content":"what is extra_content?"} ]}"#;
        assert_eq!(strict(said), said.replace("\"a\"", "\"up\""));
    }

    #[test]
    fn a_stream_is_asked_for_its_usage_and_other_options_stay() {
        let body = r#"{"model":"a","stream":true}"#;
        assert_eq!(
            adapted(body, OutputLimit::AsAsked),
            r#"{"model":"up","stream":true,"stream_options":{"include_usage":true}}"#
        );
        let body = r#"{"model":"a","stream_options":{"x":1,"include_usage":false},"stream":true}"#;
        assert_eq!(
            adapted(body, OutputLimit::AsAsked),
            r#"{"model":"up","stream_options":{"x":1,"include_usage":true},"stream":true}"#
        );
        let asked = r#"{"model":"up","stream_options":{ "include_usage" : true },"stream":true}"#;
        assert_eq!(adapted(asked, OutputLimit::AsAsked), asked);
        let null = r#"{"model":"a","stream_options":null,"stream":true}"#;
        assert_eq!(
            adapted(null, OutputLimit::AsAsked),
            r#"{"model":"up","stream_options":{"include_usage":true},"stream":true}"#
        );
    }

    #[test]
    fn fields_that_are_refused_by_name_go() {
        let refused_fields = vec!["stream_options".to_owned(), "user".to_owned()];
        let rules = ModelRules { refused_fields, ..ModelRules::default() };
        let body = br#"{"model":"a","stream":true,"stream_options":{"include_usage":true},"user":"u"}"#;
        let members = Members::read(body).unwrap();
        let edits = adapt_request(&members, Target { model: "up", rules: &rules });
        assert_eq!(members.edit(&edits), br#"{"model":"up","stream":true}"#);
    }

    #[test]
    fn the_output_limit_gets_the_name_that_the_model_takes() {
        let old = r#"{"model":"a","max_tokens":3}"#;
        let new = r#"{"model":"a","max_completion_tokens":3}"#;
        assert_eq!(adapted(old, OutputLimit::MaxCompletionTokens), r#"{"model":"up","max_completion_tokens":3}"#);
        assert_eq!(adapted(new, OutputLimit::MaxTokens), r#"{"model":"up","max_tokens":3}"#);
        let both = r#"{"model":"a","max_tokens":3,"max_completion_tokens":4}"#;
        assert_eq!(adapted(both, OutputLimit::MaxCompletionTokens), both.replace("\"a\"", "\"up\""));
    }
}
