//! What an answer is written as.

use super::encode_response;
use crate::{Envelope, Outbound, ProtocolId, gemini::Gemini, ir::*, json::Json};

pub fn envelope(array: bool) -> Envelope {
    Envelope {
        request_id: "req_1".into(),
        created: 0,
        model: "asked".into(),
        include_usage: true,
        legacy_functions: false,
        array,
    }
}

/// A request by a client that is shown thoughts, or is not.
pub fn asking(visible: bool) -> Request {
    let reasoning = ReasoningRequest { visible: Some(visible), ..ReasoningRequest::default() };
    Request { reasoning: Some(reasoning), ..Request::default() }
}

pub fn signature(origin: ProtocolId, value: &str) -> Option<Signature> {
    Some(Signature { origin, value: value.into() })
}

pub fn thought(text: &str, signature: Option<Signature>) -> Part {
    Part::Reasoning(Reasoning { text: text.into(), signature, redacted: false, ..Reasoning::default() })
}

fn call(id: &str, arguments: &str) -> Part {
    let (id, name, arguments) = (id.into(), "f".into(), arguments.into());
    Part::ToolCall(ToolCall { id, name, arguments, ..ToolCall::default() })
}

fn finish(reason: FinishReason) -> Option<Finish> {
    Some(Finish { reason, raw: String::new(), stop_sequence: None })
}

fn answer(parts: Vec<Part>, reason: FinishReason) -> Response {
    Response { outputs: vec![Output { parts, finish: finish(reason), ..Output::default() }], ..Response::default() }
}

fn written(request: &Request, response: &Response) -> Json {
    Json::parse(&encode_response(request, response, &envelope(false))).unwrap()
}

fn parts(visible: bool, parts: Vec<Part>) -> String {
    let written = written(&asking(visible), &answer(parts, FinishReason::Stop));
    written.get("candidates").unwrap().items().unwrap()[0].at(&["content", "parts"]).unwrap().to_string()
}

#[test]
fn an_answer_has_googles_shape() {
    let usage = Usage { input: 10, output: 9, cache_read: 4, reasoning: Some(7), ..Usage::default() };
    let response = Response {
        id: "r1".into(),
        model: "m".into(),
        usage: Some(usage),
        ..answer(vec![Part::text("hi")], FinishReason::Length)
    };
    assert_eq!(
        written(&Request::default(), &response).to_string(),
        concat!(
            r#"{"candidates":[{"content":{"parts":[{"text":"hi"}],"role":"model"},"finishReason":"MAX_TOKENS","index":0}],"#,
            r#""usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":2,"totalTokenCount":19,"cachedContentTokenCount":4,"#,
            r#""thoughtsTokenCount":7},"modelVersion":"m","responseId":"r1"}"#
        )
    );
}

#[test]
fn an_upstream_that_tells_nothing_of_itself_gets_the_clients_words() {
    let written = written(&Request::default(), &answer(vec![], FinishReason::Stop));
    assert_eq!(
        written.to_string(),
        concat!(
            r#"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],"#,
            r#""modelVersion":"asked","responseId":"1"}"#
        )
    );
}

#[test]
fn thoughts_are_shown_to_who_asked_and_come_back_from_all() {
    let signed = signature(ProtocolId::Anthropic, "s");
    let told = || vec![thought("hmm", signed.clone()), Part::text("hi"), Part::text("!")];
    let carried = super::proof::Proof {
        thoughts: vec![Reasoning {
            text: "hmm".into(),
            signature: signed.clone(),
            redacted: false,
            ..Reasoning::default()
        }],
        own: None,
    };
    let carried = carried.write();
    let hidden = format!(r#"[{{"text":"hi","thoughtSignature":"{carried}"}},{{"text":"!"}}]"#);
    assert_eq!(parts(false, told()), hidden);
    assert_eq!(parts(true, told()), hidden.replacen('[', r#"[{"text":"hmm","thought":true},"#, 1));
}

#[test]
fn the_first_call_is_marked_and_carries_what_was_thought() {
    let plain = parts(false, vec![call("a", ""), call("b", r#"{ "x" : 1.0 }"#)]);
    assert_eq!(
        plain,
        concat!(
            r#"[{"functionCall":{"id":"a","name":"f","args":{}},"thoughtSignature":"LLMOe30="},"#,
            r#"{"functionCall":{"id":"b","name":"f","args":{"x":1.0}}}]"#
        )
    );
    let redacted = Part::Reasoning(Reasoning {
        signature: signature(ProtocolId::Anthropic, "data"),
        redacted: true,
        ..Reasoning::default()
    });
    let carried = parts(true, vec![redacted, call("a", "")]);
    assert!(carried.starts_with(r#"[{"functionCall""#), "{carried}");
    assert!(carried.contains(r#""thoughtSignature":"LLMO"#) && !carried.contains("LLMOe30="), "{carried}");
}

#[test]
fn geminis_own_signature_is_handed_on_as_it_is() {
    let signed = ToolCall {
        id: "a".into(),
        name: "f".into(),
        signature: signature(ProtocolId::Gemini, "c2ln"),
        ..ToolCall::default()
    };
    let told = parts(false, vec![thought("hmm", None), Part::ToolCall(signed)]);
    assert_eq!(told, r#"[{"functionCall":{"id":"a","name":"f","args":{}},"thoughtSignature":"c2ln"}]"#);
}

#[test]
fn arguments_are_an_object_whatever_the_model_wrote() {
    for (arguments, args) in [("", "{}"), ("[1]", r#"{"input":"[1]"}"#), (r#"{"a":"#, r#"{"input":"{\"a\":"}"#)] {
        let told = parts(false, vec![call("", arguments)]);
        assert!(told.starts_with(&format!(r#"[{{"functionCall":{{"name":"f","args":{args}}}"#)), "{told}");
    }
}

#[test]
fn a_refusal_is_text_that_ends_for_safety() {
    let written = written(&Request::default(), &answer(vec![Part::Refusal("No.".into())], FinishReason::ContentFilter));
    let candidate = &written.get("candidates").unwrap().items().unwrap()[0];
    assert_eq!(candidate.get("finishReason").unwrap().as_str(), Some("SAFETY"));
    assert_eq!(candidate.at(&["content", "parts"]).unwrap().to_string(), r#"[{"text":"No."}]"#);
}

/// A rich answer, and what our own reader of Gemini's answers makes of it once it is written.
#[test]
fn what_is_written_is_read_again_as_it_was() {
    let citation = Citation { url: Some("u".into()), title: Some("t".into()), quote: None, span: Some((1, 3)) };
    let quoted = Citation { quote: Some("q".into()), span: None, ..citation.clone() };
    let picture = Part::Media(Media {
        kind: MediaKind::Image,
        source: MediaSource::Base64("AA==".into()),
        mime: Some("image/png".into()),
        name: None,
        detail: None,
        cache: None,
        place: Place::default(),
    });
    let logprobs = r#"{"content":[{"token":"é","logprob":-0.5,"bytes":[195,169],"top_logprobs":[{"token":"a","logprob":-1.5,"bytes":[97]}]}],"refusal":null}"#;
    let text =
        Text { text: "éaé".into(), signature: signature(ProtocolId::Gemini, "c2ln"), cache: None, ..Text::default() };
    let spoken = Output {
        parts: vec![picture, Part::Text(text)],
        citations: vec![citation.clone(), citation, quoted],
        logprobs: Some(Json::parse(logprobs.as_bytes()).unwrap()),
        finish: finish(FinishReason::Stop),
    };
    let second = Output {
        parts: vec![thought("hmm", None), Part::text("b")],
        finish: finish(FinishReason::Length),
        ..Output::default()
    };
    let usage = Usage { input: 10, output: 9, cache_read: 4, reasoning: Some(7), ..Usage::default() };
    let mut response =
        Response { id: "r".into(), model: "m".into(), outputs: vec![spoken, second], usage: Some(usage) };
    let mut read = Gemini.decode_response(&encode_response(&asking(true), &response, &envelope(false))).unwrap();
    // The thought travels on the text behind it, which our reader takes for a signature of Gemini's.
    let Some(Part::Text(carrier)) = read.outputs[1].parts.get_mut(1) else { panic!("{read:?}") };
    assert!(carrier.signature.take().unwrap().value.starts_with(carrier::MARK));
    for (output, raw) in response.outputs.iter_mut().zip(["STOP", "MAX_TOKENS"]) {
        output.finish.as_mut().unwrap().raw = raw.into();
    }
    assert_eq!(read, response);
}
