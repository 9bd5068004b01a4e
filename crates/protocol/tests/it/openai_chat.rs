//! OpenAI's chat protocol against recorded traffic of everybody who says to speak it.

use llm_protocol::{
    Envelope, ErrorContext, Inbound, Outbound, Served, Target,
    anthropic::Anthropic,
    gemini::Gemini,
    ir::{ApiError, ErrorKind, Event, Losses, Part, Response},
    models::Models,
    openai_chat::OpenAiChat,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::fixtures::{
    Fixture, WHOLE, arguments, calls, check_all, events, finish_word, frames, reasoning, recorded, refusal, text,
};

/// The answers that came with a 200, streamed or whole.
fn answers(fixtures: &[Fixture], stream: bool) -> impl Iterator<Item = &Fixture> {
    fixtures.iter().filter(move |fixture| fixture.status == 200 && fixture.stream == stream)
}

/// What differs between an answer and what its fixture expects.
fn differences(response: &Response, expect: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut same = |what: &str, ours: Value, theirs: &Value| {
        if ours != *theirs {
            wrong.push(format!("{what}: {ours} is not {theirs}"));
        }
    };
    same("text", text(response).into(), &expect["text"]);
    same("reasoning", reasoning(response).into(), &expect["reasoning_text"]);
    same("refusal", refusal(response).into(), &expect["refusal"].as_str().unwrap_or_default().into());
    let calls = calls(response);
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
        let text = arguments(call);
        let arguments = serde_json::from_str(text).unwrap_or_else(|_| serde_json::json!({ "__unparsed__": text }));
        // Fixtures expect nothing of free text.
        if !call.custom {
            same("arguments", arguments, &theirs["arguments"]);
        }
    }
    if let Some(accepted) = expect["finish_openai_ok"].as_array().filter(|_| !legacy) {
        // OpenAI says `stop` after a call that the client had named; to other protocols it is a call all the same.
        let named = expect["finish_native"] == "stop" && !calls.is_empty();
        let word = Value::from(if named { "stop" } else { finish_word(response.outputs[0].reason()) });
        if !accepted.contains(&word) {
            wrong.push(format!("finish: {word} is none of {accepted:?}"));
        }
    }
    let counts = &expect["usage"];
    let ours = response.usage.clone().unwrap_or_default();
    for (key, ours) in [
        ("input_total", ours.input),
        ("output_total", ours.output),
        ("cache_read", ours.cache_read),
        ("cache_write", ours.cache_write),
        ("reasoning", ours.reasoning.unwrap_or(0)),
    ] {
        // Some of Azure's answers count more tokens as cached than there are.
        let most = if key == "cache_read" { counts["input_total"].as_u64().unwrap_or(0) } else { u64::MAX };
        if counts[key].as_u64().unwrap_or(0).min(most) != ours {
            wrong.push(format!("{key}: {ours} is not {}", counts[key]));
        }
    }
    wrong
}

#[test]
fn whole_answers_say_what_the_fixtures_expect() {
    check_all("whole answers", answers(&recorded("chat"), false), |fixture| {
        match OpenAiChat.decode_response(&fixture.body) {
            Ok(response) => differences(&response, &fixture.expect),
            Err(error) => vec![format!("{error:?}")],
        }
    });
}

#[test]
fn streams_say_what_the_fixtures_expect_however_they_are_cut_into_pieces() {
    check_all("streams", answers(&recorded("chat"), true), |fixture| {
        let (events, ended) = fixture.events(&OpenAiChat);
        let broken = fixture.has("midstream_error");
        if broken != ended.is_err() {
            return vec![format!("{ended:?}")];
        }
        let mut wrong = differences(&Response::fold(&events), &fixture.expect);
        if broken {
            // The error came before the counts were due.
            wrong.retain(|difference| !difference.contains("_total") && !difference.starts_with("reasoning: "));
        }
        wrong
    });
}

#[test]
fn recorded_errors_are_read() {
    let fixtures = recorded("chat");
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
    Envelope {
        request_id: "req_1".to_owned(),
        created: 7,
        model: "asked".to_owned(),
        include_usage,
        legacy_functions,
        array: false,
    }
}

fn served() -> Served {
    Served { provider: "p".to_owned(), latency_ms: 12 }
}

/// Through this protocol's encoder and back.
fn around(said: &[Event], include_usage: bool) -> Vec<Event> {
    let mut encoder = OpenAiChat.encoder(&llm_protocol::ir::Request::default(), envelope(include_usage, false));
    let mut out = Vec::new();
    said.iter().for_each(|event| encoder.push(event, &mut out));
    encoder.end(&served(), &mut out);
    let (back, ended) = events(&OpenAiChat, &out, WHOLE);
    assert_eq!(ended, Ok(()));
    back
}

#[test]
fn a_stream_that_is_written_and_read_again_says_the_same() {
    let fixtures = recorded("chat");
    for fixture in answers(&fixtures, true) {
        let (events, Ok(())) = events(&OpenAiChat, &fixture.body, WHOLE) else { continue };
        let back = around(&events, true);
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
    let fixtures = recorded("chat");
    for fixture in answers(&fixtures, false) {
        let before = OpenAiChat.decode_response(&fixture.body).unwrap();
        let body = OpenAiChat.encode_response(
            &llm_protocol::ir::Request::default(),
            &before,
            &envelope(false, false),
            &served(),
        );
        let after = OpenAiChat.decode_response(&body).unwrap();
        assert_eq!(before.outputs.len(), after.outputs.len(), "{}", fixture.id);
        let wrong = differences(&after, &fixture.expect);
        assert!(wrong.is_empty(), "{}: {wrong:?}", fixture.id);
    }
}

#[test]
fn answers_of_other_protocols_reach_chat_clients_whole() {
    for (wire, upstream) in [("anthropic", &Anthropic as &dyn Outbound), ("gemini", &Gemini)] {
        let fixtures = recorded(wire);
        // What these expect counts each piece of a call as a call.
        let counted = |fixture: &&Fixture| fixture.status == 200 && !fixture.id.contains("partial-args");
        let told = fixtures.iter().filter(counted).filter_map(|fixture| Some((fixture, retold(upstream, fixture)?)));
        let told: Vec<(&Fixture, Response)> = told.collect();
        let answer = |id: &str| &told.iter().find(|(fixture, _)| fixture.id == id).unwrap().1;
        check_all(&format!("{wire} to chat"), told.iter().map(|(fixture, _)| *fixture), |fixture| {
            let mut wrong = differences(answer(&fixture.id), &fixture.expect);
            // An explanation that stands beside a refusal elsewhere is the refusal's text here.
            wrong.retain(|difference| !difference.starts_with("refusal: "));
            wrong
        });
    }
}

/// What a chat client reads of another protocol's answer; `None` of one that failed.
fn retold(upstream: &dyn Outbound, fixture: &Fixture) -> Option<Response> {
    if fixture.stream {
        let (events, Ok(())) = events(upstream, &fixture.body, WHOLE) else { return None };
        return Some(Response::fold(&around(&events, true)));
    }
    let response = upstream.decode_response(&fixture.body).ok()?;
    let body = OpenAiChat.encode_response(
        &llm_protocol::ir::Request::default(),
        &response,
        &envelope(false, false),
        &served(),
    );
    Some(OpenAiChat.decode_response(&body).unwrap())
}

#[test]
fn recorded_requests_can_be_said_to_every_upstream() {
    let fixtures = recorded("chat");
    let models = Models::builtin();
    for (upstream, model) in
        [(&Anthropic as &dyn Outbound, "claude-opus-5"), (&Gemini, "gemini-3-pro"), (&OpenAiChat, "gpt-5")]
    {
        for fixture in fixtures.iter().filter(|fixture| fixture.request.is_object()) {
            let Ok(request) = OpenAiChat.decode_request(fixture.request.to_string().as_bytes()) else { continue };
            let rules = models.rules(upstream.id(), "", model);
            let mut losses = Losses::default();
            let body = upstream.encode_request(&request, Target { model, rules: &rules }, &mut losses);
            assert!(serde_json::from_slice::<Value>(&body).unwrap().is_object(), "{}", fixture.id);
        }
    }
}

#[test]
fn recorded_requests_are_read_and_written_without_a_panic() {
    let fixtures = recorded("chat");
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
        let rules = models.rules(Outbound::id(&OpenAiChat), "", &request.model);
        let mut losses = Losses::default();
        let body = OpenAiChat.encode_request(&request, Target { model: "up", rules: &rules }, &mut losses);
        let again = OpenAiChat.decode_request(&body).unwrap();
        assert_eq!(again.tools.len(), request.tools.len(), "{}", fixture.id);
    }
    println!("requests: {read} of {}", read + refused.len());
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn passed_streams_keep_every_byte_but_the_additions_and_an_unasked_usage_chunk() {
    let fixtures = recorded("chat");
    for fixture in answers(&fixtures, true) {
        let (_, Ok(())) = events(&OpenAiChat, &fixture.body, WHOLE) else { continue };
        let mut filter = OpenAiChat.passthrough(&envelope(true, false));
        let mut out = Vec::new();
        frames(&fixture.body, WHOLE).into_iter().for_each(|frame| filter.push(frame, &mut out));
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
    let fixtures = recorded("chat");
    for fixture in answers(&fixtures, true) {
        let step = (fixture.body.len() / 40).max(1);
        for cut in (0..fixture.body.len()).step_by(step) {
            let _ = events(&OpenAiChat, &fixture.body[..cut], WHOLE);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(body in prop::collection::vec(any::<u8>(), 0..200), status in 100u16..600) {
        let _ = OpenAiChat.decode_request(&body);
        let _ = OpenAiChat.decode_response(&body);
        let _ = OpenAiChat.decode_error(status, &body);
        let _ = events(&OpenAiChat, &body, WHOLE);
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
        let _ = events(&OpenAiChat, format!("data: {body}\n\n").as_bytes(), WHOLE);
    }

    #[test]
    fn mutated_streams_end_legally_or_fail(seed in any::<u64>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut stream = format!(
            "data: {{\"id\":\"{seed}\",\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"a\",\"tool_calls\":[{{\"index\":0,\"id\":\"x\",\"function\":{{\"name\":\"f\",\"arguments\":\"{{}}\"}}}}]}},\"finish_reason\":null}}]}}\n\ndata: {{\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\ndata: [DONE]\n\n"
        ).into_bytes();
        let at = at.index(stream.len());
        stream[at] = byte;
        let _ = events(&OpenAiChat, &stream, WHOLE);
    }
}

#[test]
fn an_error_inside_a_stream_is_written_without_an_end() {
    let mut encoder = OpenAiChat.encoder(&llm_protocol::ir::Request::default(), envelope(false, false));
    let mut out = Vec::new();
    encoder.push(&Event::Start { id: String::new(), model: String::new() }, &mut out);
    let context = ErrorContext { request_id: "req_1".to_owned(), timestamp: "2026-01-01T00:00:00Z".to_owned() };
    encoder.fail(&ApiError::new(ErrorKind::Upstream, "broke"), &context, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("data: {\"error\":{\"code\":\"upstream_error\",\"message\":\"broke\""));
    assert!(!text.contains("[DONE]") && !text.contains("\"finish_reason\":\""));
}
