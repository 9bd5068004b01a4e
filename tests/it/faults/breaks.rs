//! Upstreams that are late, silent, or gone in the middle.

use std::time::Duration;

use harness::vitals;
use serde_json::json;

use super::{PATIENT, SOON, Stage, measured, reading::Told};
use crate::support::{Dialect, Question, Script, eventually};

const PROTOCOLS: [Dialect; 4] = Dialect::ALL;

/// Resets the first provider's stream at each `step`-th byte, for clients of every protocol. Before content the second one
/// serves and nobody notices; after it there is one error and no sign of a good end.
async fn reset_at_every(step: usize) -> usize {
    let mut offsets = 0;
    for dialect in PROTOCOLS {
        let (stage, [a, b]) = Stage::of::<2>(dialect, &[PATIENT]).await;
        let model = dialect.model();
        let sample = dialect.stream(&["Hello nonce-0123456789abcdef from a"]).concat().len();
        let mut moved = 0;
        for offset in (1..sample).step_by(step) {
            offsets += 1;
            let question = Question::by(dialect, model).stream().says(&format!("mock:a/rst_at={offset}"));
            let reply = stage.ask(&question).await;
            let told = Told::by(dialect, &reply);
            let case = format!("{dialect:?} at {offset} of {sample}: {told:?}\n{}", reply.text());
            let hello = |name: &str| format!("Hello {} from {name}", question.nonce);
            assert!(reply.status == 200 && reply.complete && told.beginnings <= 1 && !told.after_error, "{case}");
            if told.errors == 0 {
                assert!(told.ended, "{case}");
                assert!([hello("a"), hello("b")].contains(&told.text), "{case}");
                moved += usize::from(told.text == hello("b"));
            } else {
                // Gemini's last event says that it is the last, and is whole without its last byte.
                let may_have_ended = dialect == Dialect::Gemini && offset + 1 == sample;
                let ended = told.ended && !may_have_ended;
                assert!(told.errors == 1 && !ended && hello("a").starts_with(&told.text), "{case}");
            }
            // A success between failures, so that the provider is not left out.
            for _ in 0..2 {
                stage.ask(&Question::by(dialect, model)).await.assert_ok();
            }
        }
        assert!(moved > 0, "{dialect:?}: before content another provider serves");
        assert!(a.calls() > 0 && b.calls() == moved, "{dialect:?}: {} calls for {moved} moves", b.calls());
        stage.check().await;
    }
    offsets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_reset_moves_before_its_content_and_ends_with_one_error_after_it() {
    reset_at_every(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "every byte: minutes"]
async fn a_stream_that_is_reset_at_any_byte_at_all_moves_or_ends_with_one_error() {
    let offsets = reset_at_every(1).await;
    measured("reset_offsets", &format!("{offsets} offsets in 4 protocols, 0 faults"));
}

#[tokio::test]
async fn a_provider_without_a_first_byte_is_left_in_time_and_its_connection_closed() {
    let (stage, [a, _b]) = Stage::with::<2>(&[]).await;
    for (question, orders) in
        [(Question::of("gpt-4o"), "mock:a/wait=5000"), (Question::of("gpt-4o").stream(), "mock:a/silent")]
    {
        let reply = stage.ask(&question.says(orders)).await;
        reply.assert_ok();
        assert!(reply.text().contains("from b"), "{}", reply.text());
        let elapsed = reply.elapsed.as_secs_f64();
        assert!((1.9..2.0 + 2.0 * SOON.as_secs_f64()).contains(&elapsed), "{elapsed}");
        let life = a.last();
        let closed = life.closed().await;
        let took = closed.duration_since(life.at);
        assert!(took < Duration::from_secs(2) + SOON, "the connection was held for {took:?}");
    }
    stage.check().await;
}

#[tokio::test]
async fn a_body_that_trickles_costs_one_attempt_and_ends_at_the_deadline() {
    let (stage, [a, b]) = Stage::with::<2>(&[("ORCHESTRATOR_ROUTING_MAX_TIMEOUT", "3")]).await;
    let question = Question::of("gpt-4o").says("mock:a/chunk=1;pace=100").with(json!({"provider": "a", "timeout": 3}));
    let reply = stage.ask(&question).await;
    reply.assert_error(504, "upstream_timeout");
    let elapsed = reply.elapsed.as_secs_f64();
    assert!((2.9..3.0 + SOON.as_secs_f64()).contains(&elapsed), "{elapsed}");
    assert_eq!((a.calls(), b.calls()), (1, 0));
    stage.check().await;
}

#[tokio::test]
async fn a_stream_that_falls_silent_ends_with_an_error_in_time_and_nobody_else_is_asked() {
    for dialect in PROTOCOLS {
        let (stage, [a, b]) = Stage::of::<2>(dialect, &[]).await;
        let events = dialect.begun(&[]).len() + 5;
        let orders = format!("mock:a/pieces=9;stall_after={events}");
        let question = Question::by(dialect, dialect.model()).stream().says(&orders);
        let reply = stage.ask(&question).await;
        let told = Told::by(dialect, &reply);
        assert!((told.errors, told.ended) == (1, false) && reply.complete, "{dialect:?}: {told:?}");
        assert_eq!(told.text, format!("Hello {} from a", question.nonce).repeat(5), "{dialect:?}");
        let silent = a.last().life().last_byte.expect("it wrote something");
        let ended = a.last().closed().await;
        let took = ended.duration_since(silent).as_secs_f64();
        assert!((0.9..1.0 + SOON.as_secs_f64()).contains(&took), "{dialect:?}: given up after {took} s");
        assert_eq!((a.calls(), b.calls()), (1, 0), "{dialect:?}");
        stage.check().await;
    }
}

#[tokio::test]
async fn streams_in_pieces_of_one_byte_are_the_same_streams() {
    for dialect in PROTOCOLS {
        let (stage, [a]) = Stage::of::<1>(dialect, &[]).await;
        for chunk in [1, 2, 3, 7, 61] {
            let text = "é世🎉 né 界 🦀";
            let body = dialect.stream(&[text, text]).concat();
            a.next(Script::sse(&[body.as_bytes()]).in_pieces(chunk));
            let reply = stage.ask(&Question::by(dialect, dialect.model()).stream()).await;
            let told = Told::by(dialect, &reply);
            assert!(told.ended && told.errors == 0 && told.text == text.repeat(2), "{dialect:?}, {chunk}: {told:?}");
        }
        stage.check().await;
    }
}

#[tokio::test]
#[ignore = "millions of tiny chunks"]
async fn tiny_chunks_cost_a_bounded_multiple_of_large_ones() {
    let (stage, [_a]) = Stage::with::<1>(&[("ORCHESTRATOR_ROUTING_STREAM_IDLE_TIMEOUT", "30")]).await;
    let cost = async |chunk: usize| {
        let before = vitals::cpu_seconds(stage.gateway.pid());
        for _ in 0..10 {
            let orders = format!("mock:a/pieces=700;chunk={chunk}");
            stage.ask(&Question::of("gpt-4o").stream().says(&orders)).await.assert_ok();
        }
        vitals::cpu_seconds(stage.gateway.pid()) - before
    };
    cost(4096).await;
    let (large, tiny) = (cost(4096).await, cost(1).await);
    measured("tiny_chunks", &format!("{:.1} times the processor time of chunks of 4 KB", tiny / large.max(0.01)));
    stage.check().await;
}

#[tokio::test]
async fn an_upstream_that_closes_idle_connections_costs_no_request() {
    let (stage, [a]) = Stage::with::<1>(&[]).await;
    let mut line = stage.client.line().await;
    for _ in 0..30 {
        // It promises to keep the connection, and closes it behind the answer.
        let whole = Dialect::OpenAi.whole("bye").to_string();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
        a.next(Script::raw(format!("{head} {}\r\n\r\n{whole}", whole.len())));
        line.ask(&Question::of("gpt-4o")).await.assert_ok();
    }
    eventually("all connections to be closed", async || (a.load().connections == 0).then_some(())).await;
    assert_eq!(a.calls(), 30);
    stage.check().await;
}
