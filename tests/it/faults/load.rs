//! More than there is room for: what is refused is refused at once, and what is admitted is served.

use std::time::{Duration, Instant};

use harness::{measures::quantile, vitals::Vitals};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use super::{
    SOON, Stage,
    health::{ask_steadily, share_of_successes},
    measured,
};
use crate::support::{Client, Dialect, Question, Reply, Script, eventually};

fn late(replies: &[&Reply]) -> f64 {
    quantile(&mut replies.iter().map(|reply| reply.elapsed.as_secs_f64() * 1000.0).collect::<Vec<_>>(), 0.99)
}

/// Three times what fits, for so long. Says how long refusals took, and which share of what fits was served.
async fn three_times_too_much(long: Duration) -> (f64, f64) {
    let limit = ("ORCHESTRATOR_LIMITS_GLOBAL_CONCURRENT_REQUESTS", "20");
    let (stage, [a]) = Stage::with::<1>(&[limit]).await;
    a.always(Script::json(200, &Dialect::OpenAi.whole("at last")).after(Duration::from_millis(500)));
    // Twenty at a time that take half a second each: forty a second fit.
    let replies = ask_steadily(&stage, 120, long, || Question::of("gpt-4o")).await;
    let (served, refused): (Vec<&Reply>, Vec<&Reply>) = replies.iter().partition(|reply| reply.status == 200);
    assert!(refused.iter().all(|reply| reply.status == 429 && reply.header("retry-after").is_some()));
    assert!(a.load().most_requests <= 20);
    let (goodput, wait) = (served.len() as f64 / (long.as_secs_f64() * 40.0), late(&refused));
    let after = stage.ask(&Question::of("gpt-4o")).await;
    assert_eq!(after.status, 200, "{}", after.text());
    stage.check().await;
    (wait, goodput)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_is_refused_at_once_and_what_fits_is_served() {
    let (wait, goodput) = three_times_too_much(Duration::from_secs(4)).await;
    assert!(wait < SOON.as_secs_f64() * 2000.0, "a refusal took {wait} ms");
    // A machine that others use sends fewer questions than it was told to.
    assert!(goodput > 0.3, "{goodput}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute, and a limit that only a quiet machine keeps"]
async fn overload_is_refused_within_twenty_milliseconds() {
    let (wait, goodput) = three_times_too_much(Duration::from_secs(60)).await;
    measured("overload", &format!("refusals p99 {wait:.1} ms, {:.0} % of what fits was served", goodput * 100.0));
    assert!(wait <= 20.0 && goodput >= 0.8, "{wait} ms, {goodput}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "half a minute"]
async fn a_key_that_floods_does_not_slow_down_another() {
    let (stage, [a]) = Stage::with::<1>(&[("ORCHESTRATOR_LIMITS_CONCURRENT_REQUESTS", "20")]).await;
    a.always(Script::json(200, &Dialect::OpenAi.whole("hi")).after(Duration::from_millis(100)));
    let made = stage.gateway.admin("POST", "/admin/keys", json!({"name": "quiet"})).await.json();
    let quiet = stage.client.with_key(made["key"].as_str().unwrap());
    let steadily = async |client: &Client, long: u64| {
        let mut replies = Vec::new();
        let end = Instant::now() + Duration::from_secs(long);
        while Instant::now() < end {
            replies.push(client.ask(&Question::of("gpt-4o")).await);
        }
        replies
    };
    let alone = late(&steadily(&quiet, 5).await.iter().collect::<Vec<_>>());
    let flood = ask_steadily(&stage, 250, Duration::from_secs(12), || Question::of("gpt-4o"));
    let (_, beside) = tokio::join!(flood, steadily(&quiet, 10));
    let well = share_of_successes(&beside);
    let beside = late(&beside.iter().collect::<Vec<_>>());
    measured("flood", &format!("{:.1} % well, p99 {beside:.0} ms beside the flood, {alone:.0} ms alone", well * 100.0));
    assert!(well >= 0.99 && beside <= 2.0 * alone, "{well}, {beside} ms, {alone} ms");
    stage.check().await;
}

/// Streams that say nothing. The process and this one have two sockets for each.
const IDLE: usize = 9_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "eighteen thousand sockets"]
async fn nine_thousand_idle_streams_are_cheap() {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).expect("a process may raise its own limit");
    let settings = [
        ("ORCHESTRATOR_ROUTING_STREAM_IDLE_TIMEOUT", "600"),
        ("ORCHESTRATOR_ROUTING_STREAM_MAX_DURATION", "600"),
        ("ORCHESTRATOR_ROUTING_KEEP_ALIVE_INTERVAL", "300"),
        ("ORCHESTRATOR_SERVER_MAX_CONNECTIONS", "10000"),
        ("ORCHESTRATOR_JOURNAL_CAPACITY", "20000"),
    ];
    let (stage, [a]) = Stage::with::<1>(&settings).await;
    for _ in 0..200 {
        stage.ask(&Question::of("gpt-4o").stream()).await.assert_ok();
    }
    let before = Vitals::of(stage.gateway.pid());
    let mut streams = Vec::new();
    while streams.len() < IDLE {
        let question = || Question::of("gpt-4o").stream().says("mock:a/pieces=9;stall_after=4");
        let mut line = stage.client.begin(&question()).await;
        line.until("from a").await;
        streams.push(line);
    }
    let (held, used) = (Vitals::of(stage.gateway.pid()), harness::vitals::cpu_seconds(stage.gateway.pid()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle = (harness::vitals::cpu_seconds(stage.gateway.pid()) - used) / 5.0;
    let each = held.memory.saturating_sub(before.memory) / IDLE as u64;
    let began = Instant::now();
    stage.ask(&Question::of("gpt-4o")).await.assert_ok();
    let beside = began.elapsed().as_secs_f64() * 1000.0;
    measured(
        "idle_streams",
        &format!(
            "{:.1} KB each of {IDLE}, {:.1} % of a core, a request beside them {beside:.0} ms",
            each as f64 / 1024.0,
            idle * 100.0
        ),
    );
    drop(streams);
    eventually("the upstream to be let go", async || (a.load().requests == 0).then_some(())).await;
    assert!(each <= 40 << 10, "{each} bytes a stream");
    stage.check().await;
}
