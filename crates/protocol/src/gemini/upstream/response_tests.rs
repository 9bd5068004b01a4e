//! What an answer is read as, seen from outside.

use crate::{Outbound, ProtocolId, StreamDecoder, gemini::Gemini, ir::*, sse::Framer};

fn decode(body: &str) -> Result<Response, ApiError> {
    Gemini.decode_response(body.as_bytes())
}

fn stream(frames: &[&str]) -> (Vec<Event>, Result<(), ApiError>) {
    let mut framer = Framer::new(1 << 20);
    frames.iter().for_each(|frame| framer.push(format!("data: {frame}\r\n\r\n").as_bytes()));
    let (mut decoder, mut events, mut grammar) = (Gemini.decoder(), Vec::new(), Grammar::default());
    let outcome = read(&mut *decoder, &mut framer, &mut events);
    events.iter().for_each(|event| grammar.accept(event).unwrap());
    (events, outcome)
}

fn read(decoder: &mut dyn StreamDecoder, framer: &mut Framer, events: &mut Vec<Event>) -> Result<(), ApiError> {
    while let Some(frame) = framer.next_frame().unwrap() {
        decoder.push(&frame, events)?;
    }
    decoder.end(events)
}

#[test]
fn calls_without_ids_get_ones_that_no_other_answer_has() {
    let body = |id: &str| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"f","args":{{ "b": 1.0 }}}}}},{{"functionCall":{{"name":"f"}}}}]}},"finishReason":"STOP"}}],"responseId":"{id}"}}"#
        )
    };
    let calls = |id: &str| -> Vec<ToolCall> {
        let output = decode(&body(id)).unwrap().outputs.remove(0);
        assert_eq!(output.reason(), FinishReason::ToolCalls);
        output
            .parts
            .into_iter()
            .map(|part| if let Part::ToolCall(call) = part { call } else { panic!("{part:?}") })
            .collect()
    };
    let (first, second) = (calls("r1"), calls("r2"));
    assert_eq!((&*first[0].arguments, &*first[1].arguments), (r#"{"b":1.0}"#, "{}"));
    assert_eq!(first, calls("r1"));
    let mut ids: Vec<_> = first.iter().chain(&second).map(|call| &call.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    let (events, _) = stream(&[&body("r1")]);
    assert_eq!(Response::fold(&events).outputs[0].parts, first.into_iter().map(Part::ToolCall).collect::<Vec<_>>());
}

#[test]
fn signed_texts_stay_apart_and_unsigned_neighbours_join() {
    let (events, outcome) = stream(&[
        r#"{"candidates":[{"content":{"parts":[{"text":"a"},{"text":"b"}]}}],"responseId":"r","modelVersion":"m"}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"c"}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"s"}]},"finishReason":"STOP"}]}"#,
    ]);
    outcome.unwrap();
    let signed = Signature { origin: ProtocolId::Gemini, value: "s".into() };
    assert_eq!(
        Response::fold(&events).outputs[0].parts,
        [Part::text("abc"), Part::Text(Text { signature: Some(signed), ..Text::default() })]
    );
}

#[test]
fn an_answer_with_calls_ends_in_calls_even_if_its_last_frame_is_empty() {
    let (events, outcome) = stream(&[
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]}}],"usageMetadata":{"promptTokenCount":3}}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}"#,
        r#"{"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}"#,
    ]);
    outcome.unwrap();
    let folded = Response::fold(&events);
    assert_eq!(folded.outputs[0].reason(), FinishReason::ToolCalls);
    assert_eq!(folded.usage.unwrap().total(), 5);
    assert!(matches!(events.last(), Some(Event::Finish(_))));
}

#[test]
fn a_stream_without_its_finish_is_broken_off() {
    let (events, outcome) = stream(&[r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#]);
    assert_eq!(outcome.unwrap_err().reason, Some("truncated"));
    assert!(!events.iter().any(|event| matches!(event, Event::Finish(_))));
    assert_eq!(stream(&[]).1.unwrap_err().reason, Some("truncated"));
}

#[test]
fn an_error_in_a_stream_is_an_error() {
    let overloaded = r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;
    let (events, outcome) = stream(&[overloaded]);
    assert!(events.is_empty());
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::Overloaded);
    let (_, outcome) = stream(&[r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#, overloaded]);
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::Overloaded);
}

#[test]
fn a_failed_generation_is_an_error_and_a_filtered_one_a_refusal() {
    let ended = |word: &str| decode(&format!(r#"{{"candidates":[{{"content":{{}},"finishReason":"{word}"}}]}}"#));
    assert_eq!(ended("MALFORMED_FUNCTION_CALL").unwrap_err().reason, Some("malformed_function_call"));
    assert_eq!(ended("MISSING_THOUGHT_SIGNATURE").unwrap_err().reason, Some("missing_thought_signature"));
    assert_eq!(ended("OTHER").unwrap_err().reason, Some("no_answer"));
    assert_eq!(ended("MAX_TOKENS").unwrap().outputs[0].reason(), FinishReason::Length);
    let filtered = ended("SAFETY").unwrap().outputs.remove(0);
    assert_eq!(filtered.reason(), FinishReason::ContentFilter);
    assert!(matches!(&filtered.parts[..], [Part::Refusal(_)]));
    assert_eq!(decode("{}").unwrap_err().reason, Some("malformed"));
    assert_eq!(decode(r#"{"candidates":[{}]}"#).unwrap_err().reason, Some("malformed"));
    let unknown = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"NEW"}]}"#;
    assert_eq!(decode(unknown).unwrap().outputs[0].reason(), FinishReason::Stop);
}

#[test]
fn a_blocked_prompt_is_answered_with_a_refusal() {
    let body = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":2}}"#;
    let whole = decode(body).unwrap();
    assert_eq!(whole.outputs[0].reason(), FinishReason::ContentFilter);
    let (events, outcome) = stream(&[body]);
    outcome.unwrap();
    assert_eq!(Response::fold(&events).outputs, whole.outputs);
}

#[test]
fn several_candidates_are_several_outputs() {
    let body = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"},{"content":{"parts":[{"text":"b"}]},"finishReason":"MAX_TOKENS","index":1}]}"#;
    let outputs = decode(body).unwrap().outputs;
    assert_eq!(outputs.iter().map(Output::reason).collect::<Vec<_>>(), [FinishReason::Stop, FinishReason::Length]);
}

#[test]
fn sources_and_likelihoods_belong_to_the_text() {
    let body = r#"{"candidates":[{"content":{"parts":[{"text":"ab"}]},"finishReason":"STOP",
        "groundingMetadata":{"groundingChunks":[{"web":{"uri":"u"}}],"groundingSupports":[{"segment":{"startIndex":1,"endIndex":2},"groundingChunkIndices":[0]}]},
        "logprobsResult":{"chosenCandidates":[{"token":"ab","logProbability":-1}]}}]}"#;
    let output = decode(body).unwrap().outputs.remove(0);
    assert_eq!(output.parts, [Part::text("ab")]);
    assert_eq!(output.citations[0].span, Some((1, 2)));
    assert!(output.logprobs.is_some());
}

#[test]
fn what_ran_at_google_is_no_call_and_pictures_are_kept() {
    let body = r#"{"candidates":[{"content":{"parts":[{"executableCode":{"code":"1"}},{"toolCall":{"id":"x"},"thoughtSignature":"s"},
        {"inlineData":{"mimeType":"image/png","data":"AA=="}},{"text":"no","thought":true}]},"finishReason":"STOP"}]}"#;
    let output = decode(body).unwrap().outputs.remove(0);
    assert_eq!(output.reason(), FinishReason::Stop);
    assert!(matches!(&output.parts[..], [Part::Media(_), Part::Reasoning(_)]));
}
