//! OpenAI's Responses as clients speak it: recorded requests, and answers of every upstream.

use llm_protocol::{
    Envelope, ErrorContext, Inbound, Outbound, ProtocolId, Served, StreamEncoder, Target,
    anthropic::Anthropic,
    gemini::Gemini,
    ir::{
        ApiError, Block, Carrier, Citation, Delta, ErrorKind, Event, Finish, FinishReason, FunctionTool, Grammar,
        Losses, Part, Reasoning, Request, Response, Role, Signature, Tool, Usage,
    },
    json::Json,
    models::Models,
    openai_chat::OpenAiChat,
    openai_responses::OpenAiResponses,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    fixtures::{WHOLE, events, frames, recorded},
    responses_grammar::{check, check_response},
};

fn envelope() -> Envelope {
    Envelope {
        request_id: "req_0af".to_owned(),
        created: 7,
        model: "asked".to_owned(),
        include_usage: false,
        legacy_functions: false,
        array: false,
    }
}

fn served() -> Served {
    Served { provider: "p".to_owned(), latency_ms: 12 }
}

fn decoded(body: Value) -> Request {
    OpenAiResponses.decode_request(body.to_string().as_bytes()).unwrap()
}

/// A small request with these fields.
fn asked(more: Value) -> Request {
    let mut body = json!({"model": "m", "input": "x"});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    decoded(body)
}

fn streamed(request: &Request, said: &[Event]) -> String {
    let mut encoder = OpenAiResponses.encoder(request, envelope());
    let mut out = Vec::new();
    said.iter().for_each(|event| encoder.push(event, &mut out));
    encoder.end(&served(), &mut out);
    String::from_utf8(out).unwrap()
}

fn whole(request: &Request, response: &Response) -> Value {
    let body = OpenAiResponses.encode_response(request, response, &envelope(), &served());
    let response = serde_json::from_slice(&body).unwrap();
    check_response(&response);
    response
}

/// Both forms of an answer, which must say the same.
fn answer(request: &Request, said: &[Event]) -> Value {
    let response = check(&streamed(request, said));
    assert_eq!(whole(request, &Response::fold(said)), response);
    response
}

fn start() -> Event {
    Event::Start { id: "up_1".into(), model: "real".into() }
}

fn text(pieces: &[&str]) -> Vec<Event> {
    block(Block::Text, pieces.iter().map(|piece| Delta::Text((*piece).into())).collect())
}

fn block(block: Block, deltas: Vec<Delta>) -> Vec<Event> {
    [Event::Open(block)].into_iter().chain(deltas.into_iter().map(Event::Delta)).chain([Event::Close]).collect()
}

fn call(id: &str, name: &str, deltas: Vec<Delta>) -> Vec<Event> {
    block(Block::ToolCall { id: id.into(), name: name.into(), custom: false }, deltas)
}

fn arguments(text: &str) -> Delta {
    Delta::Arguments(text.into())
}

fn signature(origin: ProtocolId, value: &str) -> Signature {
    Signature { origin, value: value.into() }
}

fn finish(reason: FinishReason) -> Event {
    Event::Finish(Finish { reason, raw: String::new(), stop_sequence: None })
}

fn said(blocks: Vec<Vec<Event>>, reason: FinishReason) -> Vec<Event> {
    [start()].into_iter().chain(blocks.into_iter().flatten()).chain([finish(reason)]).collect()
}

#[test]
fn a_stream_tells_its_events_in_the_protocols_order() {
    let usage = Usage { input: 11, output: 7, cache_read: 3, reasoning: Some(2), ..Usage::default() };
    let mut events = said(vec![text(&["Hel", "lo"])], FinishReason::Stop);
    events.push(Event::Usage(usage));
    let stream = streamed(&asked(json!({})), &events);
    let names: Vec<&str> = stream.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(
        names,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let response = check(&stream);
    assert_eq!(response["id"], "resp_0af");
    assert_eq!(response["model"], "real");
    assert_eq!(response["created_at"], 7);
    assert_eq!(
        response["usage"],
        json!({
            "input_tokens": 11, "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
            "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 18,
        })
    );
    assert!(!stream.contains("[DONE]"));
}

#[test]
fn an_answer_repeats_what_was_asked_as_it_was_written() {
    let tool = json!({"type": "function", "name": "f", "parameters": {"z": 1, "a": 2}, "strict": false});
    let request = asked(json!({
        "instructions": "Be brief.", "tools": [tool], "tool_choice": "required", "temperature": 0.5,
        "metadata": {"k": "v"}, "text": {"format": {"type": "json_object"}}, "reasoning": {"effort": "low"},
        "parallel_tool_calls": false, "max_output_tokens": 99, "store": false, "truncation": "auto", "user": "u",
    }));
    let response = answer(&request, &said(vec![], FinishReason::Stop));
    assert_eq!(response["tools"], json!([tool]));
    assert_eq!(response["instructions"], "Be brief.");
    assert_eq!(response["tool_choice"], "required");
    assert_eq!(response["temperature"], 0.5);
    assert_eq!(response["metadata"], json!({"k": "v"}));
    assert_eq!(response["text"], json!({"format": {"type": "json_object"}}));
    assert_eq!(response["reasoning"], json!({"effort": "low"}));
    assert_eq!((&response["parallel_tool_calls"], &response["store"]), (&json!(false), &json!(false)));
    assert_eq!((&response["max_output_tokens"], &response["truncation"]), (&json!(99), &json!("auto")));
    assert_eq!(response["previous_response_id"], Value::Null);
    assert_eq!(response["top_p"], 1.0, "a default is told");
}

#[test]
fn an_answer_that_was_cut_short_is_incomplete_and_so_is_what_it_was_cut_in() {
    let cut = call("c1", "f", vec![arguments("{\"a\":")]);
    let response = answer(&asked(json!({})), &said(vec![text(&["a"]), cut], FinishReason::Length));
    assert_eq!(response["status"], "incomplete");
    assert_eq!(response["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!(response["output"][0]["status"], "completed");
    assert_eq!(response["output"][1]["status"], "incomplete");
    let filtered = answer(&asked(json!({})), &said(vec![text(&["a"])], FinishReason::ContentFilter));
    assert_eq!(filtered["incomplete_details"], json!({"reason": "content_filter"}));
}

#[test]
fn a_refusal_is_a_piece_of_the_message() {
    let refusal = block(Block::Refusal, vec![Delta::Text("I ".into()), Delta::Text("won't".into())]);
    let response = answer(&asked(json!({})), &said(vec![text(&["So: "]), refusal], FinishReason::Stop));
    assert_eq!(response["output"].as_array().unwrap().len(), 1);
    assert_eq!(response["output"][0]["content"][1], json!({"type": "refusal", "refusal": "I won't"}));
}

#[test]
fn texts_in_a_row_are_one_piece_and_sources_stand_beside_it() {
    let citation = Citation { url: Some("https://a".into()), title: Some("A".into()), span: Some((1, 3)), quote: None };
    let cited = block(Block::Text, vec![Delta::Text("c".into()), Delta::Citation(citation)]);
    let response = answer(&asked(json!({})), &said(vec![text(&["ab"]), cited], FinishReason::Stop));
    let piece = &response["output"][0]["content"][0];
    assert_eq!(piece["text"], "abc");
    let source = json!({"type": "url_citation", "start_index": 1, "end_index": 3, "url": "https://a", "title": "A"});
    assert_eq!(piece["annotations"], json!([source]));
}

#[test]
fn probabilities_of_tokens_stand_in_the_text() {
    let weights =
        json!({"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}], "refusal": null});
    let weights = Json::parse(weights.to_string().as_bytes()).unwrap();
    let weighed = block(Block::Text, vec![Delta::Text("a".into()), Delta::Logprobs(weights)]);
    let response = answer(&asked(json!({})), &said(vec![weighed], FinishReason::Stop));
    assert_eq!(response["output"][0]["content"][0]["logprobs"][0]["token"], "a");
}

#[test]
fn a_call_without_arguments_has_an_empty_object_and_free_text_stays_empty() {
    let custom = block(Block::ToolCall { id: "c2".into(), name: "patch".into(), custom: true }, vec![]);
    let blocks = vec![call("c1", "f", vec![]), custom];
    let response = answer(&asked(json!({})), &said(blocks, FinishReason::ToolCalls));
    assert_eq!(response["status"], "completed");
    let first = &response["output"][0];
    assert_eq!((&first["call_id"], &first["name"], &first["arguments"]), (&json!("c1"), &json!("f"), &json!("{}")));
    assert_eq!(response["output"][1]["type"], "custom_tool_call");
    assert_eq!(response["output"][1]["input"], "");
}

#[test]
fn a_call_of_a_tool_in_a_namespace_has_both_names() {
    let named = |custom| match custom {
        true => json!({"type": "custom", "name": "patch"}),
        false => json!({"type": "function", "name": "close", "parameters": {}}),
    };
    let request = asked(json!({"tools": [
        {"type": "namespace", "name": "agents", "description": "d", "tools": [named(false), named(true)]},
    ]}));
    let flat: Vec<&str> = request
        .tools
        .iter()
        .map(|tool| match tool {
            Tool::Function(FunctionTool { name, .. }) | Tool::Custom { name, .. } => name.as_str(),
            Tool::Hosted { .. } => "",
        })
        .collect();
    let custom = block(Block::ToolCall { id: "c2".into(), name: flat[1].into(), custom: true }, vec![arguments("*")]);
    let blocks = vec![call("c1", flat[0], vec![arguments("{}")]), custom];
    let response = answer(&request, &said(blocks, FinishReason::ToolCalls));
    for (item, name) in [(&response["output"][0], "close"), (&response["output"][1], "patch")] {
        assert_eq!((&item["name"], &item["namespace"]), (&json!(name), &json!("agents")), "{item}");
    }
}

#[test]
fn a_picture_is_an_item() {
    let picture = block(Block::Media { mime: "image/webp".into(), data: "UklGRg==".into() }, vec![]);
    let response = answer(&asked(json!({})), &said(vec![picture], FinishReason::Stop));
    let item = &response["output"][0];
    assert_eq!((&item["type"], &item["result"]), (&json!("image_generation_call"), &json!("UklGRg==")));
    assert_eq!((&item["output_format"], &item["status"]), (&json!("webp"), &json!("completed")));
}

#[test]
fn what_others_signed_comes_back_to_them_unharmed() {
    let (anthropic, gemini) = (ProtocolId::Anthropic, ProtocolId::Gemini);
    let own = signature(ProtocolId::OpenAiResponses, "gAAA");
    let thought = |text: &str, pieces: Vec<Signature>| {
        let text = Delta::Text(text.into());
        block(Block::Reasoning, [text].into_iter().chain(pieces.into_iter().map(Delta::Signature)).collect())
    };
    let blocks = vec![
        thought("hm", vec![signature(anthropic, "si"), signature(anthropic, "g==")]),
        block(Block::Redacted(signature(anthropic, "secret")), vec![]),
        thought("", vec![own.clone()]),
        thought("nobody signed this", vec![]),
        block(Block::Text, vec![Delta::Text("Hello".into()), Delta::Signature(signature(gemini, "of text"))]),
        block(Block::Text, vec![Delta::Signature(signature(gemini, "of nothing"))]),
        call("c1", "f", vec![Delta::Signature(signature(gemini, "of call")), arguments("{}")]),
        call("c2", "f", vec![arguments("{}"), Delta::Signature(signature(gemini, "late"))]),
    ];
    let said = said(blocks, FinishReason::ToolCalls);
    for response in [check(&streamed(&asked(json!({})), &said)), whole(&asked(json!({})), &Response::fold(&said))] {
        assert_eq!(response["output"][2]["encrypted_content"], "gAAA", "its own is not wrapped");
        let shown: Vec<&str> =
            response["output"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
        let calls = shown.iter().filter(|kind| **kind == "function_call").count();
        assert_eq!((calls, shown.iter().filter(|kind| **kind == "message").count()), (2, 1), "{shown:?}");
        let again = decoded(json!({"model": "m", "input": response["output"]}));
        assert_eq!(again.messages.len(), 1);
        assert_eq!(again.messages[0].role, Role::Assistant);
        assert_eq!(again.messages[0].parts, Response::fold(&said).outputs[0].parts);
    }
}

#[test]
fn a_failure_ends_a_stream_with_an_error_and_the_response_that_failed() {
    let request = asked(json!({}));
    for (kind, code) in [
        (ErrorKind::Overloaded, "server_error"),
        (ErrorKind::RateLimited, "rate_limit_exceeded"),
        (ErrorKind::ContextLength, "context_length_exceeded"),
        (ErrorKind::ContentPolicy, "invalid_prompt"),
    ] {
        let mut encoder = OpenAiResponses.encoder(&request, envelope());
        let mut out = Vec::new();
        let events = said(vec![call("c1", "f", vec![]), text(&["Hel"])], FinishReason::Stop);
        events[..events.len() - 2].iter().for_each(|event| encoder.push(event, &mut out));
        fail(&mut *encoder, kind, &mut out);
        let stream = String::from_utf8(out).unwrap();
        let response = check(&stream);
        assert_eq!(response["status"], "failed");
        assert_eq!(response["error"], json!({"code": code, "message": "broke"}));
        assert_eq!(response["output"].as_array().unwrap().len(), 1, "what was whole is kept");
        assert!(!stream.contains("response.completed"));
    }
}

fn fail(encoder: &mut dyn StreamEncoder, kind: ErrorKind, out: &mut Vec<u8>) {
    encoder.fail(&ApiError::new(kind, "broke"), &context(), out);
}

fn context() -> ErrorContext {
    ErrorContext { request_id: "req_1".to_owned(), timestamp: "2026-01-01T00:00:00Z".to_owned() }
}

#[test]
fn a_stream_that_fails_before_it_began_is_still_one() {
    let mut encoder = OpenAiResponses.encoder(&asked(json!({})), envelope());
    let mut out = Vec::new();
    fail(&mut *encoder, ErrorKind::Timeout, &mut out);
    assert_eq!(check(&String::from_utf8(out).unwrap())["status"], "failed");
}

#[test]
fn a_passed_stream_keeps_every_byte_and_a_broken_one_is_ended_in_its_own_numbers() {
    let events = said(vec![text(&["a", "b"])], FinishReason::Stop);
    let stream = streamed(&asked(json!({"metadata": {"sequence_number": "99"}})), &events);
    let all = frames(stream.as_bytes(), WHOLE);
    for cut in 1..=all.len() {
        let mut filter = OpenAiResponses.passthrough(&envelope());
        let mut out = Vec::new();
        all[..cut].iter().cloned().for_each(|frame| filter.push(frame, &mut out));
        let passed = String::from_utf8(out.concat()).unwrap();
        assert!(stream.starts_with(&passed));
        let (before, whole) = (out.len(), cut == all.len());
        filter.fail(&ApiError::new(ErrorKind::Upstream, "broke"), &context(), &mut out);
        assert_eq!(out.len() == before, whole, "after the end nothing is said");
        if !whole {
            let rest = String::from_utf8(out[before..].concat()).unwrap();
            assert!(
                rest.contains(&format!(r#""type":"error","sequence_number":{cut},"code":"server_error""#)),
                "{rest}"
            );
            assert!(rest.contains(&format!(r#""type":"response.failed","sequence_number":{}"#, cut + 1)), "{rest}");
            assert!(rest.contains(r#""status":"failed","error":{"code":"server_error","message":"broke"}"#), "{rest}");
        }
    }
}

#[test]
fn recorded_requests_are_read_and_can_be_said_to_every_upstream() {
    let models = Models::builtin();
    let fixtures = recorded("responses");
    let (mut read, mut refused) = (0, Vec::new());
    for fixture in fixtures.iter().filter(|fixture| fixture.request["model"].is_string()) {
        let request = match OpenAiResponses.decode_request(fixture.request.to_string().as_bytes()) {
            Ok(request) => request,
            Err(error) => {
                refused.push(format!("{}: {}", fixture.id, error.message));
                continue;
            }
        };
        read += 1;
        for (upstream, model) in
            [(&Anthropic as &dyn Outbound, "claude-opus-5"), (&Gemini, "gemini-3-pro"), (&OpenAiChat, "gpt-5")]
        {
            let rules = models.rules(upstream.id(), "", model);
            let body = upstream.encode_request(&request, Target { model, rules: &rules }, &mut Losses::default());
            assert!(serde_json::from_slice::<Value>(&body).unwrap().is_object(), "{}", fixture.id);
        }
    }
    println!("requests: {read} of {}", read + refused.len());
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn answers_of_every_upstream_make_grammatical_streams() {
    let request = asked(json!({}));
    for (wire, upstream) in [("chat", &OpenAiChat as &dyn Outbound), ("anthropic", &Anthropic), ("gemini", &Gemini)] {
        let fixtures = recorded(wire);
        for fixture in fixtures.iter().filter(|fixture| fixture.status == 200) {
            let said = match fixture.stream {
                true => match events(upstream, &fixture.body, WHOLE) {
                    (said, Ok(())) => said,
                    (_, Err(_)) => continue,
                },
                false => {
                    if let Ok(response) = upstream.decode_response(&fixture.body) {
                        whole(&request, &response);
                    }
                    continue;
                }
            };
            let response = check(&streamed(&request, &said));
            let told: String = texts(&response).collect();
            assert_eq!(told, crate::fixtures::text(&Response::fold(&said)), "{}", fixture.id);
        }
    }
}

fn texts(response: &Value) -> impl Iterator<Item = &str> {
    let items = response["output"].as_array().unwrap().iter();
    let pieces = items.filter(|item| item["type"] == "message").flat_map(|item| item["content"].as_array().unwrap());
    pieces.filter_map(|piece| piece.get("text")?.as_str())
}

fn any_delta() -> impl Strategy<Value = Delta> {
    let word = "[a-zé\"]{0,3}";
    prop_oneof![
        4 => word.prop_map(Delta::Text),
        3 => word.prop_map(Delta::Arguments),
        1 => (prop::sample::select(&ProtocolId::ALL[..]), word)
            .prop_map(|(origin, value)| Delta::Signature(Signature { origin, value })),
        1 => Just(Delta::Citation(Citation::default())),
        1 => Just(Delta::Logprobs(Json::parse(br#"{"content":[{"token":"a"}]}"#).unwrap())),
    ]
}

fn any_block() -> impl Strategy<Value = Block> {
    let call = ("[a-z]{0,2}", any::<bool>());
    prop_oneof![
        3 => Just(Block::Text),
        2 => Just(Block::Reasoning),
        1 => Just(Block::Refusal),
        1 => Just(Block::Redacted(signature(ProtocolId::Anthropic, "x"))),
        3 => call.prop_map(|(id, custom)| Block::ToolCall { id, name: "f".into(), custom }),
        1 => Just(Block::Media { mime: "image/png".into(), data: "AAAA".into() }),
        1 => Just(Block::Media { mime: "audio/wav".into(), data: "AAAA".into() }),
        1 => Just(Block::Opaque),
    ]
}

fn any_stream() -> impl Strategy<Value = Vec<Event>> {
    let reasons = [FinishReason::Stop, FinishReason::Length, FinishReason::ToolCalls, FinishReason::ContentFilter];
    let blocks = prop::collection::vec((any_block(), prop::collection::vec(any_delta(), 0..4)), 0..6);
    (blocks, prop::sample::select(reasons.to_vec()), any::<bool>()).prop_map(|(blocks, reason, counted)| {
        let blocks = blocks.into_iter().map(|(kind, deltas)| block(kind, deltas)).collect();
        let mut events = said(blocks, reason);
        if counted {
            events.push(Event::Usage(Usage { input: u64::MAX, output: 1, ..Usage::default() }));
        }
        events
    })
}

proptest! {
    #[test]
    fn every_stream_of_events_makes_a_grammatical_stream(events in any_stream(), cut in any::<prop::sample::Index>()) {
        let mut grammar = Grammar::default();
        events.iter().for_each(|event| grammar.accept(event).unwrap());
        let request = asked(json!({}));
        check(&streamed(&request, &events));
        whole(&request, &Response::fold(&events));
        let mut encoder = OpenAiResponses.encoder(&request, envelope());
        let mut out = Vec::new();
        events[..cut.index(events.len())].iter().for_each(|event| encoder.push(event, &mut out));
        fail(&mut *encoder, ErrorKind::Upstream, &mut out);
        prop_assert_eq!(&check(std::str::from_utf8(&out).unwrap())["status"], "failed");
    }

    #[test]
    fn an_answer_sent_back_is_read(events in any_stream()) {
        let response = check(&streamed(&asked(json!({})), &events));
        let again = OpenAiResponses.decode_request(json!({"model": "m", "input": response["output"]}).to_string().as_bytes());
        // A call that nobody named cannot be answered.
        let nameless = response["output"].as_array().unwrap().iter().any(|item| item["call_id"] == "");
        prop_assert!(nameless || again.is_ok(), "{:?}", again);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = OpenAiResponses.decode_request(&body);
    }

    #[test]
    fn no_items_make_the_reader_panic(
        kind in "(message|function_call|custom_tool_call|function_call_output|reasoning|namespace|computer_call_output|shell_call|agent_message|additional_tools|configuration_update|image_generation_call|input_image|input_file|input_audio|refusal|x)",
        keys in prop::collection::vec("(content|output|summary|tools|role|call_id|name|arguments|input|result|reasoning|text|format|encrypted_content|type|id)", 1..5),
        leaf in "(null|1|\"\"|\"user\"|\"LLMO\"|\"message\"|true|\\[\\]|\\{\\}|\\[null\\])",
        lists in any::<u8>(),
    ) {
        let mut value = leaf;
        for (at, key) in keys.iter().enumerate() {
            value = format!("{{\"type\":\"{kind}\",\"call_id\":\"c\",\"name\":\"n\",\"role\":\"assistant\",\"{key}\":{value}}}");
            if lists >> (at % 8) & 1 == 1 {
                value = format!("[{value}]");
            }
        }
        for body in [format!(r#"{{"model":"m","input":[{value}]}}"#), format!(r#"{{"model":"m","input":"x","tools":[{value}],"tool_choice":{value}}}"#)] {
            let _ = OpenAiResponses.decode_request(body.as_bytes());
        }
    }
}

#[test]
fn wrapped_proof_is_marked_so_that_it_can_be_told_from_openais() {
    let said = said(vec![block(Block::Redacted(signature(ProtocolId::Anthropic, "x")), vec![])], FinishReason::Stop);
    let response = answer(&asked(json!({})), &said);
    let proof = response["output"][0]["encrypted_content"].as_str().unwrap();
    assert!(matches!(Carrier::unwrap(proof), Some(Carrier::Reasoning { redacted: true, .. })));
    let again = decoded(json!({"model": "m", "input": response["output"]}));
    assert!(matches!(&again.messages[0].parts[..], [Part::Reasoning(Reasoning { redacted: true, .. })]));
}

#[test]
fn a_message_says_from_its_beginning_on_which_part_of_the_answer_it_is() {
    let of = |phase: &str, text: &str| {
        let phase = Delta::Signature(signature(ProtocolId::OpenAiResponses, phase));
        block(Block::Text, vec![phase, Delta::Text(text.into())])
    };
    let blocks = vec![of("commentary", "a"), of("commentary", "b"), of("final_answer", "c"), text(&["d"])];
    let response = answer(&asked(json!({})), &said(blocks.clone(), FinishReason::Stop));
    let output = response["output"].as_array().unwrap();
    let told = output.iter().map(|item| (item["phase"].as_str(), item["content"][0]["text"].as_str().unwrap()));
    let expected = [(Some("commentary"), "ab"), (Some("final_answer"), "c"), (None, "d")];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let stream = streamed(&asked(json!({})), &said(blocks, FinishReason::Stop));
    assert_eq!(stream.matches(r#""content":[],"phase":"commentary""#).count(), 1, "{stream}");
}
