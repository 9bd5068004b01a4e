//! The pieces that are measured: each prepared once, then run many times.

use llm_protocol::{
    Envelope, Outbound, ProtocolId, Served, Target, inbound,
    ir::{Event, Losses},
    models::Models,
    openai_chat::OpenAiChat,
    outbound,
    splice::Members,
    sse::Framer,
};

/// Does a piece once. It returns something of what it made, so that it has to be made.
type Run = Box<dyn FnMut() -> usize>;

/// A piece's name, and what prepares it.
type Piece = (&'static str, fn() -> Run);

pub const PIECES: &[Piece] = &[
    ("check a request of 300 B and name its model", || pass(&question(1))),
    ("check a request of 200 KB and name its model", || pass(&question(6800))),
    ("translate a request of 300 B to Anthropic", || translate(ProtocolId::Anthropic)),
    ("translate a request of 300 B to Gemini", || translate(ProtocolId::Gemini)),
    ("read a whole answer of OpenAI's", || whole(ProtocolId::OpenAiChat, &answer())),
    ("read a whole answer of Anthropic's", || whole(ProtocolId::Anthropic, &message())),
    ("sign a whole answer of OpenAI's", sign),
    ("frame an event", frame),
    ("pass an event of OpenAI's on", forward),
    ("read an event of OpenAI's", || decode(ProtocolId::OpenAiChat, &chunks())),
    ("read an event of Anthropic's", || decode(ProtocolId::Anthropic, &message_events())),
    ("read an event of Gemini's", || decode(ProtocolId::Gemini, &parts())),
    ("write an event for a client of OpenAI's chat", || encode(ProtocolId::OpenAiChat)),
    ("write an event for a client of OpenAI's Responses", || encode(ProtocolId::OpenAiResponses)),
    ("write an event for a client of Anthropic's", || encode(ProtocolId::Anthropic)),
    ("write an event for a client of Gemini's", || encode(ProtocolId::Gemini)),
];

/// Events of a stream.
const EVENTS: usize = 64;

fn question(sentences: usize) -> String {
    let text = "All happy families are alike. ".repeat(sentences);
    format!(
        r#"{{"model":"gpt-4o-mini","temperature":0.7,"messages":[{{"role":"system","content":"You are terse."}},{{"role":"user","content":"{text}"}}]}}"#
    )
}

fn answer() -> String {
    let text = "A gateway gives many providers one address and keeps the accounts. ".repeat(9);
    format!(
        r#"{{"id":"chatcmpl-9fJ2mXcQk7LrT0aZbVnE1sYp","object":"chat.completion","created":1767225600,"model":"gpt-4o-mini-2024-07-18","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":27,"completion_tokens":117,"total_tokens":144}}}}"#
    )
}

fn message() -> String {
    let text = "A gateway gives many providers one address and keeps the accounts. ".repeat(9);
    format!(
        r#"{{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","model":"claude-haiku-4-5","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn","stop_sequence":null,"usage":{{"input_tokens":27,"output_tokens":117}}}}"#
    )
}

fn chunks() -> String {
    r#"data: {"id":"chatcmpl-9fJ2mXcQk7LrT0aZbVnE1sYp","object":"chat.completion.chunk","created":1767225600,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" gateway"},"logprobs":null,"finish_reason":null}],"usage":null}

"#
    .repeat(EVENTS)
}

fn message_events() -> String {
    let start = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","model":"claude-haiku-4-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":27,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

"#;
    let delta = r#"event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" gateway"}}

"#;
    format!("{start}{}", delta.repeat(EVENTS - 2))
}

fn parts() -> String {
    r#"data: {"candidates":[{"content":{"parts":[{"text":" gateway"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":27,"totalTokenCount":27},"modelVersion":"gemini-flash-latest","responseId":"x"}

"#
    .repeat(EVENTS)
}

fn spoken(protocol: ProtocolId) -> &'static dyn Outbound {
    outbound(protocol).expect("a protocol that is spoken")
}

/// A stream's events.
fn frames(stream: &str) -> Vec<llm_protocol::sse::Frame> {
    let mut framer = Framer::new(usize::MAX);
    framer.push(stream.as_bytes());
    std::iter::from_fn(|| framer.next_frame().expect("no bound")).collect()
}

fn envelope() -> Envelope {
    Envelope {
        request_id: "req_1".to_owned(),
        created: 1_767_225_600,
        model: "gpt-4o-mini".to_owned(),
        include_usage: false,
        legacy_functions: false,
        array: false,
    }
}

fn served() -> Served {
    Served { provider: "openai".to_owned(), latency_ms: 12 }
}

fn pass(body: &str) -> Run {
    let (body, models) = (body.to_owned(), Models::builtin());
    Box::new(move || {
        let client = inbound(ProtocolId::OpenAiChat).expect("a protocol that is spoken");
        let members = Members::read(body.as_bytes()).expect("a good request");
        client.validate(&members).expect("a good request");
        let needs = client.needs(&members);
        let rules = models.rules(ProtocolId::OpenAiChat, "openai", "gpt-4o-mini");
        let edits = OpenAiChat.adapt_request(&members, Target { model: "gpt-4o-mini", rules: &rules });
        members.edit(&edits).len() + usize::from(needs.image)
    })
}

fn translate(protocol: ProtocolId) -> Run {
    let (body, models) = (question(1), Models::builtin());
    Box::new(move || {
        let client = inbound(ProtocolId::OpenAiChat).expect("a protocol that is spoken");
        let request = client.decode_request(body.as_bytes()).expect("a good request");
        let rules = models.rules(protocol, protocol.as_str(), "model");
        spoken(protocol)
            .encode_request(&request, Target { model: "model", rules: &rules }, &mut Losses::default())
            .len()
    })
}

fn whole(protocol: ProtocolId, answer: &str) -> Run {
    let answer = answer.to_owned();
    Box::new(move || spoken(protocol).decode_response(answer.as_bytes()).expect("a good answer").outputs.len())
}

fn sign() -> Run {
    let answer = bytes::Bytes::from(answer());
    Box::new(move || {
        let client = inbound(ProtocolId::OpenAiChat).expect("a protocol that is spoken");
        client.sign_response(answer.clone(), &served()).len()
    })
}

fn frame() -> Run {
    let (stream, mut framer) = (chunks(), Framer::new(usize::MAX));
    let event = stream[..stream.len() / EVENTS].to_owned();
    Box::new(move || {
        framer.push(event.as_bytes());
        framer.next_frame().expect("no bound").map_or(0, |frame| frame.raw.len())
    })
}

fn forward() -> Run {
    let (frame, client) = (frames(&chunks()).swap_remove(0), inbound(ProtocolId::OpenAiChat));
    let mut filter = client.expect("a protocol that is spoken").passthrough(&envelope());
    Box::new(move || {
        let mut out = Vec::with_capacity(1);
        filter.push(frame.clone(), &mut out);
        out.len()
    })
}

/// One event further in a stream that has begun.
fn decode(protocol: ProtocolId, stream: &str) -> Run {
    let (frames, mut decoder) = (frames(stream), spoken(protocol).decoder());
    for frame in &frames {
        decoder.push(frame, &mut Vec::new()).expect("a good stream");
    }
    let last = frames.into_iter().next_back().expect("a stream has events");
    Box::new(move || {
        let mut events = Vec::new();
        decoder.push(&last, &mut events).expect("a good stream");
        events.len()
    })
}

/// One event further in an answer that has begun.
fn encode(protocol: ProtocolId) -> Run {
    let client = inbound(protocol).expect("a protocol that is spoken");
    let asked = inbound(ProtocolId::OpenAiChat).expect("a protocol that is spoken");
    let request = asked.decode_request(question(1).as_bytes()).expect("a good request");
    let mut decoder = spoken(ProtocolId::OpenAiChat).decoder();
    let mut encoder = client.encoder(&request, envelope());
    let (mut events, mut out) = (Vec::new(), Vec::new());
    for frame in &frames(&chunks()) {
        decoder.push(frame, &mut events).expect("a good stream");
    }
    events.iter().for_each(|event| encoder.push(event, &mut out));
    let delta = events.into_iter().rfind(|event| matches!(event, Event::Delta(_))).expect("an answer has text");
    Box::new(move || {
        let mut out = Vec::new();
        encoder.push(&delta, &mut out);
        out.len()
    })
}
