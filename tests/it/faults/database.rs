//! A PostgreSQL server behind a network that is slow, silent or gone.

use std::time::Duration;

use harness::{measures::quantile, way::Trouble};
use serde_json::json;

use super::{
    SOON, Stage,
    health::{ask_steadily, share_of_successes},
    measured,
};
use crate::{
    store::postgres::Server,
    support::{Dialect, Question, Upstream, Way, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_to_the_database_that_is_slow_silent_or_gone_costs_no_request_and_every_row_is_accounted_for() {
    let Some(server) = Server::start().await else { return };
    let Some((port, url)) = server.by_port().await else { return };
    let way = Way::to(port).await;
    let url = url.replace(&port.to_string(), &way.address().to_string());
    let mut stage = Stage::bare(&[("DATABASE_URL", &url), ("ORCHESTRATOR_JOURNAL_CAPACITY", "150")]).await;
    let a = Upstream::start("a").await;
    stage.add(Dialect::OpenAi, &a, json!({"max_retries": 0})).await;
    stage.troubled = 3;
    stage.rest();
    let troubles = [
        ("slow", Trouble { delay: Duration::from_millis(400), ..Trouble::default() }),
        ("silent", Trouble { swallows: true, ..Trouble::default() }),
        ("gone", Trouble { refuses: true, ..Trouble::default() }),
    ];
    let late = |replies: &[crate::support::Reply]| {
        quantile(&mut replies.iter().map(|reply| reply.elapsed.as_secs_f64() * 1000.0).collect::<Vec<_>>(), 0.99)
    };
    let alone = late(&ask_steadily(&stage, 50, Duration::from_secs(2), || Question::of("gpt-4o")).await);
    let mut told = vec![format!("p99 {alone:.0} ms with a database that is well")];
    for (name, trouble) in troubles {
        way.has(trouble);
        if trouble.refuses {
            way.resets();
        }
        let replies = ask_steadily(&stage, 50, Duration::from_secs(4), || Question::of("gpt-4o")).await;
        assert_eq!(share_of_successes(&replies), 1.0, "{name}");
        assert!(late(&replies) < SOON.as_secs_f64() * 1000.0, "{name}: {}", late(&replies));
        told.push(format!("{:.0} ms while it is {name}", late(&replies)));
    }
    way.heals();
    eventually("the database to be used again", async || {
        let reply = stage.gateway.admin("GET", "/admin/stats", serde_json::Value::Null).await;
        (reply.status == 200).then_some(())
    })
    .await;
    measured("database_way", &told.join(", "));
    stage.check().await;
}
