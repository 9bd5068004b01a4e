//! What a chat client sees of an answer, whole and streamed.

use super::{Encoder, Filter, encode_response, sign};
use crate::{
    Envelope, ErrorContext, Passthrough, ProtocolId, Served, StreamEncoder,
    ir::{
        ApiError, Block, Citation, Delta, ErrorKind, Event, Finish, FinishReason, Output, Part, Reasoning, Response,
        Signature, ToolCall, Usage,
    },
    json::Json,
    sse::{Frame, Framer},
};

fn envelope() -> Envelope {
    Envelope {
        request_id: "req_1".into(),
        created: 7,
        model: "asked".into(),
        include_usage: false,
        legacy_functions: false,
        array: false,
    }
}

fn served() -> Served {
    Served { provider: "p\"q".into(), latency_ms: 12 }
}

fn finish(reason: FinishReason) -> Finish {
    Finish { reason, raw: String::new(), stop_sequence: None }
}

fn call(id: &str, arguments: &str) -> [Event; 3] {
    [
        Event::Open(Block::ToolCall { id: id.into(), name: "f".into(), custom: false }),
        Event::Delta(Delta::Arguments(arguments.into())),
        Event::Close,
    ]
}

fn text(text: &str) -> [Event; 3] {
    [Event::Open(Block::Text), Event::Delta(Delta::Text(text.into())), Event::Close]
}

/// The data of the chunks that `events` become, ended well.
fn stream(envelope: Envelope, events: impl IntoIterator<Item = Event>) -> Vec<String> {
    let mut encoder = Encoder::new(envelope);
    let mut out = Vec::new();
    encoder.push(&Event::Start { id: "up".into(), model: "theirs".into() }, &mut out);
    events.into_iter().for_each(|event| encoder.push(&event, &mut out));
    encoder.end(&served(), &mut out);
    frames(&out).into_iter().map(|frame| String::from_utf8(frame.data.unwrap().to_vec()).unwrap()).collect()
}

fn frames(stream: &[u8]) -> Vec<Frame> {
    let mut framer = Framer::new(1 << 20);
    framer.push(stream);
    let mut out = Vec::new();
    while let Some(frame) = framer.next_frame().unwrap() {
        out.push(frame);
    }
    out
}

/// The deltas of all chunks.
fn deltas(chunks: &[String]) -> Vec<String> {
    let delta = |chunk: &String| {
        let chunk = Json::parse(chunk.as_bytes()).ok()?;
        Some(chunk.get("choices")?.items()?.first()?.get("delta")?.to_string())
    };
    chunks.iter().filter_map(delta).collect()
}

#[test]
fn a_stream_begins_with_the_role_and_ends_with_the_additions_and_done() {
    let chunks = stream(envelope(), text("é\n").into_iter().chain([Event::Finish(finish(FinishReason::Stop))]));
    assert_eq!(
        chunks,
        [
            r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"theirs","system_fingerprint":null,"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
            r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"theirs","system_fingerprint":null,"choices":[{"index":0,"delta":{"content":"é\n"},"logprobs":null,"finish_reason":null}]}"#,
            r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"theirs","system_fingerprint":null,"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"provider":"p\"q","latency_ms":12}"#,
            "[DONE]",
        ]
    );
}

#[test]
fn usage_is_told_only_to_who_asked_and_then_carries_the_additions() {
    let usage = Usage { input: 10, output: 5, cache_read: 4, cache_write: 3, reasoning: Some(2), ..Usage::default() };
    let events = || [Event::Usage(usage.clone()), Event::Finish(finish(FinishReason::Length))];
    let asked = stream(Envelope { include_usage: true, ..envelope() }, events());
    assert!(asked[..2].iter().all(|chunk| chunk.ends_with(r#","usage":null}"#)), "{asked:?}");
    assert!(asked[1].contains(r#""finish_reason":"length""#));
    assert!(asked[2].ends_with(
        r#""choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}},"provider":"p\"q","latency_ms":12}"#
    ));
    let unasked = stream(envelope(), events());
    assert!(!unasked.concat().contains("usage"));
    assert_eq!(unasked.len(), 3);
}

#[test]
fn calls_are_numbered_among_themselves_and_an_empty_one_gets_an_empty_object() {
    let events = text("x").into_iter().chain(call("a", "{\"b\":1}")).chain(call("c", ""));
    let deltas = deltas(&stream(envelope(), events));
    assert_eq!(
        deltas[2..6],
        [
            r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"b\":1}"}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"c","type":"function","function":{"name":"f","arguments":""}}]}"#,
            r#"{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]}"#,
        ]
    );
}

#[test]
fn a_free_text_call_keeps_its_form_and_gets_no_object() {
    let open = Event::Open(Block::ToolCall { id: "a".into(), name: "f".into(), custom: true });
    let deltas = deltas(&stream(envelope(), [open, Event::Delta(Delta::Arguments("free".into())), Event::Close]));
    assert_eq!(deltas[1], r#"{"tool_calls":[{"index":0,"id":"a","type":"custom","custom":{"name":"f","input":""}}]}"#);
    assert_eq!(deltas[2], r#"{"tool_calls":[{"index":0,"custom":{"input":"free"}}]}"#);
    assert_eq!(deltas.len(), 4);
}

#[test]
fn a_client_of_the_old_form_sees_one_function_call() {
    let events =
        call("a", "{}").into_iter().chain(call("b", "{}")).chain([Event::Finish(finish(FinishReason::ToolCalls))]);
    let chunks = stream(Envelope { legacy_functions: true, ..envelope() }, events);
    let deltas = deltas(&chunks);
    assert_eq!(
        deltas[1..],
        [r#"{"function_call":{"name":"f","arguments":""}}"#, r#"{"function_call":{"arguments":"{}"}}"#, "{}"]
    );
    assert!(chunks.concat().contains(r#""finish_reason":"function_call""#));
}

#[test]
fn signed_reasoning_is_shown_as_it_comes_and_whole_when_it_is_over() {
    let signature = Signature { origin: ProtocolId::Anthropic, value: "s".into() };
    let events = [
        Event::Open(Block::Reasoning),
        Event::Delta(Delta::Text("a".into())),
        Event::Delta(Delta::Text("b".into())),
        Event::Delta(Delta::Signature(signature.clone())),
        Event::Close,
        Event::Open(Block::Redacted(signature)),
        Event::Close,
    ];
    let deltas = deltas(&stream(envelope(), events));
    assert_eq!(
        deltas[1..5],
        [
            r#"{"reasoning_content":"a"}"#,
            r#"{"reasoning_content":"b"}"#,
            r#"{"thinking_blocks":[{"type":"thinking","thinking":"ab","signature":"s"}]}"#,
            r#"{"thinking_blocks":[{"type":"redacted_thinking","data":"s"}]}"#,
        ]
    );
}

#[test]
fn geminis_signature_rides_on_the_chunk_that_opens_its_call() {
    let [open, arguments, close] = call("a", "{}");
    let signature = Signature { origin: ProtocolId::Gemini, value: "s".into() };
    let deltas = deltas(&stream(envelope(), [open, Event::Delta(Delta::Signature(signature)), arguments, close]));
    assert_eq!(
        deltas[1],
        r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""},"extra_content":{"google":{"thought_signature":"s"}}}]}"#
    );
    assert_eq!(deltas.len(), 4);
}

#[test]
fn media_sources_and_stop_sequences_are_told() {
    let citation = Citation { url: Some("u".into()), title: Some("t".into()), quote: None, span: Some((1, 2)) };
    let events = [
        Event::Open(Block::Text),
        Event::Delta(Delta::Citation(citation)),
        Event::Close,
        Event::Open(Block::Media { mime: "image/png".into(), data: "eA==".into() }),
        Event::Close,
        Event::Finish(Finish { reason: FinishReason::Stop, raw: String::new(), stop_sequence: Some("END".into()) }),
    ];
    let all = stream(envelope(), events).concat();
    assert!(all.contains(r#"{"annotations":[{"type":"url_citation","url_citation":{"start_index":1,"end_index":2,"url":"u","title":"t"}}]}"#));
    assert!(all.contains(r#"{"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,eA=="}}]}"#));
    assert!(all.contains(r#""finish_reason":"stop","stop_sequence":"END"}]"#));
}

fn whole(parts: Vec<Part>, reason: FinishReason, envelope: &Envelope) -> Json {
    let output = Output { parts, finish: Some(finish(reason)), ..Output::default() };
    let response = Response { id: "chatcmpl-x".into(), model: String::new(), outputs: vec![output], usage: None };
    Json::parse(&encode_response(&response, envelope, &served())).unwrap()
}

fn message(body: &Json) -> String {
    body.get("choices").unwrap().items().unwrap()[0].get("message").unwrap().to_string()
}

#[test]
fn a_whole_answer_keeps_an_id_of_openais_and_names_who_answered() {
    let body = whole(vec![Part::text("a"), Part::text("b")], FinishReason::Stop, &envelope());
    assert_eq!(
        body.to_string(),
        r#"{"id":"chatcmpl-x","object":"chat.completion","created":7,"model":"asked","choices":[{"index":0,"message":{"role":"assistant","content":"ab","refusal":null},"logprobs":null,"finish_reason":"stop"}],"system_fingerprint":null,"provider":"p\"q","latency_ms":12}"#
    );
}

#[test]
fn content_is_null_beside_calls_and_empty_where_nothing_was_said() {
    let part = || Part::ToolCall(ToolCall { id: "a".into(), name: "f".into(), ..ToolCall::default() });
    let called = whole(vec![part(), part()], FinishReason::ToolCalls, &envelope());
    assert!(message(&called).starts_with(
        r#"{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},"#
    ));
    let legacy =
        whole(vec![part(), part()], FinishReason::ToolCalls, &Envelope { legacy_functions: true, ..envelope() });
    assert_eq!(
        message(&legacy),
        r#"{"role":"assistant","content":null,"refusal":null,"function_call":{"name":"f","arguments":"{}"}}"#
    );
    let silent = whole(Vec::new(), FinishReason::Length, &envelope());
    assert_eq!(message(&silent), r#"{"role":"assistant","content":"","refusal":null}"#);
    let refused = whole(vec![Part::Refusal("no".into())], FinishReason::ContentFilter, &envelope());
    assert_eq!(message(&refused), r#"{"role":"assistant","content":null,"refusal":"no"}"#);
}

#[test]
fn whole_reasoning_is_shown_and_what_is_signed_can_come_back() {
    let signed = |text: &str, origin, redacted| {
        let signature = Some(Signature { origin, value: "s".into() });
        Part::Reasoning(Reasoning { text: text.into(), signature, redacted, ..Reasoning::default() })
    };
    let parts = vec![
        signed("a", ProtocolId::Anthropic, false),
        signed("", ProtocolId::Anthropic, true),
        signed("b", ProtocolId::OpenAiResponses, false),
    ];
    let body = whole(parts, FinishReason::Stop, &envelope());
    assert_eq!(
        message(&body),
        r#"{"role":"assistant","content":"","refusal":null,"reasoning_content":"ab","thinking_blocks":[{"type":"thinking","thinking":"a","signature":"s"},{"type":"redacted_thinking","data":"s"},{"type":"thinking","thinking":"b","signature":"LLMOcm9wZW5haV9yZXNwb25zZXMKCnM="}]}"#
    );
}

#[test]
fn encrypted_reasoning_comes_back_through_a_chat_client_whole_and_streamed() {
    let signature = Signature { origin: ProtocolId::OpenAiResponses, value: "gAAAA".into() };
    let reasoning = Reasoning { signature: Some(signature.clone()), ..Reasoning::default() };
    let body = whole(vec![Part::Reasoning(reasoning.clone()), Part::text("a")], FinishReason::Stop, &envelope());
    let answered = message(&body);
    let thought = [Event::Open(Block::Reasoning), Event::Delta(Delta::Signature(signature)), Event::Close];
    let streamed = stream(envelope(), thought.into_iter().chain(text("a"))).concat();
    let blocks = answered.split_once(r#""thinking_blocks":"#).unwrap().1.trim_end_matches('}');
    assert!(streamed.contains(blocks), "{blocks} in {streamed}");

    let history = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"q"}},{answered},{{"role":"user","content":"r"}}]}}"#
    );
    let request = super::decode_request(history.as_bytes()).unwrap();
    assert_eq!(request.messages[1].parts, [Part::Reasoning(reasoning), Part::text("a")]);
}

#[test]
fn signing_changes_two_members_and_no_other_byte() {
    let body = b"{ \"id\":1.0, \"provider\" : \"Novita\",\"x\":[ ] }\n";
    let signed = String::from_utf8(sign(body, &served()).unwrap()).unwrap();
    assert_eq!(signed, "{ \"id\":1.0, \"provider\" : \"p\\\"q\",\"x\":[ ],\"latency_ms\":12 }\n");
    assert_eq!(sign(b"[]", &served()), None);
}

/// A stream through the filter.
fn passed(stream: &str, include_usage: bool) -> String {
    let mut filter = Filter::new(include_usage);
    let mut out = Vec::new();
    frames(stream.as_bytes()).into_iter().for_each(|frame| filter.push(frame, &mut out));
    filter.end(&Served { provider: "p".into(), latency_ms: 1 }, &mut out);
    String::from_utf8(out.concat()).unwrap()
}

const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"finish_reason\\\":\\\"stop\\\"\"},\"finish_reason\":null}],\"usage\":null}\n\n";
const FINISH: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\" : \"stop\"}]}\r\n\r\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const ADDED: &str = ",\"provider\":\"p\",\"latency_ms\":1}";

fn added(chunk: &str) -> String {
    let at = chunk.rfind('}').unwrap();
    format!("{}{ADDED}{}", &chunk[..at], &chunk[at + 1..])
}

#[test]
fn the_additions_ride_on_the_last_data_chunk_before_done() {
    assert_eq!(passed(&format!("{TEXT}{FINISH}{DONE}"), false), format!("{TEXT}{}{DONE}", added(FINISH)));
    assert_eq!(passed(&format!("{TEXT}{FINISH}{USAGE}{DONE}"), true), format!("{TEXT}{FINISH}{}{DONE}", added(USAGE)));
    assert_eq!(
        passed(&format!("{FINISH}{TEXT}{FINISH}{DONE}"), true),
        format!("{FINISH}{TEXT}{}{DONE}", added(FINISH))
    );
}

#[test]
fn an_unasked_usage_chunk_is_left_out_and_usage_beside_choices_stays() {
    assert_eq!(passed(&format!("{TEXT}{FINISH}{USAGE}{DONE}"), false), format!("{TEXT}{}{DONE}", added(FINISH)));
    assert_eq!(passed(&format!("{USAGE}{TEXT}{FINISH}{DONE}"), false), format!("{TEXT}{}{DONE}", added(FINISH)));
    let beside = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1}}\n\n";
    assert_eq!(passed(&format!("{beside}{DONE}"), false), format!("{}{DONE}", added(beside)));
}

#[test]
fn no_done_is_invented_and_nothing_follows_one() {
    assert_eq!(passed(&format!("{TEXT}{FINISH}"), false), format!("{TEXT}{}", added(FINISH)));
    assert_eq!(passed(&format!("{FINISH}{DONE}{TEXT}: x\n\n"), false), format!("{}{DONE}", added(FINISH)));
    assert_eq!(passed(&format!(": hi\n\n{TEXT}{DONE}"), false), format!(": hi\n\n{TEXT}{DONE}"));
}

#[test]
fn data_on_several_lines_can_be_signed_too() {
    let split = "data: {\"choices\":[{\"delta\":{},\ndata: \"finish_reason\":\"stop\"}]}\n\n";
    assert_eq!(
        passed(split, false),
        format!("data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}]{ADDED}\n\n")
    );
}

#[test]
fn a_broken_stream_shows_no_end_before_its_error() {
    let mut filter = Filter::new(false);
    let mut out = Vec::new();
    frames(format!("{TEXT}{FINISH}").as_bytes()).into_iter().for_each(|frame| filter.push(frame, &mut out));
    let context = ErrorContext { request_id: "req_1".into(), timestamp: "t".into() };
    filter.fail(&ApiError::new(ErrorKind::Upstream, "broke"), &context, &mut out);
    filter.push(frames(DONE.as_bytes()).remove(0), &mut out);
    let all = String::from_utf8(out.concat()).unwrap();
    assert!(all.starts_with(&format!("{TEXT}data: {{\"error\":{{\"code\":\"upstream_error\"")), "{all}");
    assert!(!all.contains("[DONE]"));
}
