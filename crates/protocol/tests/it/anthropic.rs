//! Anthropic's recorded answers, streams and errors, compared with what its own SDK makes of them.

use std::collections::BTreeSet;

use llm_protocol::{
    Outbound,
    anthropic::Anthropic,
    ir::{ErrorKind, FinishReason, Response, ToolCall},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixtures::{
    Fixture, WHOLE, arguments, calls, check_all, check_cuts, check_garbage, events, finish_word, frames, reasoning,
    recorded, refusal, text,
};

/// Where the provider explains a refusal, the recording's reader did not look.
const EXPLAINED_REFUSALS: [&str; 2] = ["doc-an-refusal", "doc-an-refusal-stream"];

/// What a decoded answer says, in the fixtures' words.
fn told(response: &Response) -> Value {
    let output = &response.outputs[0];
    let call = |call: &&ToolCall| {
        let arguments: Value = serde_json::from_str(arguments(call)).unwrap_or_else(|_| json!(call.arguments));
        json!({"id": call.id, "name": call.name, "arguments": arguments})
    };
    let refusal = refusal(response);
    let usage = response.usage.as_ref().map(|usage| {
        json!({
            "input_total": usage.input, "output_total": usage.output, "reasoning": usage.reasoning,
            "cache_read": usage.cache_read, "cache_write": usage.cache_write,
        })
    });
    json!({
        "id": response.id,
        "model": response.model,
        "text": text(response),
        "reasoning_text": reasoning(response),
        "refusal": (!refusal.is_empty()).then_some(refusal),
        "tool_calls": calls(response).iter().map(call).collect::<Vec<_>>(),
        "finish_native": output.finish.as_ref().map(|finish| &finish.raw),
        "usage": usage,
    })
}

/// What differs from the expectation.
fn differences(fixture: &Fixture, response: &Response) -> Vec<String> {
    let explained = EXPLAINED_REFUSALS.contains(&fixture.id.as_str());
    let mut wrong = fixture.unlike(&told(response), |key| key == "refusal" && explained);
    if let (Some(finish), Some(allowed)) = (&response.outputs[0].finish, fixture.expect["finish_openai_ok"].as_array())
        && !allowed.contains(&json!(finish_word(finish.reason)))
    {
        wrong.push(format!("finished with {:?}", finish.reason));
    }
    if response.outputs[0].finish.as_ref().map(|finish| json!(finish.stop_sequence))
        != fixture.expect.get("stop_sequence").cloned().or(Some(Value::Null))
        && fixture.expect["finish_native"].is_string()
    {
        wrong.push("stop sequence".to_owned());
    }
    wrong
}

fn check_stream(fixture: &Fixture) -> Vec<String> {
    let (whole, ended) = fixture.events(&Anthropic);
    let mut wrong = Vec::new();
    match (ended, fixture.expect.get("error")) {
        (Ok(()), None) => {}
        (Err(error), Some(expected)) => {
            if json!(error.message) != expected["message"] || error.kind != ErrorKind::Overloaded {
                wrong.push(format!("{error:?}"));
            }
        }
        (ended, expected) => wrong.push(format!("{ended:?} instead of {expected:?}")),
    }
    wrong.extend(differences(fixture, &Response::fold(&whole)));
    wrong
}

fn check_whole(fixture: &Fixture) -> Vec<String> {
    match Anthropic.decode_response(&fixture.body) {
        Ok(response) => differences(fixture, &response),
        Err(error) => vec![format!("{error:?}")],
    }
}

fn check_error(fixture: &Fixture) -> Vec<String> {
    let error = Anthropic.decode_error(fixture.status, &fixture.body);
    let kind = match fixture.status {
        400 => ErrorKind::InvalidRequest,
        401 => ErrorKind::UpstreamAuth,
        404 => ErrorKind::NotFound,
        413 => ErrorKind::TooLarge,
        429 => ErrorKind::RateLimited,
        500 => ErrorKind::Upstream,
        _ => ErrorKind::Overloaded,
    };
    let right = json!(error.message) == fixture.expect["error"]["message"]
        && error.kind == kind
        && error.upstream_status == Some(fixture.status);
    if right { Vec::new() } else { vec![format!("{error:?}")] }
}

#[test]
fn recorded_answers_streams_and_errors_mean_what_the_sdk_says_they_mean() {
    check_all("anthropic", &recorded("anthropic"), |fixture| match fixture.status {
        400.. => check_error(fixture),
        _ if fixture.stream => check_stream(fixture),
        _ => check_whole(fixture),
    });
}

/// The whole answer that a stream is put together to.
fn assembled(fixture: &Fixture) -> Vec<u8> {
    let mut assembler = Anthropic.assembler().unwrap();
    frames(&fixture.body, WHOLE).iter().for_each(|frame| assembler.push(frame));
    assembler.whole()
}

/// The members of an answer, of its usage and of its blocks, each with what it is a member of.
fn shape(answer: &Value) -> BTreeSet<(String, String)> {
    let members = |what: &str, value: &Value| {
        let keys = value.as_object().into_iter().flatten().map(|(key, _)| (what.to_owned(), key.clone()));
        keys.collect::<Vec<_>>()
    };
    let mut shape: BTreeSet<_> = members("message", answer).into_iter().collect();
    shape.extend(members("usage", &answer["usage"]));
    for block in answer["content"].as_array().unwrap() {
        shape.extend(members(block["type"].as_str().unwrap(), block));
    }
    shape
}

#[test]
fn a_stream_put_together_says_what_the_sdk_says_it_says() {
    let ends = |fixture: &&Fixture| fixture.stream && fixture.status < 400 && fixture.expect.get("error").is_none();
    check_all("assembled", recorded("anthropic").iter().filter(ends), |fixture| {
        let response = match Anthropic.decode_response(&assembled(fixture)) {
            Ok(response) => response,
            Err(error) => return vec![format!("{error:?}")],
        };
        let mut wrong = differences(fixture, &response);
        if response.usage != Response::fold(&fixture.events(&Anthropic).0).usage {
            wrong.push("usage".to_owned());
        }
        wrong
    });
}

#[test]
fn a_stream_put_together_has_the_shape_of_whole_answers() {
    let recorded = recorded("anthropic");
    let answers: Vec<&Fixture> = recorded.iter().filter(|fixture| fixture.status < 400).collect();
    let whole = answers.iter().filter(|fixture| !fixture.stream);
    let known: BTreeSet<_> = whole.flat_map(|fixture| shape(&serde_json::from_slice(&fixture.body).unwrap())).collect();
    let kinds: BTreeSet<&String> = known.iter().map(|(what, _)| what).collect();
    check_all("shaped as whole answers", answers.iter().filter(|fixture| fixture.stream).copied(), |fixture| {
        let told = shape(&serde_json::from_slice(&assembled(fixture)).unwrap());
        let odd = told.difference(&known).filter(|(what, _)| kinds.contains(what));
        odd.map(|(what, key)| format!("no {what} has `{key}`")).collect()
    });
}

#[test]
fn a_stream_cut_at_any_byte_ends_legally_or_fails() {
    check_cuts(&Anthropic, &recorded("anthropic"));
}

#[test]
fn an_explained_refusal_is_told_in_the_providers_words() {
    let explained = |fixture: &&Fixture| EXPLAINED_REFUSALS.contains(&fixture.id.as_str());
    for fixture in recorded("anthropic").iter().filter(explained) {
        let response = fixture.answer(&Anthropic).unwrap();
        let refusal = refusal(&response);
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
        let _ = events(&Anthropic, stream.as_bytes(), WHOLE);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), status in 100u16..600) {
        check_garbage(&Anthropic, status, &bytes);
    }
}
