//! What answers of all sorts, whole and streamed, mean.

use serde_json::{Value, json};

use crate::{
    Outbound, ProtocolId,
    ir::{ApiError, Block, Citation, Delta, ErrorKind, Event, FinishReason, Grammar, Part, Response, Signature},
    openai_responses::OpenAiResponses,
    sse::Framer,
};

fn read(stream: &str) -> (Vec<Event>, Result<(), ApiError>) {
    let mut framer = Framer::new(1 << 20);
    framer.push(stream.as_bytes());
    let mut decoder = OpenAiResponses.decoder();
    let mut events = Vec::new();
    let mut read = Ok(());
    while let Some(frame) = framer.next_frame().unwrap() {
        read = read.and_then(|()| decoder.push(&frame, &mut events));
    }
    let ended = read.and_then(|()| decoder.end(&mut events));
    let mut grammar = Grammar::default();
    events.iter().for_each(|event| grammar.accept(event).unwrap_or_else(|why| panic!("{}: {events:?}", why.0)));
    (events, ended)
}

/// A stream of the given messages between a beginning and an end.
fn told(messages: &[Value]) -> Response {
    let end = completed(json!([]));
    let begin =
        json!({"type": "response.created", "response": {"id": "resp_1", "model": "m", "status": "in_progress"}});
    let all = [begin].into_iter().chain(messages.iter().cloned()).chain([end]);
    let stream: String = all.map(|message| format!("data: {message}\n\n")).collect();
    let (events, ended) = read(&stream);
    assert_eq!(ended, Ok(()));
    Response::fold(&events)
}

fn completed(output: Value) -> Value {
    json!({"type": "response.completed", "response": {"id": "resp_1", "model": "m", "status": "completed", "output": output}})
}

fn added(index: u64, item: Value) -> Value {
    json!({"type": "response.output_item.added", "output_index": index, "item": item})
}

fn done(index: u64, item: Value) -> Value {
    json!({"type": "response.output_item.done", "output_index": index, "item": item})
}

fn delta(kind: &str, index: u64, text: &str) -> Value {
    json!({"type": format!("response.{kind}.delta"), "output_index": index, "content_index": 0, "delta": text})
}

fn call(id: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "id": "fc", "call_id": id, "name": "f", "arguments": arguments})
}

fn message(text: &str) -> Value {
    json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text, "annotations": []}]})
}

/// The parts in short.
fn short(response: &Response) -> Vec<String> {
    let parts = response.outputs[0].parts.iter();
    parts
        .map(|part| match part {
            Part::Text(text) => format!("text {}", text.text),
            Part::Reasoning(reasoning) => {
                let signature = reasoning.signature.as_ref().map_or("", |signature| &signature.value);
                format!("reasoning {} {signature}", reasoning.text)
            }
            Part::Refusal(text) => format!("refusal {text}"),
            Part::ToolCall(call) => format!("call {} {} {} {}", call.id, call.name, call.arguments, call.custom),
            Part::Media(media) => format!("media {}", media.mime.as_deref().unwrap_or_default()),
            Part::Opaque { .. } | Part::ToolResult(_) => "other".to_owned(),
        })
        .collect()
}

#[test]
fn items_that_come_side_by_side_are_told_one_after_the_other() {
    let response = told(&[
        added(0, json!({"type": "message", "content": []})),
        added(1, call("a", "")),
        added(2, call("b", "")),
        delta("function_call_arguments", 2, "{\"b\""),
        delta("output_text", 0, "Hi"),
        delta("function_call_arguments", 1, "{}"),
        delta("output_text", 0, "!"),
        done(0, message("Hi!")),
        delta("function_call_arguments", 2, ":1}"),
        done(2, call("b", "{\"b\":1}")),
        done(1, call("a", "{}")),
    ]);
    assert_eq!(short(&response), ["text Hi!", "call a f {} false", "call b f {\"b\":1} false"]);
    assert_eq!(response.outputs[0].reason(), FinishReason::ToolCalls);
}

#[test]
fn text_reaches_the_client_while_it_comes() {
    let begin = added(0, json!({"type": "message", "content": []}));
    let stream: String =
        [begin, delta("output_text", 0, "Hi")].iter().map(|told| format!("data: {told}\n\n")).collect();
    let (events, ended) = read(&stream);
    assert_eq!(events.last(), Some(&Event::Delta(Delta::Text("Hi".into()))));
    assert_eq!(ended.unwrap_err().reason, Some("truncated"));
}

#[test]
fn what_is_told_at_the_end_of_an_item_alone_is_not_lost() {
    let arguments =
        json!({"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "{\"a\":1}"});
    for messages in [
        vec![added(0, call("a", "")), arguments.clone(), done(0, call("a", "{\"a\":1}"))],
        vec![added(0, call("a", "")), done(0, call("a", "{\"a\":1}"))],
        vec![added(0, call("a", "")), delta("function_call_arguments", 0, "{\"a\""), done(0, call("a", "{\"a\":1}"))],
        vec![arguments, done(0, call("a", "{\"a\":1}"))],
        vec![done(0, call("a", "{\"a\":1}"))],
        vec![done(0, json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": {"a": 1}}))],
    ] {
        assert_eq!(short(&told(&messages)), ["call a f {\"a\":1} false"], "{messages:?}");
    }
}

#[test]
fn an_item_that_never_ends_is_ended_by_what_the_whole_answer_says_of_it() {
    let stream = |output| {
        let messages = [added(0, call("a", "")), delta("function_call_arguments", 0, "{\"a\""), completed(output)];
        let (events, ended) = read(&messages.map(|message| format!("data: {message}\n\n")).concat());
        assert_eq!(ended, Ok(()));
        short(&Response::fold(&events))
    };
    assert_eq!(stream(json!([call("a", "{\"a\":1}")])), ["call a f {\"a\":1} false"]);
    assert_eq!(stream(json!([])), ["call a f {\"a\" false"]);
    assert_eq!(stream(json!([message("x")])), ["call a f {\"a\" false"]);
}

#[test]
fn a_call_without_an_id_gets_one_of_its_own() {
    let nameless = json!({"type": "function_call", "name": "f", "arguments": "{}"});
    let response = told(&[done(0, nameless.clone()), done(1, nameless)]);
    let ids: Vec<_> = response.outputs[0]
        .parts
        .iter()
        .map(|part| if let Part::ToolCall(call) = part { &call.id } else { panic!() })
        .collect();
    assert!(!ids[0].is_empty() && ids[0] != ids[1]);
}

#[test]
fn free_text_goes_to_free_text_tools() {
    let item = |input: &str| json!({"type": "custom_tool_call", "call_id": "a", "name": "patch", "input": input});
    let response = told(&[added(0, item("")), delta("custom_tool_call_input", 0, "a\nb"), done(0, item("a\nb"))]);
    assert_eq!(short(&response), ["call a patch a\nb true"]);
}

#[test]
fn reasoning_is_one_block_under_one_signature() {
    let summary = |index: u64, text: &str| json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": index, "delta": text});
    let item = json!({"type": "reasoning", "summary": [{"text": "one"}, {"text": "two"}], "encrypted_content": "s"});
    let response = told(&[
        added(0, json!({"type": "reasoning", "summary": [], "encrypted_content": "not yet"})),
        summary(0, "on"),
        summary(0, "e"),
        summary(1, "two"),
        done(0, item),
        done(1, message("x")),
    ]);
    assert_eq!(short(&response), ["reasoning one\n\ntwo s", "text x"]);
    let Part::Reasoning(reasoning) = &response.outputs[0].parts[0] else { panic!() };
    let signature = Signature { origin: ProtocolId::OpenAiResponses, value: "s".into() };
    assert_eq!(reasoning.signature, Some(signature));
    let silent = json!({"type": "reasoning", "summary": []});
    assert_eq!(short(&told(&[added(0, silent.clone()), done(0, silent)])), Vec::<String>::new());
    let proof = json!({"type": "reasoning", "summary": [], "encrypted_content": "s"});
    assert_eq!(short(&told(&[done(0, proof)])), ["reasoning  s"]);
    let plain = json!({"type": "reasoning", "content": [{"type": "reasoning_text", "text": "why"}]});
    assert_eq!(short(&told(&[delta("reasoning_text", 0, "wh"), done(0, plain)])), ["reasoning why "]);
}

#[test]
fn sources_point_into_the_text_of_the_whole_answer() {
    let source = |start: u64| json!({"type": "url_citation", "url": "u", "title": "t", "start_index": start, "end_index": start + 1});
    let cited = json!({"type": "response.output_text.annotation.added", "output_index": 1, "content_index": 0, "annotation": source(0)});
    let both = json!({"type": "message", "content": [{"type": "output_text", "text": "def", "annotations": [source(0), source(2), {"type": "container_file_citation", "file_id": "f"}]}]});
    let response = told(&[done(0, message("äbc")), delta("output_text", 1, "def"), cited, done(1, both)]);
    let citation = |start| Citation {
        url: Some("u".into()),
        title: Some("t".into()),
        quote: None,
        span: Some((start, start + 1)),
    };
    assert_eq!(response.outputs[0].citations, [citation(3), citation(5)]);
}

#[test]
fn refusals_pictures_and_probabilities_are_kept() {
    let refusal = json!({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]});
    let streamed = told(&[delta("refusal", 0, "N"), delta("refusal", 0, "o."), done(0, refusal.clone())]);
    assert_eq!(short(&streamed), ["refusal No."]);
    assert_eq!(
        (short(&told(&[done(0, refusal)])), streamed.outputs[0].reason()),
        (vec!["refusal No.".to_owned()], FinishReason::Stop)
    );
    let picture = json!({"type": "image_generation_call", "result": "eA==", "output_format": "webp"});
    assert_eq!(short(&told(&[done(0, picture)])), ["media image/webp"]);
    let token = |token: &str| json!({"token": token, "logprob": -0.5});
    let mut piece = delta("output_text", 0, "a");
    piece["logprobs"] = json!([token("a")]);
    let whole = json!({"type": "message", "content": [{"type": "output_text", "text": "a", "logprobs": [token("a")]}]});
    for messages in [vec![piece, done(0, whole.clone())], vec![done(0, whole)]] {
        let logprobs = told(&messages).outputs[0].logprobs.as_ref().map(ToString::to_string);
        assert_eq!(logprobs.as_deref(), Some(r#"{"content":[{"logprob":-0.5,"token":"a"}]}"#));
    }
}

#[test]
fn tools_that_ran_at_the_provider_are_passed_over() {
    let search = json!({"type": "web_search_call", "id": "ws", "status": "completed"});
    let stream: String =
        [added(0, search.clone()), done(0, search.clone()), done(1, message("x")), completed(json!([]))]
            .map(|message| format!("data: {message}\n\n"))
            .concat();
    let (events, _) = read(&stream);
    assert_eq!(events[1..3], [Event::Open(Block::Opaque), Event::Close]);
    assert_eq!(short(&Response::fold(&events)), ["text x"]);
    let whole = json!({"id": "r", "status": "completed", "output": [search, message("x")]});
    let whole = OpenAiResponses.decode_response(whole.to_string().as_bytes()).unwrap();
    assert_eq!(short(&whole), ["other", "text x"]);
}

#[test]
fn the_end_says_why() {
    for (status, why, reason, raw) in [
        ("completed", Value::Null, FinishReason::Stop, "completed"),
        ("incomplete", json!({"reason": "max_output_tokens"}), FinishReason::Length, "max_output_tokens"),
        ("incomplete", json!({"reason": "content_filter"}), FinishReason::ContentFilter, "content_filter"),
        ("incomplete", Value::Null, FinishReason::Length, "incomplete"),
        ("queued", Value::Null, FinishReason::Pause, "queued"),
    ] {
        let whole = json!({"id": "r", "status": status, "incomplete_details": why, "output": []});
        let finish =
            OpenAiResponses.decode_response(whole.to_string().as_bytes()).unwrap().outputs[0].finish.clone().unwrap();
        assert_eq!((finish.reason, finish.raw.as_str()), (reason, raw));
        let stream = format!("data: {}\n\n", json!({"type": format!("response.{status}"), "response": whole}));
        if status != "queued" {
            assert_eq!(read(&stream).0.last(), Some(&Event::Finish(finish)));
        }
    }
}

#[test]
fn a_failure_inside_a_200_is_an_error_of_its_own_kind() {
    let failed =
        |error: Value| json!({"type": "response.failed", "response": {"id": "r", "status": "failed", "error": error}});
    for (message, kind) in [
        (failed(json!({"code": "server_error", "message": "m"})), ErrorKind::Upstream),
        (failed(json!({"code": "rate_limit_exceeded", "message": "m"})), ErrorKind::RateLimited),
        (failed(json!({"code": "context_length_exceeded", "message": "m"})), ErrorKind::ContextLength),
        (failed(Value::Null), ErrorKind::Upstream),
        (json!({"type": "error", "code": "server_error", "message": "m"}), ErrorKind::Upstream),
        (
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "m"}}),
            ErrorKind::InvalidRequest,
        ),
    ] {
        let (events, ended) = read(&format!("data: {message}\n\n"));
        assert_eq!((events.len(), ended.unwrap_err().kind), (0, kind), "{message}");
        if let Some(whole) = message.get("response") {
            assert_eq!(OpenAiResponses.decode_response(whole.to_string().as_bytes()).unwrap_err().kind, kind);
        }
    }
    let (events, ended) = read("event: error\ndata: {\"message\":\"m\"}\n\n");
    assert_eq!((events.len(), ended.unwrap_err().message.as_str()), (0, "m"));
}

#[test]
fn only_the_protocols_own_sign_ends_a_stream() {
    let text = delta("output_text", 0, "a");
    for stream in [format!("data: {text}\n\n"), format!("data: {text}\n\ndata: [DONE]\n\n"), String::new()] {
        assert_eq!(read(&stream).1.unwrap_err().reason, Some("truncated"), "{stream}");
    }
    let whole = completed(json!([message("a")]));
    assert_eq!(read(&format!("data: {whole}\n\ndata: [DONE]\n\n")).1, Ok(()));
}

#[test]
fn nonsense_is_told_from_answers() {
    for body in ["", "[]", "{}", "{\"output\":null}", "\"x\"", "<html>"] {
        assert_eq!(OpenAiResponses.decode_response(body.as_bytes()).unwrap_err().reason, Some("malformed"), "{body}");
    }
    let detail = OpenAiResponses.decode_response(b"{\"error\":{\"message\":\"m\",\"code\":\"invalid_api_key\"}}");
    assert_eq!(detail.unwrap_err().kind, ErrorKind::UpstreamAuth);
    assert!(read("data: {\n\n").1.is_err());
    assert_eq!(
        short(&told(&[json!({"type": "response.later.delta", "delta": {"a": 1}}), json!({"type": "later"})])),
        Vec::<String>::new()
    );
}
