//! OpenAI's Responses protocol against recorded traffic of everybody who speaks it.

use llm_protocol::{
    Envelope, Inbound, Outbound, Served,
    ir::{ErrorKind, Event, FinishReason, Part, Response, ToolCall},
    openai_responses::OpenAiResponses,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures::{
    Fixture, WHOLE, arguments, calls, check_all, check_cuts, check_garbage, events, finish_word, reasoning, recorded,
    refusal, text,
};

/// What a decoded answer says, in the fixtures' words.
fn told(response: &Response) -> Value {
    let call = |call: &&ToolCall| {
        if call.custom {
            return json!({"id": call.id, "name": call.name, "input": call.arguments});
        }
        let unparsed = || json!({ "__unparsed__": call.arguments });
        let arguments: Value = serde_json::from_str(arguments(call)).unwrap_or_else(|_| unparsed());
        json!({"id": call.id, "name": call.name, "arguments": arguments})
    };
    let refusal = refusal(response);
    json!({
        "id": response.id,
        "model": response.model,
        "text": text(response),
        "refusal": (!refusal.is_empty()).then_some(refusal),
        "tool_calls": calls(response).iter().map(call).collect::<Vec<_>>(),
    })
}

/// What differs from the expectation.
fn differences(fixture: &Fixture, response: &Response) -> Vec<String> {
    let expect = &fixture.expect;
    // Ids that change from event to event: the first is as good as the last.
    let rotating = fixture.id.contains("id-rotation");
    let mut wrong = fixture.unlike(&told(response), |key| key == "id" && rotating);
    // Blank lines that part one thought from the next are ours.
    let told = reasoning(response).replace('\n', "");
    if told != expect["reasoning_text"].as_str().unwrap_or_default().replace('\n', "") {
        wrong.push(format!("reasoning: {told}"));
    }
    let usage = response.usage.clone().unwrap_or_default();
    for (key, ours) in [
        ("input_total", usage.input),
        ("output_total", usage.output),
        ("cache_read", usage.cache_read),
        ("cache_write", usage.cache_write),
        ("reasoning", usage.reasoning.unwrap_or(0)),
    ] {
        if expect["usage"][key].as_u64().unwrap_or(0) != ours {
            wrong.push(format!("{key}: {ours} is not {}", expect["usage"][key]));
        }
    }
    let finish = response.outputs[0].finish.as_ref();
    let native = expect["finish_native"].as_str().map(|native| native.rsplit(':').next().unwrap_or(native));
    if native != finish.map(|finish| finish.raw.as_str()) && expect["error"].is_null() {
        wrong.push(format!("{finish:?} instead of {native:?}"));
    }
    if let Some(accepted) = expect["finish_openai_ok"].as_array()
        && !finish.is_some_and(|finish| accepted.contains(&json!(finish_word(finish.reason))))
    {
        wrong.push(format!("{finish:?} is none of {accepted:?}"));
    }
    wrong
}

fn check_stream(fixture: &Fixture) -> Vec<String> {
    let (events, ended) = fixture.events(&OpenAiResponses);
    let kind = match fixture.expect["error"]["code"].as_str() {
        None => None,
        Some("insufficient_quota") => Some(ErrorKind::QuotaExceeded),
        Some("rate_limit_exceeded") => Some(ErrorKind::RateLimited),
        Some(other) => panic!("{other}"),
    };
    let failed = ended.as_ref().err().map(|error| error.kind);
    let mut wrong = differences(fixture, &Response::fold(&events));
    if failed != kind {
        wrong.push(format!("{ended:?}"));
    }
    wrong
}

fn check_whole(fixture: &Fixture) -> Vec<String> {
    match OpenAiResponses.decode_response(&fixture.body) {
        Ok(response) => differences(fixture, &response),
        Err(error) => vec![format!("{error:?}")],
    }
}

fn check_error(fixture: &Fixture) -> Vec<String> {
    let error = OpenAiResponses.decode_error(fixture.status, &fixture.body);
    let kind = match fixture.status {
        401 => ErrorKind::UpstreamAuth,
        400 if error.message.contains("API key") => ErrorKind::UpstreamAuth,
        429 => ErrorKind::QuotaExceeded,
        _ => ErrorKind::InvalidRequest,
    };
    let expected = &fixture.expect["error"];
    let message = expected["message"].as_str().or(expected.as_str()).unwrap_or("Could not parse your authentication");
    let shown = error.message.contains(&message[..20]);
    let right = error.kind == kind && error.upstream_status == Some(fixture.status) && shown;
    if right { Vec::new() } else { vec![format!("{error:?}")] }
}

#[test]
fn recorded_answers_streams_and_errors_mean_what_the_sdk_says_they_mean() {
    check_all("responses", &recorded("responses"), |fixture| match fixture.status {
        400.. => check_error(fixture),
        _ if fixture.stream => check_stream(fixture),
        _ => check_whole(fixture),
    });
}

#[test]
fn a_stream_cut_at_any_byte_ends_legally_or_fails() {
    check_cuts(&OpenAiResponses, &recorded("responses"));
}

/// What a stream tells of an answer. Proofs of reasoning are made anew each time that a provider tells of them.
fn parts(mut response: Response) -> Vec<Part> {
    response.outputs[0].parts.retain(|part| !matches!(part, Part::Opaque { .. }));
    for part in &mut response.outputs[0].parts {
        if let Part::Reasoning(reasoning) = part
            && let Some(signature) = &mut reasoning.signature
        {
            signature.value.clear();
        }
    }
    response.outputs.swap_remove(0).parts
}

#[test]
fn an_answer_told_at_its_end_alone_says_what_its_stream_says() {
    let fixtures = recorded("responses");
    for fixture in fixtures.iter().filter(|fixture| fixture.stream && fixture.status == 200) {
        let (streamed, Ok(())) = events(&OpenAiResponses, &fixture.body, WHOLE) else { continue };
        let stream = String::from_utf8(fixture.body.clone()).unwrap();
        let last = stream.lines().rev().find(|line| line.starts_with("data: {")).unwrap();
        let last: Value = serde_json::from_str(&last[6..]).unwrap();
        if last["response"]["output"] == json!([]) || fixture.id.contains("id-rotation") {
            continue;
        }
        let (at_once, ended) = events(&OpenAiResponses, format!("data: {last}\n\n").as_bytes(), WHOLE);
        assert_eq!(ended, Ok(()), "{}", fixture.id);
        let (streamed, at_once) = (Response::fold(&streamed), Response::fold(&at_once));
        let whole = OpenAiResponses.decode_response(last["response"].to_string().as_bytes()).unwrap();
        assert_eq!(streamed.outputs[0].citations, at_once.outputs[0].citations, "{}", fixture.id);
        assert_eq!((&whole.usage, whole.outputs[0].reason()), (&at_once.usage, at_once.outputs[0].reason()));
        let at_once = parts(at_once);
        assert_eq!(parts(streamed), at_once, "{}", fixture.id);
        assert_eq!(parts(whole), at_once, "{}", fixture.id);
    }
}

#[test]
fn recorded_proofs_of_reasoning_are_kept() {
    let fixtures = recorded("responses");
    let signed = |fixture: &&Fixture| fixture.has("encrypted_reasoning");
    let mut seen = 0;
    for fixture in fixtures.iter().filter(signed) {
        let response = fixture.answer(&OpenAiResponses).unwrap();
        let proof = |part: &&Part| matches!(part, Part::Reasoning(part) if part.signature.is_some());
        assert!(response.outputs[0].parts.iter().any(|part| proof(&part)), "{}", fixture.id);
        seen += 1;
    }
    assert!(seen > 0 || fixtures.is_empty());
}

#[test]
fn an_answer_that_was_put_off_has_not_ended() {
    for fixture in recorded("responses").iter().filter(|fixture| fixture.expect["finish_native"] == "queued") {
        assert_eq!(fixture.answer(&OpenAiResponses).unwrap().outputs[0].reason(), FinishReason::Pause);
    }
}

const KINDS: [&str; 18] = [
    "response.created",
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.output_text.annotation.added",
    "response.refusal.delta",
    "response.refusal.done",
    "response.reasoning_summary_text.delta",
    "response.reasoning_text.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.custom_tool_call_input.delta",
    "response.completed",
    "response.incomplete",
    "response.failed",
    "error",
    "later",
];

fn message() -> impl Strategy<Value = String> {
    let item = prop::sample::select(vec![
        "message",
        "reasoning",
        "function_call",
        "custom_tool_call",
        "image_generation_call",
        "web_search_call",
    ]);
    (prop::sample::select(KINDS.to_vec()), item, 0u64..3, 0u64..2, ".{0,4}").prop_map(|(kind, item, at, part, text)| {
        let item = json!({
            "type": item, "id": text, "call_id": text, "name": text, "arguments": text, "input": text, "result": "eA==",
            "content": [{"type": "output_text", "text": text, "annotations": [{"type": "url_citation", "url": "u"}]}],
            "summary": [{"text": text}, {"text": text}], "encrypted_content": text,
        });
        json!({
            "type": kind, "output_index": at, "content_index": part, "summary_index": part, "delta": text, "text": text,
            "arguments": text, "refusal": text, "input": text, "item": item, "annotation": {"type": "url_citation"},
            "response": {"id": text, "status": "completed", "output": [item]},
        })
        .to_string()
    })
}

proptest! {
    #[test]
    fn any_order_of_messages_obeys_the_grammar_or_fails(messages in prop::collection::vec(message(), 0..24)) {
        let stream: String = messages.iter().map(|message| format!("data: {message}\n\n")).collect();
        let (events, ended) = events(&OpenAiResponses, stream.as_bytes(), WHOLE);
        prop_assert!(ended.is_ok() || !events.iter().any(|event| matches!(event, Event::Finish(_))));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), status in 100u16..600) {
        check_garbage(&OpenAiResponses, status, &bytes);
    }
}

fn envelope() -> Envelope {
    Envelope {
        request_id: "req_1".to_owned(),
        created: 7,
        model: "asked".to_owned(),
        include_usage: true,
        legacy_functions: false,
        array: false,
    }
}

/// What a client of this protocol is told of an answer, whole or streamed, read again.
fn retold(fixture: &Fixture) -> Option<(Response, Response)> {
    let served = Served { provider: "p".to_owned(), latency_ms: 12 };
    let asked = OpenAiResponses.decode_request(fixture.request.to_string().as_bytes()).unwrap_or_default();
    if !fixture.stream {
        let before = OpenAiResponses.decode_response(&fixture.body).ok()?;
        let body = OpenAiResponses.encode_response(&asked, &before, &envelope(), &served);
        return Some((before, OpenAiResponses.decode_response(&body).unwrap()));
    }
    let (said, Ok(())) = events(&OpenAiResponses, &fixture.body, WHOLE) else { return None };
    let mut encoder = OpenAiResponses.encoder(&asked, envelope());
    let mut out = Vec::new();
    said.iter().for_each(|event| encoder.push(event, &mut out));
    encoder.end(&served, &mut out);
    let (back, ended) = events(&OpenAiResponses, &out, WHOLE);
    assert_eq!(ended, Ok(()), "{}", fixture.id);
    Some((Response::fold(&said), Response::fold(&back)))
}

/// The parts, with texts side by side as one.
fn joined(response: Response) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::new();
    for part in parts(response) {
        match (joined.last_mut(), part) {
            (Some(Part::Text(before)), Part::Text(more)) => before.text.push_str(&more.text),
            (_, part) => joined.push(part),
        }
    }
    joined
}

#[test]
fn an_answer_that_is_written_and_read_again_says_the_same() {
    for fixture in recorded("responses").iter().filter(|fixture| fixture.status == 200) {
        let Some((before, after)) = retold(fixture) else { continue };
        let kept = |response: &Response| {
            let output = &response.outputs[0];
            // Clients are owed every count.
            let usage = response
                .usage
                .as_ref()
                .map(|usage| (usage.input, usage.output, usage.cache_read, usage.reasoning.unwrap_or(0)));
            (usage, output.reason(), output.citations.clone(), output.logprobs.clone())
        };
        if before.outputs[0].reason() != FinishReason::Pause {
            assert_eq!(kept(&before), kept(&after), "{}", fixture.id);
        }
        assert_eq!(joined(before), joined(after), "{}", fixture.id);
    }
}

#[test]
fn texts_keep_the_phase_of_their_message_in_a_stream_and_whole() {
    let phases = |response: &Response| -> Vec<String> {
        let texts = response.outputs[0].parts.iter().filter_map(|part| match part {
            Part::Text(text) => text.signature.as_ref(),
            _ => None,
        });
        texts.map(|signature| signature.value.clone()).collect()
    };
    for fixture in recorded("responses").iter().filter(|fixture| fixture.id == "doc-or-phase") {
        let (events, ended) = fixture.events(&OpenAiResponses);
        assert!(ended.is_ok());
        let streamed = phases(&Response::fold(&events));
        assert!(streamed.contains(&"commentary".to_owned()), "{streamed:?}");
        assert_eq!(streamed.last().map(String::as_str), Some("final_answer"));
    }
    let message =
        |phase: &str| json!({"type": "message", "phase": phase, "content": [{"type": "output_text", "text": phase}]});
    let body = json!({"status": "completed", "output": [message("commentary"), message("final_answer")]});
    let whole = OpenAiResponses.decode_response(body.to_string().as_bytes()).unwrap();
    assert_eq!(phases(&whole), ["commentary", "final_answer"]);
}
