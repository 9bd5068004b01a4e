//! Who is asked first, and who besides, by how long providers take.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::stage;
use crate::support::{Gateway, Script, Upstream};

/// Enough good answers for a model's pace to be known, and how long each takes.
const ENOUGH: usize = 60;
const USUAL: Duration = Duration::from_millis(300);

/// Much longer than usual, on a busy machine too.
const SLOW: Duration = Duration::from_secs(3);

const HEDGING: (&str, &str) = ("ORCHESTRATOR_HEDGING_ENABLED", "true");

/// Longer than any test waits.
const FOREVER: Duration = Duration::from_secs(60);

/// The gateway and two providers, the first of which has just answered often, all at once, so that nobody was unusual.
async fn warm(settings: &[(&str, &str)]) -> (Gateway, [Upstream; 2]) {
    let (gateway, upstreams) = stage(settings).await;
    upstreams[0].always(Script::stream(&["Hello"]).after(USUAL));
    for reply in join_all((0..ENOUGH).map(|_| gateway.ask_stream("gpt-4o"))).await {
        reply.assert_ok();
    }
    upstreams[0].heal();
    assert_eq!((upstreams[0].calls(), upstreams[1].calls()), (ENOUGH, 0));
    (gateway, upstreams)
}

async fn hedges(gateway: &Gateway, outcome: &str) -> Option<String> {
    let metrics = gateway.admin("GET", "/metrics", Value::Null).await.text();
    let name = format!("llm_orchestrator_hedges_total{{provider=\"b\",outcome=\"{outcome}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned))
}

#[tokio::test]
async fn where_the_first_takes_unusually_long_a_second_answers_and_the_first_is_broken_off() {
    let (gateway, [a, b]) = warm(&[HEDGING]).await;
    let usual = gateway.logs(ENOUGH).await[0]["cost"].as_f64().unwrap();
    a.next(Script::stream(&["Late"]).after(FOREVER));
    let reply = gateway.ask_stream("gpt-4o").await;
    assert_eq!(reply.assert_ok().content(), "Hello from b");
    assert!(reply.done());
    a.last().closed().await;
    let rows = gateway.logs(ENOUGH + 1).await;
    let row = &rows[ENOUGH];
    assert_eq!((&row["provider_name"], &row["attempts"], &row["status_code"]), (&json!("b"), &json!(2), &json!(200)));
    let cost = row["cost"].as_f64().unwrap();
    assert!(cost > usual && cost < 2.0 * usual, "what the other one read is paid for too: {cost} instead of {usual}");
    assert_eq!((b.calls(), hedges(&gateway, "won").await.as_deref()), (1, Some("1")));
}

#[tokio::test]
async fn where_the_first_is_sooner_after_all_it_answers_and_the_second_is_broken_off() {
    let (gateway, [a, b]) = warm(&[HEDGING]).await;
    a.next(Script::stream(&["Hello", " from a"]).after(SLOW));
    b.next(Script::stream(&["Late"]).after(FOREVER));
    assert_eq!(gateway.ask_stream("gpt-4o").await.assert_ok().content(), "Hello from a");
    b.last().closed().await;
    let rows = gateway.logs(ENOUGH + 1).await;
    assert_eq!((&rows[ENOUGH]["provider_name"], &rows[ENOUGH]["attempts"]), (&json!("a"), &json!(2)));
    assert_eq!(hedges(&gateway, "lost").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_second_that_fails_changes_nothing() {
    let (gateway, [a, b]) = warm(&[HEDGING]).await;
    a.next(Script::stream(&["Hello", " from a"]).after(SLOW));
    b.next(Script::error(500, "Oops"));
    assert_eq!(gateway.ask_stream("gpt-4o").await.assert_ok().content(), "Hello from a");
    assert_eq!((b.calls(), hedges(&gateway, "failed").await.as_deref()), (1, Some("1")));
}

#[tokio::test]
async fn second_requests_are_no_more_than_their_share_of_the_first_ones() {
    let (gateway, [a, b]) = warm(&[HEDGING, ("ORCHESTRATOR_HEDGING_MAX_EXTRA_PERCENT", "3.4")]).await;
    a.always(Script::stream(&["Hello", " from a"]).after(SLOW));
    for _ in 0..6 {
        gateway.ask_stream("gpt-4o").await.assert_ok();
    }
    assert_eq!(b.calls(), 2, "3.4 percent of some sixty");
}

#[tokio::test]
async fn nobody_is_asked_twice_where_that_was_not_switched_on_or_something_is_kept() {
    let slow = Script::stream(&["Hello", " from a"]).after(SLOW);
    let (gateway, [a, b]) = warm(&[]).await;
    a.next(slow.clone());
    gateway.ask_stream("gpt-4o").await.assert_ok();
    assert_eq!(b.calls(), 0);
    let (gateway, [a, b]) = warm(&[HEDGING]).await;
    a.next(slow);
    let mut body = crate::support::gateway::question("gpt-4o");
    (body["stream"], body["store"]) = (true.into(), true.into());
    gateway.chat(body).await.assert_ok();
    assert_eq!(b.calls(), 0);
}

#[tokio::test]
async fn by_least_latency_who_is_slower_gets_little_and_not_nothing() {
    let gateway = Gateway::with(&[("ORCHESTRATOR_ROUTING_POLICY", "least_latency")]).await;
    let (slow, quick) = (Upstream::start("slow").await, Upstream::start("quick").await);
    for upstream in [&slow, &quick] {
        gateway.provider(upstream.name(), "openai", upstream, json!({})).await;
    }
    slow.always(Script::json(200, &crate::support::Dialect::OpenAi.whole("Hello")).after(Duration::from_secs(2)));
    for _ in 0..40 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    assert!((1..=6).contains(&slow.calls()), "{} of 40", slow.calls());
}
