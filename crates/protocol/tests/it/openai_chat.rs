//! OpenAI's chat protocol against recorded traffic of everybody who says to speak it.

use std::{fs, path::PathBuf};

use llm_protocol::{
    Envelope, ErrorContext, Inbound, Outbound, Served, StreamDecoder, Target,
    anthropic::Anthropic,
    gemini::Gemini,
    ir::{ApiError, ErrorKind, Event, FinishReason, Grammar, Losses, Part, Response},
    models::Models,
    openai_chat::OpenAiChat,
    sse::{Frame, Framer},
};
use proptest::prelude::*;
use serde_json::Value;

/// One recorded exchange.
struct Fixture {
    id: String,
    status: u16,
    stream: bool,
    labels: Vec<String>,
    request: Value,
    body: Vec<u8>,
    expect: Value,
}

impl Fixture {
    fn has(&self, label: &str) -> bool {
        self.labels.iter().any(|known| known == label)
    }
}

/// All recordings of this protocol; `None`, and a word about it, where there are none.
fn fixtures() -> Option<Vec<Fixture>> {
    recorded("chat")
}

/// All recordings of `wire`.
fn recorded(wire: &str) -> Option<Vec<Fixture>> {
    let Some(folder) = std::env::var_os("CONFORMANCE_FIXTURES").map(PathBuf::from) else {
        eprintln!("skipped: CONFORMANCE_FIXTURES is not set");
        return None;
    };
    let mut found = Vec::new();
    for part in ["public", "documented"] {
        let index: Value = serde_json::from_slice(&fs::read(folder.join(part).join("index.json")).unwrap()).unwrap();
        let rows = index.as_array().or_else(|| index["fixtures"].as_array()).unwrap().clone();
        for row in rows.iter().filter(|row| row["wire"] == wire) {
            let file = folder.join(part).join(row["file"].as_str().unwrap());
            found.push(fixture(&serde_json::from_slice(&fs::read(file).unwrap()).unwrap()));
        }
    }
    Some(found)
}

fn fixture(file: &Value) -> Fixture {
    let response = &file["response"];
    let text = ["sse_text", "body_text"].iter().find_map(|key| response[*key].as_str());
    Fixture {
        id: file["id"].as_str().unwrap().to_owned(),
        status: response["status"].as_u64().unwrap() as u16,
        stream: response["sse_text"].is_string(),
        labels: file["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap().to_owned()).collect(),
        request: file["request"]["body"].clone(),
        body: text.map_or_else(|| response["body"].to_string().into_bytes(), |text| text.as_bytes().to_vec()),
        expect: file["expect"].clone(),
    }
}

fn frames(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<Frame> {
    let mut framer = Framer::new(1 << 24);
    let mut out = Vec::new();
    for piece in pieces {
        framer.push(piece.as_ref());
        while let Some(frame) = framer.next_frame().unwrap() {
            out.push(frame);
        }
    }
    out.extend(framer.finish());
    out
}

/// Decodes a whole stream; the events are those that came before an error.
fn decode(frames: &[Frame]) -> (Vec<Event>, Option<ApiError>) {
    decode_by(OpenAiChat.decoder(), frames)
}

fn decode_by(mut decoder: Box<dyn StreamDecoder>, frames: &[Frame]) -> (Vec<Event>, Option<ApiError>) {
    let mut events = Vec::new();
    for frame in frames {
        if let Err(error) = decoder.push(frame, &mut events) {
            return (events, Some(error));
        }
    }
    let error = decoder.end(&mut events).err();
    (events, error)
}

fn check_grammar(id: &str, events: &[Event]) -> bool {
    let mut grammar = Grammar::default();
    for event in events {
        grammar.accept(event).unwrap_or_else(|wrong| panic!("{id}: {wrong:?} at {event:?} in {events:?}"));
    }
    grammar.finished()
}

fn finish_word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::Pause => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}

/// What differs between an answer and what its fixture expects.
fn differences(response: &Response, expect: &Value) -> Vec<String> {
    let output = &response.outputs[0];
    let mut wrong = Vec::new();
    let mut same = |what: &str, ours: Value, theirs: &Value| {
        if ours != *theirs {
            wrong.push(format!("{what}: {ours} is not {theirs}"));
        }
    };
    let collect = |pick: fn(&Part) -> Option<&str>| output.parts.iter().filter_map(pick).collect::<String>();
    let text = collect(|part| if let Part::Text(text) = part { Some(text.text.as_str()) } else { None });
    let reasoning = collect(|part| if let Part::Reasoning(part) = part { Some(part.text.as_str()) } else { None });
    let refusal = collect(|part| if let Part::Refusal(text) = part { Some(text.as_str()) } else { None });
    same("text", text.into(), &expect["text"]);
    same("reasoning", reasoning.into(), &expect["reasoning_text"]);
    same("refusal", refusal.into(), &expect["refusal"].as_str().unwrap_or_default().into());
    let calls: Vec<_> = output
        .parts
        .iter()
        .filter_map(|part| if let Part::ToolCall(call) = part { Some(call) } else { None })
        .collect();
    // Fixtures expect nothing of calls in the form before `tool_calls`.
    let legacy = expect["finish_native"] == "function_call";
    let theirs = expect["tool_calls"].as_array().unwrap();
    if !legacy {
        same("number of calls", calls.len().into(), &theirs.len().into());
    }
    for (call, theirs) in calls.iter().zip(theirs) {
        same("name", call.name.as_str().into(), &theirs["name"]);
        if theirs["id"].as_str().is_some_and(|id| !id.is_empty()) {
            same("id", call.id.as_str().into(), &theirs["id"]);
        }
        assert!(!call.id.is_empty());
        let text = if call.arguments.is_empty() { "{}" } else { &call.arguments };
        let arguments = serde_json::from_str(text).unwrap_or_else(|_| serde_json::json!({ "__unparsed__": text }));
        // Fixtures expect nothing of free text.
        if !call.custom {
            same("arguments", arguments, &theirs["arguments"]);
        }
    }
    if let Some(accepted) = expect["finish_openai_ok"].as_array().filter(|_| !legacy) {
        // OpenAI says `stop` after a call that the client had named; to other protocols it is a call all the same.
        let named = expect["finish_native"] == "stop" && !calls.is_empty();
        let word = Value::from(if named { "stop" } else { finish_word(output.reason()) });
        if !accepted.contains(&word) {
            wrong.push(format!("finish: {word} is none of {accepted:?}"));
        }
    }
    let counts = &expect["usage"];
    let ours = response.usage.unwrap_or_default();
    for (key, ours) in [
        ("input_total", ours.input),
        ("output_total", ours.output),
        ("cache_read", ours.cache_read),
        ("cache_write", ours.cache_write),
        ("reasoning", ours.reasoning.unwrap_or(0)),
    ] {
        if counts[key].as_u64().unwrap_or(0) != ours {
            wrong.push(format!("{key}: {ours} is not {}", counts[key]));
        }
    }
    wrong
}

fn report(what: &str, total: usize, misses: &[String]) {
    println!("{what}: {} of {total}", total - misses.len());
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

#[test]
fn whole_answers_say_what_the_fixtures_expect() {
    let Some(fixtures) = fixtures() else { return };
    let mut misses = Vec::new();
    let mut total = 0;
    for fixture in fixtures.iter().filter(|fixture| fixture.status == 200 && !fixture.stream) {
        total += 1;
        match OpenAiChat.decode_response(&fixture.body) {
            Ok(response) => {
                let wrong = differences(&response, &fixture.expect);
                if !wrong.is_empty() {
                    misses.push(format!("{}: {}", fixture.id, wrong.join("; ")));
                }
            }
            Err(error) => misses.push(format!("{}: {error:?}", fixture.id)),
        }
    }
    report("whole answers", total, &misses);
}

#[test]
fn streams_say_what_the_fixtures_expect_however_they_are_cut_into_pieces() {
    let Some(fixtures) = fixtures() else { return };
    let mut misses = Vec::new();
    let mut total = 0;
    for fixture in fixtures.iter().filter(|fixture| fixture.status == 200 && fixture.stream) {
        total += 1;
        let (events, error) = decode(&frames([&fixture.body]));
        let (piecewise, _) = decode(&frames(fixture.body.chunks(1)));
        assert_eq!(events, piecewise, "{}", fixture.id);
        let finished = check_grammar(&fixture.id, &events);
        let broken = fixture.has("midstream_error");
        if broken != error.is_some() || (!broken && !finished) {
            misses.push(format!("{}: finished {finished}, error {error:?}", fixture.id));
            continue;
        }
        let mut wrong = differences(&Response::fold(&events), &fixture.expect);
        if broken {
            // The error came before the counts were due.
            wrong.retain(|difference| !difference.contains("_total") && !difference.starts_with("reasoning: "));
        }
        if !wrong.is_empty() {
            misses.push(format!("{}: {}", fixture.id, wrong.join("; ")));
        }
    }
    report("streams", total, &misses);
}

#[test]
fn recorded_errors_are_read() {
    let Some(fixtures) = fixtures() else { return };
    let errors: Vec<_> = fixtures.iter().filter(|fixture| fixture.status >= 400).collect();
    for fixture in &errors {
        let error = OpenAiChat.decode_error(fixture.status, &fixture.body);
        let expected: &[ErrorKind] = match fixture.status {
            400 => &[ErrorKind::InvalidRequest, ErrorKind::ContextLength, ErrorKind::ContentPolicy],
            401 => &[ErrorKind::UpstreamAuth],
            404 => &[ErrorKind::NotFound],
            429 => &[ErrorKind::RateLimited, ErrorKind::QuotaExceeded],
            503 => &[ErrorKind::Overloaded],
            _ => &[ErrorKind::Upstream],
        };
        assert!(expected.contains(&error.kind), "{}: {error:?}", fixture.id);
        assert!(!error.message.is_empty() && !error.message.contains('<'), "{}: {error:?}", fixture.id);
        assert_eq!(error.upstream_status, Some(fixture.status), "{}", fixture.id);
    }
    println!("errors: {}", errors.len());
}

fn envelope(include_usage: bool, legacy_functions: bool) -> Envelope {
    Envelope { request_id: "req_1".to_owned(), created: 7, model: "asked".to_owned(), include_usage, legacy_functions }
}

fn served() -> Served {
    Served { provider: "p".to_owned(), latency_ms: 12 }
}

/// Through this protocol's encoder and back.
fn around(events: &[Event], include_usage: bool) -> Vec<Event> {
    let mut encoder = OpenAiChat.encoder(envelope(include_usage, false));
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    encoder.end(&served(), &mut out);
    let (back, error) = decode(&frames([&out]));
    assert_eq!(error, None);
    back
}

#[test]
fn a_stream_that_is_written_and_read_again_says_the_same() {
    let Some(fixtures) = fixtures() else { return };
    for fixture in fixtures.iter().filter(|fixture| fixture.status == 200 && fixture.stream) {
        let (events, None) = decode(&frames([&fixture.body])) else { continue };
        let back = around(&events, true);
        check_grammar(&fixture.id, &back);
        let (mut before, after) = (Response::fold(&events), Response::fold(&back));
        for part in &mut before.outputs[0].parts {
            if let Part::ToolCall(call) = part
                && call.arguments.is_empty()
            {
                call.arguments.push_str("{}");
            }
        }
        let finish = |response: &Response| response.outputs[0].reason();
        assert_eq!(before.outputs[0].parts, after.outputs[0].parts, "{}", fixture.id);
        assert_eq!(finish(&before), finish(&after), "{}", fixture.id);
        assert_eq!(before.outputs[0].citations.len(), after.outputs[0].citations.len(), "{}", fixture.id);
        assert_eq!(before.outputs[0].logprobs, after.outputs[0].logprobs, "{}", fixture.id);
        assert_eq!(before.usage.map(|usage| usage.total()), after.usage.map(|usage| usage.total()), "{}", fixture.id);
    }
}

#[test]
fn an_answer_that_is_written_and_read_again_says_the_same() {
    let Some(fixtures) = fixtures() else { return };
    for fixture in fixtures.iter().filter(|fixture| fixture.status == 200 && !fixture.stream) {
        let before = OpenAiChat.decode_response(&fixture.body).unwrap();
        let body = OpenAiChat.encode_response(&before, &envelope(false, false), &served());
        let after = OpenAiChat.decode_response(&body).unwrap();
        assert_eq!(before.outputs.len(), after.outputs.len(), "{}", fixture.id);
        let wrong = differences(&after, &fixture.expect);
        assert!(wrong.is_empty(), "{}: {wrong:?}", fixture.id);
    }
}

#[test]
fn answers_of_other_protocols_reach_chat_clients_whole() {
    for (wire, upstream) in [("anthropic", &Anthropic as &dyn Outbound), ("gemini", &Gemini)] {
        let Some(fixtures) = recorded(wire) else { return };
        let (mut told, mut misses) = (0, Vec::new());
        // What these expect counts each piece of a call as a call.
        let counted = |fixture: &&Fixture| !fixture.id.contains("partial-args");
        for fixture in fixtures.iter().filter(|fixture| fixture.status == 200).filter(counted) {
            let back = if fixture.stream {
                let (events, None) = decode_by(upstream.decoder(), &frames([&fixture.body])) else { continue };
                let back = around(&events, true);
                check_grammar(&fixture.id, &back);
                Response::fold(&back)
            } else {
                let Ok(response) = upstream.decode_response(&fixture.body) else { continue };
                let body = OpenAiChat.encode_response(&response, &envelope(false, false), &served());
                OpenAiChat.decode_response(&body).unwrap()
            };
            told += 1;
            let mut wrong = differences(&back, &fixture.expect);
            // An explanation that stands beside a refusal elsewhere is the refusal's text here.
            wrong.retain(|difference| !difference.starts_with("refusal: "));
            if !wrong.is_empty() {
                misses.push(format!("{}: {}", fixture.id, wrong.join("; ")));
            }
        }
        report(&format!("{wire} to chat"), told, &misses);
    }
}

#[test]
fn recorded_requests_can_be_said_to_every_upstream() {
    let Some(fixtures) = fixtures() else { return };
    let models = Models::builtin();
    for (upstream, model) in
        [(&Anthropic as &dyn Outbound, "claude-opus-5"), (&Gemini, "gemini-3-pro"), (&OpenAiChat, "gpt-5")]
    {
        for fixture in fixtures.iter().filter(|fixture| fixture.request.is_object()) {
            let Ok(request) = OpenAiChat.decode_request(fixture.request.to_string().as_bytes()) else { continue };
            let rules = models.rules(upstream.id(), model);
            let mut losses = Losses::default();
            let body = upstream.encode_request(&request, Target { model, rules: &rules }, &mut losses);
            assert!(serde_json::from_slice::<Value>(&body).unwrap().is_object(), "{}", fixture.id);
        }
    }
}

#[test]
fn recorded_requests_are_read_and_written_without_a_panic() {
    let Some(fixtures) = fixtures() else { return };
    let models = Models::builtin();
    let mut read = 0;
    let mut refused = Vec::new();
    // One of them was made to be refused.
    let wrong = "oc-error-400-b5070";
    for fixture in fixtures.iter().filter(|fixture| fixture.request.is_object() && fixture.id != wrong) {
        let request = match OpenAiChat.decode_request(fixture.request.to_string().as_bytes()) {
            Ok(request) => request,
            Err(error) => {
                refused.push(format!("{}: {}", fixture.id, error.message));
                continue;
            }
        };
        read += 1;
        let rules = models.rules(OpenAiChat.id_of(), &request.model);
        let mut losses = Losses::default();
        let body = OpenAiChat.encode_request(&request, Target { model: "up", rules: &rules }, &mut losses);
        let again = OpenAiChat.decode_request(&body).unwrap();
        assert_eq!(again.tools.len(), request.tools.len(), "{}", fixture.id);
    }
    println!("requests: {read} of {}", read + refused.len());
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// `id` is a method of both sides.
trait IdOf {
    fn id_of(&self) -> llm_protocol::ProtocolId;
}

impl IdOf for OpenAiChat {
    fn id_of(&self) -> llm_protocol::ProtocolId {
        Outbound::id(self)
    }
}

#[test]
fn passed_streams_keep_every_byte_but_the_additions_and_an_unasked_usage_chunk() {
    let Some(fixtures) = fixtures() else { return };
    for fixture in fixtures.iter().filter(|fixture| fixture.status == 200 && fixture.stream) {
        let frames = frames([&fixture.body]);
        let (_, None) = decode(&frames) else { continue };
        let mut filter = OpenAiChat.passthrough(&envelope(true, false));
        let mut out = Vec::new();
        frames.iter().for_each(|frame| filter.push(frame.clone(), &mut out));
        filter.end(&served(), &mut out);
        let passed = String::from_utf8(out.concat()).unwrap();
        let body = String::from_utf8_lossy(&fixture.body);
        assert_eq!(passed.matches(r#""latency_ms":12}"#).count(), 1, "{}", fixture.id);
        assert_eq!(passed.matches(r#""provider":"p""#).count(), 1, "{}", fixture.id);
        if body.contains(r#""provider""#) {
            continue;
        }
        assert_eq!(passed.replace(r#","provider":"p","latency_ms":12"#, ""), body, "{}", fixture.id);
    }
}

#[test]
fn a_stream_cut_anywhere_ends_legally_or_fails() {
    let Some(fixtures) = fixtures() else { return };
    for fixture in fixtures.iter().filter(|fixture| fixture.status == 200 && fixture.stream) {
        let step = (fixture.body.len() / 40).max(1);
        for cut in (0..fixture.body.len()).step_by(step) {
            let (events, error) = decode(&frames([&fixture.body[..cut]]));
            let finished = check_grammar(&fixture.id, &events);
            assert!(finished || error.is_some(), "{} cut at {cut}", fixture.id);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(body in prop::collection::vec(any::<u8>(), 0..200), status in 100u16..600) {
        let _ = OpenAiChat.decode_request(&body);
        let _ = OpenAiChat.decode_response(&body);
        let _ = OpenAiChat.decode_error(status, &body);
        let _ = decode(&frames([&body]));
    }

    #[test]
    fn no_json_makes_a_decoder_panic(
        keys in prop::collection::vec("(choices|delta|message|content|tool_calls|function|index|id|usage|error|finish_reason|messages|role|tools|x)", 1..8),
        leaf in "(null|1|-1|1e99|\"\"|\"é\"|true|\\[\\]|\\{\\}|\\[null\\]|\\[\\[\\]\\])",
        lists in any::<u8>(),
    ) {
        let mut body = leaf;
        for (at, key) in keys.iter().enumerate() {
            body = format!("{{\"{key}\":{body}}}");
            if lists >> (at % 8) & 1 == 1 {
                body = format!("[{body}]");
            }
        }
        let _ = OpenAiChat.decode_request(body.as_bytes());
        let _ = OpenAiChat.decode_response(body.as_bytes());
        let _ = OpenAiChat.decode_error(500, body.as_bytes());
        let (events, error) = decode(&frames([format!("data: {body}\n\n").as_bytes()]));
        prop_assert!(check_grammar("generated", &events) || error.is_some());
    }

    #[test]
    fn mutated_streams_end_legally_or_fail(seed in any::<u64>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut stream = format!(
            "data: {{\"id\":\"{seed}\",\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"a\",\"tool_calls\":[{{\"index\":0,\"id\":\"x\",\"function\":{{\"name\":\"f\",\"arguments\":\"{{}}\"}}}}]}},\"finish_reason\":null}}]}}\n\ndata: {{\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\ndata: [DONE]\n\n"
        ).into_bytes();
        let at = at.index(stream.len());
        stream[at] = byte;
        let (events, error) = decode(&frames([&stream]));
        prop_assert!(check_grammar("mutated", &events) || error.is_some());
    }
}

#[test]
fn an_error_inside_a_stream_is_written_without_an_end() {
    let mut encoder = OpenAiChat.encoder(envelope(false, false));
    let mut out = Vec::new();
    encoder.push(&Event::Start { id: String::new(), model: String::new() }, &mut out);
    let context = ErrorContext { request_id: "req_1".to_owned(), timestamp: "2026-01-01T00:00:00Z".to_owned() };
    encoder.fail(&ApiError::new(ErrorKind::Upstream, "broke"), &context, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("data: {\"error\":{\"code\":\"upstream_error\",\"message\":\"broke\""));
    assert!(!text.contains("[DONE]") && !text.contains("\"finish_reason\":\""));
}
