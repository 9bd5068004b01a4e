//! What a stream is written as, in both framings.

use super::{
    Encoder, Filter,
    response_tests::{asking, envelope, signature},
};
use crate::{
    ErrorContext, Outbound, Passthrough, ProtocolId, Served, StreamEncoder, gemini::Gemini, ir::*, json::Json,
    sse::Framer,
};

fn served() -> Served {
    Served { provider: "a".into(), latency_ms: 1 }
}

fn context() -> ErrorContext {
    ErrorContext { request_id: "req_1".into(), timestamp: "2026-01-01T00:00:00Z".into() }
}

/// The pieces in the order written, one a write of the encoder's.
fn pieces(array: bool, visible: bool, events: &[Event], error: Option<&ApiError>) -> Vec<String> {
    let mut encoder = Encoder::new(&asking(visible), envelope(array));
    let mut pieces = Vec::new();
    let mut keep = |out: Vec<u8>| {
        if !out.is_empty() {
            pieces.push(String::from_utf8(out).unwrap());
        }
    };
    for event in events {
        let mut out = Vec::new();
        encoder.push(event, &mut out);
        keep(out);
    }
    let mut out = Vec::new();
    match error {
        None => encoder.end(&served(), &mut out),
        Some(error) => encoder.fail(error, &context(), &mut out),
    }
    keep(out);
    pieces
}

/// The data of each event.
fn data(stream: &str) -> Vec<Json> {
    let events = stream.split_terminator("\r\n\r\n").map(|event| event.strip_prefix("data: ").unwrap());
    events.map(|data| Json::parse(data.as_bytes()).unwrap()).collect()
}

fn start() -> Event {
    Event::Start { id: "r".into(), model: "m".into() }
}

fn text(text: &str) -> Event {
    Event::Delta(Delta::Text(text.into()))
}

fn finish(reason: FinishReason, raw: &str) -> Event {
    Event::Finish(Finish { reason, raw: raw.into(), stop_sequence: None })
}

fn call(id: &str, pieces: &[&str]) -> Vec<Event> {
    let open = Event::Open(Block::ToolCall { id: id.into(), name: "f".into(), custom: false });
    let pieces = pieces.iter().map(|piece| Event::Delta(Delta::Arguments((*piece).into())));
    [open].into_iter().chain(pieces).chain([Event::Close]).collect()
}

fn hello() -> Vec<Event> {
    vec![
        start(),
        Event::Open(Block::Text),
        text("Hel"),
        text("lo\n"),
        Event::Close,
        Event::Usage(Usage { input: 3, output: 2, ..Usage::default() }),
        finish(FinishReason::Stop, "STOP"),
    ]
}

#[test]
fn every_piece_is_a_whole_answer_and_the_last_tells_why_it_ended() {
    let stream = pieces(false, false, &hello(), None);
    assert_eq!(
        stream,
        [
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hel\"}],\"role\":\"model\"},\"index\":0}],\"modelVersion\":\"m\",\"responseId\":\"r\"}\r\n\r\n",
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"lo\\n\"}],\"role\":\"model\"},\"index\":0}],\"modelVersion\":\"m\",\"responseId\":\"r\"}\r\n\r\n",
            concat!(
                "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],",
                "\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":2,\"totalTokenCount\":5},\"modelVersion\":\"m\",\"responseId\":\"r\"}\r\n\r\n"
            ),
        ]
    );
}

#[test]
fn an_array_holds_the_same_pieces() {
    let events = data(&pieces(false, false, &hello(), None).concat());
    let array = pieces(true, false, &hello(), None).concat();
    assert_eq!(Json::parse(array.as_bytes()).unwrap(), Json::Array(events));
    let spaced = array.replace("\n,\n", "\n\n\n,\n");
    assert!(Json::parse(spaced.as_bytes()).is_ok(), "what keeps the connection alive may stand between them");
    assert_eq!(pieces(true, false, &[], None).len(), 1);
}

#[test]
fn a_stream_that_breaks_ends_with_an_error() {
    let error = ApiError::new(ErrorKind::Overloaded, "too much");
    let begun = &hello()[..3];
    let events = data(&pieces(false, false, begun, Some(&error)).concat());
    assert_eq!(events.last().unwrap().at(&["error", "status"]).unwrap().as_str(), Some("UNAVAILABLE"));
    assert!(events.iter().all(|event| !event.to_string().contains("finishReason")));
    let array = Json::parse(pieces(true, false, begun, Some(&error)).concat().as_bytes()).unwrap();
    assert_eq!(array, Json::Array(events));
    let alone = Json::parse(pieces(true, false, &[], Some(&error)).concat().as_bytes()).unwrap();
    assert_eq!(alone.items().unwrap().len(), 1);
}

#[test]
fn calls_come_whole_and_the_last_beside_the_reason() {
    let mut events = vec![start()];
    events.extend(call("a", &["{\"x\":\n", "1}"]));
    events.extend(call("b", &[]));
    events.push(finish(FinishReason::ToolCalls, "STOP"));
    let pieces = data(&pieces(false, false, &events, None).concat());
    let parts = |at: usize| {
        pieces[at].get("candidates").unwrap().items().unwrap()[0].at(&["content", "parts"]).unwrap().to_string()
    };
    assert_eq!(pieces.len(), 2);
    let marked = r#","thoughtSignature":"LLMOe30=""#;
    assert_eq!(parts(0), format!(r#"[{{"functionCall":{{"id":"a","name":"f","args":{{"x":1}}}}{marked}}}]"#));
    assert_eq!(parts(1), r#"[{"functionCall":{"id":"b","name":"f","args":{}}}]"#);
    assert!(pieces[1].to_string().contains(r#""finishReason":"STOP""#));
}

#[test]
fn thoughts_are_shown_as_they_come_or_only_carried() {
    let signed = signature(ProtocolId::Anthropic, "s").unwrap();
    let mut events = vec![start(), Event::Open(Block::Reasoning), text("h"), text("mm")];
    events.extend([Event::Delta(Delta::Signature(signed)), Event::Close]);
    events.extend(call("a", &[]));
    events.push(finish(FinishReason::ToolCalls, ""));
    let shown = data(&pieces(false, true, &events, None).concat());
    let hidden = data(&pieces(false, false, &events, None).concat());
    assert_eq!((shown.len(), hidden.len()), (3, 1));
    assert!(shown[0].to_string().contains(r#"[{"text":"h","thought":true}]"#));
    assert_eq!(shown[2], hidden[0]);
    assert!(hidden[0].to_string().contains(r#""thoughtSignature":"LLMO"#));
}

#[test]
fn what_is_written_is_read_again_as_it_was() {
    let source = Citation { url: Some("u".into()), title: None, quote: None, span: Some((0, 2)) };
    let mut events = vec![start()];
    events.extend([Event::Open(Block::Reasoning), text("h"), text("mm"), Event::Close]);
    events.extend([Event::Open(Block::Media { mime: "image/png".into(), data: "AA==".into() }), Event::Close]);
    events.extend(call("a", &["{\"x\":1}"]));
    events.extend([
        Event::Open(Block::Text),
        text("Hé"),
        text("llo"),
        Event::Delta(Delta::Citation(source)),
        Event::Close,
    ]);
    events.push(Event::Usage(Usage { input: 3, output: 9, reasoning: Some(4), ..Usage::default() }));
    events.push(finish(FinishReason::ToolCalls, "STOP"));
    let mut framer = Framer::new(1 << 20);
    framer.push(pieces(false, true, &events, None).concat().as_bytes());
    let (mut decoder, mut read) = (Gemini.decoder(), Vec::new());
    while let Some(frame) = framer.next_frame().unwrap() {
        decoder.push(&frame, &mut read).unwrap();
    }
    decoder.end(&mut read).unwrap();
    let mut read = Response::fold(&read);
    // What this gateway wrapped looks like a signature of Gemini's.
    for part in &mut read.outputs[0].parts {
        if let Part::ToolCall(call) = part {
            assert!(call.signature.take().unwrap().value.starts_with(carrier::MARK));
        }
    }
    assert_eq!(read, Response::fold(&events));
}

fn forwarded(array: bool, stream: &str, error: Option<&ApiError>) -> String {
    let mut framer = Framer::new(1 << 20);
    framer.push(stream.as_bytes());
    let (mut filter, mut out) = (Filter::new(array), Vec::new());
    while let Some(frame) = framer.next_frame().unwrap() {
        filter.push(frame, &mut out);
    }
    match error {
        None => filter.end(&served(), &mut out),
        Some(error) => filter.fail(error, &context(), &mut out),
    }
    String::from_utf8(out.concat()).unwrap()
}

#[test]
fn a_stream_of_geminis_passes_byte_for_byte_or_becomes_an_array() {
    let stream = ": hello\r\n\r\ndata: {\"a\" :1.50}\r\n\r\ndata: {\"b\":\r\ndata: 2}\r\n\r\n";
    assert_eq!(forwarded(false, stream, None), stream);
    assert_eq!(forwarded(true, stream, None), "[{\"a\" :1.50}\n,\n{\"b\":\n2}\n]\n");
    assert_eq!(forwarded(true, "", None), "[]\n");
    let error = ApiError::new(ErrorKind::Upstream, "broke off");
    assert!(forwarded(false, stream, Some(&error)).starts_with(&format!("{stream}data: {{\"error\"")));
    let array = Json::parse(forwarded(true, stream, Some(&error)).as_bytes()).unwrap();
    assert!(array.items().unwrap()[2].get("error").is_some());
}
