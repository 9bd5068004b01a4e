//! A whole protocol in a page, as an example of how one is added: with it alone every client can speak to its upstreams.
//!
//! It asks `{"ask": "…"}` and is answered `{"say": "…"}`; a stream is a `{"more": "…"}` for each piece and a `{"end": true}`.

use llm_protocol::{
    INBOUND, Inbound, Outbound, ProtocolId, Served, StreamDecoder, Target,
    ir::{ApiError, Block, Delta, ErrorKind, Event, Finish, FinishReason, Losses, Part, Request, Response, Role},
    models::ModelRules,
    splice::{Edit, Members},
    sse::Frame,
};
use serde_json::{Value, json};

use crate::fixtures::{WHOLE, events};

struct Toy;

impl Outbound for Toy {
    /// One that is no example adds a variant.
    fn id(&self) -> ProtocolId {
        ProtocolId::OpenAiChat
    }

    fn endpoint(&self, _model: &str, _stream: bool) -> String {
        "/toy".to_owned()
    }

    fn encode_request(&self, request: &Request, _: Target<'_>, losses: &mut Losses) -> Vec<u8> {
        losses.name_as(&request.names);
        if request.sampling.temperature.is_some() {
            losses.dropped("temperature");
        }
        for (at, tool) in request.tools.iter().enumerate() {
            losses.refused(&*tool.place(at), "the toy has no tools");
        }
        let mut asked = String::new();
        for part in request.messages.iter().filter(|message| message.role == Role::User).flat_map(|it| &it.parts) {
            match part {
                Part::Text(text) => asked.push_str(&text.text),
                other => losses.refused(other.place(), "the toy reads text only"),
            }
        }
        json!({"ask": asked, "stream": request.stream}).to_string().into_bytes()
    }

    fn adapt_request(&self, _: &Members<'_>, _: Target<'_>) -> Vec<Edit> {
        Vec::new()
    }

    fn decode_response(&self, body: &[u8]) -> Result<Response, ApiError> {
        let told: Value = serde_json::from_slice(body).map_err(|_| nonsense("not the toy's"))?;
        let text = told["say"].as_str().ok_or_else(|| nonsense("the toy said nothing"))?;
        Ok(Response::fold(&said(text)))
    }

    fn decode_error(&self, status: u16, _: &[u8]) -> ApiError {
        ApiError { upstream_status: Some(status), ..ApiError::new(ErrorKind::Upstream, "the toy is broken") }
    }

    fn decoder(&self) -> Box<dyn StreamDecoder> {
        Box::<Decoder>::default()
    }
}

#[derive(Default)]
struct Decoder {
    begun: bool,
    over: bool,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, frame: &Frame, out: &mut Vec<Event>) -> Result<(), ApiError> {
        let Some(data) = &frame.data else { return Ok(()) };
        let told: Value = serde_json::from_slice(data).map_err(|_| nonsense("not the toy's"))?;
        if !std::mem::replace(&mut self.begun, true) {
            out.extend([start(), Event::Open(Block::Text)]);
        }
        if let Some(more) = told["more"].as_str() {
            out.push(Event::Delta(Delta::Text(more.to_owned())));
        }
        if told["end"] == true {
            self.over = true;
            out.extend([Event::Close, finish()]);
        }
        Ok(())
    }

    fn end(&mut self, _: &mut Vec<Event>) -> Result<(), ApiError> {
        if self.over { Ok(()) } else { Err(nonsense("the toy broke off")) }
    }
}

fn nonsense(message: &str) -> ApiError {
    ApiError::new(ErrorKind::Upstream, message)
}

fn start() -> Event {
    Event::Start { id: String::new(), model: "toy".to_owned() }
}

fn finish() -> Event {
    Event::Finish(Finish { reason: FinishReason::Stop, raw: "end".to_owned(), stop_sequence: None })
}

fn said(text: &str) -> Vec<Event> {
    let text = Event::Delta(Delta::Text(text.to_owned()));
    vec![start(), Event::Open(Block::Text), text, Event::Close, finish()]
}

/// What a client of this protocol asks.
fn question(client: &dyn Inbound) -> Value {
    let turn = json!([{"role": "user", "content": "Hi, toy"}]);
    match client.id() {
        ProtocolId::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": "Hi, toy"}]}],
            "generationConfig": {"temperature": 0.5}}),
        ProtocolId::OpenAiResponses => json!({"model": "toy", "input": turn, "temperature": 0.5}),
        _ => json!({"model": "toy", "max_tokens": 9, "messages": turn, "temperature": 0.5}),
    }
}

#[test]
fn one_new_upstream_protocol_serves_the_clients_of_all_protocols() {
    let rules = ModelRules::default();
    for client in INBOUND {
        let request = client.decode_request(question(*client).to_string().as_bytes()).unwrap();
        let mut losses = Losses::default();
        let sent = Toy.encode_request(&request, Target { model: "toy", rules: &rules }, &mut losses);
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        assert_eq!(sent["ask"], "Hi, toy", "{:?}", client.id());
        assert!(losses.paths().ends_with("temperature"), "{:?}: {}", client.id(), losses.paths());

        let served = Served { provider: "toy".to_owned(), latency_ms: 1 };
        let answer = Toy.decode_response(br#"{"say": "Hello"}"#).unwrap();
        let whole = client.encode_response(&request, &answer, &envelope(), &served);
        assert!(String::from_utf8(whole).unwrap().contains("Hello"), "{:?}", client.id());

        let stream = b"data: {\"more\":\"Hel\"}\n\ndata: {\"more\":\"lo\"}\n\ndata: {\"end\":true}\n\n";
        let (told, ended) = events(&Toy, stream, WHOLE);
        assert!(ended.is_ok());
        let (mut encoder, mut out) = (client.encoder(&request, envelope()), Vec::new());
        told.iter().for_each(|event| encoder.push(event, &mut out));
        encoder.end(&served, &mut out);
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("Hel") && out.contains("lo"), "{:?}: {out}", client.id());
    }
}

fn envelope() -> llm_protocol::Envelope {
    llm_protocol::Envelope {
        request_id: "req_1".to_owned(),
        created: 1,
        model: "toy".to_owned(),
        include_usage: false,
        legacy_functions: false,
        array: false,
    }
}
