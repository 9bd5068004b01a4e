//! Connections that are used again, by a gateway whose upstream closes them at its own time.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::{Stage, measured};
use crate::support::{Dialect, Question, Upstream};

/// So many clients at once ask so often, at intervals around the moment at which the upstream closes what idles.
async fn asks_when_connections_are_being_closed(clients: usize, rounds: u32) {
    let mut stage = Stage::bare(&[]).await;
    let a = Upstream::start("a").await;
    stage.add(Dialect::OpenAi, &a, json!({"max_retries": 0})).await;
    a.closes_idle_after(Duration::from_secs(1));
    stage.rest();
    for round in 0..rounds {
        let ask = |_| {
            let client = stage.client.clone();
            async move { client.ask(&Question::of("gpt-4o")).await.assert_ok().elapsed }
        };
        (0..clients).map(ask).collect::<JoinSet<_>>().join_all().await;
        tokio::time::sleep(Duration::from_millis(900) + Duration::from_millis(200) * round / rounds).await;
    }
    let asked = clients * rounds as usize;
    let twice = a.calls() - asked;
    assert!(twice * 1000 <= asked, "{twice} of {asked} were worked on twice");
    let (accepted, kept) = (a.load().accepted, a.seen().iter().filter(|seen| seen.reused).count());
    assert!(kept > 0 && accepted > clients, "{accepted} connections, {kept} requests on used ones: nothing was played");
    measured(
        "reuse",
        &format!(
            "{asked} requests about when idle connections are closed: 0 failed, {twice} worked on twice, {kept} on used connections"
        ),
    );
    stage.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_that_is_just_being_closed_costs_no_request() {
    asks_when_connections_are_being_closed(40, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute"]
async fn five_thousand_requests_on_connections_that_are_just_being_closed_cost_none() {
    asks_when_connections_are_being_closed(100, 50).await;
}
