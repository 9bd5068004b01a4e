//! What answers, streams and errors are read as.

use serde_json::{Value, json};

use crate::{
    Outbound,
    anthropic::Anthropic,
    ir::{ApiError, Block, Citation, Delta, ErrorKind, Event, FinishReason, Part, Response, Usage},
    sse::Frame,
};

fn answer(content: Value, reason: &str) -> Result<Response, ApiError> {
    let usage = json!({"input_tokens": 1, "output_tokens": 2});
    let body = json!({"id": "m", "model": "c", "content": content, "stop_reason": reason, "usage": usage});
    Anthropic.decode_response(body.to_string().as_bytes())
}

/// The events of a stream that begins as all do.
fn stream(messages: &[Value]) -> (Vec<Event>, Result<(), ApiError>) {
    let start = json!({"type": "message_start", "message": {"id": "m", "model": "c"}});
    let mut decoder = Anthropic.decoder();
    let mut events = Vec::new();
    let frames = [start]
        .iter()
        .chain(messages)
        .map(|message| Frame { data: Some(message.to_string().into()), ..Frame::default() })
        .collect::<Vec<_>>();
    let read = frames.iter().try_for_each(|frame| decoder.push(frame, &mut events));
    let ended = read.and_then(|()| decoder.end(&mut events));
    (events, ended)
}

fn start(block: Value) -> Value {
    json!({"type": "content_block_start", "index": 0, "content_block": block})
}

fn delta(delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": 0, "delta": delta})
}

fn stop(reason: &str) -> [Value; 2] {
    [json!({"type": "message_delta", "delta": {"stop_reason": reason}}), json!({"type": "message_stop"})]
}

#[test]
fn reasons_to_stop_have_their_counterparts() {
    let text = || json!([{"type": "text", "text": "a"}]);
    for (word, reason) in [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("compaction", FinishReason::Stop),
        ("tool_use", FinishReason::ToolCalls),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("refusal", FinishReason::ContentFilter),
        ("pause_turn", FinishReason::Pause),
        ("of_2027", FinishReason::Stop),
    ] {
        let finish = answer(text(), word).unwrap().outputs.remove(0).finish.unwrap();
        assert_eq!((finish.reason, finish.raw.as_str()), (reason, word));
    }
    assert_eq!(answer(json!([]), "of_2027").unwrap_err().reason, Some("malformed"));
    assert_eq!(answer(json!([]), "end_turn").unwrap().outputs[0].reason(), FinishReason::Stop);
}

#[test]
fn cached_tokens_are_part_of_the_input() {
    let usage = json!({
        "input_tokens": 1, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 100, "output_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
        "output_tokens_details": {"thinking_tokens": 5}, "service_tier": "of_2027", "iterations": [{}],
    });
    let body = json!({"content": [], "stop_reason": "end_turn", "usage": usage});
    let usage = Anthropic.decode_response(body.to_string().as_bytes()).unwrap().usage.unwrap();
    let expected = Usage {
        input: 111,
        output: 7,
        cache_read: 10,
        cache_write: 100,
        cache_write_1h: 40,
        reasoning: Some(5),
        ..Usage::default()
    };
    assert_eq!(usage, expected);
}

#[test]
fn a_later_report_of_usage_replaces_what_it_tells_and_nothing_else() {
    let usage = |usage: Value| json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage});
    let messages = [
        usage(json!({"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 1})),
        usage(json!({"output_tokens": 9, "input_tokens": null})),
        json!({"type": "message_stop"}),
    ];
    let (events, ended) = stream(&messages);
    assert_eq!(ended, Ok(()));
    assert_eq!(events[1], Event::Usage(Usage { input: 8, output: 9, cache_read: 3, ..Usage::default() }));
}

#[test]
fn citations_name_the_text_that_they_support() {
    let cited = |title: &str| json!({"type": "web_search_result_location", "url": "https://a", "title": title, "cited_text": "q"});
    let content = json!([{"type": "text", "text": "é1"}, {"type": "text", "text": "23", "citations": [cited("t")]}]);
    let expected = Citation {
        url: Some("https://a".into()),
        title: Some("t".into()),
        quote: Some("q".into()),
        span: Some((2, 4)),
    };
    assert_eq!(answer(content, "end_turn").unwrap().outputs[0].citations[..], *std::slice::from_ref(&expected));
    let [last, end] = stop("end_turn");
    let (events, _) = stream(&[
        start(json!({"type": "text", "text": "é1"})),
        start(json!({"type": "text", "text": "", "citations": []})),
        delta(json!({"type": "citations_delta", "citation": cited("t")})),
        delta(json!({"type": "text_delta", "text": "23"})),
        last,
        end,
    ]);
    assert_eq!(Response::fold(&events).outputs[0].citations, [expected]);
}

#[test]
fn a_call_without_arguments_has_none_and_one_that_comes_whole_has_its_own() {
    for (input, deltas, expected) in [
        (json!({}), vec![""], ""),
        (json!({"a": 1}), vec![], r#"{"a":1}"#),
        (json!({"a": 1}), vec!["{\"b\"", ":2}"], r#"{"b":2}"#),
    ] {
        let mut messages = vec![start(json!({"type": "tool_use", "id": "t", "name": "f", "input": input}))];
        messages.extend(deltas.iter().map(|json| delta(json!({"type": "input_json_delta", "partial_json": json}))));
        messages.extend(stop("tool_use"));
        let (events, ended) = stream(&messages);
        assert_eq!(ended, Ok(()));
        let [Part::ToolCall(call)] = &Response::fold(&events).outputs[0].parts[..] else { panic!("{events:?}") };
        assert_eq!((call.id.as_str(), call.name.as_str(), call.arguments.as_str()), ("t", "f", expected));
    }
}

#[test]
fn what_runs_at_the_provider_is_no_call_of_the_clients() {
    let mut messages = vec![
        start(json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})),
        delta(json!({"type": "input_json_delta", "partial_json": "{}"})),
        json!({"type": "content_block_stop", "index": 0}),
        start(json!({"type": "of_2027", "text": 5, "content": [{}]})),
        delta(json!({"type": "of_2027_delta", "content": 1, "text": 5})),
        json!({"type": "ping"}),
        json!({"type": "event_of_2027", "delta": 1}),
    ];
    messages.extend(stop("end_turn"));
    let (events, ended) = stream(&messages);
    assert_eq!(ended, Ok(()));
    let blocks = events.iter().filter(|event| matches!(event, Event::Open(Block::Opaque))).count();
    assert_eq!((blocks, events.iter().any(|event| matches!(event, Event::Delta(_)))), (2, false));
    let content = json!([{"type": "of_2027", "text": 5}, {"type": "text", "text": "a", "extra": {}}]);
    let parts = answer(content, "end_turn").unwrap().outputs.remove(0).parts;
    assert!(matches!(&parts[..], [Part::Opaque { .. }, Part::Text(_)]));
}

#[test]
fn signed_thinking_keeps_its_signature_even_without_a_text() {
    let mut messages = vec![
        start(json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(json!({"type": "signature_delta", "signature": "s"})),
        start(json!({"type": "redacted_thinking", "data": "d"})),
    ];
    messages.extend(stop("end_turn"));
    let (events, _) = stream(&messages);
    let content =
        json!([{"type": "thinking", "thinking": "", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]);
    let whole = answer(content, "end_turn").unwrap();
    assert_eq!(Response::fold(&events).outputs[0].parts, whole.outputs[0].parts);
}

#[test]
fn nothing_is_promised_before_the_first_message_and_nothing_follows_the_last() {
    let mut decoder = Anthropic.decoder();
    let mut events = Vec::new();
    let early = Frame { data: Some(start(json!({"type": "text"})).to_string().into()), ..Frame::default() };
    assert!(decoder.push(&early, &mut events).is_err() && events.is_empty());
    let mut messages = vec![start(json!({"type": "text", "text": "a"}))];
    messages.extend(stop("end_turn"));
    let length = stream(&messages).0.len();
    messages.push(start(json!({"type": "text", "text": "b"})));
    assert_eq!(stream(&messages).0.len(), length);
}

#[test]
fn a_stream_that_breaks_off_is_an_error_even_after_its_reason_to_stop() {
    let (events, ended) = stream(&[start(json!({"type": "text", "text": "a"})), stop("end_turn")[0].clone()]);
    assert_eq!(ended.unwrap_err().reason, Some("truncated"));
    assert!(!events.iter().any(|event| matches!(event, Event::Finish(_))));
    let mut decoder = Anthropic.decoder();
    assert!(decoder.end(&mut Vec::new()).is_err());
}

#[test]
fn errors_inside_a_stream_or_a_200_go_by_their_type() {
    for (kind, expected) in [
        ("overloaded_error", ErrorKind::Overloaded),
        ("rate_limit_error", ErrorKind::RateLimited),
        ("authentication_error", ErrorKind::UpstreamAuth),
        ("invalid_request_error", ErrorKind::InvalidRequest),
        ("of_2027", ErrorKind::Upstream),
    ] {
        let body = json!({"type": "error", "error": {"type": kind, "message": "why"}});
        let (_, ended) = stream(std::slice::from_ref(&body));
        let error = ended.unwrap_err();
        assert_eq!((error.kind, error.message.as_str(), error.upstream_status), (expected, "why", None));
        assert_eq!(Anthropic.decode_response(body.to_string().as_bytes()).unwrap_err(), error);
    }
}

#[test]
fn errors_by_status_and_words() {
    let read = |status: u16, kind: &str, message: &str| {
        let body = json!({"type": "error", "error": {"type": kind, "message": message}});
        Anthropic.decode_error(status, body.to_string().as_bytes())
    };
    let invalid = "invalid_request_error";
    for (status, kind, message, expected) in [
        (400, invalid, "`temperature` is deprecated for this model.", ErrorKind::InvalidRequest),
        (400, invalid, "prompt is too long: 210000 tokens > 200000 maximum", ErrorKind::ContextLength),
        (400, invalid, "input length and `max_tokens` exceed context limit: 1 + 2 > 3", ErrorKind::ContextLength),
        (400, invalid, "Output blocked by content filtering policy", ErrorKind::ContentPolicy),
        (400, invalid, "Your credit balance is too low to access the Anthropic API.", ErrorKind::QuotaExceeded),
        (401, "authentication_error", "invalid x-api-key", ErrorKind::UpstreamAuth),
        (402, "billing_error", "", ErrorKind::QuotaExceeded),
        (403, "permission_error", "no", ErrorKind::UpstreamAuth),
        (408, "", "", ErrorKind::Timeout),
        (409, "", "", ErrorKind::Conflict),
        (413, "request_too_large", "", ErrorKind::TooLarge),
        (418, "", "", ErrorKind::InvalidRequest),
        (422, "", "", ErrorKind::Unprocessable),
        (429, "rate_limit_error", "", ErrorKind::RateLimited),
        (500, "overloaded_error", "", ErrorKind::Overloaded),
        (502, "api_error", "", ErrorKind::Upstream),
        (503, "", "", ErrorKind::Overloaded),
        (504, "timeout_error", "", ErrorKind::Timeout),
        (529, "overloaded_error", "", ErrorKind::Overloaded),
    ] {
        let error = read(status, kind, message);
        assert_eq!((error.kind, error.upstream_status), (expected, Some(status)), "{status} {message}");
    }
    assert_eq!(read(404, "not_found_error", "model: claude-x").code.as_deref(), Some("model_not_found"));
    assert_eq!(read(401, "", "").reason, Some("auth"));
}

#[test]
fn only_an_error_in_anthropics_own_shape_is_handed_on_as_it_is() {
    let raw = |body: &str| Anthropic.decode_error(400, body.as_bytes()).raw.is_some();
    assert!(raw(r#"{"type":"error","error":{"type":"invalid_request_error","message":"why"}}"#));
    // Bedrock's, in front of the same models.
    assert!(!raw(r#"{"message":"why"}"#));
}

#[test]
fn errors_of_any_shape_are_read_and_markup_is_not_shown() {
    let read = |body: &str| Anthropic.decode_error(502, body.as_bytes()).message;
    for body in [
        r#"{"error":{"message":"why"}}"#,
        r#"{"error":"why"}"#,
        r#"{"detail":"why"}"#,
        r#"[{"message":"why"}]"#,
        " why\n",
    ] {
        assert_eq!(read(body), "why", "{body}");
    }
    for body in ["", "<html>why</html>", "{}", r#"{"error":null}"#, "{\"error\":", "null"] {
        assert!(["null", "the provider answered 502 with no readable error"].contains(&read(body).as_str()), "{body}");
    }
}

#[test]
fn a_delta_to_a_text_reaches_the_client_as_it_came() {
    let (events, _) = stream(&[
        start(json!({"type": "text", "text": ""})),
        delta(json!({"type": "text_delta", "text": "a\u{1F600}"})),
        delta(json!({"type": "text_delta", "text": ""})),
    ]);
    assert_eq!(events[1..], [Event::Open(Block::Text), Event::Delta(Delta::Text("a\u{1F600}".into()))]);
}

#[test]
fn what_was_billed_beside_the_answer_is_told_once_and_in_no_total() {
    let iteration = |kind: &str, model: &str, input: u64, output: u64| {
        json!({"type": kind, "model": model, "input_tokens": input, "output_tokens": output,
            "cache_read_input_tokens": 5, "cache_creation_input_tokens": 0})
    };
    let usage = |iterations: Value| {
        let body = json!({"content": [], "stop_reason": "end_turn", "usage": {
            "input_tokens": 30, "output_tokens": 3, "iterations": iterations,
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
        }});
        Anthropic.decode_response(body.to_string().as_bytes()).unwrap().usage.unwrap()
    };
    let beside = |usage: &Usage| -> Vec<(Option<String>, u64, u64)> {
        usage.beside.iter().map(|it| (it.model.clone(), it.usage.input, it.usage.output)).collect()
    };
    let adviser = usage(json!([
        iteration("message", "a", 10, 1), iteration("advisor_message", "b", 70, 7), iteration("message", "a", 20, 2),
        {"type": "compaction", "input_tokens": 100, "output_tokens": 9}, {"type": "of_next_year", "input_tokens": 1},
    ]));
    assert_eq!((adviser.total(), adviser.extra()), (33, 75 + 7 + 109));
    assert_eq!(beside(&adviser), [(Some("b".to_owned()), 75, 7), (None, 100, 9)]);
    assert_eq!((adviser.web_searches, adviser.web_fetches), (2, 1));
    let fallback = usage(json!([iteration("message", "a", 40, 0), iteration("fallback_message", "b", 30, 3)]));
    assert_eq!(beside(&fallback), [(Some("a".to_owned()), 45, 0)]);
    assert_eq!((usage(json!("many")).total(), usage(Value::Null).extra()), (33, 0));
}
