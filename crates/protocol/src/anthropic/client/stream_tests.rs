//! What a client of this protocol sees of a stream, message by message.

use serde_json::{Value, json};

use super::{
    Encoder, Filter,
    response_tests::{envelope, foreign, unsigned},
};
use crate::{
    ErrorContext, Passthrough, ProtocolId, Served, StreamEncoder,
    ir::{ApiError, Block, Carrier, Citation, Delta, ErrorKind, Event, Finish, FinishReason, Signature, Usage},
    sse::{Frame, Framer},
};

fn served() -> Served {
    Served { provider: "p".into(), latency_ms: 12 }
}

fn context() -> ErrorContext {
    ErrorContext { request_id: "req_1".into(), timestamp: "2026-01-01T00:00:00Z".into() }
}

fn frames(stream: &[u8]) -> Vec<Frame> {
    let mut framer = Framer::new(1 << 20);
    framer.push(stream);
    let mut out = Vec::new();
    while let Some(frame) = framer.next_frame().unwrap() {
        out.push(frame);
    }
    assert!(framer.finish().is_none());
    out
}

/// The messages that `events` become, each checked to have its type as its event's name.
fn messages(out: &[u8]) -> Vec<Value> {
    let read = |frame: Frame| {
        let message: Value = serde_json::from_slice(&frame.data.unwrap()).unwrap();
        assert_eq!(message["type"].as_str().map(str::as_bytes), frame.event.as_deref());
        message
    };
    frames(out).into_iter().map(read).collect()
}

/// The stream of `events`, ended well.
fn stream(events: impl IntoIterator<Item = Event>) -> Vec<Value> {
    let mut encoder = Encoder::new(envelope(), 42);
    let mut out = Vec::new();
    encoder.push(&Event::Start { id: "up".into(), model: "theirs".into() }, &mut out);
    events.into_iter().for_each(|event| encoder.push(&event, &mut out));
    encoder.end(&served(), &mut out);
    messages(&out)
}

/// The messages about blocks that `events` become.
fn blocks(events: impl IntoIterator<Item = Event>) -> Vec<Value> {
    let about_blocks = |message: &Value| message["type"].as_str().unwrap().starts_with("content_block");
    stream(events).into_iter().filter(about_blocks).collect()
}

fn block(block: Block, deltas: impl IntoIterator<Item = Delta>) -> Vec<Event> {
    let deltas = deltas.into_iter().map(Event::Delta);
    [Event::Open(block)].into_iter().chain(deltas).chain([Event::Close]).collect()
}

fn text(text: &str) -> Delta {
    Delta::Text(text.into())
}

fn call(id: &str) -> Block {
    Block::ToolCall { id: id.into(), name: "f".into(), custom: false }
}

fn start(index: u64, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn piece(index: u64, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn stop(index: u64) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn carried(index: u64, carrier: Carrier) -> [Value; 2] {
    [start(index, json!({"type": "redacted_thinking", "data": carrier.wrap()})), stop(index)]
}

fn counts(input: u64, output: u64) -> Value {
    json!({
        "input_tokens": input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}, "output_tokens": output,
    })
}

#[test]
fn a_stream_has_anthropics_order_and_the_last_counts_win() {
    let usage = |input, output| Event::Usage(Usage { input, output, ..Usage::default() });
    let finish = Event::Finish(Finish { reason: FinishReason::Stop, raw: String::new(), stop_sequence: None });
    let mut events = block(Block::Text, [text("Hel"), text(""), text("lo")]);
    events.extend([usage(9, 1), finish, usage(9, 5)]);
    assert_eq!(
        stream(events),
        [
            json!({"type": "message_start", "message": {
                "id": "msg_1", "type": "message", "role": "assistant", "model": "theirs", "content": [],
                "stop_reason": null, "stop_sequence": null, "usage": counts(42, 0),
            }}),
            json!({"type": "ping"}),
            start(0, json!({"type": "text", "text": ""})),
            piece(0, json!({"type": "text_delta", "text": "Hel"})),
            piece(0, json!({"type": "text_delta", "text": "lo"})),
            stop(0),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": counts(9, 5)}),
            json!({"type": "message_stop"}),
        ]
    );
}

#[test]
fn a_count_that_comes_early_stands_in_the_first_message() {
    let usage = Event::Usage(Usage { input: 9, output: 1, cache_read: 4, ..Usage::default() });
    let first = stream([usage])[0]["message"]["usage"].clone();
    assert_eq!((&first["input_tokens"], &first["cache_read_input_tokens"]), (&json!(5), &json!(4)));
}

#[test]
fn thinking_then_text_then_calls_never_overlap() {
    let arguments = |text: &str| Delta::Arguments(text.into());
    let mut events = block(Block::Reasoning, [text("hm")]);
    events.extend(block(Block::Text, []));
    events.extend(block(call("x"), [arguments(""), arguments("{\"a\""), arguments(":1}")]));
    events.extend(block(call("y"), []));
    let tool = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    assert_eq!(
        blocks(events),
        [
            start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
            piece(0, json!({"type": "thinking_delta", "thinking": "hm"})),
            piece(0, json!({"type": "signature_delta", "signature": unsigned()})),
            stop(0),
            start(1, tool("x")),
            piece(1, json!({"type": "input_json_delta", "partial_json": "{\"a\""})),
            piece(1, json!({"type": "input_json_delta", "partial_json": ":1}"})),
            stop(1),
            start(2, tool("y")),
            stop(2),
        ]
    );
}

#[test]
fn calls_are_to_be_run_whatever_word_ended_the_answer() {
    let finish = |reason| Event::Finish(Finish { reason, raw: String::new(), stop_sequence: None });
    let ended = |events: Vec<Event>| {
        let messages = stream(events);
        messages[messages.len() - 2]["delta"]["stop_reason"].clone()
    };
    let called = |reason| block(call("x"), []).into_iter().chain([finish(reason)]).collect();
    assert_eq!(ended(called(FinishReason::Stop)), "tool_use");
    assert_eq!(ended(called(FinishReason::Length)), "max_tokens");
    assert_eq!(ended(block(Block::Refusal, [text("no")])), "refusal");
    assert_eq!(ended(vec![finish(FinishReason::ContentFilter)]), "refusal");
}

#[test]
fn anthropics_own_signature_in_pieces_becomes_one() {
    let own = |value: &str| Delta::Signature(Signature { origin: ProtocolId::Anthropic, value: value.into() });
    let redacted = Signature { origin: ProtocolId::Anthropic, value: "Eo8B".into() };
    let mut events = block(Block::Reasoning, [own("Eq"), own("QB")]);
    events.extend(block(Block::Redacted(redacted), []));
    events.extend(block(Block::Reasoning, []));
    assert_eq!(
        blocks(events),
        [
            start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
            piece(0, json!({"type": "signature_delta", "signature": "EqQB"})),
            stop(0),
            start(1, json!({"type": "redacted_thinking", "data": "Eo8B"})),
            stop(1),
        ]
    );
}

#[test]
fn another_models_signatures_travel_in_blocks_of_their_own() {
    let signed = || Delta::Signature(foreign());
    let whole = Delta::Arguments("{}".into());
    let of_call = |id: &str| Carrier::ToolCall { id: id.into(), signature: foreign() };
    let mut events = block(Block::Text, [text("a"), signed()]);
    events.extend(block(Block::Text, [signed()]));
    events.extend(block(call("x"), [signed(), whole.clone()]));
    events.extend(block(call("y"), [whole, signed()]));
    let tool = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let arguments = |index| piece(index, json!({"type": "input_json_delta", "partial_json": "{}"}));
    let text_at = |index| carried(index, Carrier::Text { signature: foreign() });
    let expected: Vec<Value> = [
        vec![
            start(0, json!({"type": "text", "text": ""})),
            piece(0, json!({"type": "text_delta", "text": "a"})),
            stop(0),
        ],
        text_at(1).to_vec(),
        text_at(2).to_vec(),
        carried(3, of_call("x")).to_vec(),
        vec![start(4, tool("x")), arguments(4), stop(4)],
        vec![start(5, tool("y")), arguments(5), stop(5)],
        carried(6, of_call("y")).to_vec(),
    ]
    .concat();
    assert_eq!(blocks(events), expected);
}

#[test]
fn sources_media_and_free_text_have_a_place() {
    let source = Citation { url: Some("https://a".into()), quote: Some("q".into()), ..Citation::default() };
    let mut events = block(Block::Text, [text("a"), Delta::Citation(source), Delta::Citation(Citation::default())]);
    events.extend(block(Block::Media { mime: "image/png".into(), data: "AA==".into() }, []));
    events.extend(block(Block::Opaque, []));
    let custom = Block::ToolCall { id: "x".into(), name: "f".into(), custom: true };
    events.extend(block(custom, [Delta::Arguments("a\n".into()), Delta::Arguments("b".into())]));
    let told = blocks(events);
    assert_eq!(told[2]["delta"]["citation"]["url"], "https://a");
    assert!(told[5]["delta"]["text"].as_str().unwrap().contains("image/png"), "{told:?}");
    assert_eq!(told[8], piece(2, json!({"type": "input_json_delta", "partial_json": r#"{"input":"a\nb"}"#})));
    assert_eq!(told.len(), 10);
}

#[test]
fn an_error_ends_a_stream_and_nothing_follows() {
    let mut encoder = Encoder::new(envelope(), 0);
    let mut out = Vec::new();
    for event in
        [Event::Start { id: String::new(), model: String::new() }, Event::Open(Block::Text), Event::Delta(text("a"))]
    {
        encoder.push(&event, &mut out);
    }
    encoder.fail(&ApiError::new(ErrorKind::Overloaded, "busy"), &context(), &mut out);
    let messages = messages(&out);
    let last = messages.last().unwrap();
    assert_eq!((&last["type"], &last["error"]["type"]), (&json!("error"), &json!("overloaded_error")));
    assert!(!messages.iter().any(|message| message["type"] == "message_stop"));
    assert_eq!(messages[0]["message"]["model"], "asked");
}

#[test]
fn a_stream_of_this_protocol_passes_byte_for_byte() {
    let stream = b": hi\n\nevent: message_start\r\ndata: {\"type\":\"message_start\", \"new\": 1}\r\n\r\nevent: ping\ndata: {}\n\n";
    let mut out = Vec::new();
    for frame in frames(stream) {
        Filter.push(frame, &mut out);
    }
    Filter.end(&served(), &mut out);
    assert_eq!(out.concat(), stream);
    let mut out = Vec::new();
    Filter.fail(&ApiError::new(ErrorKind::Upstream, "broke"), &context(), &mut out);
    assert_eq!(messages(&out.concat())[0]["error"]["type"], "api_error");
}
