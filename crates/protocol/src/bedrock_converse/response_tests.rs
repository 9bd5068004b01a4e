//! What answers, streams and exceptions are read as.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::BedrockConverse;
use crate::{
    Outbound, ProtocolId,
    ir::{ApiError, ErrorKind, Event, FinishReason, Grammar, Part, Response, Signature, Usage},
    sse::Frame,
};

fn answer(content: Value, reason: &str) -> Result<Response, ApiError> {
    let usage = json!({"inputTokens": 1, "outputTokens": 2, "totalTokens": 3});
    let body =
        json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": reason, "usage": usage});
    BedrockConverse.decode_response(body.to_string().as_bytes())
}

fn frame(name: &str, data: &Value) -> Frame {
    let event = Some(name.to_owned().into());
    Frame { event, data: Some(data.to_string().into()), ..Frame::default() }
}

/// The events of a stream, which obey the grammar.
fn stream(messages: &[(&str, Value)]) -> (Vec<Event>, Result<(), ApiError>) {
    let mut decoder = BedrockConverse.decoder();
    let mut events = Vec::new();
    let read = messages.iter().try_for_each(|(name, data)| decoder.push(&frame(name, data), &mut events));
    let ended = read.and_then(|()| decoder.end(&mut events));
    let mut grammar = Grammar::default();
    events.iter().for_each(|event| grammar.accept(event).unwrap());
    assert!(ended.is_err() || grammar.finished());
    (events, ended)
}

fn start() -> (&'static str, Value) {
    ("messageStart", json!({"role": "assistant"}))
}

fn delta(index: u64, delta: Value) -> (&'static str, Value) {
    ("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}))
}

fn stop(reason: &str) -> (&'static str, Value) {
    ("messageStop", json!({"stopReason": reason}))
}

#[test]
fn reasons_to_stop_have_their_counterparts() {
    for (word, reason) in [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("tool_use", FinishReason::ToolCalls),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("guardrail_intervened", FinishReason::ContentFilter),
        ("content_filtered", FinishReason::ContentFilter),
        ("of_2027", FinishReason::Stop),
    ] {
        let finish = answer(json!([{"text": "a"}]), word).unwrap().outputs.remove(0).finish.unwrap();
        assert_eq!((finish.reason, finish.raw.as_str()), (reason, word));
    }
    let call = json!([{"toolUse": {"toolUseId": "a", "name": "b", "input": {}}}]);
    assert_eq!(answer(call, "end_turn").unwrap().outputs[0].reason(), FinishReason::ToolCalls);
}

#[test]
fn an_end_that_is_no_answer_is_an_error() {
    for word in ["malformed_tool_use", "malformed_model_output"] {
        assert_eq!(answer(json!([{"text": "a"}]), word).unwrap_err().kind, ErrorKind::Upstream);
    }
    assert!(answer(json!([]), "of_2027").is_err());
    for body in [r#"{"message":"slow down"}"#, "{}", "[]", "nonsense"] {
        assert!(BedrockConverse.decode_response(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn cached_tokens_are_part_of_the_input() {
    let usage = json!({
        "inputTokens": 3, "outputTokens": 4, "totalTokens": 37, "cacheReadInputTokens": 10, "cacheWriteInputTokens": 20,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 15}, {"ttl": "5m", "inputTokens": 5}],
    });
    let body = json!({"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": "end_turn", "usage": usage});
    let response = BedrockConverse.decode_response(body.to_string().as_bytes()).unwrap();
    let expected =
        Usage { input: 33, output: 4, cache_read: 10, cache_write: 20, cache_write_1h: 15, ..Usage::default() };
    assert_eq!(response.usage, Some(expected));
}

#[test]
fn the_stop_sequence_that_was_met_is_told() {
    let body = json!({
        "output": {"message": {"content": [{"text": "a"}]}}, "stopReason": "stop_sequence",
        "additionalModelResponseFields": {"stop_sequence": "END"},
    });
    let response = BedrockConverse.decode_response(body.to_string().as_bytes()).unwrap();
    assert_eq!(response.outputs[0].finish.as_ref().unwrap().stop_sequence.as_deref(), Some("END"));
    let fields = json!({"delta": {"stop_sequence": "END"}});
    let ended = ("messageStop", json!({"stopReason": "stop_sequence", "additionalModelResponseFields": fields}));
    let (events, _) = stream(&[start(), delta(0, json!({"text": "a"})), ended]);
    let Some(Event::Finish(finish)) = events.last() else { panic!("{events:?}") };
    assert_eq!(finish.stop_sequence.as_deref(), Some("END"));
}

#[test]
fn blocks_of_an_answer_become_parts_and_tools_that_ran_there_are_nobodys_calls() {
    let response = answer(
        json!([
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "s"}}},
            {"reasoningContent": {"redactedContent": "AAAA"}},
            {"toolUse": {"toolUseId": "x", "name": "code", "input": {}, "type": "server_tool_use"}},
            {"toolResult": {"toolUseId": "x", "content": []}},
            {"citationsContent": {
                "content": [{"text": "Ruby."}],
                "citations": [{"title": "T", "source": "https://a", "sourceContent": [{"text": "q"}]}],
            }},
            {"toolUse": {"toolUseId": "y", "name": "look", "input": {"a": 1.0}}},
        ]),
        "tool_use",
    )
    .unwrap();
    let output = &response.outputs[0];
    let Part::Reasoning(thought) = &output.parts[0] else { panic!("{output:?}") };
    assert_eq!(thought.signature, Some(Signature { origin: ProtocolId::Anthropic, value: "s".into() }));
    let Part::Reasoning(hidden) = &output.parts[1] else { panic!("{output:?}") };
    assert_eq!(hidden.signature, Some(Signature { origin: ProtocolId::BedrockConverse, value: "AAAA".into() }));
    assert!(hidden.redacted && matches!(output.parts[2], Part::Opaque { .. }));
    assert_eq!(output.parts[4], Part::text("Ruby."));
    assert_eq!((output.citations[0].url.as_deref(), output.citations[0].span), (Some("https://a"), Some((0, 5))));
    let calls: Vec<_> = output.parts.iter().filter(|part| matches!(part, Part::ToolCall(_))).collect();
    let [Part::ToolCall(call)] = calls[..] else { panic!("{calls:?}") };
    assert_eq!((call.id.as_str(), call.arguments.as_str()), ("y", r#"{"a":1.0}"#));
}

#[test]
fn a_stream_folds_to_the_answer_it_is() {
    let call = json!({"toolUse": {"toolUseId": "y", "name": "look"}});
    let (events, ended) = stream(&[
        start(),
        delta(0, json!({"reasoningContent": {"text": "Hm."}})),
        delta(0, json!({"reasoningContent": {"signature": "s"}})),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        delta(1, json!({"reasoningContent": {"redactedContent": "AAAA"}})),
        ("contentBlockStop", json!({"contentBlockIndex": 1})),
        delta(2, json!({"text": "Ho"})),
        delta(2, json!({"citation": {"title": "T"}})),
        ("contentBlockStop", json!({"contentBlockIndex": 2})),
        ("contentBlockStart", json!({"contentBlockIndex": 3, "start": call})),
        delta(3, json!({"toolUse": {"input": "{\"a\":"}})),
        delta(3, json!({"toolUse": {"input": "1}"}})),
        ("contentBlockStop", json!({"contentBlockIndex": 3})),
        stop("tool_use"),
        ("metadata", json!({"usage": {"inputTokens": 1, "outputTokens": 2}})),
    ]);
    assert_eq!(ended, Ok(()));
    let whole = answer(
        json!([
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "s"}}},
            {"reasoningContent": {"redactedContent": "AAAA"}},
            {"citationsContent": {"content": [{"text": "Ho"}], "citations": [{"title": "T"}]}},
            {"toolUse": {"toolUseId": "y", "name": "look", "input": {"a":1}}},
        ]),
        "tool_use",
    );
    assert_eq!(Response::fold(&events), whole.unwrap());
}

#[test]
fn an_exception_inside_a_stream_is_its_error() {
    let busy = ("serviceUnavailableException", json!({"message": "busy"}));
    let (events, ended) = stream(&[start(), delta(0, json!({"text": "a"})), busy]);
    let error = ended.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Overloaded, "busy"));
    assert!(!events.iter().any(|event| matches!(event, Event::Finish(_))));
}

#[test]
fn a_stream_that_breaks_off_is_an_error_and_one_without_counts_is_not() {
    let (_, ended) = stream(&[start(), delta(0, json!({"text": "a"}))]);
    assert_eq!(ended.unwrap_err().reason, Some("truncated"));
    let (events, ended) = stream(&[start(), delta(0, json!({"text": "a"})), stop("end_turn")]);
    assert_eq!((ended, Response::fold(&events).usage), (Ok(()), None));
    assert!(stream(&[delta(0, json!({"text": "a"}))]).1.is_err());
    assert!(stream(&[start(), ("metadata", json!({}))]).1.is_err());
}

fn any_message() -> impl Strategy<Value = (&'static str, Value)> {
    let names = [
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
        "laterEvent",
    ];
    let deltas = vec![
        json!({"text": "a"}),
        json!({"toolUse": {"input": "{}"}}),
        json!({"reasoningContent": {"text": "a"}}),
        json!({"reasoningContent": {"redactedContent": "AAAA"}}),
        json!({"citation": {}}),
        json!({"later": 1}),
    ];
    let starts =
        vec![json!({"toolUse": {"toolUseId": "a", "name": "b"}}), json!({"image": {"format": "png"}}), json!({})];
    let (names, deltas, starts) =
        (prop::sample::select(names.to_vec()), prop::sample::select(deltas), prop::sample::select(starts));
    (names, deltas, starts, 0..3u64).prop_map(|(name, delta, start, index)| {
        (name, json!({"contentBlockIndex": index, "delta": delta, "start": start, "stopReason": "end_turn", "usage": {"inputTokens": 1}}))
    })
}

proptest! {
    #[test]
    fn any_order_of_messages_obeys_the_grammar_or_fails(messages in prop::collection::vec(any_message(), 0..24)) {
        let _ = stream(&messages);
        let _ = stream(&[vec![start()], messages].concat());
    }

    #[test]
    fn arbitrary_bytes_never_panic(name in "[a-zA-Z]{0,20}", bytes in prop::collection::vec(any::<u8>(), 0..200), status in 100u16..600) {
        let mut decoder = BedrockConverse.decoder();
        let frame = Frame { event: Some(name.into()), data: Some(bytes.clone().into()), ..Frame::default() };
        let _ = decoder.push(&frame, &mut Vec::new());
        let _ = BedrockConverse.decode_response(&bytes);
        prop_assert!(BedrockConverse.decode_error(status, &bytes).status() >= 400);
    }
}
