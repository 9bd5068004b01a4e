//! Providers that are away, busy, flapping or wrong: who is left out, who is asked all the same, and how soon it is back.

use std::time::{Duration, Instant};

use harness::{measures::quantile, upstream::Seen, way::Trouble};
use serde_json::json;

use super::{PATIENT, SOON, Stage, measured};
use crate::support::{Dialect, Question, Reply, Script, Upstream, Way, eventually};

/// Asks so many a second for so long, whatever becomes of the answers.
pub async fn ask_steadily(stage: &Stage, a_second: u32, long: Duration, question: fn() -> Question) -> Vec<Reply> {
    let mut asking = tokio::task::JoinSet::new();
    let mut beat = tokio::time::interval(Duration::from_secs(1) / a_second);
    let end = Instant::now() + long;
    while Instant::now() < end {
        beat.tick().await;
        let client = stage.client.clone();
        asking.spawn(async move { client.ask(&question()).await });
    }
    asking.join_all().await
}

pub fn share_of_successes(replies: &[Reply]) -> f64 {
    replies.iter().filter(|reply| reply.status == 200).count() as f64 / replies.len() as f64
}

/// How many requests ran at once at most.
pub fn most_at_once(seen: &[Seen]) -> usize {
    let mut turns: Vec<(Instant, i32)> = Vec::new();
    for one in seen {
        let life = one.life();
        turns.push((one.at, 1));
        turns.extend(life.last_byte.or(life.ended).or(life.closed).map(|end| (end, -1)));
    }
    turns.sort();
    let levels = turns.iter().scan(0, |level, (_, step)| {
        *level += step;
        Some(*level)
    });
    levels.max().unwrap_or(0) as usize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_away_costs_a_few_attempts_and_no_request() {
    let mut stage = Stage::bare(&[]).await;
    let nowhere = Upstream::nowhere().await;
    stage.gateway.provider_at("away", "openai", &nowhere, json!({"priority": 200, "max_retries": 0})).await;
    let b = Upstream::start("b").await;
    stage.add(Dialect::OpenAi, &b, json!({"max_retries": 0})).await;
    stage.rest();
    let began = Instant::now();
    let mut line = stage.client.line().await;
    for _ in 0..1000 {
        line.ask(&Question::of("gpt-4o")).await.assert_ok();
    }
    drop(line);
    let failed = stage.metric(r#"attempt_failures_total{provider="away",reason="connect"}"#).await;
    // Five until it is left out for two seconds, and a probe whenever that is over.
    let most = 5.0 + began.elapsed().as_secs_f64() / 1.8;
    assert!(failed >= 1.0 && failed <= most, "{failed} attempts, at most {most} are due");
    assert_eq!(b.calls(), 1000);
    stage.check().await;
}

#[tokio::test]
async fn a_rest_that_a_provider_asks_for_is_kept_and_told() {
    let in_a_while = || {
        let date = std::time::UNIX_EPOCH + Duration::from_secs(1);
        httpdate::fmt_http_date(date)
    };
    // What is asked for, and how long the client is then told to wait at least and at most.
    let cases = [
        ("Retry-After", "20".to_owned(), Some((18_u64, 21_u64))),
        ("retry-after-ms", "20000".into(), Some((18, 21))),
        ("Retry-After", "1000000000".into(), Some((55, 61))),
        ("Retry-After", "-1".into(), None),
        ("Retry-After", "soon".into(), None),
        ("Retry-After", "".into(), None),
        ("Retry-After", in_a_while(), None),
    ];
    for (name, value, wait) in cases {
        let (stage, [a]) = Stage::with::<1>(&[]).await;
        a.next(Script::error(429, "Slow down").header(name, &value));
        let brief = || Question::of("gpt-4o").with(json!({"timeout": 2, "retry_count": 0}));
        let first = stage.ask(&brief()).await;
        assert_eq!(first.status, 429, "{name}: {value}: {}", first.text());
        assert!(first.header("retry-after").is_some(), "{name}: {value}");
        let second = stage.ask(&brief()).await;
        match wait {
            None => {
                second.assert_ok();
                assert_eq!(a.calls(), 2, "{name}: {value} is no reason to rest");
            }
            Some((least, most)) => {
                assert_eq!(a.calls(), 1, "{name}: {value}: it rests");
                assert!([429, 503].contains(&second.status), "{}", second.text());
                assert!(second.elapsed < SOON, "a refusal takes no time: {:?}", second.elapsed);
                let told: u64 = second.header("retry-after").unwrap().parse().unwrap();
                assert!((least..=most).contains(&told), "{name}: {value}: the client is to wait {told} s");
            }
        }
        stage.check().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_add_a_fifth_and_no_more_when_everything_fails() {
    retries_are_bounded(Duration::from_secs(6), 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ten thousand requests at their own pace"]
async fn retries_add_a_fifth_and_no_more_in_ten_thousand_failures() {
    retries_are_bounded(Duration::from_secs(50), 200).await;
}

/// How long a failing provider takes to fail.
const FAILING: Duration = Duration::from_millis(300);

async fn retries_are_bounded(long: Duration, a_second: u32) {
    let mut stage = Stage::bare(&[]).await;
    let a = Upstream::start("a").await;
    stage.add(Dialect::OpenAi, &a, json!({"max_retries": 3, "timeout": 5})).await;
    stage.most_attempts = 4;
    stage.rest();
    a.answers_by(|seen| {
        let status = [500, 502, 503, 504, 529][seen.body.len() % 5];
        Script::error(status, "no").after(FAILING)
    });
    let began = Instant::now();
    let replies = ask_steadily(&stage, a_second, long, || Question::of("gpt-4o")).await;
    let (asked, calls) = (replies.len() as f64, a.calls() as f64);
    assert!(replies.iter().all(|reply| reply.status >= 500 && reply.header("retry-after").is_some()));
    // Three may run at any time whatever was earned, and twenty can be saved up.
    let free = 20.0 + 3.0 * began.elapsed().as_secs_f64() / FAILING.as_secs_f64();
    assert!(calls <= 1.2 * asked + free, "{calls} calls for {asked} requests");
    measured("retries", &format!("{:.2} attempts a request, of {asked} that all failed", calls / asked));
    stage.check().await;
}

/// What clients do wrong, and what they do not wait for.
async fn clients_err(errors: usize, hasty: usize) {
    let (stage, [a, b]) = Stage::with::<2>(&[("HEALTH_CHECK_MAX_ERRORS", "3")]).await;
    let mut line = stage.client.line().await;
    for number in 0..errors {
        let status = [400, 404, 413, 422, 400][number % 5];
        let body = match number % 5 {
            4 => {
                json!({"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}})
            }
            _ => Dialect::OpenAi.error(status, "your fault"),
        };
        a.next(Script::json(status, &body));
        let reply = line.ask(&Question::of("gpt-4o").with(json!({"provider": "a"}))).await;
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    assert_eq!((a.calls(), b.calls()), (errors, 0), "nobody else is asked, and nobody twice");
    drop(line);
    a.always(Script::silent());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..hasty {
        if asking.len() >= 50 {
            asking.join_next().await;
        }
        let client = stage.client.clone();
        let question = Question::of("gpt-4o").with(json!({"timeout": 1, "provider": "a", "retry_count": 0}));
        asking.spawn(async move { client.ask(&question).await.assert_error(504, "upstream_timeout") });
    }
    asking.join_all().await;
    assert_eq!(stage.metric(r#"provider_ejections_total{provider="a"}"#).await, 0.0);
    assert_eq!(stage.gateway.health_of("a").await["is_healthy"], true);
    measured("client_errors", &format!("{errors} wrong requests and {hasty} too hasty ones: 0 ejections"));
    stage.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_do_wrong_ejects_nobody() {
    clients_err(500, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ten thousand of them"]
async fn what_ten_thousand_clients_do_wrong_ejects_nobody() {
    clients_err(10_000, 1_000).await;
}

#[tokio::test]
async fn a_key_that_a_provider_refuses_is_never_the_clients_and_never_shown() {
    let (stage, [a, b]) = Stage::with::<2>(&[]).await;
    for status in [401, 403] {
        a.next(Script::error(status, "Incorrect API key provided: sk-of-a"));
    }
    let alone = stage.ask(&Question::of("gpt-4o").with(json!({"provider": "a"}))).await;
    alone.assert_error(502, "upstream_error");
    for _ in 0..5 {
        stage.ask(&Question::of("gpt-4o")).await.assert_ok();
    }
    assert_eq!(b.calls(), 5, "the provider with the wrong key is left out at once");
    assert_eq!(stage.gateway.health_of("a").await["is_healthy"], false);
    stage.check().await;
}

/// Milliseconds from the moment when the only provider came back to the first answer, after so long an outage.
async fn comes_back(outage: Duration) -> f64 {
    let mut stage = Stage::bare(&[]).await;
    let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
    let mut ways = Vec::new();
    for upstream in [&a, &b] {
        let way = Way::to(upstream.url().trim_start_matches("http://").parse().unwrap()).await;
        let url = format!("http://{}", way.address());
        stage.gateway.provider_at(upstream.name(), "openai", &url, json!({"max_retries": 0})).await;
        ways.push(way);
    }
    stage.most_attempts = 2;
    stage.rest();
    for way in &ways {
        way.has(Trouble { refuses: true, ..Trouble::default() });
        way.resets();
    }
    let knocks = ways[0].connections() + ways[1].connections();
    let refused = ask_steadily(&stage, 20, outage, || Question::of("gpt-4o")).await;
    assert!(refused.iter().all(|reply| reply.status >= 500), "nobody is there");
    let knocks = ways[0].connections() + ways[1].connections() - knocks;
    assert!(knocks as f64 >= outage.as_secs_f64(), "{knocks} attempts in {outage:?}: nobody looks for them any more");
    let mut took: Vec<f64> = refused.iter().map(|reply| reply.elapsed.as_secs_f64() * 1000.0).collect();
    let late = quantile(&mut took, 0.99);
    assert!(late < SOON.as_secs_f64() * 1000.0, "a refusal took {late} ms");
    ways[0].heals();
    let healed = Instant::now();
    eventually("an answer", async || (stage.ask(&Question::of("gpt-4o")).await.status == 200).then_some(())).await;
    let back = healed.elapsed();
    assert!(back < Duration::from_secs(2) + SOON, "{back:?}");
    let all = ask_steadily(&stage, 20, Duration::from_secs(1), || Question::of("gpt-4o")).await;
    assert!(share_of_successes(&all) > 0.99, "{}", share_of_successes(&all));
    stage.check().await;
    measured("refusal", &format!("p99 {late:.0} ms while nobody is left"));
    back.as_secs_f64() * 1000.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_were_away_service_is_back_soon_after_the_first_one_is() {
    comes_back(Duration::from_secs(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a long outage"]
async fn when_all_were_away_for_long_service_is_back_soon_after_the_first_one_is() {
    let back = comes_back(Duration::from_secs(20)).await;
    measured("recovery", &format!("{back:.0} ms after an outage of 20 s"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_on_probation_is_asked_by_few_at_once() {
    let (stage, [a, b]) = Stage::with::<2>(&[]).await;
    a.always(Script::error(500, "no"));
    for _ in 0..6 {
        stage.ask(&Question::of("gpt-4o")).await.assert_ok();
    }
    let calls = a.calls();
    // From now on it takes its time to answer well: whoever asks meanwhile would be asking at the same time.
    a.always(Script::json(200, &Dialect::OpenAi.whole("late")).after(Duration::from_millis(900)));
    let ejected = Instant::now();
    let replies = ask_steadily(&stage, 200, Duration::from_millis(3000), || Question::of("gpt-4o")).await;
    assert_eq!(share_of_successes(&replies), 1.0);
    let first = a.seen().get(calls).map(|seen| seen.at).expect("it was probed");
    let until = first + Duration::from_millis(850);
    let probes: Vec<Seen> = a.seen().into_iter().filter(|seen| seen.at > ejected && seen.at < until).collect();
    let most = most_at_once(&probes);
    assert!((1..=3).contains(&most), "{most} probes at once");
    assert!(b.calls() > 100, "the other one served meanwhile: {}", b.calls());
    measured("probes", &format!("{most} at once at 200 requests a second"));
    stage.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute of flapping"]
async fn a_provider_that_flaps_costs_few_requests() {
    let (stage, [a, _b]) = Stage::with::<2>(&[]).await;
    let flapping = tokio::spawn(async move {
        loop {
            a.always(Script::slam());
            tokio::time::sleep(Duration::from_secs(5)).await;
            a.heal();
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    let replies = ask_steadily(&stage, 100, Duration::from_secs(60), || Question::of("gpt-4o")).await;
    flapping.abort();
    let lost = 1.0 - share_of_successes(&replies);
    measured("flapping", &format!("{:.3} % of {} requests", lost * 100.0, replies.len()));
    assert!(lost <= 0.005, "{lost}");
    stage.check().await;
}

/// Both of two providers fail for so long. Says how many were asked in all for each request.
async fn everything_fails(stage: &mut Stage, upstreams: &[Upstream; 2], a_second: u32, long: Duration) -> f64 {
    for upstream in upstreams {
        stage.add(Dialect::OpenAi, upstream, json!({"max_retries": 2, "timeout": 5})).await;
        upstream.always(Script::error(500, "no").after(FAILING));
    }
    stage.most_attempts = 6;
    stage.rest();
    let began = Instant::now();
    let failed = ask_steadily(stage, a_second, long, || Question::of("gpt-4o")).await;
    // Of each provider: three at any time, twenty that were saved up, and fallbacks until it is known that they fail here
    // too, which are twenty and as many as come while one takes to fail.
    let beside = 3.0 * began.elapsed().as_secs_f64() / FAILING.as_secs_f64();
    let free = 2.0 * (beside + 20.0 + 20.0 + 1.2 * f64::from(a_second) * FAILING.as_secs_f64());
    let (calls, offered) = (upstreams.iter().map(Upstream::calls).sum::<usize>() as f64, failed.len() as f64);
    assert!(calls <= 1.2 * offered + free, "{calls} calls for {offered} requests, with {free} that are free");
    calls / offered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_and_fallbacks_together_are_bounded_where_all_providers_fail() {
    let mut stage = Stage::bare(&[PATIENT]).await;
    let upstreams = [Upstream::start("a").await, Upstream::start("b").await];
    everything_fails(&mut stage, &upstreams, 100, Duration::from_secs(6)).await;
    stage.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_provider_loses_at_once_another_that_was_never_asked_serves() {
    let mut stage = Stage::bare(&[]).await;
    let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
    stage.add(Dialect::OpenAi, &a, json!({"priority": 200, "max_retries": 0, "timeout": 2})).await;
    stage.add(Dialect::OpenAi, &b, json!({"priority": 100, "max_retries": 0, "timeout": 5})).await;
    stage.most_attempts = 2;
    stage.rest();
    a.always(Script::silent());
    b.always(Script::json(200, &Dialect::OpenAi.whole("late")).after(FAILING));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let client = stage.client.clone();
        asking.spawn(async move { client.ask(&Question::of("gpt-4o")).await });
    }
    let replies = asking.join_all().await;
    assert_eq!(share_of_successes(&replies), 1.0);
    assert_eq!(b.calls(), 200);
    stage.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute"]
async fn a_storm_of_failures_ends_with_its_cause() {
    let mut stage = Stage::bare(&[]).await;
    let upstreams = [Upstream::start("a").await, Upstream::start("b").await];
    let each = everything_fails(&mut stage, &upstreams, 100, Duration::from_secs(30)).await;
    for upstream in &upstreams {
        upstream.heal();
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let after = ask_steadily(&stage, 100, Duration::from_secs(5), || Question::of("gpt-4o")).await;
    let well = share_of_successes(&after);
    measured(
        "storm",
        &format!("{each:.2} attempts a request at two providers that both fail, {:.1} % well 4 s later", well * 100.0),
    );
    assert!(well >= 0.99, "{well}");
    stage.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "half a minute"]
async fn a_provider_that_takes_for_ever_does_not_slow_down_another() {
    let mut stage = Stage::bare(&[]).await;
    let (slow, quick) = (Upstream::start("slow").await, Upstream::start("quick").await);
    for upstream in [&slow, &quick] {
        stage.add(Dialect::OpenAi, upstream, json!({"max_retries": 0, "timeout": 30})).await;
    }
    stage.rest();
    let late = |replies: Vec<Reply>| {
        quantile(&mut replies.iter().map(|reply| reply.elapsed.as_secs_f64() * 1000.0).collect::<Vec<_>>(), 0.99)
    };
    let ask = || Question::of("gpt-4o").with(json!({"provider": "quick"}));
    let alone = late(ask_steadily(&stage, 50, Duration::from_secs(5), ask).await);
    slow.always(Script::silent());
    let mut waiting = Vec::new();
    for _ in 0..300 {
        waiting.push(stage.client.begin(&Question::of("gpt-4o").with(json!({"provider": "slow"}))).await);
    }
    slow.call(300).await;
    let beside = late(ask_steadily(&stage, 50, Duration::from_secs(5), ask).await);
    measured("bulkhead", &format!("p99 {alone:.1} ms alone, {beside:.1} ms beside 300 that wait for another provider"));
    drop(waiting);
    slow.heal();
    stage.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute"]
async fn a_provider_that_is_twenty_times_slower_gets_little_and_is_not_forgotten() {
    let mut stage = Stage::bare(&[("ORCHESTRATOR_ROUTING_POLICY", "least_latency")]).await;
    let (slow, quick) = (Upstream::start("slow").await, Upstream::start("quick").await);
    for (upstream, wait) in [(&slow, 600), (&quick, 30)] {
        stage.add(Dialect::OpenAi, upstream, json!({"max_retries": 0, "timeout": 5})).await;
        upstream.always(Script::json(200, &Dialect::OpenAi.whole("hi")).after(Duration::from_millis(wait)));
    }
    stage.rest();
    let ask = async |seconds: u64| {
        let before = slow.calls();
        let replies = ask_steadily(&stage, 50, Duration::from_secs(seconds), || Question::of("gpt-4o")).await;
        assert_eq!(share_of_successes(&replies), 1.0);
        (slow.calls() - before) as f64 / replies.len() as f64
    };
    // What is known of who is twenty times slower is forgotten within half a minute.
    let (first, then) = (ask(10).await, ask(45).await);
    measured(
        "slower",
        &format!(
            "{:.2} % for who is twenty times slower in ten seconds, {:.2} % in the next 45",
            first * 100.0,
            then * 100.0
        ),
    );
    assert!(then <= 0.15 && then > 0.0, "{first}, {then}");
    stage.check().await;
}

#[tokio::test]
async fn a_way_that_swallows_everything_is_left_in_time() {
    let mut stage = Stage::bare(&[PATIENT]).await;
    let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
    let way = Way::to(a.url().trim_start_matches("http://").parse().unwrap()).await;
    let url = format!("http://{}", way.address());
    stage.gateway.provider_at("a", "openai", &url, json!({"priority": 200, "timeout": 2, "max_retries": 0})).await;
    stage.add(Dialect::OpenAi, &b, json!({"max_retries": 0})).await;
    stage.most_attempts = 2;
    stage.rest();
    stage.ask(&Question::of("gpt-4o")).await.assert_ok();
    way.has(Trouble { swallows: true, ..Trouble::default() });
    let reply = stage.ask(&Question::of("gpt-4o")).await;
    assert!(reply.assert_ok().text().contains("from b"), "{}", reply.text());
    assert!(reply.elapsed < Duration::from_secs(2) + 2 * SOON, "{:?}", reply.elapsed);
    stage.check().await;
}
