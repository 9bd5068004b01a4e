//! Many requests at once, of all kinds: everybody gets an answer of their own, from whom the configuration says.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use super::{PATIENT, SOON, Stage, health::most_at_once, measured};
use crate::support::{Client, Dialect, Leave, Question, Script, Upstream};

/// Orders for the first provider, each as likely as the others. Most let it answer.
const ORDERS: [&str; 16] = [
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "mock:a/status=500",
    "mock:a/status=400",
    "mock:a/status=429",
    "mock:a/rst_at=700",
    "mock:a/cut_after=2",
    "mock:a/chunk=3",
    "mock:a/wait=20",
    "mock:a/slam",
    "mock:a/html",
];

/// One client of many: asks on a connection of its own, and sometimes leaves in the middle.
async fn visit(client: Client, seed: u64, count: usize) {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut line = client.line().await;
    for _ in 0..count {
        let dialect =
            [Dialect::OpenAi, Dialect::OpenAi, Dialect::Anthropic, Dialect::Responses][chance.random_range(0..4)];
        let orders = ORDERS[chance.random_range(0..ORDERS.len())];
        let question = Question::by(dialect, "gpt-4o").says(orders);
        let question = if chance.random_bool(0.5) { question.stream() } else { question };
        if chance.random_bool(0.1) {
            line.send(&question).await;
            tokio::time::sleep(Duration::from_millis(chance.random_range(1..15))).await;
            line.leave(if chance.random_bool(0.5) { Leave::Close } else { Leave::Reset }).await;
            line = client.line().await;
        } else {
            let reply = line.ask(&question).await;
            // What broke off may have said nothing yet.
            let told = reply.text();
            assert!(reply.status != 200 || told.contains(&question.nonce) || told.contains("\"error\""), "{told}");
        }
    }
}

/// So many clients with so many questions each. Says how many questions there were, and how many rows were dropped.
async fn all_kinds(clients: u64, each: usize) -> (usize, f64) {
    let (stage, [_a, _b]) = Stage::with::<2>(&[PATIENT, ("ORCHESTRATOR_JOURNAL_CAPACITY", "100000")]).await;
    let visits: tokio::task::JoinSet<()> = (0..clients).map(|seed| visit(stage.client.clone(), seed, each)).collect();
    visits.join_all().await;
    let asked = stage.client.visits().len();
    assert_eq!(asked, clients as usize * each);
    let dropped = stage.metric(r#"log_rows_total{state="dropped"}"#).await;
    stage.check_some_unheard().await;
    (asked, dropped)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_thousands_of_all_kinds_nobody_gets_anothers_answer_and_each_has_one_row() {
    all_kinds(50, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes"]
async fn of_fifty_thousand_of_all_kinds_nobody_gets_anothers_answer_and_each_has_one_row() {
    let (asked, dropped) = all_kinds(100, 500).await;
    measured("outcomes", &format!("{asked} questions, each with one row; {dropped} dropped and counted"));
}

/// How far shares are from what weights say: chi-squared of two degrees of freedom.
fn chi_squared(counts: [usize; 3], weights: [usize; 3]) -> f64 {
    let (all, sum) = (counts.iter().sum::<usize>() as f64, weights.iter().sum::<usize>() as f64);
    let terms = counts.iter().zip(weights).map(|(count, weight)| {
        let expected = all * weight as f64 / sum;
        (*count as f64 - expected).powi(2) / expected
    });
    terms.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_are_what_the_weights_say_and_follow_them_at_once() {
    let mut stage = Stage::bare(&[]).await;
    let mut upstreams = Vec::new();
    for (name, weight) in [("a", 70), ("b", 20), ("c", 10)] {
        let upstream = Upstream::start(name).await;
        let id = stage.add(Dialect::OpenAi, &upstream, json!({"weight": weight, "max_retries": 0})).await;
        upstreams.push((upstream, id));
    }
    stage.rest();
    let mut before = [0; 3];
    for weights in [[70, 20, 10], [10, 45, 45]] {
        for ((_, id), weight) in upstreams.iter().zip(weights) {
            stage
                .gateway
                .admin("PATCH", &format!("/admin/providers/{id}"), json!({"weight": weight}))
                .await
                .assert_ok();
        }
        let ask = |_| {
            let client = stage.client.clone();
            async move {
                let mut line = client.line().await;
                for _ in 0..150 {
                    line.ask(&Question::of("gpt-4o")).await.assert_ok();
                }
            }
        };
        (0..16).map(ask).collect::<tokio::task::JoinSet<()>>().join_all().await;
        let now: [usize; 3] = std::array::from_fn(|at| upstreams[at].0.calls());
        let counts: [usize; 3] = std::array::from_fn(|at| now[at] - before[at]);
        before = now;
        // One run in fifty thousand is further off by chance.
        let off = chi_squared(counts, weights);
        assert!(off < 21.6, "{counts:?} for {weights:?}: {off}");
    }
    stage.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_changes_under_load_cost_no_request_and_mix_nothing() {
    let mut stage = Stage::bare(&[]).await;
    let (old, new) = (Upstream::start("old").await, Upstream::start("new").await);
    let id = stage.add(Dialect::OpenAi, &old, json!({"max_retries": 0, "weight": 1})).await;
    stage.rest();
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let client = stage.client.clone();
            let stop = tokio_util::sync::CancellationToken::new();
            let stopped = stop.clone();
            let task = tokio::spawn(async move {
                let mut line = client.line().await;
                while !stopped.is_cancelled() {
                    line.ask(&Question::of("gpt-4o")).await.assert_ok();
                }
            });
            (task, stop)
        })
        .collect();
    for round in 0..100 {
        let (upstream, key) = if round % 2 == 0 { (&new, "sk-of-new") } else { (&old, "sk-of-old") };
        let change = json!({"base_url": upstream.url(), "api_key": key, "timeout": 1 + round % 9});
        let began = Instant::now();
        stage.gateway.admin("PATCH", &format!("/admin/providers/{id}"), change).await.assert_ok();
        assert!(began.elapsed() < 10 * SOON);
        if round % 10 == 0 {
            let wrong = json!({"base_url": "not an address", "api_key": "sk-of-nobody"});
            let refused = stage.gateway.admin("PATCH", &format!("/admin/providers/{id}"), wrong).await;
            assert_eq!(refused.status, 400, "{}", refused.text());
        }
    }
    for (task, stop) in asking {
        stop.cancel();
        task.await.expect("no request failed");
    }
    for (upstream, key) in [(&old, "Bearer sk-of-old"), (&new, "Bearer sk-of-new")] {
        assert!(upstream.calls() > 0);
        let mixed = upstream.seen().iter().filter(|seen| seen.header("authorization") != Some(key)).count();
        assert_eq!(mixed, 0, "an address and a key belong together");
    }
    stage.check_with(&new, "sk-of-new").await;
}

/// A key that may have ten requests running asks for much more, with faults and clients that leave.
async fn places_are_kept(rounds: usize) {
    let (stage, [a]) = Stage::with::<1>(&[PATIENT, ("ORCHESTRATOR_LIMITS_CONCURRENT_REQUESTS", "10")]).await;
    let ask = |seed: u64| {
        let client = stage.client.clone();
        async move {
            let mut chance = StdRng::seed_from_u64(seed);
            let mut met: HashMap<u16, usize> = HashMap::new();
            for _ in 0..rounds {
                let orders =
                    ["mock:wait=5", "mock:status=500;wait=3", "mock:slam", "mock:wait=9"][chance.random_range(0..4)];
                let line = client.begin(&Question::of("gpt-4o").says(orders)).await;
                if chance.random_bool(0.3) {
                    tokio::time::sleep(Duration::from_millis(chance.random_range(0..6))).await;
                    line.leave(Leave::Reset).await;
                } else {
                    let mut line = line;
                    *met.entry(line.reply().await.status).or_default() += 1;
                }
            }
            met
        }
    };
    let met = (0..40).map(ask).collect::<tokio::task::JoinSet<_>>().join_all().await;
    let of = |status: u16| met.iter().filter_map(|met| met.get(&status)).sum::<usize>();
    assert!(of(200) > 0 && of(429) > 0, "{met:?}");
    // Of a client that left the gateway knows before the upstream does: what is counted is what was answered.
    let answered: Vec<_> = a.seen().into_iter().filter(|seen| seen.life().closed.is_none()).collect();
    let most = most_at_once(&answered);
    assert!((2..=10).contains(&most), "{most} ran at once");
    stage.is_running(0).await;
    // All ten places are there again.
    a.always(Script::silent());
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(stage.client.begin(&Question::of("gpt-4o")).await);
    }
    stage.is_running(10).await;
    stage.ask(&Question::of("gpt-4o")).await.assert_error(429, "rate_limit_exceeded");
    drop(held);
    a.heal();
    stage.check_some_unheard().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_are_never_exceeded_and_never_lost() {
    places_are_kept(25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes"]
async fn places_are_never_exceeded_and_never_lost_in_tens_of_thousands_of_requests() {
    places_are_kept(700).await;
    measured("places", "28,000 requests, at most 10 at once, none held at the end");
}
