//! Too much of one thing: connections, heads, bytes and events without an end.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use harness::{measures::quantile, vitals::Vitals};
use serde_json::json;
use tokio::task::JoinSet;

use super::{PATIENT, SOON, Stage, measured, reading::Told};
use crate::support::{API_KEY, Dialect, Question, Raw, Script, Upstream, eventually};

const MEGABYTE: u64 = 1 << 20;

fn memory(stage: &Stage) -> u64 {
    Vitals::of(stage.gateway.pid()).memory
}

/// Asks so often, one after the other; says how many milliseconds all but one in a hundred took at most.
async fn late(stage: &Stage, times: usize) -> f64 {
    let mut took = Vec::new();
    for _ in 0..times {
        took.push(stage.ask(&Question::of("gpt-4o")).await.assert_ok().elapsed.as_secs_f64() * 1000.0);
    }
    quantile(&mut took, 0.99)
}

async fn heads_trickle(count: usize) {
    let (stage, [_a]) = Stage::with::<1>(&[]).await;
    let alone = late(&stage, 100).await;
    let mut slow = JoinSet::new();
    for _ in 0..count {
        let mut raw = Raw::connect(stage.gateway.address()).await;
        slow.spawn(async move {
            raw.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
            raw.trickle(&[b'y'; 16], Duration::from_millis(250)).await;
            raw.end().await.1
        });
    }
    let beside = late(&stage, 100).await;
    let longest = slow.join_all().await.into_iter().max().unwrap_or_default();
    measured(
        "slow_heads",
        &format!(
            "{count} connections that trickle let go after {:.1} s at the latest, p99 {alone:.0} ms alone, {beside:.0} ms beside them",
            longest.as_secs_f64()
        ),
    );
    // A client that trickles for four seconds notices only then.
    assert!(longest < Duration::from_millis(4500) + 3 * SOON, "{longest:?}");
    stage.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_trickle_are_let_go_and_harm_nobody() {
    heads_trickle(300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "two thousand connections"]
async fn two_thousand_heads_that_trickle_are_let_go_and_harm_nobody() {
    heads_trickle(2_000).await;
}

async fn come_and_go(count: usize) {
    let (stage, [_a]) = Stage::with::<1>(&[]).await;
    let address = stage.gateway.address();
    let knock = |number: usize| async move {
        for turn in 0..count / 8 {
            let mut raw = Raw::connect(address).await;
            if (number + turn).is_multiple_of(2) {
                raw.send(b"POST /v1/chat/comp").await;
            }
            // A close would leave the port in use for a minute.
            raw.reset();
        }
    };
    (0..8).map(knock).collect::<JoinSet<_>>().join_all().await;
    stage.ask(&Question::of("gpt-4o")).await.assert_ok();
    stage.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_come_and_go_leave_nothing() {
    come_and_go(4_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a hundred thousand connections"]
async fn a_hundred_thousand_connections_that_come_and_go_leave_nothing() {
    come_and_go(100_000).await;
}

#[tokio::test]
async fn a_client_that_begins_with_http_2_is_shown_the_door() {
    let (stage, [a]) = Stage::with::<1>(&[]).await;
    let before = memory(&stage);
    // A frame of settings, of pings and of resets, as often as a flood has them.
    let frames =
        [&b"\0\0\0\x04\0\0\0\0\0"[..], b"\0\0\x08\x06\0\0\0\0\0pingpong", b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08"];
    let flood = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frames.concat().repeat(1_000).as_slice()].concat();
    let address = stage.gateway.address();
    let knock = |_| {
        let flood = flood.clone();
        async move {
            let mut raw = Raw::connect(address).await;
            raw.send(&flood).await;
            raw.end().await.0
        }
    };
    for told in (0..200).map(knock).collect::<JoinSet<_>>().join_all().await {
        let told = String::from_utf8_lossy(&told);
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 4") || told.starts_with("HTTP/1.1 505"), "{told}");
    }
    assert!(memory(&stage).saturating_sub(before) < 50 * MEGABYTE);
    stage.ask(&Question::of("gpt-4o")).await.assert_ok();
    assert_eq!(a.calls(), 1);
    stage.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_without_an_end_is_an_error_and_takes_no_more_memory_than_an_event_may() {
    let settings = [PATIENT, ("ORCHESTRATOR_ROUTING_STREAM_IDLE_TIMEOUT", "30")];
    let (stage, [a, b]) = Stage::with::<2>(&settings).await;
    let endless = [b"data: ".as_slice(), &vec![b'x'; 64 << 20]].concat();
    let before = memory(&stage);
    // At once, so that nothing has reached the client: somebody else answers.
    a.next(Script::sse(std::slice::from_ref(&endless)));
    let reply = stage.ask(&Question::of("gpt-4o").stream()).await;
    assert!(reply.assert_ok().text().contains("from b") && reply.done(), "{}", reply.text());
    // Behind the first content.
    let mut frames: Vec<Vec<u8>> = Dialect::OpenAi.begun(&["begun"]).into_iter().map(String::into_bytes).collect();
    frames.push(endless);
    a.next(Script::sse(&frames));
    let reply = stage.ask(&Question::of("gpt-4o").stream()).await;
    let told = Told::by(Dialect::OpenAi, &reply);
    assert!((told.errors, told.ended) == (1, false) && reply.complete, "{told:?}");
    assert_eq!(told.text, "begun");
    let grown = memory(&stage).saturating_sub(before);
    assert!(grown < 2 * 2 * 16 * MEGABYTE, "two events of at most 16 MB took {grown} bytes");
    assert_eq!((a.calls(), b.calls()), (2, 1));
    stage.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_an_end_is_ended_in_time_and_takes_no_memory() {
    let (stage, [a]) = Stage::with::<1>(&[("ORCHESTRATOR_ROUTING_STREAM_MAX_DURATION", "3")]).await;
    let before = memory(&stage);
    let reply = stage.ask(&Question::of("gpt-4o").stream().says("mock:a/pieces=20000;pace=1")).await;
    let told = Told::by(Dialect::OpenAi, &reply);
    assert!((told.errors, told.ended) == (1, false) && reply.complete, "{} errors", told.errors);
    let took = reply.elapsed.as_secs_f64();
    assert!((2.9..3.0 + 2.0 * SOON.as_secs_f64()).contains(&took), "{took}");
    let grown = memory(&stage).saturating_sub(before);
    assert!(grown < 16 * MEGABYTE, "{grown} bytes");
    let closed = a.last().closed().await;
    assert!(closed.duration_since(a.last().at) < Duration::from_secs(3) + 2 * SOON);
    stage.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_unpacks_to_something_huge_is_not_unpacked() {
    let (stage, [a]) = Stage::with::<1>(&[PATIENT, ("ORCHESTRATOR_ROUTING_MAX_RESPONSE_BYTES", "1000000")]).await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let nothing = vec![b' '; 1 << 20];
    for _ in 0..256 {
        packed.write_all(&nothing).unwrap();
    }
    let packed = packed.finish().unwrap();
    stage.ask(&Question::of("gpt-4o")).await.assert_ok();
    let before = memory(&stage);
    for stream in [false, true] {
        let script = Script::bytes(200, if stream { "text/event-stream" } else { "application/json" }, packed.clone());
        a.next(script.header("Content-Encoding", "gzip"));
        let question = Question::of("gpt-4o");
        let reply = stage.ask(&if stream { question.stream() } else { question }).await;
        assert!(reply.status >= 500, "{}: {}", reply.status, reply.text());
    }
    let grown = memory(&stage).saturating_sub(before);
    // Events may be larger than whole answers here.
    assert!(grown < 2 * 16 * MEGABYTE + 16 * MEGABYTE, "{grown} bytes");
    stage.check().await;
}

#[tokio::test]
async fn a_body_in_chunks_without_an_end_is_refused_once_it_is_too_large() {
    let (stage, [a]) = Stage::with::<1>(&[("ORCHESTRATOR_SERVER_MAX_BODY_BYTES", "1000000")]).await;
    let before = memory(&stage);
    let question = Question::of("gpt-4o");
    let key = format!("Authorization: Bearer {API_KEY}\r\nX-Request-ID: {}\r\n", question.nonce);
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let mut line = stage.client.line().await;
    line.send_as(&question, format!("{head}{key}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).await;
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 1 << 16], b"\r\n"].concat();
    let began = Instant::now();
    while line.send_bytes(&chunk).await && line.raw().read_so_far().is_empty() {
        assert!(began.elapsed() < 10 * SOON, "it goes on and on");
    }
    if let Some(reply) = line.try_reply().await {
        reply.assert_error(413, "payload_too_large");
    }
    assert_eq!(a.calls(), 0);
    assert!(memory(&stage).saturating_sub(before) < 16 * MEGABYTE);
    stage.ask(&Question::of("gpt-4o")).await.assert_ok();
    stage.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "two gigabytes through a build that is not optimised"]
async fn of_a_hundred_huge_requests_at_once_those_that_fit_are_served_and_memory_stays_within_bounds() {
    const EACH: u64 = 20 * MEGABYTE;
    const ROOM: u64 = 200 * MEGABYTE;
    let room = ROOM.to_string();
    let settings = [
        PATIENT,
        ("ORCHESTRATOR_SERVER_MAX_BUFFERED_BYTES", room.as_str()),
        ("ORCHESTRATOR_SERVER_BODY_TIMEOUT", "300"),
        ("ORCHESTRATOR_ROUTING_MAX_TIMEOUT", "300"),
    ];
    let mut stage = Stage::bare(&settings).await;
    let a = Upstream::start("a").await;
    stage.add(Dialect::OpenAi, &a, json!({"max_retries": 0, "timeout": 60})).await;
    stage.rest();
    let before = memory(&stage);
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let client = stage.client.clone();
        let question = Question::of("gpt-4o").with(json!({"user": "x".repeat(EACH as usize)}));
        asking.spawn(async move { client.try_ask(&question).await });
    }
    let (mut most, mut served, mut refused) = (0, 0, 0);
    while !asking.is_empty() {
        tokio::select! {
            Some(reply) = asking.join_next() => match reply.unwrap().map(|reply| reply.status) {
                Some(200) => served += 1,
                // Whoever still sends may miss the answer.
                Some(503) | None => refused += 1,
                Some(other) => panic!("{other}"),
            },
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        most = most.max(memory(&stage).saturating_sub(before));
    }
    measured(
        "huge_requests",
        &format!(
            "{served} of 100 of 20 MB at once served with 200 MB for them, {} MB of memory at most",
            most / MEGABYTE
        ),
    );
    assert!(served >= 5 && refused > 0 && served + refused == 100, "{served} served, {refused} refused");
    // As much again for what is sent on, and what the allocator keeps.
    assert!(most <= 2 * ROOM + 64 * MEGABYTE, "{} MB", most / MEGABYTE);
    stage.ask(&Question::of("gpt-4o")).await.assert_ok();
    stage.check_some_unheard().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_nobody_knows_harms_nobody_else() {
    let (mut stage, [a]) = Stage::with::<1>(&[PATIENT]).await;
    stage.gateway.provider_at("lost", "openai", "http://no-such-host.invalid/v1", json!({"max_retries": 0})).await;
    stage.rest();
    let alone = late(&stage, 50).await;
    let lost = || Question::of("gpt-4o").with(json!({"provider": "lost", "timeout": 5}));
    let mut asking = JoinSet::new();
    for _ in 0..200 {
        let client = stage.client.clone();
        asking.spawn(async move { client.ask(&lost()).await });
    }
    let beside = late(&stage, 50).await;
    for reply in asking.join_all().await {
        assert!([502, 503, 504].contains(&reply.status), "{}", reply.text());
        // Half a second to connect, for two hundred at once.
        assert!(reply.elapsed < Duration::from_millis(500) + 4 * SOON, "{:?}", reply.elapsed);
    }
    // Whoever looked for the name stays for a while in case of more.
    eventually("those who looked to go", async || (Vitals::of(stage.gateway.pid()).threads < 40).then_some(())).await;
    measured(
        "unknown_name",
        &format!("p99 {alone:.0} ms alone, {beside:.0} ms beside 200 that look for an unknown name"),
    );
    assert_eq!(a.calls(), 100);
    stage.check().await;
}
