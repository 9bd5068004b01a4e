//! Anthropic's recorded answers, streams and errors, compared with what its own SDK makes of them.

use std::{env, fs, path::PathBuf};

use llm_protocol::{
    Outbound,
    anthropic::Anthropic,
    ir::{ApiError, ErrorKind, Event, FinishReason, Grammar, Part, Response},
    sse::{Frame, Framer},
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Where the provider explains a refusal, the recording's reader did not look.
const EXPLAINED_REFUSALS: [&str; 2] = ["doc-an-refusal", "doc-an-refusal-stream"];

struct Fixture(Value);

impl Fixture {
    fn id(&self) -> &str {
        self.0["id"].as_str().unwrap()
    }

    fn status(&self) -> u16 {
        self.0["response"]["status"].as_u64().unwrap().try_into().unwrap()
    }

    fn is_stream(&self) -> bool {
        self.0["response"]["sse_text"].is_string()
    }

    fn body(&self) -> Vec<u8> {
        let response = &self.0["response"];
        let text = response["sse_text"].as_str().or(response["body_text"].as_str());
        text.map_or_else(|| serde_json::to_vec(&response["body"]).unwrap(), |text| text.as_bytes().to_vec())
    }

    fn expect(&self) -> &Value {
        &self.0["expect"]
    }
}

/// All of Anthropic's, or none where the folder of fixtures is not named.
fn fixtures() -> Vec<Fixture> {
    let Some(folder) = env::var_os("CONFORMANCE_FIXTURES").map(PathBuf::from) else {
        println!("skipped: CONFORMANCE_FIXTURES does not name the folder of fixtures");
        return Vec::new();
    };
    let folders = ["public", "documented"].map(|kind| folder.join(kind).join("anthropic_messages"));
    let mut paths: Vec<PathBuf> =
        folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| Fixture(serde_json::from_slice(&fs::read(path).unwrap()).unwrap())).collect()
}

fn frames(stream: &[u8], piece: usize) -> Vec<Frame> {
    let mut framer = Framer::new(1 << 24);
    let mut frames = Vec::new();
    for piece in stream.chunks(piece.max(1)) {
        framer.push(piece);
        while let Some(frame) = framer.next_frame().unwrap() {
            frames.push(frame);
        }
    }
    frames.extend(framer.finish());
    frames
}

/// The events up to the stream's end or its error. They obey the grammar, whatever the stream.
fn events(stream: &[u8], piece: usize) -> (Vec<Event>, Result<(), ApiError>) {
    let mut decoder = Anthropic.decoder();
    let mut events = Vec::new();
    let read = frames(stream, piece).iter().try_for_each(|frame| decoder.push(frame, &mut events));
    let ended = read.and_then(|()| decoder.end(&mut events));
    let mut grammar = Grammar::default();
    for event in &events {
        grammar.accept(event).unwrap_or_else(|why| panic!("{}: {event:?}", why.0));
    }
    assert!(ended.is_err() || grammar.finished());
    (events, ended)
}

fn texts(response: &Response, pick: impl Fn(&Part) -> Option<&str>) -> String {
    response.outputs[0].parts.iter().filter_map(pick).collect()
}

/// What a decoded answer says, in the fixtures' words.
fn told(response: &Response) -> Value {
    let output = &response.outputs[0];
    let calls: Vec<Value> = output
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall(call) => {
                let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
                let arguments: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!(call.arguments));
                Some(json!({"id": call.id, "name": call.name, "arguments": arguments}))
            }
            _ => None,
        })
        .collect();
    let refusal = texts(response, |part| if let Part::Refusal(text) = part { Some(text) } else { None });
    let usage = response.usage.map(|usage| {
        json!({
            "input_total": usage.input, "output_total": usage.output, "reasoning": usage.reasoning,
            "cache_read": usage.cache_read, "cache_write": usage.cache_write,
        })
    });
    json!({
        "id": response.id,
        "model": response.model,
        "text": texts(response, |part| if let Part::Text(part) = part { Some(&part.text) } else { None }),
        "reasoning_text": texts(response, |part| if let Part::Reasoning(part) = part { Some(&part.text) } else { None }),
        "refusal": (!refusal.is_empty()).then_some(refusal),
        "tool_calls": calls,
        "finish_native": output.finish.as_ref().map(|finish| &finish.raw),
        "usage": usage,
    })
}

fn finish_word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Pause => "pause_turn",
    }
}

/// What differs from the expectation.
fn differences(fixture: &Fixture, response: &Response) -> Vec<String> {
    let told = told(response);
    let mut wrong: Vec<String> = told
        .as_object()
        .unwrap()
        .iter()
        .filter(|(key, _)| *key != "refusal" || !EXPLAINED_REFUSALS.contains(&fixture.id()))
        .filter(|(key, value)| fixture.expect()[*key] != **value)
        .map(|(key, value)| format!("{} {key}: {value} instead of {}", fixture.id(), fixture.expect()[key]))
        .collect();
    if let (Some(finish), Some(allowed)) =
        (&response.outputs[0].finish, fixture.expect()["finish_openai_ok"].as_array())
        && !allowed.contains(&json!(finish_word(finish.reason)))
    {
        wrong.push(format!("{}: finished with {:?}", fixture.id(), finish.reason));
    }
    if response.outputs[0].finish.as_ref().map(|finish| json!(finish.stop_sequence))
        != fixture.expect().get("stop_sequence").cloned().or(Some(Value::Null))
        && fixture.expect()["finish_native"].is_string()
    {
        wrong.push(format!("{}: stop sequence", fixture.id()));
    }
    wrong
}

fn check_stream(fixture: &Fixture) -> Vec<String> {
    let (whole, ended) = events(&fixture.body(), usize::MAX);
    let mut wrong = Vec::new();
    if events(&fixture.body(), 1) != (whole.clone(), ended.clone()) {
        wrong.push(format!("{}: reads otherwise in small pieces", fixture.id()));
    }
    match (ended, fixture.expect().get("error")) {
        (Ok(()), None) => {}
        (Err(error), Some(expected)) => {
            if json!(error.message) != expected["message"] || error.kind != ErrorKind::Overloaded {
                wrong.push(format!("{}: {error:?}", fixture.id()));
            }
        }
        (ended, expected) => wrong.push(format!("{}: {ended:?} instead of {expected:?}", fixture.id())),
    }
    wrong.extend(differences(fixture, &Response::fold(&whole)));
    wrong
}

fn check_whole(fixture: &Fixture) -> Vec<String> {
    match Anthropic.decode_response(&fixture.body()) {
        Ok(response) => differences(fixture, &response),
        Err(error) => vec![format!("{}: {error:?}", fixture.id())],
    }
}

fn check_error(fixture: &Fixture) -> Vec<String> {
    let error = Anthropic.decode_error(fixture.status(), &fixture.body());
    let kind = match fixture.status() {
        400 => ErrorKind::InvalidRequest,
        401 => ErrorKind::UpstreamAuth,
        404 => ErrorKind::NotFound,
        413 => ErrorKind::TooLarge,
        429 => ErrorKind::RateLimited,
        500 => ErrorKind::Upstream,
        _ => ErrorKind::Overloaded,
    };
    let right = json!(error.message) == fixture.expect()["error"]["message"]
        && error.kind == kind
        && error.upstream_status == Some(fixture.status());
    if right { Vec::new() } else { vec![format!("{}: {error:?}", fixture.id())] }
}

#[test]
fn recorded_answers_streams_and_errors_mean_what_the_sdk_says_they_mean() {
    let fixtures = fixtures();
    let mut wrong = Vec::new();
    let mut passed = 0;
    for fixture in &fixtures {
        let found = match fixture.status() {
            400.. => check_error(fixture),
            _ if fixture.is_stream() => check_stream(fixture),
            _ => check_whole(fixture),
        };
        passed += usize::from(found.is_empty());
        wrong.extend(found);
    }
    println!("anthropic: {passed} of {} fixtures", fixtures.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_stream_cut_at_any_byte_ends_legally_or_fails() {
    for fixture in fixtures().iter().filter(|fixture| fixture.is_stream() && fixture.body().len() < 6000) {
        let body = fixture.body();
        let (whole, complete) = events(&body, usize::MAX);
        for cut in 0..body.len() {
            let (some, ended) = events(&body[..cut], usize::MAX);
            if ended.is_ok() {
                assert!(complete.is_ok() && some == whole, "{} cut at {cut}", fixture.id());
            }
        }
    }
}

#[test]
fn an_explained_refusal_is_told_in_the_providers_words() {
    for fixture in fixtures().iter().filter(|fixture| EXPLAINED_REFUSALS.contains(&fixture.id())) {
        let response = match fixture.is_stream() {
            true => Response::fold(&events(&fixture.body(), usize::MAX).0),
            false => Anthropic.decode_response(&fixture.body()).unwrap(),
        };
        let refusal = texts(&response, |part| if let Part::Refusal(text) = part { Some(text) } else { None });
        assert!(refusal.contains("violative cyber content"), "{refusal}");
        assert_eq!(response.outputs[0].reason(), FinishReason::ContentFilter);
    }
}

const KINDS: [&str; 9] = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "ping",
    "error",
    "later",
];

fn message() -> impl Strategy<Value = String> {
    let block =
        prop::sample::select(vec!["text", "thinking", "redacted_thinking", "tool_use", "web_fetch_tool_result"]);
    let delta =
        prop::sample::select(vec!["text_delta", "thinking_delta", "signature_delta", "input_json_delta", "later"]);
    let reason = prop::sample::select(vec!["end_turn", "tool_use", "refusal", "pause_turn", "later"]);
    (prop::sample::select(KINDS.to_vec()), block, delta, reason, ".{0,4}").prop_map(
        |(kind, block, delta, reason, text)| {
            json!({
                "type": kind,
                "message": {"id": text, "usage": {"input_tokens": 1}},
                "content_block": {"type": block, "text": text, "input": {"a": text}, "id": "x", "name": text},
                "delta": {"type": delta, "text": text, "thinking": text, "partial_json": text, "stop_reason": reason,
                          "signature": text, "stop_details": {"explanation": text}},
            })
            .to_string()
        },
    )
}

proptest! {
    #[test]
    fn any_order_of_messages_obeys_the_grammar_or_fails(messages in prop::collection::vec(message(), 0..24)) {
        let stream: String = messages.iter().map(|message| format!("data: {message}\n\n")).collect();
        let _ = events(stream.as_bytes(), usize::MAX);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), status in 100u16..600) {
        let _ = events(&bytes, usize::MAX);
        let mut framed = b"data: ".to_vec();
        framed.extend_from_slice(&bytes);
        framed.extend_from_slice(b"\n\n");
        let _ = events(&framed, usize::MAX);
        let _ = Anthropic.decode_response(&bytes);
        prop_assert!(Anthropic.decode_error(status, &bytes).status() >= 400);
    }
}
