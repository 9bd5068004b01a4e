//! The client side of Anthropic's protocol: recorded requests read, and everybody's recorded answers written for it.

use llm_protocol::{
    Envelope, ErrorContext, Inbound, Outbound, ProtocolId, Served, Target,
    anthropic::Anthropic,
    estimate,
    gemini::Gemini,
    ir::{
        ApiError, Block, Citation, Delta, ErrorKind, Event, Finish, FinishReason, Losses, Output, Part, Request,
        Response, Signature, Usage,
    },
    models::Models,
    openai_chat::OpenAiChat,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    fixtures::{Fixture, WHOLE, check_all, events, reasoning, recorded, text},
    messages_stream::{End, check},
};

const WIRES: [(&str, &dyn Outbound); 3] = [("anthropic", &Anthropic), ("chat", &OpenAiChat), ("gemini", &Gemini)];

fn envelope() -> Envelope {
    Envelope {
        request_id: "req_1".to_owned(),
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

/// A stream for a client, written from events and ended well.
fn written(said: &[Event]) -> Vec<u8> {
    let mut encoder = Anthropic.encoder(&Request::default(), envelope());
    let mut out = Vec::new();
    said.iter().for_each(|event| encoder.push(event, &mut out));
    encoder.end(&served(), &mut out);
    out
}

/// What a client reads of an answer that was read from another upstream.
fn retold(upstream: &dyn Outbound, fixture: &Fixture) -> Option<(Response, Response)> {
    if fixture.stream {
        let (said, Ok(())) = events(upstream, &fixture.body, WHOLE) else { return None };
        let stream = written(&said);
        assert_eq!(check(&stream), End::Well, "{}", fixture.id);
        let (back, ended) = events(&Anthropic, &stream, WHOLE);
        assert_eq!(ended, Ok(()), "{}", fixture.id);
        return Some((Response::fold(&said), Response::fold(&back)));
    }
    let before = upstream.decode_response(&fixture.body).ok()?;
    let body = Anthropic.encode_response(&Request::default(), &before, &envelope(), &served());
    let after = Anthropic.decode_response(&body).unwrap_or_else(|error| panic!("{}: {error}", fixture.id));
    Some((before, after))
}

/// Everything said that has a place in this protocol: words, whether spoken or refused, thoughts, calls.
fn said(response: &Response) -> Value {
    let parts = &response.outputs[0].parts;
    let words: String = parts
        .iter()
        .filter_map(|part| match part {
            Part::Text(part) => Some(part.text.as_str()),
            Part::Refusal(part) => Some(part),
            _ => None,
        })
        .filter(|text| !text.starts_with("[The model made"))
        .collect();
    let calls: Vec<Value> = parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall(call) => Some(json!([id(&call.id), call.name, arguments(&call.arguments)])),
            _ => None,
        })
        .collect();
    json!({"words": words, "thoughts": reasoning(response), "calls": calls})
}

/// An id as clients of this protocol see it: those outside its alphabet come wrapped.
fn id(id: &str) -> &str {
    let plain = id.bytes().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-'));
    if plain && !id.starts_with("LLMO") { id } else { "wrapped" }
}

/// Arguments as values; text that is none has become the one member of an object, where the answer came whole.
fn arguments(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => json!(members),
        _ if text.trim().is_empty() => json!({}),
        _ => json!({"input": text}),
    }
}

fn differences(before: &Response, after: &Response) -> Vec<String> {
    let mut wrong = Vec::new();
    if said(before) != said(after) {
        wrong.push(format!("{} became {}", said(before), said(after)));
    }
    let calls = before.outputs[0].parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let refused = before.outputs[0].parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    let expected = match before.outputs[0].reason() {
        FinishReason::Stop if calls => FinishReason::ToolCalls,
        FinishReason::Stop if refused => FinishReason::ContentFilter,
        FinishReason::ToolCalls if !calls => FinishReason::Stop,
        known => known,
    };
    if after.outputs[0].reason() != expected {
        wrong.push(format!("{expected:?} became {:?}", after.outputs[0].reason()));
    }
    // What was billed beside the answer is known to Anthropic's own clients, whose answers nobody writes anew.
    let answers = |usage: &Usage| Usage { web_searches: 0, web_fetches: 0, beside: Vec::new(), ..usage.clone() };
    // Some servers report more cached tokens than tokens.
    if let Some(usage) = before.usage.as_ref().filter(|usage| usage.cache_read <= usage.input)
        && after.usage != Some(answers(usage))
    {
        wrong.push(format!("{usage:?} became {:?}", after.usage));
    }
    wrong
}

#[test]
fn answers_of_every_upstream_reach_a_client_whole() {
    for (wire, upstream) in WIRES {
        let fixtures = recorded(wire);
        let answers = fixtures.iter().filter(|fixture| fixture.status == 200);
        check_all(&format!("{wire} to messages"), answers, |fixture| {
            retold(upstream, fixture).map_or_else(Vec::new, |(before, after)| differences(&before, &after))
        });
    }
}

#[test]
fn anthropics_own_answers_come_back_as_they_were() {
    for fixture in recorded("anthropic").iter().filter(|fixture| fixture.status == 200) {
        let Some((before, after)) = retold(&Anthropic, fixture) else { continue };
        let own = |part: &&Part| !matches!(part, Part::Refusal(_) | Part::Text(_));
        let rest = |response: &Response| -> Vec<Part> {
            let parts = response.outputs[0].parts.iter().filter(own).cloned();
            parts
                .map(|part| match part {
                    Part::ToolCall(mut call) => {
                        call.arguments = arguments(&call.arguments).to_string();
                        Part::ToolCall(call)
                    }
                    other => other,
                })
                .collect()
        };
        assert_eq!(rest(&before), rest(&after), "{}", fixture.id);
    }
}

#[test]
fn recorded_requests_are_read_and_can_be_said_to_every_upstream() {
    let models = Models::builtin();
    for fixture in recorded("anthropic").iter().filter(|fixture| fixture.request.is_object()) {
        let request = match Anthropic.decode_request(fixture.request.to_string().as_bytes()) {
            Ok(request) => request,
            Err(_) if fixture.status == 400 => continue,
            Err(error) => panic!("{}: {}", fixture.id, error.message),
        };
        for ((_, upstream), model) in WIRES.iter().zip(["claude-opus-5", "gpt-5", "gemini-3-pro"]) {
            let rules = models.rules(upstream.id(), "", model);
            let mut losses = Losses::default();
            let body = upstream.encode_request(&request, Target { model, rules: &rules }, &mut losses);
            assert!(serde_json::from_slice::<Value>(&body).unwrap().is_object(), "{}", fixture.id);
            assert!(!String::from_utf8_lossy(&body).contains("\"LLMO"), "{}", fixture.id);
        }
    }
}

/// The blocks of a conversation, one after the other, without what only steers caches or stands in other words.
fn blocks(body: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        for mut block in listed(&message["content"]) {
            for key in ["cache_control", "citations", "caller"] {
                block.as_object_mut().map(|block| block.remove(key));
            }
            if block["type"] == "tool_result" {
                block["content"] = Value::Array(listed(&block["content"]));
                block["is_error"] = json!(block["is_error"] == true);
            }
            // Nobody takes a text of white space.
            if block["text"].as_str().is_none_or(|text| !text.trim().is_empty()) {
                found.push(block);
            }
        }
    }
    found
}

fn listed(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(items) => items.clone(),
        _ => Vec::new(),
    }
}

#[test]
fn a_request_that_is_read_and_written_again_says_the_same() {
    // What other models cannot be shown is told to them in words, whoever asks.
    const IN_WORDS: [&str; 5] = ["search_result", "tool_reference", "compaction", "\"system\"", "x-anthropic-billing"];
    let models = Models::builtin();
    let fixtures = recorded("anthropic");
    let alike = |fixture: &&Fixture| {
        let messages = fixture.request["messages"].to_string();
        fixture.status == 200 && !IN_WORDS.iter().any(|word| messages.contains(word))
    };
    let requests = fixtures.iter().filter(alike);
    check_all("requests", requests, |fixture| {
        let request = Anthropic.decode_request(fixture.request.to_string().as_bytes()).unwrap();
        let model = fixture.request["model"].as_str().unwrap();
        let rules = models.rules(ProtocolId::Anthropic, "anthropic", model);
        let mut losses = Losses::default();
        let body = Anthropic.encode_request(&request, Target { model, rules: &rules }, &mut losses);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let mut wrong = Vec::new();
        if blocks(&body) != blocks(&fixture.request) {
            wrong.push(format!("{} became {}", fixture.request["messages"], body["messages"]));
        }
        for key in ["system", "tool_choice", "stop_sequences", "metadata", "max_tokens"] {
            let (before, after) = (&fixture.request[key], &body[key]);
            let same = before == after || listed(before) == listed(after) && !listed(after).is_empty();
            let lowered = key == "max_tokens" && losses.paths().contains("max_tokens");
            let cached = before.to_string().contains("cache_control");
            if !(same || lowered || cached) {
                wrong.push(format!("{key}: {before} became {after}"));
            }
        }
        wrong
    });
}

#[test]
fn an_estimate_is_near_what_providers_count() {
    // Only text can be estimated, and only where the prompt that a provider adds of its own is little of it.
    const OTHER: [&str; 8] =
        ["\"image", "\"document\"", "\"file\"", "audio", "\"tools\"", "json_schema", "context_management", "thinking"];
    let protocols: [(&str, &dyn Outbound, &dyn Inbound); 2] =
        [("anthropic", &Anthropic, &Anthropic), ("chat", &OpenAiChat, &OpenAiChat)];
    for (wire, upstream, inbound) in protocols {
        let fixtures = recorded(wire);
        let whole = |fixture: &&Fixture| fixture.status == 200 && !fixture.id.starts_with("doc-");
        check_all(&format!("estimates of {wire}"), fixtures.iter().filter(whole), |fixture| {
            let request = fixture.request.to_string();
            let read = inbound.decode_request(request.as_bytes());
            let (Ok(read), Ok(response)) = (read, fixture.answer(upstream)) else { return Vec::new() };
            let (Some(usage), estimate) = (response.usage, estimate::tokens(&read)) else { return Vec::new() };
            let ratio = estimate as f64 / usage.input as f64;
            let telling = usage.input >= 100 && !OTHER.iter().any(|word| request.contains(word));
            let far = telling && !(0.5..2.0).contains(&ratio);
            if far { vec![format!("{estimate} for {}", usage.input)] } else { Vec::new() }
        });
    }
}

/// Any answer that a decoder might tell.
fn answer() -> impl Strategy<Value = Vec<Event>> {
    let origin = prop::sample::select(vec![ProtocolId::Anthropic, ProtocolId::Gemini, ProtocolId::OpenAiChat]);
    let signature = (origin, "[a-z]{0,3}").prop_map(|(origin, value)| Signature { origin, value });
    let kind =
        (0..7usize, "[a-z]{0,2}", any::<bool>(), signature.clone()).prop_map(
            |(kind, id, custom, signature)| match kind {
                0 => Block::Text,
                1 => Block::Reasoning,
                2 => Block::Refusal,
                3 => Block::ToolCall { id, name: "f".into(), custom },
                4 => Block::Redacted(signature),
                5 => Block::Media { mime: "image/png".into(), data: String::new() },
                _ => Block::Opaque,
            },
        );
    let delta = (0..4usize, ".{0,3}", signature).prop_map(|(kind, text, signature)| match kind {
        0 => Delta::Text(text),
        1 => Delta::Arguments(text),
        2 => Delta::Signature(signature),
        _ => Delta::Citation(Citation { url: Some(text), ..Citation::default() }),
    });
    let block = (kind, prop::collection::vec(delta, 0..4)).prop_map(|(block, deltas)| {
        let fits = |delta: &Delta| match delta {
            Delta::Text(_) => matches!(block, Block::Text | Block::Reasoning | Block::Refusal),
            Delta::Signature(_) => matches!(block, Block::Text | Block::Reasoning | Block::ToolCall { .. }),
            Delta::Arguments(_) => matches!(block, Block::ToolCall { .. }),
            Delta::Citation(_) | Delta::Logprobs(_) => matches!(block, Block::Text),
        };
        let deltas: Vec<_> = deltas.into_iter().filter(fits).map(Event::Delta).collect();
        [Event::Open(block)].into_iter().chain(deltas).chain([Event::Close]).collect::<Vec<_>>()
    });
    prop::collection::vec(block, 0..5).prop_map(|blocks| {
        let start = Event::Start { id: String::new(), model: String::new() };
        let finish = Finish { reason: FinishReason::Stop, raw: String::new(), stop_sequence: None };
        let usage = Event::Usage(Usage { input: 3, output: 2, cache_read: 9, ..Usage::default() });
        [start].into_iter().chain(blocks.into_iter().flatten()).chain([Event::Finish(finish), usage]).collect()
    })
}

proptest! {
    #[test]
    fn every_answer_makes_a_correct_stream(said in answer()) {
        prop_assert_eq!(check(&written(&said)), End::Well);
    }

    #[test]
    fn a_stream_that_breaks_anywhere_ends_with_its_error(said in answer(), at in 0..20usize) {
        let mut encoder = Anthropic.encoder(&Request::default(), envelope());
        let mut out = Vec::new();
        said.iter().take(at).for_each(|event| encoder.push(event, &mut out));
        let context = ErrorContext { request_id: "req_1".into(), timestamp: "2026-01-01T00:00:00Z".into() };
        encoder.fail(&ApiError::new(ErrorKind::Upstream, "broke"), &context, &mut out);
        prop_assert_eq!(check(&out), End::Failed);
    }

    #[test]
    fn a_streamed_answer_says_what_the_whole_one_says(said in answer()) {
        let response = Response::fold(&said);
        let whole = Anthropic.encode_response(&Request::default(), &response, &envelope(), &served());
        let whole = Anthropic.decode_response(&whole).unwrap();
        let streamed = Response::fold(&events(&Anthropic, &written(&said), WHOLE).0);
        prop_assert_eq!(text(&whole), text(&streamed));
        prop_assert_eq!(reasoning(&whole), reasoning(&streamed));
        prop_assert_eq!(whole.outputs[0].reason(), streamed.outputs[0].reason());
        prop_assert_eq!(whole.usage, streamed.usage);
    }

    #[test]
    fn arbitrary_requests_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in "[a-z_]{0,12}", text in ".{0,8}") {
        let _ = Anthropic.decode_request(&bytes);
        let block = json!({"type": kind, "text": text, "data": format!("LLMO{text}"), "signature": format!("LLMO{text}"),
                           "content": text, "source": {"type": kind, "data": text}, "id": text, "name": text, "input": {}});
        for role in ["user", "assistant", "system"] {
            let blocks: Vec<Value> = ["text", "thinking", "redacted_thinking", "tool_use", "document", &kind]
                .map(|kind| { let mut block = block.clone(); block["type"] = json!(kind); block })
                .into();
            let body = json!({"model": text, "max_tokens": 1, "messages": [{"role": role, "content": blocks}]});
            let _ = Anthropic.decode_request(body.to_string().as_bytes());
        }
    }

    #[test]
    fn arbitrary_answers_never_panic(mime in ".{0,5}", arguments in ".{0,5}", length in 0..9u64) {
        let call = llm_protocol::ir::ToolCall { arguments, ..Default::default() };
        let citations = vec![Citation { url: Some(mime), span: Some((length, 0)), ..Citation::default() }];
        let output = Output { parts: vec![Part::text("é"), Part::ToolCall(call)], citations, ..Output::default() };
        let response = Response { outputs: vec![output], ..Response::default() };
        let body = Anthropic.encode_response(&Request::default(), &response, &envelope(), &served());
        prop_assert!(serde_json::from_slice::<Value>(&body).is_ok());
    }
}
