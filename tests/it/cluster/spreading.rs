//! How soon the others do what one of three gateways was told.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{agree, answers};
use crate::support::{Gateway, Reply, Request, Upstream, eventually, gateway::question};

/// The guarantee to operators.
const HOLDS_WITHIN: Duration = Duration::from_secs(1);

/// How often each thing is changed. What half of the changes take is held to the guarantee: a busy machine may stall once.
const ROUNDS: usize = 5;

/// What is changed, in this order.
const CHANGES: [&str; 4] = ["changed limit", "disabled provider", "enabled provider", "revoked key"];

pub fn ask(key: &str, model: &str) -> Request {
    Request::post("/v1/chat/completions", &question(model)).bearer(key)
}

/// How long after the answer to a change all others do as it says.
async fn spreads(others: &[Gateway], what: &str, told: Reply, obeys: impl AsyncFn(&Gateway) -> bool) -> Duration {
    let began = Instant::now();
    assert!(told.status < 300, "{what}: {}", told.text());
    for node in others {
        eventually(what, async || obeys(node).await.then_some(())).await;
    }
    began.elapsed()
}

/// Tells the first of three what to do, again and again, and says how soon the others did so.
pub async fn what_one_is_told_holds_on_all_within_a_second(nodes: &[Gateway; 3]) -> String {
    let [told, others @ ..] = nodes;
    let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
    a.lists(&["gpt-4o"]);
    b.lists(&["only-b"]);
    told.provider("a", "openai", &a, json!({})).await;
    let provider = format!("/admin/providers/{}", told.provider("b", "openai", &b, json!({})).await);
    let mut took = CHANGES.map(|_| Vec::new());
    for round in 0..ROUNDS {
        let key = json!({"name": format!("team {round}"), "requests_per_minute": 100_000});
        let made = told.admin("POST", "/admin/keys", key).await.json();
        let (key, target) = (made["key"].as_str().unwrap(), format!("/admin/keys/{}", made["id"]));
        for node in nodes {
            answers(node, key, "only-b", 200).await;
        }
        let has = async |node: &Gateway, model: &str, status| node.send(ask(key, model)).await.status == status;
        let has_limit = async |node: &Gateway| {
            let reply = node.send(ask(key, "gpt-4o")).await;
            reply.assert_ok().header("x-ratelimit-limit-requests") == Some("50000")
        };

        let told = async |method, path: &str, body| told.admin(method, path, body).await;
        let change = told("PATCH", &target, json!({"requests_per_minute": 50_000})).await;
        took[0].push(spreads(others, CHANGES[0], change, has_limit).await);
        let change = told("PATCH", &provider, json!({"enabled": false})).await;
        took[1].push(spreads(others, CHANGES[1], change, async |node| has(node, "only-b", 404).await).await);
        let change = told("PATCH", &provider, json!({"enabled": true})).await;
        took[2].push(spreads(others, CHANGES[2], change, async |node| has(node, "only-b", 200).await).await);
        let change = told("POST", &format!("{target}/revoke"), Value::Null).await;
        took[3].push(spreads(others, CHANGES[3], change, async |node| has(node, "gpt-4o", 401).await).await);
    }
    agree(&nodes.each_ref()).await;

    let usual = took.map(|mut took| {
        took.sort_unstable();
        took[ROUNDS / 2]
    });
    let told: Vec<_> =
        CHANGES.iter().zip(usual).map(|(what, took)| format!("{what} {} ms", took.as_millis())).collect();
    assert!(usual.iter().all(|took| *took < HOLDS_WITHIN), "{told:?}");
    format!("{}: on all of three, medians of {ROUNDS}", told.join(", "))
}
