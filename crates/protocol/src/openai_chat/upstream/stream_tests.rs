//! What the dialects of compatible servers mean.

use super::{Decoder, decode_response};
use crate::{
    ProtocolId, StreamDecoder,
    ir::{ApiError, Block, Delta, ErrorKind, Event, FinishReason, Grammar, Part, Response, Signature},
    sse::Frame,
};

fn frame(data: &str) -> Frame {
    Frame { data: Some(data.to_owned().into()), ..Frame::default() }
}

fn decode(data: &[&str]) -> (Vec<Event>, Option<ApiError>) {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    let mut error = data.iter().find_map(|data| decoder.push(&frame(data), &mut events).err());
    error = error.or_else(|| decoder.end(&mut events).err());
    let mut grammar = Grammar::default();
    events.iter().for_each(|event| grammar.accept(event).unwrap());
    (events, error)
}

/// Chunks of these deltas, the finish reason `stop`, and `[DONE]`.
fn deltas(deltas: &[&str]) -> Vec<Event> {
    let chunk = |delta: &&str| {
        format!(r#"{{"id":"x","model":"m","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
    };
    let mut chunks: Vec<String> = deltas.iter().map(chunk).collect();
    chunks.push(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned());
    chunks.push("[DONE]".to_owned());
    let (events, error) = decode(&chunks.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(error, None);
    events
}

fn parts(given: &[&str]) -> Vec<Part> {
    Response::fold(&deltas(given)).outputs.remove(0).parts
}

fn calls(given: &[&str]) -> Vec<(String, String, String)> {
    let call = |part| if let Part::ToolCall(call) = part { Some((call.id, call.name, call.arguments)) } else { None };
    parts(given).into_iter().filter_map(call).collect()
}

fn triple(id: &str, name: &str, arguments: &str) -> (String, String, String) {
    (id.to_owned(), name.to_owned(), arguments.to_owned())
}

#[test]
fn interleaved_calls_come_out_one_after_the_other() {
    let events = deltas(&[
        r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}"#,
        r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{\"x\":"}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"y\":"}}]}"#,
        r#"{"tool_calls":[{"index":1,"function":{"arguments":"1"}},{"index":0,"function":{"arguments":"2}"}}]}"#,
        r#"{"tool_calls":[{"index":1,"function":{"arguments":"}"}}]}"#,
    ]);
    let opens: Vec<_> = events.iter().filter(|event| matches!(event, Event::Open(_))).collect();
    assert_eq!(opens.len(), 2);
    let folded = Response::fold(&events);
    let parts = folded.outputs[0].parts.iter();
    let arguments: Vec<_> = parts
        .map(|part| if let Part::ToolCall(call) = part { (&*call.id, &*call.arguments) } else { panic!() })
        .collect();
    assert_eq!(arguments, [("a", r#"{"y":2}"#), ("b", r#"{"x":1}"#)]);
    assert_eq!(folded.outputs[0].reason(), FinishReason::ToolCalls);
}

#[test]
fn a_lone_call_streams_as_it_comes() {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for data in [
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}}]}"#,
    ] {
        decoder.push(&frame(data), &mut events).unwrap();
    }
    assert_eq!(events[2..], [Event::Delta(Delta::Arguments("{".into())), Event::Delta(Delta::Arguments("}".into()))]);
}

#[test]
fn whole_calls_with_one_index_or_one_id_are_told_apart() {
    let same_index = [
        r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}"#,
        r#"{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"{}"}}]}"#,
    ];
    assert_eq!(calls(&same_index), [triple("a", "f", "{}"), triple("b", "f", "{}")]);
    let same_id = r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}},{"index":1,"id":"a","function":{"name":"g","arguments":"{}"}}]}"#;
    assert_eq!(calls(&[same_id]), [triple("a", "f", "{}"), triple("a_1", "g", "{}")]);
}

#[test]
fn a_call_waits_for_its_name_and_gets_an_id_if_it_has_none() {
    let found = calls(&[
        r#"{"tool_calls":[{"index":0}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"name":null,"arguments":"{\"a\":"}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"1}"}}]}"#,
    ]);
    assert_eq!((found.len(), found[0].1.as_str(), found[0].2.as_str()), (1, "f", r#"{"a":1}"#));
    assert!(found[0].0.starts_with("call_"));
}

#[test]
fn arguments_may_be_an_object() {
    assert_eq!(
        calls(&[r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":1}}}]}"#]),
        [triple("a", "f", r#"{"x":1}"#)]
    );
}

#[test]
fn nothing_opens_a_block_but_something() {
    let nothing = r#"{"role":"assistant","content":"","reasoning":null,"reasoning_content":"","refusal":null,"tool_calls":[],"function_call":null,"annotations":[]}"#;
    assert_eq!(parts(&[nothing, nothing]), []);
    assert_eq!(parts(&[r#"{"content":null,"tool_calls":null,"refusal":false,"audio":null}"#]), []);
}

#[test]
fn text_that_comes_inside_an_unfinished_call_waits_for_its_end() {
    let given = parts(&[
        r#"{"content":"a"}"#,
        r#"{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{"}}]}"#,
        r#"{"content":"b"}"#,
        r#"{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}"#,
    ]);
    assert!(matches!(&given[..], [Part::Text(a), Part::ToolCall(call), Part::Text(b)]
        if a.text == "a" && call.arguments == "{}" && b.text == "b"));
}

#[test]
fn reasoning_is_found_under_each_of_its_names() {
    for delta in [
        r#"{"reasoning_content":"t"}"#,
        r#"{"reasoning":"t"}"#,
        r#"{"reasoning":"t","reasoning_details":[{"type":"reasoning.text","text":"t"}]}"#,
        r#"{"reasoning_details":[{"type":"reasoning.text","text":"t"}]}"#,
        r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]}]}"#,
        r#"{"thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"}],"reasoning_content":"t"}"#,
    ] {
        let found = parts(&[delta, r#"{"content":"x"}"#]);
        assert!(
            matches!(&found[..], [Part::Reasoning(reasoning), Part::Text(_)] if reasoning.text == "t"),
            "{delta}: {found:?}"
        );
    }
}

#[test]
fn a_signature_that_follows_shown_reasoning_joins_it() {
    let found = parts(&[
        r#"{"reasoning_content":"a"}"#,
        r#"{"reasoning_content":"b"}"#,
        r#"{"thinking_blocks":[{"type":"thinking","thinking":"ab","signature":"s"}]}"#,
        r#"{"thinking_blocks":[{"type":"redacted_thinking","data":"d"}]}"#,
    ]);
    let [Part::Reasoning(shown), Part::Reasoning(hidden)] = &found[..] else { panic!("{found:?}") };
    let signature = |value: &str| Some(Signature { origin: ProtocolId::Anthropic, value: value.into() });
    assert_eq!((shown.text.as_str(), &shown.signature), ("ab", &signature("s")));
    assert_eq!((hidden.redacted, &hidden.signature), (true, &signature("d")));
}

#[test]
fn geminis_signatures_are_read_from_its_compatible_server() {
    let given = r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"s"}}}]}"#;
    let [Part::ToolCall(call)] = &parts(&[given])[..] else { panic!() };
    assert_eq!(call.signature, Some(Signature { origin: ProtocolId::Gemini, value: "s".into() }));
    let [Part::Text(text)] =
        &parts(&[r#"{"content":"x"}"#, r#"{"extra_content":{"google":{"thought_signature":"s"}}}"#])[..]
    else {
        panic!()
    };
    assert_eq!(text.signature.as_ref().unwrap().value, "s");
}

#[test]
fn azures_first_chunk_without_choices_starts_nothing() {
    let (events, error) = decode(&[
        r#"{"choices":[],"id":"","model":"","prompt_filter_results":[{}]}"#,
        r#"{"id":"x","model":"m","choices":[{"index":0,"delta":{"content":"a"},"content_filter_results":{}}]}"#,
        r#"{"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    ]);
    assert_eq!(error, None);
    assert_eq!(events[0], Event::Start { id: "x".into(), model: "m".into() });
}

#[test]
fn usage_that_comes_after_the_end_is_told_too() {
    let (events, _) = decode(&[
        r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
        "[DONE]",
        r#"{"choices":[{"delta":{"content":"late"}}]}"#,
    ]);
    assert_eq!(Response::fold(&events).usage.unwrap().output, 2);
    assert!(matches!(events.last(), Some(Event::Usage(_))));
}

#[test]
fn only_the_first_candidate_is_told() {
    let (events, _) = decode(&[
        r#"{"choices":[{"index":1,"delta":{"content":"b"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#,
    ]);
    let response = Response::fold(&events);
    assert_eq!(
        (&response.outputs[0].parts[..], response.outputs[0].reason()),
        (&[Part::text("a")][..], FinishReason::Length)
    );
}

#[test]
fn a_reason_or_done_is_an_end_and_neither_is_none() {
    let text = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":""}]}"#;
    let finish = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    assert_eq!(decode(&[text, finish]).1, None);
    let (events, error) = decode(&[text, "[DONE]"]);
    assert_eq!((Response::fold(&events).outputs[0].finish.as_ref().unwrap().reason, error), (FinishReason::Stop, None));
    for cut in [&[text][..], &[]] {
        let error = decode(cut).1.unwrap();
        assert_eq!((error.kind, error.reason), (ErrorKind::Upstream, Some("truncated")));
    }
    assert_eq!(decode(&["[DONE]"]).1.unwrap().reason, Some("malformed"));
    assert_eq!(decode(&["{nonsense"]).1.unwrap().reason, Some("malformed"));
}

#[test]
fn errors_inside_a_stream_are_errors() {
    let text = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
    for (data, kind) in [
        (r#"{"error":{"message":"m","type":"server_error"}}"#, ErrorKind::Upstream),
        (r#"{"choices":[{"index":0,"delta":{}}],"error":{"code":429,"message":"m"}}"#, ErrorKind::RateLimited),
        (r#"{"choices":[{"index":0,"delta":{},"error":{"code":503,"message":"m"}}]}"#, ErrorKind::Overloaded),
        (r#"{"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}"#, ErrorKind::Upstream),
    ] {
        assert_eq!(decode(&[text, data]).1.unwrap().kind, kind, "{data}");
    }
    let named = Frame { event: Some("error".into()), ..frame(r#"{"message":"m"}"#) };
    assert_eq!(Decoder::default().push(&named, &mut Vec::new()).unwrap_err().message, "m");
}

#[test]
fn perplexitys_sources_are_cited_once() {
    let chunk = |finish| {
        format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":"a"}},"message":{{"content":"aa"}},"finish_reason":{finish}}}],"citations":["u","v"],"search_results":[{{"title":"t","url":"u"}}]}}"#
        )
    };
    let (events, _) = decode(&[&chunk("null"), &chunk("\"stop\"")]);
    let output = Response::fold(&events).outputs.remove(0);
    assert_eq!(output.parts, [Part::text("aa")]);
    assert_eq!((output.citations.len(), output.citations[0].title.as_deref()), (1, Some("t")));
}

#[test]
fn a_picture_becomes_a_block() {
    let (events, _) = decode(&[
        r#"{"choices":[{"index":0,"delta":{"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,eA=="}}]},"finish_reason":"stop"}]}"#,
    ]);
    assert!(events.contains(&Event::Open(Block::Media { mime: "image/png".into(), data: "eA==".into() })));
}

#[test]
fn a_200_that_holds_no_answer_is_an_error() {
    for (body, kind, reason) in [
        (r#"{"error":{"message":"m","type":"rate_limit_error"}}"#, ErrorKind::RateLimited, None),
        (r#"{"object":"error","message":"m","code":404}"#, ErrorKind::NotFound, None),
        (r#"{"error":"m"}"#, ErrorKind::Upstream, Some("server_error")),
        (r#"{"detail":"m"}"#, ErrorKind::Upstream, Some("server_error")),
        (r#"{"choices":[]}"#, ErrorKind::Upstream, Some("malformed")),
        (r#"{"choices":[{}]}"#, ErrorKind::Upstream, Some("malformed")),
        ("<html>", ErrorKind::Upstream, Some("malformed")),
        ("", ErrorKind::Upstream, Some("malformed")),
        (
            r#"{"choices":[{"message":{"content":""},"finish_reason":"error"}]}"#,
            ErrorKind::Upstream,
            Some("server_error"),
        ),
    ] {
        let error = decode_response(body.as_bytes()).unwrap_err();
        assert_eq!((error.kind, error.reason), (kind, reason), "{body}");
    }
}

#[test]
fn each_candidate_of_a_whole_answer_is_an_output() {
    let body = r#"{"id":1,"model":null,"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop","logprobs":{"content":[{"token":"a"}]}},{"index":1,"message":{"content":"b","function_call":{"name":"f","arguments":"{}"}},"finish_reason":"function_call"}],"usage":null}"#;
    let response = decode_response(body.as_bytes()).unwrap();
    assert_eq!((response.id.as_str(), response.outputs.len(), response.usage), ("1", 2, None));
    assert!(response.outputs[0].logprobs.is_some());
    assert_eq!(response.outputs[1].reason(), FinishReason::ToolCalls);
    assert!(matches!(&response.outputs[1].parts[1], Part::ToolCall(call) if call.id.starts_with("call_")));
}
