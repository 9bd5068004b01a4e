//! What a client of this protocol sees of a whole answer.

use serde_json::{Value, json};

use super::encode_response;
use crate::{
    Envelope, ProtocolId,
    ir::{
        Carrier, Citation, Finish, FinishReason, Media, MediaKind, MediaSource, Output, Part, Place, Reasoning,
        Response, Signature, Text, ToolCall, Usage,
    },
};

pub(super) fn envelope() -> Envelope {
    Envelope {
        request_id: "req_1".into(),
        created: 7,
        model: "asked".into(),
        include_usage: false,
        legacy_functions: false,
        array: false,
    }
}

fn encoded(response: &Response) -> Value {
    serde_json::from_slice(&encode_response(response, &envelope())).unwrap()
}

fn ended(reason: FinishReason, parts: Vec<Part>) -> Value {
    let finish = Some(Finish { reason, raw: String::new(), stop_sequence: None });
    encoded(&Response { outputs: vec![Output { parts, finish, ..Output::default() }], ..Response::default() })
}

fn content(parts: Vec<Part>) -> Value {
    ended(FinishReason::Stop, parts)["content"].clone()
}

fn call(id: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into(), ..ToolCall::default() }
}

pub(super) fn foreign() -> Signature {
    Signature { origin: ProtocolId::Gemini, value: "sig".into() }
}

pub(super) fn unsigned() -> String {
    let signature = Signature { origin: ProtocolId::OpenAiChat, value: String::new() };
    Carrier::Reasoning { signature, redacted: false }.wrap()
}

#[test]
fn an_answer_has_anthropics_shape() {
    let usage = Usage {
        input: 100,
        output: 7,
        cache_read: 60,
        cache_write: 30,
        cache_write_1h: 10,
        reasoning: Some(2),
        ..Usage::default()
    };
    let finish = Finish { reason: FinishReason::Stop, raw: "stop".into(), stop_sequence: Some("END".into()) };
    let output = Output { parts: vec![Part::text("Hi")], finish: Some(finish), ..Output::default() };
    let response =
        Response { id: "chatcmpl-9".into(), model: "theirs".into(), outputs: vec![output], usage: Some(usage) };
    assert_eq!(
        encoded(&response),
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "theirs",
            "content": [{"type": "text", "text": "Hi"}], "stop_reason": "stop_sequence", "stop_sequence": "END",
            "usage": {
                "input_tokens": 10, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
                "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 2},
            },
        })
    );
    assert_eq!(encoded(&Response { id: "msg_x".into(), ..response })["id"], "msg_x");
}

#[test]
fn counts_that_contradict_each_other_never_become_negative() {
    let usage = Usage { input: 5, cache_read: 9, cache_write: 1, cache_write_1h: 4, ..Usage::default() };
    let told = encoded(&Response { usage: Some(usage), ..Response::default() })["usage"].clone();
    assert_eq!((&told["input_tokens"], &told["cache_creation"]["ephemeral_5m_input_tokens"]), (&json!(0), &json!(0)));
}

#[test]
fn every_end_has_its_word() {
    for (reason, parts, word) in [
        (FinishReason::Stop, vec![Part::text("a")], "end_turn"),
        (FinishReason::Length, vec![Part::text("a")], "max_tokens"),
        (FinishReason::Length, vec![Part::ToolCall(call("x", "{\"a"))], "max_tokens"),
        (FinishReason::ToolCalls, vec![Part::ToolCall(call("x", "{}"))], "tool_use"),
        // Many servers say `stop` where calls are to be run, and some announce calls that never come.
        (FinishReason::Stop, vec![Part::ToolCall(call("x", "{}"))], "tool_use"),
        (FinishReason::ToolCalls, vec![Part::text("a")], "end_turn"),
        (FinishReason::ContentFilter, vec![], "refusal"),
        (FinishReason::Stop, vec![Part::Refusal("no".into())], "refusal"),
        (FinishReason::Pause, vec![Part::text("a")], "pause_turn"),
    ] {
        assert_eq!(ended(reason, parts.clone())["stop_reason"], word, "{parts:?}");
    }
}

#[test]
fn empty_text_makes_no_block_and_a_refusal_is_text() {
    assert_eq!(
        content(vec![Part::text(""), Part::ToolCall(call("x", "")), Part::Refusal("No.".into())]),
        json!([{"type": "tool_use", "id": "x", "name": "f", "input": {}}, {"type": "text", "text": "No."}])
    );
}

#[test]
fn arguments_are_an_object_whatever_the_model_wrote() {
    for (arguments, input) in [
        ("", json!({})),
        ("null", json!({})),
        (r#"{"b":1,"a":"é"}"#, json!({"b": 1, "a": "é"})),
        ("[1]", json!({"input": "[1]"})),
        ("{\"a\":", json!({"input": "{\"a\":"})),
    ] {
        assert_eq!(content(vec![Part::ToolCall(call("x", arguments))])[0]["input"], input, "{arguments}");
    }
    let unnamed = content(vec![Part::ToolCall(call("", "{}")), Part::ToolCall(call("", "{}"))]);
    assert_eq!((&unnamed[0]["id"], &unnamed[1]["id"]), (&json!("toolu_1_0"), &json!("toolu_1_1")));
}

#[test]
fn ids_that_anthropics_clients_would_not_take_are_wrapped_and_come_back_as_they_were() {
    let odd = ["call.1|fc:2", "functions.get_weather:0", "é", "LLMOx"];
    let signed = |id: &&str| Part::ToolCall(ToolCall { signature: Some(foreign()), ..call(id, "{}") });
    let answered = content(odd.iter().map(signed).collect());
    let ids: Vec<&str> = answered.as_array().unwrap().iter().filter_map(|block| block["id"].as_str()).collect();
    assert!(ids.iter().all(|id| id.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"_-".contains(&letter))));
    let results = ids.iter().map(|id| json!({"type": "tool_result", "tool_use_id": id, "content": "r"}));
    let history = json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": "q"}, {"role": "assistant", "content": answered.clone()},
        {"role": "user", "content": results.collect::<Vec<_>>()},
    ]});
    let request = super::decode_request(history.to_string().as_bytes()).unwrap();
    let called: Vec<(&str, bool)> = request.messages[1]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall(call) => Some((call.id.as_str(), call.signature == Some(foreign()))),
            _ => None,
        })
        .collect();
    assert_eq!(called, odd.map(|id| (id, true)));
    let answers = request.messages[2].parts.iter().filter_map(|part| match part {
        Part::ToolResult(result) => Some((result.id.as_str(), result.name.as_deref())),
        _ => None,
    });
    assert_eq!(answers.collect::<Vec<_>>(), odd.map(|id| (id, Some("f"))));
}

#[test]
fn thinking_has_anthropics_own_signature_or_one_that_is_marked_as_anothers() {
    let thought = |text: &str, signature: Option<Signature>, redacted: bool| {
        Part::Reasoning(Reasoning { text: text.into(), signature, redacted, ..Reasoning::default() })
    };
    let own = || Some(Signature { origin: ProtocolId::Anthropic, value: "EqQB".into() });
    let wrapped = |redacted| Carrier::Reasoning { signature: foreign(), redacted }.wrap();
    assert_eq!(
        content(vec![
            thought("a", own(), false),
            thought("", own(), true),
            thought("b", None, false),
            thought("c", Some(foreign()), false),
            thought("", Some(foreign()), true),
            thought("d", Some(foreign()), true),
            thought("", None, false),
        ]),
        json!([
            {"type": "thinking", "thinking": "a", "signature": "EqQB"},
            {"type": "redacted_thinking", "data": "EqQB"},
            {"type": "thinking", "thinking": "b", "signature": unsigned()},
            {"type": "thinking", "thinking": "c", "signature": wrapped(false)},
            {"type": "redacted_thinking", "data": wrapped(true)},
            {"type": "thinking", "thinking": "d", "signature": wrapped(true)},
        ])
    );
}

#[test]
fn signatures_of_calls_and_texts_travel_in_blocks_beside_them() {
    let signed = ToolCall { signature: Some(foreign()), ..call("x", "{}") };
    let text = Text { text: "a".into(), cache: None, signature: Some(foreign()), ..Text::default() };
    let carrier = |carrier: Carrier| json!({"type": "redacted_thinking", "data": carrier.wrap()});
    assert_eq!(
        content(vec![Part::Text(text), Part::ToolCall(signed)]),
        json!([
            {"type": "text", "text": "a"},
            carrier(Carrier::Text { signature: foreign() }),
            carrier(Carrier::ToolCall { id: "x".into(), signature: foreign() }),
            {"type": "tool_use", "id": "x", "name": "f", "input": {}},
        ])
    );
}

#[test]
fn sources_stand_in_the_text_that_they_support() {
    let source = |url: &str, span| Citation { url: Some(url.into()), title: Some("t".into()), quote: None, span };
    let citations = vec![
        source("https://a", Some((0, 1))),
        source("https://b", Some((2, 3))),
        source("https://c", None),
        Citation { quote: Some("from a file".into()), ..Citation::default() },
    ];
    let output = Output { parts: vec![Part::text("é"), Part::text("bcd")], citations, ..Output::default() };
    let told = encoded(&Response { outputs: vec![output], ..Response::default() })["content"].clone();
    let cited = |url: &str| json!({"type": "web_search_result_location", "cited_text": "", "url": url, "title": "t", "encrypted_index": "LLMO"});
    assert_eq!(
        told,
        json!([
            {"type": "text", "text": "é", "citations": [cited("https://a")]},
            {"type": "text", "text": "bcd", "citations": [cited("https://b"), cited("https://c")]},
        ])
    );
}

#[test]
fn what_this_protocol_has_no_block_for_is_said_in_words_or_passed_over() {
    let picture = Media {
        kind: MediaKind::Image,
        source: MediaSource::Base64("AA==".into()),
        mime: Some("image/png".into()),
        name: None,
        detail: None,
        cache: None,
        place: Place::default(),
    };
    let raw = |kind: &str| crate::json::Json::parse(json!({"type": kind}).to_string().as_bytes()).unwrap();
    let parts = vec![
        Part::Media(picture),
        Part::Opaque { origin: ProtocolId::Anthropic, raw: raw("server_tool_use"), place: Place::default() },
        Part::Opaque { origin: ProtocolId::Gemini, raw: raw("other"), place: Place::default() },
    ];
    let told = content(parts);
    assert!(told[0]["text"].as_str().unwrap().contains("image/png"), "{told}");
    assert_eq!((&told[1], told.as_array().unwrap().len()), (&json!({"type": "server_tool_use"}), 2));
}
