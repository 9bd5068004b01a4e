//! What every fuzz target does: it takes any bytes, sends them through every protocol there is, and says what must hold.

use bytes::Bytes;
use llm_protocol::{
    Envelope, ErrorContext, INBOUND, Inbound, OUTBOUND, Outbound, Served, Target,
    aws_events::Messages,
    ir::{ApiError, Event, Grammar, Losses, Request, Response},
    models::Models,
    splice::Members,
    sse::{Frame, Framer},
};

/// Model names, one of each family whose rules differ, so that the first byte of an input chooses one.
const MODELS: [&str; 8] = [
    "gpt-4o",
    "gpt-5.1",
    "claude-sonnet-4-5",
    "claude-opus-5",
    "gemini-2.5-pro",
    "gemini-3-pro",
    "mistral-large",
    "anything",
];

/// Events of a stream are at most so long.
const LONGEST_EVENT: usize = 1 << 20;

fn envelope(choice: u8) -> Envelope {
    Envelope {
        request_id: "req_1".into(),
        created: 7,
        model: "asked".into(),
        include_usage: choice & 1 != 0,
        legacy_functions: choice & 2 != 0,
        array: choice & 4 != 0,
    }
}

fn served() -> Served {
    Served { provider: "fuzz".into(), latency_ms: 1 }
}

fn context() -> ErrorContext {
    ErrorContext { request_id: "req_1".into(), timestamp: "1970-01-01T00:00:00Z".into() }
}

fn must_be_json(body: &[u8], what: &str) {
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        panic!("{what} is no JSON: {error}: {}", String::from_utf8_lossy(body));
    }
}

/// A body from a client: read in every protocol, and what could be read is written in every other.
pub fn request(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let model = MODELS[usize::from(*choice) % MODELS.len()];
    let models = Models::builtin();
    let Ok(members) = Members::read(body) else { return };
    for inbound in INBOUND {
        inbound.needs(&members);
        if inbound.validate(&members).is_err() {
            continue;
        }
        let request = inbound.decode_request(body);
        for outbound in OUTBOUND {
            let rules = models.rules(outbound.id(), "", model);
            let target = Target { model, rules: &rules };
            must_be_json(&members.edit(&outbound.adapt_request(&members, target)), "an adapted request");
            if let Ok(request) = &request {
                let mut losses = Losses::default();
                must_be_json(&outbound.encode_request(request, target, &mut losses), "a request");
            }
        }
    }
}

/// A whole answer from an upstream: read in every protocol, and what could be read is written in every other.
pub fn answer(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    for outbound in OUTBOUND {
        let Ok(response) = outbound.decode_response(body) else { continue };
        for inbound in INBOUND {
            must_be_json(&encoded(*inbound, &response, *choice), "an answer");
        }
    }
    for inbound in INBOUND {
        inbound.sign_response(Bytes::copy_from_slice(body), &served());
    }
}

fn encoded(inbound: &dyn Inbound, response: &Response, choice: u8) -> Vec<u8> {
    inbound.encode_response(&Request::default(), response, &envelope(choice), &served())
}

/// A stream from an upstream, cut into pieces in two ways: the same events come of it, they obey the grammar, and every
/// client protocol can be told them.
pub fn stream(data: &[u8]) {
    let [choice, cut, body @ ..] = data else { return };
    for outbound in OUTBOUND {
        let (events, failed) = events(*outbound, body, usize::MAX);
        let again = self::events(*outbound, body, usize::from(*cut).max(1));
        assert_eq!((&events, &failed), (&again.0, &again.1), "the pieces of a stream matter to {}", outbound.id().as_str());
        let mut grammar = Grammar::default();
        for event in &events {
            if let Err(wrong) = grammar.accept(event) {
                panic!("{}: {wrong:?} at {event:?} of {events:#?}", outbound.id().as_str());
            }
        }
        for inbound in INBOUND {
            tell(*inbound, &events, failed.as_ref(), *choice);
        }
    }
    for inbound in INBOUND {
        pass(*inbound, body, *choice);
    }
}

fn frames(body: &[u8], piece: usize) -> Vec<Frame> {
    let mut framer = Framer::new(LONGEST_EVENT);
    let mut frames = Vec::new();
    for piece in body.chunks(piece.min(body.len()).max(1)) {
        framer.push(piece);
        while let Ok(Some(frame)) = framer.next_frame() {
            frames.push(frame);
        }
    }
    frames.extend(framer.finish());
    frames
}

fn events(outbound: &dyn Outbound, body: &[u8], piece: usize) -> (Vec<Event>, Option<ApiError>) {
    let mut decoder = outbound.decoder();
    let mut events = Vec::new();
    for frame in frames(body, piece) {
        if let Err(error) = decoder.push(&frame, &mut events) {
            return (events, Some(error));
        }
        if decoder.is_over() {
            break;
        }
    }
    let end = decoder.end(&mut events);
    (events, end.err())
}

fn tell(inbound: &dyn Inbound, events: &[Event], failed: Option<&ApiError>, choice: u8) {
    let envelope = envelope(choice);
    let array = envelope.array;
    let mut encoder = inbound.encoder(&Request::default(), envelope);
    let mut out = Vec::new();
    for event in events {
        encoder.push(event, &mut out);
    }
    match failed {
        Some(error) => encoder.fail(error, &context(), &mut out),
        None => encoder.end(&served(), &mut out),
    }
    if array && inbound.id() == llm_protocol::ProtocolId::Gemini {
        return must_be_json(&out, "a stream as an array");
    }
    for frame in frames(&out, usize::MAX) {
        let Some(data) = frame.data.filter(|data| data.as_ref() != b"[DONE]") else { continue };
        must_be_json(&data, "an event");
    }
}

fn pass(inbound: &dyn Inbound, body: &[u8], choice: u8) {
    let mut filter = inbound.passthrough(&envelope(choice));
    let mut out = Vec::new();
    for frame in frames(body, usize::MAX) {
        filter.push(frame, &mut out);
    }
    if choice & 8 != 0 {
        filter.end(&served(), &mut out);
    } else {
        filter.fail(&ApiError::new(llm_protocol::ir::ErrorKind::Upstream, "broken"), &context(), &mut out);
    }
}

/// An error answer, of any status: read in every protocol and written in every other.
pub fn error(data: &[u8]) {
    let [high, low, body @ ..] = data else { return };
    let status = 100 + u16::from_be_bytes([*high, *low]) % 500;
    for outbound in OUTBOUND {
        let error = outbound.decode_error(status, body);
        for inbound in INBOUND {
            must_be_json(&inbound.encode_error(&error, &context()), "an error");
            assert!((400..600).contains(&inbound.status(&error)), "{error:?}");
        }
    }
}

/// Any bytes as a stream of events: the frames, put together, are the stream, and no cut changes them.
pub fn frame(data: &[u8]) {
    let Some((cut, body)) = data.split_first() else { return };
    let whole = frames(body, usize::MAX);
    let pieces = frames(body, usize::from(*cut).max(1));
    // The second half of a line end that comes late is a frame of its own, which says nothing.
    let read = |frames: &[Frame]| -> Vec<_> {
        let read = frames.iter().map(|frame| (frame.event.clone(), frame.data.clone()));
        read.filter(|(event, data)| event.is_some() || data.is_some()).collect()
    };
    assert_eq!(read(&whole), read(&pieces));
    let joined: Vec<u8> = whole.iter().flat_map(|frame| frame.raw.to_vec()).collect();
    assert!(body.starts_with(&joined) || joined.len() <= body.len(), "frames hold bytes that never came");
}

/// Amazon's binary messages, read by their names and as what they wrap: no cut changes the frames or the fault, the frames of
/// those read by name, put together, are how the stream begins, and a wrapped event reads as it was written.
pub fn aws_events(data: &[u8]) {
    let [choice, cut, body @ ..] = data else { return };
    // Bytes as they are seldom have the right checksums, without which nothing is read.
    let body = if choice & 1 == 0 { body.to_vec() } else { sealed(body) };
    for next in [Messages::next_named, Messages::next_wrapped] {
        let whole = messages(&body, usize::MAX, next);
        assert_eq!(whole, messages(&body, usize::from(*cut).max(1), next));
    }
    let (named, _) = messages(&body, usize::MAX, Messages::next_named);
    let joined: Vec<u8> = named.iter().flat_map(|frame| frame.raw.to_vec()).collect();
    assert!(body.starts_with(&joined), "frames hold bytes that never came");
    for wrapped in messages(&body, usize::MAX, Messages::next_wrapped).0 {
        assert_eq!(frames(&wrapped.raw, usize::MAX), [wrapped], "a wrapped event reads otherwise than it was written");
    }
}

/// Reads the next message of a stream.
type Next = fn(&mut Messages) -> Result<Option<Frame>, ApiError>;

fn messages(body: &[u8], piece: usize, next: Next) -> (Vec<Frame>, Option<ApiError>) {
    let mut messages = Messages::new(LONGEST_EVENT);
    let mut frames = Vec::new();
    for piece in body.chunks(piece.min(body.len()).max(1)) {
        messages.push(piece);
        loop {
            match next(&mut messages) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// Messages with the lengths and checksums that belong to them, of bytes that say how long headers and payload are and then
/// what stands in them. What is left over follows as it is.
fn sealed(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [headers, payload, more @ ..] = rest {
        let (headers, payload) = (usize::from(*headers), usize::from(*payload));
        let Some((content, after)) = more.split_at_checked(headers + payload) else { break };
        let begins = out.len();
        out.extend((16 + content.len() as u32).to_be_bytes());
        out.extend((headers as u32).to_be_bytes());
        out.extend(crc32fast::hash(&out[begins..]).to_be_bytes());
        out.extend(content);
        out.extend(crc32fast::hash(&out[begins..]).to_be_bytes());
        rest = after;
    }
    out.extend(rest);
    out
}
