//! What must hold of every protocol, whatever is said in it: the registries are asked, so that a new one is held to it too.

mod generate;

use llm_protocol::{
    Envelope, INBOUND, Inbound, OUTBOUND, Outbound, ProtocolId, Served, Target,
    ir::{Event, Grammar, Losses, Malformed, ReasoningRequest, Request, Response},
    models::{ModelRules, Models},
    outbound,
    splice::Members,
};
use proptest::prelude::*;

use crate::fixtures::{WHOLE, events as read};
use generate::{events, gist, protocols, request, said};

fn both_sides() -> impl Iterator<Item = (&'static dyn Inbound, &'static dyn Outbound)> {
    INBOUND.iter().filter_map(|inbound| Some((*inbound, outbound(inbound.id())?)))
}

fn envelope() -> Envelope {
    Envelope {
        request_id: "req_1".into(),
        created: 7,
        model: "asked".into(),
        include_usage: true,
        legacy_functions: false,
        array: false,
    }
}

/// Of a client that wants to see what the model thought.
fn watching() -> Request {
    let reasoning = ReasoningRequest { visible: Some(true), ..ReasoningRequest::default() };
    Request { reasoning: Some(reasoning), ..Request::default() }
}

fn served() -> Served {
    Served { provider: "p".into(), latency_ms: 12 }
}

/// A model that takes everything, so that what is lost is lost to the protocol.
fn tolerant() -> ModelRules {
    ModelRules { max_output_tokens: Some(100_000), ..ModelRules::default() }
}

fn written(protocol: &dyn Outbound, request: &Request, losses: &mut Losses) -> Vec<u8> {
    let rules = tolerant();
    protocol.encode_request(request, Target { model: "any", rules: &rules }, losses)
}

/// A request in a protocol's words, read again by its other side.
fn around(
    inbound: &dyn Inbound,
    outbound: &dyn Outbound,
    request: &Request,
    losses: &mut Losses,
) -> Result<Request, Malformed> {
    let body = written(outbound, request, losses);
    inbound.validate(&Members::read(&body)?)?;
    let mut back = inbound.decode_request(&body)?;
    back.model.clone_from(&request.model);
    back.stream = request.stream;
    Ok(back)
}

/// Whether a loss is told of any path that begins so.
fn lost(losses: &Losses, paths: &[&str]) -> bool {
    losses.iter().any(|loss| paths.iter().any(|path| loss.path.starts_with(path)))
}

/// The same once more in one protocol's words: how a stream of events is told to its client and read by a client.
fn told(inbound: &dyn Inbound, outbound: &dyn Outbound, said: &[Event]) -> Vec<Event> {
    let mut encoder = inbound.encoder(&watching(), envelope());
    let mut out = Vec::new();
    said.iter().for_each(|event| encoder.push(event, &mut out));
    encoder.end(&served(), &mut out);
    let (back, ended) = read(outbound, &out, WHOLE);
    assert_eq!(ended, Ok(()), "{}: {}", inbound.id().as_str(), String::from_utf8_lossy(&out));
    back
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_in_a_protocols_own_words_says_the_same(request in request()) {
        for (inbound, outbound) in both_sides() {
            let id = inbound.id().as_str();
            let mut losses = Losses::default();
            let back = match around(inbound, outbound, &request, &mut losses) {
                Ok(back) => back,
                Err(wrong) => return Err(TestCaseError::fail(format!("{id} refuses its own words: {wrong:?}"))),
            };
            prop_assert_eq!(gist(&back), gist(&request), "{}", id);
            if !lost(&losses, &["tool_choice"]) {
                // Saying nothing and leaving the choice to the model are the same.
                let choice = |request: &Request| request.tool_choice.clone().unwrap_or(llm_protocol::ir::ToolChoice::Auto);
                prop_assert_eq!(choice(&back), choice(&request), "{}", id);
            }
            if !lost(&losses, &["temperature", "top_p"]) {
                prop_assert_eq!(&back.sampling, &request.sampling, "{}", id);
            }
            if !lost(&losses, &["stop"]) {
                prop_assert_eq!(&back.stop, &request.stop, "{}", id);
            }
            if request.max_output_tokens.is_some() && !lost(&losses, &["max_"]) {
                prop_assert_eq!(back.max_output_tokens, request.max_output_tokens, "{}", id);
            }
            if request.parallel_tool_calls == Some(false) && !lost(&losses, &["parallel_tool_calls"]) {
                prop_assert_eq!(back.parallel_tool_calls, Some(false), "{}", id);
            }
        }
    }

    #[test]
    fn a_request_that_was_read_and_written_is_written_so_again(request in request()) {
        for (inbound, outbound) in both_sides() {
            let Ok(first) = around(inbound, outbound, &request, &mut Losses::default()) else { continue };
            let Ok(second) = around(inbound, outbound, &first, &mut Losses::default()) else {
                return Err(TestCaseError::fail(format!("{} cannot read what it read", inbound.id().as_str())));
            };
            prop_assert_eq!(&first, &second, "{}", inbound.id().as_str());
        }
    }

    #[test]
    fn a_request_through_another_protocol_keeps_the_conversation(request in request(), way in protocols()) {
        let Some((inbound, outbound)) = both_sides().find(|(inbound, _)| inbound.id() == way) else { return Ok(()) };
        for (client, own) in both_sides() {
            let Ok(first) = around(client, own, &request, &mut Losses::default()) else { continue };
            let Ok(second) = around(inbound, outbound, &first, &mut Losses::default()) else {
                return Err(TestCaseError::fail(format!("{} to {}", client.id().as_str(), way.as_str())));
            };
            prop_assert_eq!(gist(&second), gist(&first), "{} to {}", client.id().as_str(), way.as_str());
        }
    }

    #[test]
    fn every_upstream_can_be_told_of_any_request_for_any_model(request in request(), model in 0..4usize) {
        let (models, model) = (Models::builtin(), ["gpt-5", "claude-opus-5", "gemini-3-pro", "mistral-small"][model]);
        for outbound in OUTBOUND {
            let rules = models.rules(outbound.id(), "", model);
            let mut losses = Losses::default();
            let body = outbound.encode_request(&request, Target { model, rules: &rules }, &mut losses);
            prop_assert!(Members::read(&body).is_ok(), "{}", outbound.id().as_str());
        }
    }

    #[test]
    fn a_stream_in_a_protocols_own_words_says_the_same(stream in events()) {
        let before = Response::fold(&stream);
        for (inbound, outbound) in both_sides() {
            let id = inbound.id();
            let back = told(inbound, outbound, &stream);
            let mut grammar = Grammar::default();
            for event in &back {
                prop_assert_eq!(grammar.accept(event), Ok(()), "{}", id.as_str());
            }
            let after = Response::fold(&back);
            let (spoken, heard) = (&before.outputs[0], &after.outputs[0]);
            let (text, thought, mut calls) = said(&spoken.parts);
            let (text_back, thought_back, mut calls_back) = said(&heard.parts);
            prop_assert_eq!((text, thought), (text_back, thought_back), "{}", id.as_str());
            calls.sort();
            calls_back.sort();
            prop_assert_eq!(calls, calls_back, "{}", id.as_str());
            prop_assert_eq!(spoken.reason(), heard.reason(), "{}", id.as_str());
            let counts = |response: &Response| response.usage.as_ref().map(|usage| (usage.input, usage.cache_read, usage.output));
            prop_assert_eq!(counts(&before), counts(&after), "{}", id.as_str());
            prop_assert_eq!(back.iter().filter(|event| matches!(event, Event::Start { .. })).count(), 1);
        }
    }

    #[test]
    fn a_whole_answer_says_what_its_stream_says(stream in events()) {
        let response = Response::fold(&stream);
        for (inbound, outbound) in both_sides() {
            let id = inbound.id().as_str();
            let body = inbound.encode_response(&watching(), &response, &envelope(), &served());
            let whole = match outbound.decode_response(&body) {
                Ok(whole) => whole,
                Err(error) => return Err(TestCaseError::fail(format!("{id}: {error:?}"))),
            };
            let streamed = Response::fold(&told(inbound, outbound, &stream));
            prop_assert_eq!(said(&whole.outputs[0].parts), said(&streamed.outputs[0].parts), "{}", id);
            prop_assert_eq!(whole.outputs[0].reason(), streamed.outputs[0].reason(), "{}", id);
            prop_assert_eq!(whole.usage.map(|usage| usage.total()), streamed.usage.map(|usage| usage.total()), "{}", id);
        }
    }

    #[test]
    fn a_stream_may_be_cut_into_any_pieces(stream in events(), piece in 1..40usize) {
        for (inbound, outbound) in both_sides() {
            let mut encoder = inbound.encoder(&watching(), envelope());
            let mut out = Vec::new();
            stream.iter().for_each(|event| encoder.push(event, &mut out));
            encoder.end(&served(), &mut out);
            prop_assert_eq!(read(outbound, &out, WHOLE), read(outbound, &out, piece), "{}", inbound.id().as_str());
        }
    }

    #[test]
    fn a_stream_that_is_cut_never_ends_well(stream in events(), at in any::<prop::sample::Index>()) {
        for (inbound, outbound) in both_sides() {
            let mut encoder = inbound.encoder(&watching(), envelope());
            let mut out = Vec::new();
            // All but the event that says why it stopped: the upstream was cut off before it.
            stream[..stream.len() - 1].iter().for_each(|event| encoder.push(event, &mut out));
            if out.is_empty() {
                // Nothing was promised.
                continue;
            }
            let cut = &out[..at.index(out.len()) + 1];
            let (_, ended) = read(outbound, cut, WHOLE);
            prop_assert!(ended.is_err(), "{}: {}", inbound.id().as_str(), String::from_utf8_lossy(cut));
        }
    }

    #[test]
    fn no_bytes_make_any_codec_panic(body in prop::collection::vec(any::<u8>(), 0..200), status in 100u16..600) {
        for inbound in INBOUND {
            if let Ok(members) = Members::read(&body) {
                let _ = (inbound.validate(&members), inbound.needs(&members));
            }
            let _ = inbound.decode_request(&body);
            let _ = inbound.sign_response(body.clone().into(), &served());
        }
        for outbound in OUTBOUND {
            let _ = (outbound.decode_response(&body), outbound.decode_error(status, &body));
            let _ = read(*outbound, &body, 7);
        }
    }
}

/// Words that stand in some protocol's bodies.
const KEYS: &str = "(model|messages|contents|content|parts|part|input|output|instructions|system|role|type|text|tools|name|\
                    functionDeclarations|functionCall|functionResponse|function|tool_calls|tool_choice|id|call_id|index|delta|\
                    choices|candidates|usage|usageMetadata|error|finish_reason|finishReason|stop_reason|item|response|message|\
                    reasoning|summary|thinking|signature|thoughtSignature|arguments|args|source|image_url|data|x)";

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_json_makes_any_codec_panic(
        keys in prop::collection::vec((KEYS, any::<bool>(), proptest::option::of("(user|model|assistant|tool|text|message|function_call|reasoning|tool_use|tool_result|message_start|content_block_start|response.created|response.output_item.added)")), 1..9),
        leaf in "(null|1|-1|1e99|\"\"|\"é\"|\"LLMOcm8K\"|true|\\[\\]|\\{\\}|\\[null\\]|\\[\\[\\]\\])",
    ) {
        let mut body = leaf;
        for (key, list, kind) in keys {
            let kind = kind.map_or_else(String::new, |kind| format!(",\"type\":\"{kind}\",\"role\":\"{kind}\""));
            let kind = if key == "type" || key == "role" { String::new() } else { kind };
            body = format!("{{\"{key}\":{body}{kind}}}");
            if list {
                body = format!("[{body}]");
            }
        }
        for inbound in INBOUND {
            if let Ok(members) = Members::read(body.as_bytes()) {
                let _ = (inbound.validate(&members), inbound.needs(&members));
            }
            let _ = inbound.decode_request(body.as_bytes());
        }
        for outbound in OUTBOUND {
            let _ = (outbound.decode_response(body.as_bytes()), outbound.decode_error(500, body.as_bytes()));
            let _ = read(*outbound, format!("data: {body}\n\n").as_bytes(), WHOLE);
            let _ = read(*outbound, format!("event: x\ndata: {body}\n\ndata: {body}\n\n").as_bytes(), 3);
        }
    }
}

#[test]
fn every_client_protocol_has_an_upstream_side() {
    let missing: Vec<ProtocolId> =
        INBOUND.iter().map(|inbound| inbound.id()).filter(|id| outbound(*id).is_none()).collect();
    assert_eq!(missing, []);
    assert!(both_sides().count() > 0);
}

#[test]
fn reading_a_long_stream_takes_no_more_per_event_than_a_short_one() {
    // Events, not seconds, are counted: each frame in makes a bounded number of events out.
    for (inbound, outbound) in both_sides() {
        let count = |pieces: usize| {
            let mut stream = vec![Event::Start { id: "i".into(), model: "m".into() }];
            stream.push(Event::Open(llm_protocol::ir::Block::Text));
            stream.extend((0..pieces).map(|_| Event::Delta(llm_protocol::ir::Delta::Text("a".into()))));
            stream.push(Event::Close);
            stream.push(Event::Finish(llm_protocol::ir::Finish {
                reason: llm_protocol::ir::FinishReason::Stop,
                raw: String::new(),
                stop_sequence: None,
            }));
            told(inbound, outbound, &stream).len()
        };
        let (short, long) = (count(100), count(10_000));
        assert!(long <= short * 110, "{}: {short} and {long}", inbound.id().as_str());
    }
}
