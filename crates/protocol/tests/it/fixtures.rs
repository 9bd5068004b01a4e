//! Recorded and documented exchanges with real providers: finding them, reading their streams, telling what is wrong.

use std::{env, fs, path::PathBuf};

use llm_protocol::{
    Outbound,
    ir::{ApiError, Event, FinishReason, Grammar, Part, Response, ToolCall},
    sse::{Frame, Framer},
};
use serde_json::Value;

/// The size of the pieces of a stream that is not cut into any.
pub const WHOLE: usize = usize::MAX;

/// One exchange, and what it is expected to mean.
pub struct Fixture {
    pub id: String,
    pub status: u16,
    pub stream: bool,
    pub labels: Vec<String>,
    pub request: Value,
    pub body: Vec<u8>,
    pub expect: Value,
}

impl Fixture {
    fn read(file: &Value) -> Self {
        let response = &file["response"];
        let status = response["status"].as_u64().unwrap().try_into().unwrap();
        let stream = file["stream"] == true;
        let text = response["sse_text"].as_str().or(response["body_text"].as_str());
        let body = match (text, response["body"].as_array()) {
            (Some(text), _) => text.as_bytes().to_vec(),
            // A stream of Gemini's that was recorded as an array, for want of `alt=sse`, is told as events.
            (None, Some(items)) if stream && status < 400 => {
                items.iter().flat_map(|item| format!("data: {item}\r\n\r\n").into_bytes()).collect()
            }
            _ => response["body"].to_string().into_bytes(),
        };
        Self {
            id: file["id"].as_str().unwrap().to_owned(),
            status,
            stream,
            labels: file["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap().to_owned()).collect(),
            request: file["request"]["body"].clone(),
            body,
            expect: file["expect"].clone(),
        }
    }

    pub fn has(&self, label: &str) -> bool {
        self.labels.iter().any(|known| known == label)
    }

    /// What the stream says, which must not depend on how it is cut into pieces.
    pub fn events(&self, protocol: &dyn Outbound) -> (Vec<Event>, Result<(), ApiError>) {
        let whole = events(protocol, &self.body, WHOLE);
        assert_eq!(whole, events(protocol, &self.body, 1), "{} reads otherwise in small pieces", self.id);
        whole
    }

    /// The answer; of a stream that fails, what came before.
    pub fn answer(&self, protocol: &dyn Outbound) -> Result<Response, ApiError> {
        match self.stream {
            true => Ok(Response::fold(&events(protocol, &self.body, WHOLE).0)),
            false => protocol.decode_response(&self.body),
        }
    }

    /// The members of `told` that are not as expected, but for those that are `excused`.
    pub fn unlike(&self, told: &Value, excused: impl Fn(&str) -> bool) -> Vec<String> {
        let members = told.as_object().unwrap().iter();
        members
            .filter(|(key, value)| !excused(key) && self.expect[*key] != **value)
            .map(|(key, value)| format!("{key}: {value} instead of {}", self.expect[key]))
            .collect()
    }
}

/// All exchanges of `wire`; none, and a word about it, where the folder of fixtures is not named.
pub fn recorded(wire: &str) -> Vec<Fixture> {
    let Some(folder) = env::var_os("CONFORMANCE_FIXTURES").map(PathBuf::from) else {
        println!("skipped: CONFORMANCE_FIXTURES does not name the folder of fixtures");
        return Vec::new();
    };
    let json = |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let mut found = Vec::new();
    for part in ["public", "documented"].map(|part| folder.join(part)) {
        let index = json(part.join("index.json"));
        let rows = index.as_array().or_else(|| index["fixtures"].as_array()).unwrap();
        let files = rows.iter().filter(|row| row["wire"] == wire).map(|row| row["file"].as_str().unwrap());
        found.extend(files.map(|file| Fixture::read(&json(part.join(file)))));
    }
    assert!(!found.is_empty(), "no fixture of {wire}");
    found
}

/// Counts the fixtures in which `check` finds nothing wrong, and fails with what it finds in the others.
pub fn check_all<'a>(
    what: &str,
    fixtures: impl IntoIterator<Item = &'a Fixture>,
    check: impl Fn(&Fixture) -> Vec<String>,
) {
    let (mut total, mut misses) = (0, Vec::new());
    for fixture in fixtures {
        total += 1;
        let wrong = check(fixture);
        if !wrong.is_empty() {
            misses.push(format!("{}: {}", fixture.id, wrong.join("; ")));
        }
    }
    println!("{what}: {} of {total}", total - misses.len());
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

/// Cuts each short stream at every byte: it fails, or says all that the whole one says.
pub fn check_cuts(protocol: &dyn Outbound, fixtures: &[Fixture]) {
    for fixture in fixtures.iter().filter(|fixture| fixture.stream && fixture.body.len() < 6000) {
        let (whole, complete) = events(protocol, &fixture.body, WHOLE);
        for cut in 0..fixture.body.len() {
            let (some, ended) = events(protocol, &fixture.body[..cut], WHOLE);
            if ended.is_ok() {
                assert!(complete.is_ok() && some == whole, "{} cut at {cut}", fixture.id);
            }
        }
    }
}

/// Reads `bytes` as a stream, as a frame of one, as an answer and as an error.
pub fn check_garbage(protocol: &dyn Outbound, status: u16, bytes: &[u8]) {
    let _ = events(protocol, bytes, WHOLE);
    let _ = events(protocol, &[b"data: ", bytes, b"\n\n"].concat(), WHOLE);
    let _ = protocol.decode_response(bytes);
    assert!(protocol.decode_error(status, bytes).status() >= 400);
}

/// The frames of a stream that comes in pieces of `piece` bytes.
pub fn frames(stream: &[u8], piece: usize) -> Vec<Frame> {
    let mut framer = Framer::new(1 << 24);
    let mut frames = Vec::new();
    for piece in stream.chunks(piece) {
        framer.push(piece);
        while let Some(frame) = framer.next_frame().unwrap() {
            frames.push(frame);
        }
    }
    frames.extend(framer.finish());
    frames
}

/// The events up to the stream's end or its error. They obey the grammar, whatever the stream.
pub fn events(protocol: &dyn Outbound, stream: &[u8], piece: usize) -> (Vec<Event>, Result<(), ApiError>) {
    let mut decoder = protocol.decoder();
    let mut events = Vec::new();
    let read = frames(stream, piece).iter().try_for_each(|frame| decoder.push(frame, &mut events));
    let ended = read.and_then(|()| decoder.end(&mut events));
    let mut grammar = Grammar::default();
    for event in &events {
        grammar.accept(event).unwrap_or_else(|why| panic!("{}: {event:?} in {events:?}", why.0));
    }
    assert!(ended.is_err() || grammar.finished(), "{events:?}");
    (events, ended)
}

fn texts(response: &Response, pick: impl Fn(&Part) -> Option<&String>) -> String {
    response.outputs[0].parts.iter().filter_map(pick).map(String::as_str).collect()
}

pub fn text(response: &Response) -> String {
    texts(response, |part| if let Part::Text(part) = part { Some(&part.text) } else { None })
}

pub fn reasoning(response: &Response) -> String {
    texts(response, |part| if let Part::Reasoning(part) = part { Some(&part.text) } else { None })
}

pub fn refusal(response: &Response) -> String {
    texts(response, |part| if let Part::Refusal(text) = part { Some(text) } else { None })
}

pub fn calls(response: &Response) -> Vec<&ToolCall> {
    let parts = response.outputs[0].parts.iter();
    parts.filter_map(|part| if let Part::ToolCall(call) = part { Some(call) } else { None }).collect()
}

/// The arguments' text; none are an empty object.
pub fn arguments(call: &ToolCall) -> &str {
    if call.arguments.is_empty() { "{}" } else { &call.arguments }
}

/// OpenAI's word for how an answer ended.
pub fn finish_word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop | FinishReason::Pause => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}
