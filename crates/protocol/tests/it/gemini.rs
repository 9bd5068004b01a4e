//! Gemini's recorded answers, streams and errors, compared with what its own SDK makes of them; and the rules that
//! every request must keep, whatever was asked.

use llm_protocol::{
    Outbound, ProtocolId, Target,
    gemini::Gemini,
    ir::{ApiError, ErrorKind, Losses, Message, Part, Request, Response, Role, Text, ToolCall, ToolResult},
    models::Models,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures::{
    Fixture, WHOLE, calls, check_all, check_cuts, check_garbage, events, finish_word, frames, reasoning, recorded, text,
};

/// The recordings' reader took each piece of a call for a call.
const IN_PIECES: [(&str, &[&str]); 2] = [
    ("doc-ge-partial-args", &[r#"{"location":"Boston"}"#, r#"{"location":"San Francisco"}"#]),
    ("doc-vx-partial-args-nested", &[]),
];

fn arguments_in_pieces(fixture: &Fixture) -> Option<&'static [&'static str]> {
    IN_PIECES.iter().find(|(id, _)| *id == fixture.id).map(|(_, arguments)| *arguments)
}

/// What a decoded answer says, in the fixtures' words. Ids of calls that Gemini did not give are made up.
fn told(fixture: &Fixture, response: &Response) -> Value {
    let expected = fixture.expect["tool_calls"].as_array().unwrap();
    let call = |(at, call): (usize, &&ToolCall)| {
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
        let given = expected.get(at).is_none_or(|call| call["id"].is_string());
        json!({"id": given.then_some(&call.id), "name": call.name, "arguments": arguments})
    };
    let usage = response.usage.as_ref().map(|usage| {
        json!({
            "input_total": usage.input, "output_total": usage.output, "reasoning": usage.reasoning.unwrap_or(0),
            "cache_read": usage.cache_read, "cache_write": null,
        })
    });
    json!({
        "id": response.id,
        "model": response.model,
        "text": text(response),
        "reasoning_text": reasoning(response),
        "tool_calls": calls(response).iter().enumerate().map(call).collect::<Vec<_>>(),
        "usage": usage,
    })
}

/// What differs from the expectation.
fn differences(fixture: &Fixture, response: &Response) -> Vec<String> {
    let in_pieces = arguments_in_pieces(fixture).is_some();
    let mut wrong = fixture.unlike(&told(fixture, response), |key| key == "tool_calls" && in_pieces);
    let allowed = fixture.expect["finish_openai_ok"].as_array();
    if allowed.is_some_and(|allowed| !allowed.contains(&json!(finish_word(response.outputs[0].reason())))) {
        wrong.push(format!("finished with {:?}", response.outputs[0].reason()));
    }
    let mut ids: Vec<&str> = calls(response).iter().map(|call| call.id.as_str()).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != count || ids.contains(&"") {
        wrong.push(format!("ids {ids:?}"));
    }
    wrong
}

/// Whether the recording ends in a failure of the model's, which must not look like an answer.
fn failed(fixture: &Fixture, error: &ApiError) -> Vec<String> {
    let word = fixture.expect["finish_native"].as_str().unwrap_or_default();
    let right = error.kind == ErrorKind::Upstream && error.reason == Some(word.to_lowercase().as_str());
    if right { Vec::new() } else { vec![format!("{error:?}")] }
}

fn check_stream(fixture: &Fixture) -> Vec<String> {
    let (whole, ended) = fixture.events(&Gemini);
    match ended {
        Ok(()) => differences(fixture, &Response::fold(&whole)),
        Err(error) => failed(fixture, &error),
    }
}

fn check_whole(fixture: &Fixture) -> Vec<String> {
    match Gemini.decode_response(&fixture.body) {
        Ok(response) => differences(fixture, &response),
        Err(error) => failed(fixture, &error),
    }
}

fn check_error(fixture: &Fixture) -> Vec<String> {
    let told: Value = serde_json::from_slice(&fixture.body).unwrap();
    let error = Gemini.decode_error(fixture.status, &fixture.body);
    let message = told["error"]["message"].as_str().unwrap();
    let kind = match fixture.status {
        400 if message.contains("API key") => ErrorKind::UpstreamAuth,
        400 => ErrorKind::InvalidRequest,
        404 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited,
        _ => ErrorKind::Overloaded,
    };
    let waits = error.retry_after.is_some() == (fixture.status == 429);
    let right =
        error.message == message && error.kind == kind && waits && error.upstream_status == Some(fixture.status);
    if right { Vec::new() } else { vec![format!("{error:?}")] }
}

#[test]
fn recorded_answers_streams_and_errors_mean_what_the_sdk_says_they_mean() {
    check_all("gemini", &recorded("gemini"), |fixture| match fixture.status {
        400.. => check_error(fixture),
        _ if fixture.stream => check_stream(fixture),
        _ => check_whole(fixture),
    });
}

#[test]
fn arguments_in_pieces_are_put_together() {
    for fixture in &recorded("gemini") {
        let Some(expected) = arguments_in_pieces(fixture) else { continue };
        let response = fixture.answer(&Gemini).unwrap();
        let calls = calls(&response);
        match expected {
            [] => {
                let recipe: Value = serde_json::from_str(&calls[0].arguments).unwrap();
                assert_eq!(calls.len(), 1);
                assert_eq!(recipe["recipe"]["ingredients"][1], json!({"amount": "1 lb", "name": "Ground beef"}));
                assert_eq!(recipe["recipe"]["steps"][9], "Let stand for 15 minutes before serving.");
            }
            arguments => {
                assert_eq!(calls.iter().map(|call| &*call.arguments).collect::<Vec<_>>(), arguments);
                assert!(calls[0].signature.is_some() && calls[1].signature.is_none());
            }
        }
    }
}

#[test]
fn every_signature_is_kept_bit_for_bit() {
    for fixture in recorded("gemini").iter().filter(|fixture| fixture.status < 400) {
        let Ok(response) = fixture.answer(&Gemini) else { continue };
        let answers: Vec<Value> = match fixture.stream {
            true => frames(&fixture.body, WHOLE)
                .iter()
                .filter_map(|frame| serde_json::from_slice(frame.data.as_ref()?).ok())
                .collect(),
            false => vec![serde_json::from_slice(&fixture.body).unwrap()],
        };
        let given =
            answers.iter().filter_map(|answer| answer["candidates"][0]["content"]["parts"].as_array()).flatten();
        let given: Vec<&str> = given
            .filter(|part| part["text"].is_string() || part["functionCall"].is_object())
            .filter_map(|part| part["thoughtSignature"].as_str())
            .collect();
        let kept = response.outputs[0].parts.iter().filter_map(|part| match part {
            Part::Text(text) => text.signature.as_ref(),
            Part::Reasoning(reasoning) => reasoning.signature.as_ref(),
            Part::ToolCall(call) => call.signature.as_ref(),
            _ => None,
        });
        assert_eq!(kept.map(|kept| kept.value.as_str()).collect::<Vec<_>>(), given, "{}", fixture.id);
    }
}

#[test]
fn sources_are_named_where_the_answer_rests_on_them() {
    let named = |response: &Response| response.outputs[0].citations.iter().any(|citation| citation.span.is_some());
    let sourced = |fixture: &&Fixture| String::from_utf8_lossy(&fixture.body).contains("groundingSupports");
    for fixture in recorded("gemini").iter().filter(sourced) {
        let response = fixture.answer(&Gemini).unwrap();
        assert!(named(&response), "{}", fixture.id);
    }
}

#[test]
fn a_stream_cut_at_any_byte_ends_legally_or_fails() {
    check_cuts(&Gemini, &recorded("gemini"));
}

/// What Gemini answers 400 to in the conversation of a request.
fn violations(body: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let contents = body["contents"].as_array().unwrap();
    if contents.first().is_none_or(|content| content["role"] != "user") {
        wrong.push("the user does not begin".into());
    }
    let mut calls = 0;
    let mut before = &Value::Null;
    for (at, content) in contents.iter().enumerate() {
        let parts = content["parts"].as_array().unwrap();
        let results = parts.iter().filter(|part| part["functionResponse"].is_object()).count();
        if parts.is_empty() || results > 0 && results != parts.len() || results != calls {
            wrong.push(format!("{at}: {results} results for {calls} calls beside {} parts", parts.len()));
        }
        if *before == "model" && content["role"] == "model" {
            wrong.push(format!("{at}: the model twice"));
        }
        for part in parts {
            let empty = part["text"] == "" && part["thoughtSignature"].is_null();
            let call = &part["functionCall"];
            let response = &part["functionResponse"];
            if empty
                || call.is_object() && !call["args"].is_object()
                || response.is_object() && !response["response"].is_object()
            {
                wrong.push(format!("{at}: {part}"));
            }
        }
        calls = parts.iter().filter(|part| part["functionCall"].is_object()).count();
        let first = parts.iter().find(|part| part["functionCall"].is_object());
        if first.is_some_and(|part| part["thoughtSignature"].is_null()) {
            wrong.push(format!("{at}: unsigned"));
        }
        before = &content["role"];
    }
    wrong
}

fn part() -> impl Strategy<Value = Part> {
    let id = || prop::sample::select(vec!["call_1", "call_2", "0b3pdf3o", ""]);
    let text = || prop::sample::select(vec!["", "{}", "[1]", "{\"a\":", "x"]);
    prop_oneof![
        text().prop_map(Part::text),
        text().prop_map(|text| Part::Text(Text { text: text.into(), ..Text::default() })),
        (id(), text()).prop_map(|(id, arguments)| {
            Part::ToolCall(ToolCall {
                id: id.into(),
                name: "f".into(),
                arguments: arguments.into(),
                ..ToolCall::default()
            })
        }),
        (id(), text()).prop_map(|(id, text)| {
            Part::ToolResult(ToolResult { id: id.into(), content: vec![Part::text(text)], ..ToolResult::default() })
        }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let role = prop::sample::select(vec![Role::User, Role::Assistant, Role::System]);
    (role, prop::collection::vec(part(), 0..4)).prop_map(|(role, parts)| Message::new(role, parts))
}

proptest! {
    #[test]
    fn any_conversation_becomes_one_that_gemini_takes(messages in prop::collection::vec(message(), 0..8)) {
        let rules = Models::builtin().rules(ProtocolId::Gemini, "gemini", "gemini-3-flash");
        let request = Request { messages, ..Request::default() };
        let target = Target { model: "gemini-3-flash", rules: &rules };
        let body = Gemini.encode_request(&request, target, &mut Losses::default());
        let wrong = violations(&serde_json::from_slice(&body).unwrap());
        prop_assert!(wrong.is_empty(), "{}\n{wrong:?}", String::from_utf8_lossy(&body));
    }

    #[test]
    fn any_order_of_parts_obeys_the_grammar_or_fails(frames in prop::collection::vec(frame(), 0..12)) {
        let stream: String = frames.iter().map(|frame| format!("data: {frame}\n\n")).collect();
        let _ = events(&Gemini, stream.as_bytes(), WHOLE);
        for frame in frames {
            let _ = Gemini.decode_response(frame.as_bytes());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), status in 100u16..600) {
        check_garbage(&Gemini, status, &bytes);
    }
}

fn frame() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        json!({"text": "é"}),
        json!({"text": "", "thoughtSignature": "s"}),
        json!({"text": "a", "thought": true}),
        json!({"functionCall": {"name": "f", "args": {"a": 1}}}),
        json!({"functionCall": {"name": "f", "willContinue": true}}),
        json!({"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}], "willContinue": true}}),
        json!({"functionCall": {}}),
        json!({"inlineData": {"mimeType": "image/png", "data": "AA=="}}),
        json!({"executableCode": {}}),
        json!({}),
    ]);
    let parts = prop::collection::vec(part, 0..3);
    let finish = prop::sample::select(vec![json!(null), json!("STOP"), json!("SAFETY"), json!("OTHER"), json!(2)]);
    let rest = prop::sample::select(vec![
        json!({}),
        json!({"groundingMetadata": {"groundingChunks": [{"web": {"uri": "u"}}]}}),
        json!({"logprobsResult": {"chosenCandidates": [{"token": "a"}]}}),
    ]);
    (parts, finish, rest).prop_map(|(parts, finish, rest)| {
        let mut candidate = json!({"content": {"parts": parts}, "finishReason": finish});
        candidate.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!({"candidates": [candidate], "usageMetadata": {"promptTokenCount": 1}}).to_string()
    })
}
