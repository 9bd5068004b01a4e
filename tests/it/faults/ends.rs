//! Ends of the process, asked for or not, in the middle of work.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use harness::{invariants::Rule, measures::quantile};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{PATIENT, SOON, Stage, measured};
use crate::support::{ADMIN_KEY, Client, Question, Raw, Request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_streams_those_that_can_end_do_and_the_others_are_told_why() {
    let (mut stage, [a]) = Stage::with::<1>(&[("ORCHESTRATOR_ROUTING_STREAM_IDLE_TIMEOUT", "60")]).await;
    let mut streams = Vec::new();
    for number in 0..200 {
        let can_end = number % 2 == 0;
        // Two of the five seconds that there are, or nothing more at all.
        let orders = if can_end { "mock:a/pieces=9;pace=150" } else { "mock:a/pieces=9;stall_after=4" };
        streams.push((can_end, stage.client.begin(&Question::of("gpt-4o").stream().says(orders)).await));
    }
    for (_, line) in &mut streams {
        line.until("from a").await;
    }
    let began = Instant::now();
    stage.gateway.terminate();
    for (can_end, line) in &mut streams {
        let reply = line.reply().await;
        assert!(reply.status == 200 && reply.complete, "{}", reply.text());
        assert_eq!((reply.done(), reply.stream_error().is_null()), (*can_end, *can_end), "{}", reply.text());
    }
    drop(streams);
    let status = stage.gateway.exit().await;
    let took = began.elapsed().as_secs_f64();
    assert_eq!(status.code(), Some(0), "{}", stage.gateway.output());
    assert!((4.5..6.0 + 2.0 * SOON.as_secs_f64()).contains(&took), "the grace period is 5 s, it took {took} s");
    measured("stop", &format!("{took:.1} s with a grace period of 5 s, 100 of 100 streams that could end did"));
    stage.gateway.restart().await;
    assert_eq!(stage.gateway.logs(100).await.len(), 100);
    assert_eq!(a.calls(), 200);
    // Metrics begin anew with the process.
    stage.check_but(&[Rule::Sums]).await;
}

/// Asks until the process is gone; says when each answer was complete.
async fn ask_until_the_end(client: Client) -> BTreeMap<String, Instant> {
    let mut answered = BTreeMap::new();
    loop {
        let question = Question::of("gpt-4o");
        match client.try_ask(&question).await {
            Some(reply) if reply.complete => answered.insert(question.nonce, Instant::now()),
            _ => return answered,
        };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blow_costs_the_log_its_last_second_at_most() {
    let (mut stage, [_a]) = Stage::with::<1>(&[PATIENT]).await;
    let (mut all, mut lost, mut oldest) = (0, 0, Duration::ZERO);
    for round in 0..8 {
        let client = stage.client.at(stage.gateway.address());
        let asking: Vec<_> = (0..4).map(|_| tokio::spawn(ask_until_the_end(client.clone()))).collect();
        // Another moment each round, so that the blow falls into all phases of a write.
        tokio::time::sleep(Duration::from_millis(700 + 37 * round)).await;
        let blow = Instant::now();
        stage.gateway.kill();
        let mut answered = BTreeMap::new();
        for asked in asking {
            answered.extend(asked.await.expect("a client ends by itself"));
        }
        let began = Instant::now();
        stage.gateway.restart().await;
        assert!(began.elapsed() < 10 * SOON, "{:?}", began.elapsed());
        let rows = stage.gateway.admin("GET", "/admin/logs/export?format=jsonl", serde_json::Value::Null).await.text();
        for (nonce, at) in &answered {
            let count = rows.matches(&format!("\"request_id\":\"{nonce}\"")).count();
            assert!(count <= 1, "{nonce} has {count} rows");
            if count == 0 {
                lost += 1;
                oldest = oldest.max(blow.saturating_duration_since(*at));
            }
        }
        all += answered.len();
    }
    assert!(oldest < Duration::from_secs(1), "a row of {oldest:?} before the blow is gone");
    assert!(all > 100, "only {all} answers");
    measured("lost_rows", &format!("{lost} of {all} in 8 blows, the oldest of {} ms before", oldest.as_millis()));
    stage.check_but(&[Rule::OneOutcome, Rule::Sums]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_of_either_kind_ends_the_process_under_load_and_costs_the_last_second_of_the_log_at_most() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let (mut stage, [a]) = Stage::with::<1>(&[PATIENT, ("ORCHESTRATOR_SERVER_SHUTDOWN_GRACE", "60")]).await;
        let asking: Vec<_> = (0..4).map(|_| tokio::spawn(ask_until_the_end(stage.client.clone()))).collect();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(a.calls() > 0, "there is load");
        let mut held = stage.client.begin(&Question::of("gpt-4o").stream().says("mock:a/pieces=9;stall_after=4")).await;
        held.until("from a").await;
        stage.gateway.signal(first);
        let mut answered = BTreeMap::new();
        // The door closes at once, but for the stream that holds everything up.
        for asked in asking {
            answered.extend(asked.await.expect("a client ends by itself"));
        }
        let began = Instant::now();
        stage.gateway.signal(second);
        assert_ne!(stage.gateway.exit().await.code(), Some(0), "{first}, {second}: work was left undone");
        assert!(began.elapsed() < 2 * SOON, "{first}, {second}: {:?}", began.elapsed());
        drop(held);
        stage.gateway.restart().await;
        let (known, _) = recorded(&stage).await;
        let is_old = |at: Instant| began.saturating_duration_since(at) > Duration::from_secs(1);
        let old: Vec<&String> = answered.iter().filter(|(_, at)| is_old(**at)).map(|(nonce, _)| nonce).collect();
        let lost = old.iter().filter(|nonce| !known.contains_key(**nonce)).count();
        assert!(lost == 0 && !old.is_empty(), "{first}, {second}: {lost} rows of {} are gone", old.len());
        // The stream that was cut has no row: nobody had the time.
        stage.check_but(&[Rule::OneOutcome, Rule::Sums]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_that_nobody_reads_holds_no_request_up() {
    let (stage, [_a]) = Stage::with::<1>(&[PATIENT, ("ORCHESTRATOR_JOURNAL_CAPACITY", "100000")]).await;
    let ask = |count: usize| {
        let client = stage.client.clone();
        async move {
            let (mut line, mut took) = (client.line().await, Vec::new());
            for _ in 0..count {
                let began = Instant::now();
                line.ask(&Question::of("gpt-4o")).await.assert_ok();
                took.push(began.elapsed().as_secs_f64() * 1000.0);
            }
            took
        }
    };
    let late = async |each: usize| {
        let mut took = (0..8).map(|_| ask(each)).collect::<JoinSet<_>>().join_all().await.concat();
        quantile(&mut took, 0.99)
    };
    let read = late(100).await;
    // More than the pipe and the queue take.
    let unread = {
        let _unread = stage.gateway.unread();
        late(1_400).await
    };
    stage.gateway.tells("Log lines were dropped").await;
    measured(
        "unread_output",
        &format!("p99 {read:.0} ms while the output is read, {unread:.0} ms while nobody reads it"),
    );
    assert!(unread < SOON.as_secs_f64() * 1000.0, "{unread} ms");
    stage.check().await;
}

/// Makes models until the process is gone; says which it was told are made.
async fn make_until_the_end(address: std::net::SocketAddr, prefix: String) -> Vec<String> {
    let mut made = Vec::new();
    while let Some(mut raw) = Raw::try_connect(address).await {
        let name = format!("{prefix}-{}", made.len());
        raw.send(&Request::post("/admin/models", &json!({"name": name})).bearer(ADMIN_KEY).bytes()).await;
        match raw.try_reply().await {
            Some(reply) if reply.complete && reply.status == 201 => made.push(name),
            _ => break,
        }
    }
    made
}

/// The rows of the log by their requests, and what they cost in all.
async fn recorded(stage: &Stage) -> (BTreeMap<String, usize>, f64) {
    let rows = stage.gateway.admin("GET", "/admin/logs/export?format=jsonl", Value::Null).await.assert_ok().text();
    let (mut known, mut spend) = (BTreeMap::new(), 0.0);
    for row in rows.lines().map(|row| serde_json::from_str::<Value>(row).expect("rows are JSON")) {
        *known.entry(row["request_id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        spend += row["cost"].as_f64().unwrap_or(0.0);
    }
    (known, spend)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "twenty restarts under load"]
async fn twenty_blows_lose_no_acknowledged_write_no_older_row_and_lower_no_spend() {
    let (mut stage, [_a]) = Stage::with::<1>(&[PATIENT]).await;
    let (mut made, mut all, mut lost, mut slowest) = (Vec::new(), 0, 0, Duration::ZERO);
    for round in 0..20_u64 {
        let client = stage.client.at(stage.gateway.address());
        let asking: Vec<_> = (0..4).map(|_| tokio::spawn(ask_until_the_end(client.clone()))).collect();
        let address = stage.gateway.address();
        let making = tokio::spawn(make_until_the_end(address, format!("r{round}")));
        // Another moment each round, so that the blow falls into all phases of a write.
        tokio::time::sleep(Duration::from_millis(600 + 41 * round)).await;
        let (before, spend_before) = recorded(&stage).await;
        let blow = Instant::now();
        stage.gateway.kill();
        let mut answered = BTreeMap::new();
        for asked in asking {
            answered.extend(asked.await.expect("a client ends by itself"));
        }
        made.extend(making.await.expect("a writer ends by itself"));
        let began = Instant::now();
        stage.gateway.restart().await;
        slowest = slowest.max(began.elapsed());
        let (known, spend) = recorded(&stage).await;
        assert!(spend >= spend_before && spend > 0.0, "round {round}: {spend} of {spend_before}");
        assert!(
            before.keys().all(|request| known.contains_key(request)),
            "round {round}: a row is gone that was there"
        );
        assert!(known.values().all(|rows| *rows == 1), "round {round}: a request has two rows");
        for (nonce, at) in answered.iter().filter(|(nonce, _)| !known.contains_key(*nonce)) {
            let age = blow.saturating_duration_since(*at);
            assert!(
                age < Duration::from_secs(1),
                "round {round}: the row of {nonce}, {age:?} before the blow, is gone"
            );
            lost += 1;
        }
        all += answered.len();
        let models = stage.gateway.admin_get("/admin/models").await.to_string();
        let gone: Vec<&String> = made.iter().filter(|name| !models.contains(&format!("\"{name}\""))).collect();
        assert!(gone.is_empty(), "round {round}: {gone:?} were acknowledged and are gone");
    }
    assert!(slowest < 10 * SOON, "{slowest:?}");
    assert!(all > 200 && made.len() > 20, "only {all} answers and {} writes", made.len());
    measured(
        "blows",
        &format!(
            "20 under load: {} acknowledged writes, 0 lost; {lost} of {all} rows lost, none older than 1 s; no spend lowered; ready again after {:.1} s at most",
            made.len(),
            slowest.as_secs_f64()
        ),
    );
    stage.check_but(&[Rule::OneOutcome, Rule::Sums]).await;
}
