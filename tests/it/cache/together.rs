//! Equal requests that come together make one call upstream, and nobody is left waiting.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{about, cache, gateway, streamed};
use crate::support::{Dialect, Gateway, Raw, Reply, Script, Upstream, eventually, gateway::chat};

const HELD: Duration = Duration::from_millis(700);

fn ask(gateway: &Gateway, body: &Value) -> JoinHandle<Reply> {
    let (request, address) = (chat(body), gateway.address());
    tokio::spawn(async move { request.send(address).await })
}

/// So many of them.
fn crowd(gateway: &Gateway, body: &Value, count: usize) -> Vec<JoinHandle<Reply>> {
    (0..count).map(|_| ask(gateway, body)).collect()
}

/// Waits until so many requests are under way at the gateway.
async fn under_way(gateway: &Gateway, count: usize) {
    eventually(&format!("{count} requests to be under way"), async || {
        let metrics = gateway.admin("GET", "/metrics", Value::Null).await.text();
        metrics.contains(&format!("llm_orchestrator_requests_in_flight {count}\n")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_at_once_make_one_call_whole_and_as_a_stream() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    for (calls, body) in [about("all of us"), streamed(about("all of us"))].into_iter().enumerate() {
        let script = match calls {
            0 => Script::json(200, &Dialect::OpenAi.whole("Hello all")),
            _ => Script::stream(&["Hello ", "all"]),
        };
        upstream.next(script.after(HELD));
        let mut told = std::collections::BTreeMap::new();
        let mut bodies = std::collections::BTreeSet::new();
        for reply in crowd(&gateway, &body, 100) {
            let reply = reply.await.unwrap();
            *told.entry(cache(&reply).unwrap().to_owned()).or_insert(0) += 1;
            assert_eq!(reply.content(), "Hello all");
            bodies.insert(reply.body);
        }
        assert_eq!((upstream.calls(), bodies.len()), (calls + 1, 1));
        assert_eq!((told["miss"], told["hit"]), (1, 99));
    }
}

#[tokio::test]
async fn when_the_one_that_asks_leaves_its_call_ends_and_one_of_the_others_asks() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    let body = about("who stays");
    upstream.next(Script::silent());
    let mut first = Raw::connect(gateway.address()).await;
    first.send(&chat(&body).bytes()).await;
    let asked = upstream.call(1).await;
    let waiting = crowd(&gateway, &body, 5);
    under_way(&gateway, 6).await;
    assert_eq!(upstream.calls(), 1);
    drop(first);
    asked.closed().await;
    for reply in waiting {
        assert_eq!(reply.await.unwrap().assert_ok().content(), "Hello from a");
    }
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_stream_leaves_the_others_a_whole_one() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    let body = streamed(about("a story"));
    upstream.next(Script::sse(&Dialect::OpenAi.stream(&["half ", "of it"])[..3]).then_stall());
    let mut first = Raw::connect(gateway.address()).await;
    first.send(&chat(&body).bytes()).await;
    first.until("half ").await;
    let waiting = crowd(&gateway, &body, 3);
    under_way(&gateway, 4).await;
    drop(first);
    for reply in waiting {
        let reply = reply.await.unwrap();
        assert!(reply.assert_ok().done() && reply.content() == "Hello from a", "{}", reply.text());
    }
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn when_the_one_that_asks_fails_one_of_the_others_asks() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    upstream.next(Script::error(500, "broken").after(HELD));
    let all = crowd(&gateway, &about("once more"), 10);
    let mut statuses: Vec<u16> = Vec::new();
    for reply in all {
        statuses.push(reply.await.unwrap().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 200, 200, 502]);
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn where_everybody_fails_nobody_waits_for_more_than_two_of_them() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    upstream.always(Script::error(400, "no").after(HELD));
    let all = crowd(&gateway, &about("in vain"), 12);
    for reply in all {
        let reply = reply.await.unwrap();
        assert_eq!(reply.status, 400);
        assert!(reply.elapsed < 8 * HELD, "{:?}", reply.elapsed);
    }
    assert_eq!(upstream.calls(), 12);
}

#[tokio::test]
async fn an_answer_that_is_for_its_client_alone_lets_all_others_ask_at_once() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    let mut short = Dialect::OpenAi.whole("Once upon a");
    short["choices"][0]["finish_reason"] = "length".into();
    upstream.always(Script::json(200, &short).after(HELD));
    let all = crowd(&gateway, &about("a long story"), 6);
    for reply in all {
        let reply = reply.await.unwrap();
        assert_eq!(cache(&reply), Some("miss"));
        assert!(reply.elapsed < 8 * HELD, "{:?}", reply.elapsed);
    }
    assert_eq!(upstream.calls(), 6);
}

#[tokio::test]
async fn who_waits_waits_no_longer_than_it_wants_to() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    let body = about("how long");
    upstream.next(Script::silent());
    let mut first = Raw::connect(gateway.address()).await;
    first.send(&chat(&body).bytes()).await;
    upstream.call(1).await;
    let mut hasty = body.clone();
    hasty["timeout"] = json!(1);
    let reply = ask(&gateway, &hasty).await.unwrap();
    reply.assert_error(504, "upstream_timeout");
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn who_has_waited_long_enough_or_finds_no_place_to_wait_asks_itself() {
    let upstream = Upstream::start("a").await;
    let waits = [("ORCHESTRATOR_CACHE_MAX_WAIT", "0.2"), ("ORCHESTRATOR_CACHE_MAX_WAITING", "1")];
    let gateway = gateway(&upstream, &waits).await;
    let body = about("how many");
    upstream.next(Script::silent());
    let mut first = Raw::connect(gateway.address()).await;
    first.send(&chat(&body).bytes()).await;
    upstream.call(1).await;
    for reply in crowd(&gateway, &body, 3) {
        assert_eq!(cache(&reply.await.unwrap()), Some("miss"));
    }
    assert_eq!(upstream.calls(), 4);
}
