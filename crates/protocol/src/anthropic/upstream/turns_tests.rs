//! What becomes of a conversation.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::request_tests::{HAIKU_4_5, OPUS_5, SONNET_4_6, encode, json_of, question};
use crate::{
    ProtocolId,
    ir::{
        Media, MediaKind, MediaSource, Message, Part, Place, Reasoning, Request, Role, Signature, Text, ToolCall,
        ToolResult,
    },
};

fn call(id: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into(), ..ToolCall::default() })
}

fn result(id: &str, content: Vec<Part>) -> Part {
    Part::ToolResult(ToolResult { id: id.into(), content, ..ToolResult::default() })
}

fn media(kind: MediaKind, mime: &str, source: MediaSource) -> Part {
    let name = Some("a.txt".into());
    Part::Media(Media {
        kind,
        source,
        mime: Some(mime.into()),
        name,
        detail: None,
        cache: None,
        place: Place::default(),
    })
}

fn conversation(messages: Vec<(Role, Vec<Part>)>) -> Request {
    let messages = messages.into_iter().map(|(role, parts)| Message::new(role, parts)).collect();
    Request { messages, ..Request::default() }
}

fn turns(model: &str, messages: Vec<(Role, Vec<Part>)>) -> (Value, String) {
    let (body, losses) = encode(model, &conversation(messages));
    (body["messages"].clone(), losses.paths())
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[test]
fn system_text_keeps_its_pieces_and_loses_empty_ones() {
    let system = vec![Part::text("a"), Part::text(" "), Part::text("b")];
    let (body, losses) = encode(OPUS_5, &Request { system, ..question() });
    assert_eq!((&body["system"], losses.is_empty()), (&json!([text("a"), text("b")]), true));
}

#[test]
fn system_text_in_the_middle_stays_where_it_may_and_else_becomes_the_users() {
    let message = |role, text| (role, vec![Part::text(text)]);
    let before = [message(Role::User, "a"), message(Role::System, "b")];
    let merged = json!({"role": "user", "content": [text("a"), text("<system>\nb\n</system>"), text("c")]});
    let (sent, lost) = turns(OPUS_5, before.to_vec());
    assert_eq!((&sent[1], lost.as_str()), (&json!({"role": "system", "content": [text("b")]}), ""));
    let then_user = [&before[..], &[message(Role::User, "c")]].concat();
    for model in [OPUS_5, SONNET_4_6] {
        let (sent, lost) = turns(model, then_user.clone());
        assert_eq!((&sent, lost.as_str()), (&json!([merged]), "messages"));
    }
    let then_assistant = [&before[..], &[message(Role::Assistant, "c"), message(Role::User, "d")]].concat();
    assert_eq!(turns(OPUS_5, then_assistant.clone()).0[1]["role"], "system");
    assert_eq!(turns(SONNET_4_6, then_assistant).0[0]["content"][1], text("<system>\nb\n</system>"));
}

#[test]
fn system_text_alone_is_asked_as_a_question() {
    let (body, losses) = encode(OPUS_5, &Request { system: vec![Part::text("a")], ..Request::default() });
    assert_eq!((body.get("system"), &body["messages"][0]["content"]), (None, &json!([text("a")])));
    assert_eq!(losses.paths(), "messages");
}

#[test]
fn empty_text_is_never_sent() {
    let (sent, _) = turns(
        HAIKU_4_5,
        vec![
            (Role::User, vec![Part::text(""), Part::text("a")]),
            (Role::Assistant, vec![Part::text("\n"), call("x", "")]),
            (Role::User, vec![result("x", vec![Part::text("")])]),
            (Role::Assistant, vec![Part::text("")]),
            (Role::User, vec![Part::text("b")]),
        ],
    );
    assert_eq!(
        sent,
        json!([
            {"role": "user", "content": [text("a")]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}, text("b")]},
        ])
    );
}

#[test]
fn a_user_who_says_nothing_still_has_a_turn() {
    let (sent, lost) = turns(
        OPUS_5,
        vec![(Role::User, vec![Part::text("a")]), (Role::Assistant, vec![Part::text("b")]), (Role::User, vec![])],
    );
    assert_eq!((&sent[2]["content"], lost.as_str()), (&json!([text("(no text)")]), "messages"));
}

#[test]
fn a_conversation_that_the_assistant_begins_gets_a_turn_before_it() {
    let (sent, lost) =
        turns(OPUS_5, vec![(Role::Assistant, vec![Part::text("a")]), (Role::User, vec![Part::text("b")])]);
    assert_eq!((&sent[0]["role"], sent.as_array().unwrap().len(), lost.as_str()), (&json!("user"), 3, "messages"));
}

#[test]
fn results_of_parallel_calls_stand_together_in_front_of_what_the_user_says() {
    let (sent, lost) = turns(
        OPUS_5,
        vec![
            (Role::User, vec![Part::text("a")]),
            (Role::Assistant, vec![call("x.1", r#"{"b":1.0,"a":1}"#), call("x:1", "{}"), Part::text("wait")]),
            (Role::User, vec![result("x.1", vec![Part::text("1")])]),
            (Role::User, vec![Part::text("c")]),
            (Role::User, vec![result("x:1", vec![Part::text("2")])]),
        ],
    );
    let content = &sent[2]["content"];
    let kinds: Vec<_> = content.as_array().unwrap().iter().map(|block| block["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["tool_result", "tool_result", "text"]);
    assert_eq!(sent[1]["content"][0], text("wait"));
    assert_eq!(
        (&content[0]["tool_use_id"], &content[1]["tool_use_id"]),
        (&sent[1]["content"][1]["id"], &sent[1]["content"][2]["id"])
    );
    assert_eq!((sent.as_array().unwrap().len(), lost.as_str()), (3, ""));
}

#[test]
fn arguments_go_as_the_model_wrote_them_and_odd_ones_go_wrapped() {
    let input = |arguments: &str| {
        let request = conversation(vec![
            (Role::User, vec![Part::text("a")]),
            (Role::Assistant, vec![call("x", arguments)]),
            (Role::User, vec![result("x", vec![])]),
        ]);
        let rules = crate::models::Models::builtin().rules(ProtocolId::Anthropic, "anthropic", OPUS_5);
        let mut losses = crate::ir::Losses::default();
        let target = crate::Target { model: OPUS_5, rules: &rules };
        let body = super::request::encode(&request, target, &mut losses);
        (String::from_utf8(body).unwrap(), losses.paths())
    };
    let (body, lost) = input(r#" {"b": 12345678901234567890123, "a":1e1}"#);
    assert!(body.contains(r#""input":{"b": 12345678901234567890123, "a":1e1}"#) && lost.is_empty(), "{body}");
    for (arguments, sent) in [("[1]", r#"{"input":[1]}"#), (r#"{"a":"#, r#"{"input":"{\"a\":"}"#)] {
        let (body, lost) = input(arguments);
        assert!(body.contains(sent) && lost == "arguments", "{body}");
    }
}

#[test]
fn calls_without_results_and_results_without_calls_are_refused() {
    let unanswered = vec![
        (Role::User, vec![Part::text("a")]),
        (Role::Assistant, vec![call("x", ""), call("y", "")]),
        (Role::User, vec![result("x", vec![])]),
    ];
    let unasked = vec![(Role::User, vec![result("x", vec![])])];
    for messages in [unanswered, unasked] {
        let (_, losses) = encode(OPUS_5, &conversation(messages));
        assert_eq!(losses.refusals().count(), 1);
    }
}

#[test]
fn a_history_with_calls_and_no_tools_names_the_tools_and_forbids_them() {
    let (body, losses) = encode(
        OPUS_5,
        &conversation(vec![
            (Role::User, vec![Part::text("a")]),
            (Role::Assistant, vec![call("x", ""), call("y", "")]),
            (Role::User, vec![result("x", vec![]), result("y", vec![])]),
        ]),
    );
    assert_eq!(body["tools"], json!([{"name": "f", "input_schema": {"type": "object", "properties": {}}}]));
    assert_eq!((&body["tool_choice"], losses.is_empty()), (&json!({"type": "none"}), true));
}

#[test]
fn results_of_tools_keep_their_pictures_and_whether_they_failed() {
    let picture = media(MediaKind::Image, "image/jpg", MediaSource::Base64("AA==".into()));
    let failed =
        ToolResult { id: "x".into(), content: vec![Part::text("1"), picture], is_error: true, ..ToolResult::default() };
    let (sent, _) = turns(
        OPUS_5,
        vec![
            (Role::User, vec![Part::text("a")]),
            (Role::Assistant, vec![call("x", "")]),
            (Role::User, vec![Part::ToolResult(failed)]),
        ],
    );
    let source = json!({"type": "base64", "media_type": "image/jpeg", "data": "AA=="});
    assert_eq!(
        sent[2]["content"],
        json!([{"type": "tool_result", "tool_use_id": "x", "is_error": true,
                "content": [text("1"), {"type": "image", "source": source}]}])
    );
}

#[test]
fn pictures_and_documents_have_their_sources() {
    let own = MediaSource::File { origin: ProtocolId::Anthropic, id: "file_1".into() };
    let parts = vec![
        media(MediaKind::Image, "image/png", MediaSource::Url("https://a.b/c".into())),
        media(MediaKind::Document, "application/pdf", MediaSource::Base64("AA==".into())),
        media(MediaKind::Document, "text/markdown; charset=utf-8", MediaSource::Base64("aGnDqQ==".into())),
        media(MediaKind::Document, "application/pdf", own),
    ];
    let (sent, lost) = turns(OPUS_5, vec![(Role::User, parts)]);
    assert_eq!(
        sent[0]["content"],
        json!([
            {"type": "image", "source": {"type": "url", "url": "https://a.b/c"}},
            {"type": "document", "title": "a.txt",
             "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}},
            {"type": "document", "title": "a.txt", "source": {"type": "text", "media_type": "text/plain", "data": "hié"}},
            {"type": "document", "title": "a.txt", "source": {"type": "file", "file_id": "file_1"}},
        ])
    );
    assert_eq!(lost, "");
}

#[test]
fn media_that_anthropic_cannot_take_are_refused() {
    let data = || MediaSource::Base64("AA==".into());
    let foreign = MediaSource::File { origin: ProtocolId::OpenAiChat, id: "file-1".into() };
    for part in [
        media(MediaKind::Audio, "audio/wav", data()),
        media(MediaKind::Video, "video/mp4", data()),
        media(MediaKind::Image, "image/tiff", data()),
        media(MediaKind::Document, "application/zip", data()),
        media(MediaKind::Document, "application/pdf", foreign),
        media(MediaKind::Image, "image/png", MediaSource::Url("gs://a/b".into())),
    ] {
        let (_, losses) = encode(OPUS_5, &conversation(vec![(Role::User, vec![Part::text("a"), part])]));
        assert_eq!(losses.refusals().map(|(path, _)| path).collect::<Vec<_>>(), ["messages"]);
    }
}

#[test]
fn only_reasoning_that_anthropic_signed_is_shown_to_it_again() {
    let reasoning = |text: &str, origin: Option<ProtocolId>, redacted: bool| {
        let signature = origin.map(|origin| Signature { origin, value: "sig".into() });
        Part::Reasoning(Reasoning { text: text.into(), signature, redacted, place: text.into() })
    };
    let (sent, lost) = turns(
        OPUS_5,
        vec![
            (Role::User, vec![Part::text("a")]),
            (
                Role::Assistant,
                vec![
                    reasoning("b", Some(ProtocolId::Anthropic), false),
                    reasoning("", Some(ProtocolId::Anthropic), false),
                    reasoning("", Some(ProtocolId::Anthropic), true),
                    reasoning("c", Some(ProtocolId::Gemini), false),
                    reasoning("d", None, false),
                    Part::text("e"),
                ],
            ),
            (Role::User, vec![Part::text("f")]),
        ],
    );
    assert_eq!(
        sent[1]["content"],
        json!([
            {"type": "thinking", "thinking": "b", "signature": "sig"},
            {"type": "thinking", "thinking": "", "signature": "sig"},
            {"type": "redacted_thinking", "data": "sig"},
            text("e"),
        ])
    );
    assert_eq!(lost, "c,d");
}

#[test]
fn blocks_of_this_protocol_pass_and_those_of_others_are_dropped() {
    let raw = json_of(json!({"type": "server_tool_use", "id": "s"}));
    let parts = vec![
        Part::Opaque { origin: ProtocolId::Anthropic, raw: raw.clone(), place: Place::default() },
        Part::Opaque { origin: ProtocolId::OpenAiResponses, raw, place: Place::default() },
    ];
    let (sent, lost) = turns(
        OPUS_5,
        vec![(Role::User, vec![Part::text("a")]), (Role::Assistant, parts), (Role::User, vec![Part::text("b")])],
    );
    assert_eq!((&sent[1]["content"], lost.as_str()), (&json!([{"type": "server_tool_use", "id": "s"}]), "messages"));
}

#[test]
fn the_assistants_last_words_are_continued_where_the_model_can() {
    let messages = || vec![(Role::User, vec![Part::text("a")]), (Role::Assistant, vec![Part::text("{ \n")])];
    let (sent, lost) = turns(HAIKU_4_5, messages());
    assert_eq!((&sent[1]["content"], lost.as_str()), (&json!([text("{")]), ""));
    let (_, losses) = encode(OPUS_5, &conversation(messages()));
    assert!(losses.refusals().any(|(_, why)| why.contains("last message")));
}

#[test]
fn free_text_for_a_tool_becomes_its_one_argument() {
    let custom = ToolCall {
        id: "x".into(),
        name: "patch".into(),
        arguments: "*** Begin".into(),
        custom: true,
        ..ToolCall::default()
    };
    let (sent, lost) = turns(
        OPUS_5,
        vec![
            (Role::User, vec![Part::text("a")]),
            (Role::Assistant, vec![Part::ToolCall(custom)]),
            (Role::User, vec![result("x", vec![Part::text("ok")])]),
        ],
    );
    assert_eq!((&sent[1]["content"][0]["input"], lost.as_str()), (&json!({"input": "*** Begin"}), ""));
}

/// A round of a conversation that OpenAI would take.
fn round() -> impl Strategy<Value = Vec<(Role, Vec<Part>)>> {
    let words = prop::sample::select(vec!["", " ", "a", "b\n", "ü"]);
    let ids = prop::collection::vec(prop::sample::select(vec!["call_0", "a.b", "a:b", "", "é"]), 0..4);
    let arguments = prop::sample::select(vec!["", "{}", r#"{"a":1}"#, "[]", "{\"a"]);
    (words, ids, arguments, 0..4usize, any::<bool>()).prop_map(|(words, ids, arguments, kind, signed)| {
        let words = || Part::Text(Text { text: words.to_owned(), ..Text::default() });
        let signature = signed.then(|| Signature { origin: ProtocolId::Anthropic, value: "s".into() });
        let thought =
            Part::Reasoning(Reasoning { text: "t".into(), signature, redacted: false, ..Reasoning::default() });
        match kind {
            0 => vec![(Role::User, vec![words(), words()])],
            1 => vec![(Role::System, vec![words()])],
            2 => vec![(Role::Assistant, vec![thought, words()])],
            _ => {
                let mut parts = vec![thought, words()];
                parts.extend(ids.iter().map(|id| call(id, arguments)));
                let results = ids.iter().map(|id| (Role::User, vec![result(id, vec![words()])]));
                [(Role::Assistant, parts)].into_iter().chain(results).collect()
            }
        }
    })
}

proptest! {
    #[test]
    fn every_conversation_that_openai_takes_is_one_that_anthropic_takes(
        rounds in prop::collection::vec(round(), 1..8),
        model in prop::sample::select(vec![OPUS_5, SONNET_4_6, HAIKU_4_5]),
    ) {
        let mut messages: Vec<_> = rounds.into_iter().flatten().collect();
        messages.push((Role::User, vec![Part::text("go")]));
        let (body, losses) = encode(model, &conversation(messages));
        prop_assert_eq!(losses.refusals().next(), None);
        let turns: Vec<_> = body["messages"].as_array().unwrap().iter().filter(|turn| turn["role"] != "system").collect();
        let mut open: Vec<&str> = Vec::new();
        for (at, turn) in turns.iter().enumerate() {
            prop_assert_eq!(&turn["role"], if at % 2 == 0 { "user" } else { "assistant" });
            let content = turn["content"].as_array().unwrap();
            prop_assert!(!content.is_empty());
            let results: Vec<&str> = content.iter().filter_map(|block| block["tool_use_id"].as_str()).collect();
            prop_assert_eq!(&results, &open);
            prop_assert!(content[..results.len()].iter().all(|block| block["type"] == "tool_result"));
            prop_assert!(content.iter().all(|block| block["type"] != "text" || !block["text"].as_str().unwrap().trim().is_empty()));
            open = content.iter().filter(|block| block["type"] == "tool_use").filter_map(|block| block["id"].as_str()).collect();
            prop_assert!(content.iter().all(|block| block["type"] != "tool_use" || block["input"].is_object()));
        }
    }
}
