//! Every recorded binary stream of Bedrock's, cut into pieces of one byte and cut off at every message.

use base64::{Engine, prelude::BASE64_STANDARD};
use llm_orchestrator::upstream::{Frames, Framing};
use llm_protocol::{
    Outbound,
    anthropic::Anthropic,
    bedrock_converse::BedrockConverse,
    ir::{ApiError, Event, Grammar, Part, Response},
};
use serde_json::Value;

use super::fixture;

/// The events up to the stream's end or its error. They obey the grammar, whatever the stream.
fn events(
    framing: Framing,
    protocol: &dyn Outbound,
    stream: &[u8],
    piece: usize,
) -> (Vec<Event>, Result<(), ApiError>) {
    let (mut frames, mut decoder) = (Frames::new(framing, 1 << 20), protocol.decoder());
    let mut events = Vec::new();
    let mut read = || {
        for piece in stream.chunks(piece) {
            frames.push(piece);
            while let Some(frame) = frames.next_frame()? {
                decoder.push(&frame, &mut events)?;
            }
        }
        if let Some(frame) = frames.finish()? {
            decoder.push(&frame, &mut events)?;
        }
        decoder.end(&mut events)
    };
    let ended = read();
    let mut grammar = Grammar::default();
    events.iter().for_each(|event| grammar.accept(event).expect("events obey the grammar"));
    (events, ended)
}

fn text(response: &Response) -> String {
    let texts = response.outputs[0].parts.iter();
    texts.filter_map(|part| if let Part::Text(text) = part { Some(text.text.as_str()) } else { None }).collect()
}

#[test]
fn a_recorded_binary_stream_reads_the_same_in_any_pieces_and_never_ends_well_where_it_was_cut() {
    let Some(folder) = std::env::var_os("CONFORMANCE_FIXTURES") else {
        println!("skipped: CONFORMANCE_FIXTURES is not set");
        return;
    };
    let mut read = 0;
    for recording in fixture::recordings(folder.as_ref()) {
        let Some(body) = recording["response"]["body_base64"].as_str() else { continue };
        let stream = BASE64_STANDARD.decode(body).expect("a recording's body is base64");
        let (framing, protocol): (_, &dyn Outbound) = match recording["wire"].as_str() {
            Some("bedrock") => (Framing::AwsEvents, &BedrockConverse),
            Some("bedrock_invoke") => (Framing::AwsWrapped, &Anthropic),
            _ => continue,
        };
        check(&recording, framing, protocol, &stream);
        read += 1;
    }
    assert!(read >= 10, "only {read} binary streams are recorded");
}

fn check(recording: &Value, framing: Framing, protocol: &dyn Outbound, stream: &[u8]) {
    let id = &recording["id"];
    let (whole, ended) = events(framing, protocol, stream, usize::MAX);
    assert_eq!(ended, Ok(()), "{id}");
    assert_eq!(events(framing, protocol, stream, 1), (whole.clone(), Ok(())), "{id} in small pieces");
    assert_eq!(text(&Response::fold(&whole)), recording["expect"]["text"].as_str().unwrap_or_default(), "{id}");
    for cut in (0..stream.len()).step_by(7) {
        let (some, ended) = events(framing, protocol, &stream[..cut], usize::MAX);
        // Only the counts come after the end.
        let counted = |events: &[Event]| events.iter().filter(|event| !matches!(event, Event::Usage(_))).count();
        assert!(ended.is_err() || counted(&some) == counted(&whole), "{id} cut at {cut}");
    }
}
