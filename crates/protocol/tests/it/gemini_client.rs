//! Google's clients: every recorded request is understood, and every recorded answer can be written again.

use llm_protocol::{
    Envelope, Inbound, Outbound, ProtocolId, Served, Target,
    gemini::Gemini,
    ir::{FinishReason, Losses, Part, ReasoningRequest, Request, Response, Tool, carrier::MARK},
    models::Models,
    sse::Framer,
};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures::{Fixture, check_all, recorded};

fn envelope(array: bool) -> Envelope {
    Envelope {
        request_id: "req_1".into(),
        created: 0,
        model: "m".into(),
        include_usage: true,
        legacy_functions: false,
        array,
    }
}

fn served() -> Served {
    Served { provider: "a".into(), latency_ms: 1 }
}

/// A client that wants to see thoughts, so that nothing of an answer is kept from it.
fn curious() -> Request {
    let reasoning = ReasoningRequest { visible: Some(true), ..ReasoningRequest::default() };
    Request { reasoning: Some(reasoning), ..Request::default() }
}

/// What the request says once it was told to Gemini again.
fn told_again(request: &Request, model: &str) -> Result<Request, String> {
    let rules = Models::builtin().rules(ProtocolId::Gemini, "gemini", model);
    let body = Gemini.encode_request(request, Target { model, rules: &rules }, &mut Losses::default());
    Gemini.decode_request(&body).map_err(|error| error.message)
}

fn check_request(fixture: &Fixture) -> Vec<String> {
    let request = match Gemini.decode_request(fixture.request.to_string().as_bytes()) {
        Ok(request) => request,
        // What Google refused may be refused here too.
        Err(_) if fixture.status == 400 => return Vec::new(),
        Err(error) => return vec![error.message],
    };
    let again = match told_again(&request, "gemini-3-flash-preview") {
        Ok(again) => again,
        Err(error) => return vec![error],
    };
    let (before, after) = (gist(&request), gist(&again));
    if before == after { Vec::new() } else { vec![format!("{before:#?}\n  became {after:#?}")] }
}

/// What is said, called and answered, in order, and what may be called. Thoughts without Google's signature are not told
/// again, and neither are ids that Google did not give.
fn gist(request: &Request) -> Vec<String> {
    let parts = request.system.iter().chain(request.messages.iter().flat_map(|message| &message.parts));
    let said = parts.filter_map(|part| match part {
        Part::Reasoning(_) => None,
        // Somebody has to begin, if only with a space.
        Part::Text(text) => Some(text.text.clone()).filter(|text| text != " "),
        Part::ToolCall(call) => Some(format!("{}{}", call.name, call.arguments)),
        Part::ToolResult(result) => Some(format!("{:?} {:?}", result.name, result.content)),
        other => Some(format!("{other:?}")),
    });
    let offered = request.tools.iter().map(|tool| match tool {
        Tool::Function(function) => function.name.clone(),
        other => format!("{other:?}"),
    });
    said.chain(offered).collect()
}

#[test]
fn every_recorded_request_is_understood_and_can_be_told_again() {
    check_all("gemini requests", &recorded("gemini"), check_request);
}

/// Takes off what this gateway put in the place of signatures.
fn unmarked(mut response: Response) -> Response {
    for part in response.outputs.iter_mut().flat_map(|output| &mut output.parts) {
        let signature = match part {
            Part::Text(text) => &mut text.signature,
            Part::ToolCall(call) => &mut call.signature,
            _ => continue,
        };
        *signature = signature.take().filter(|signature| !signature.value.starts_with(MARK));
    }
    response
}

/// Thoughts as one where nothing stands between them: what ran at Google did, and is not told.
fn joined(mut response: Response) -> Response {
    for output in &mut response.outputs {
        output.parts.dedup_by(|next, last| match (last, next) {
            (Part::Reasoning(last), Part::Reasoning(next)) => {
                last.text.push_str(&next.text);
                true
            }
            _ => false,
        });
    }
    response
}

#[test]
fn every_recorded_answer_is_written_as_it_was_read() {
    check_all("gemini answers", recorded("gemini").iter().filter(|fixture| fixture.status < 400), |fixture| {
        let Ok(response) = fixture.answer(&Gemini) else { return Vec::new() };
        // What Google withheld is told in words, since a client has no other place for them.
        if response.outputs[0].reason() == FinishReason::ContentFilter {
            return Vec::new();
        }
        let written = Gemini.encode_response(&curious(), &response, &envelope(false), &served());
        match Gemini.decode_response(&written).map(unmarked) {
            Ok(again) if joined(again.clone()) == joined(response.clone()) => Vec::new(),
            again => vec![format!("{response:?}\n  became {again:?}")],
        }
    });
}

/// The events of a recorded stream, written in one of the framings.
fn written(fixture: &Fixture, array: bool) -> Vec<u8> {
    let mut encoder = Gemini.encoder(&curious(), envelope(array));
    let mut out = Vec::new();
    for event in fixture.events(&Gemini).0 {
        encoder.push(&event, &mut out);
    }
    encoder.end(&served(), &mut out);
    out
}

#[test]
fn every_recorded_stream_is_written_in_both_framings_alike() {
    for fixture in recorded("gemini").iter().filter(|fixture| fixture.stream && fixture.status < 400) {
        let mut framer = Framer::new(1 << 24);
        framer.push(&written(fixture, false));
        let mut events = Vec::new();
        while let Some(frame) = framer.next_frame().unwrap() {
            events.push(serde_json::from_slice::<Value>(&frame.data.unwrap()).unwrap());
        }
        let array: Vec<Value> = serde_json::from_slice(&written(fixture, true)).unwrap();
        assert_eq!(array, events, "{}", fixture.id);
        assert!(events.iter().all(|event| event["candidates"][0]["content"]["parts"][0].is_object()), "{}", fixture.id);
    }
}

/// Any JSON made of the words that a request is made of.
fn nonsense() -> impl Strategy<Value = Value> {
    let word = || prop::sample::select(WORDS);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..9).prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(word(), inner, 0..5)
                .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

const WORDS: &[&str] = &[
    "role",
    "model",
    "user",
    "parts",
    "text",
    "thought",
    "thoughtSignature",
    "LLMOe30=",
    "functionCall",
    "functionResponse",
    "id",
    "name",
    "args",
    "response",
    "output",
    "inlineData",
    "mimeType",
    "image/png",
    "data",
    "fileData",
    "fileUri",
    "executableCode",
    "functionDeclarations",
    "parameters",
    "type",
    "OBJECT",
    "properties",
    "nullable",
    "anyOf",
    "propertyOrdering",
    "mode",
    "ANY",
];

proptest! {
    #[test]
    fn no_request_panics_and_what_is_read_can_be_told(contents in nonsense(), tools in nonsense(), config in nonsense(), system in nonsense()) {
        let calling = json!({"functionCallingConfig": config});
        let body = json!({"contents": [{"role": "model", "parts": contents}, {"parts": contents}, contents], "tools": tools,
            "generationConfig": config, "systemInstruction": system, "toolConfig": calling});
        if let Ok(request) = Gemini.decode_request(body.to_string().as_bytes()) {
            let again = told_again(&request, "gemini-3-flash");
            prop_assert!(again.is_ok(), "{again:?}");
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = Gemini.decode_request(&bytes);
        let _ = Gemini.decode_request(&[b"{\"contents\":", &bytes[..], b"}"].concat());
    }
}
