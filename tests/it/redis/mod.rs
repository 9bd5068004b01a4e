//! What several gateways share through Redis, and how they do without.

mod three;
mod ways;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Dialect, Gateway, Raw, Redis, Script, Upstream, Way, eventually,
    gateway::{chat, question},
    way::Trouble,
};

/// Waits of a request that a busy machine does not pass by itself.
const PATIENT: (&str, &str) = ("ORCHESTRATOR_REDIS_TIMEOUT", "10");

/// A gateway with a provider `a`, tried once.
async fn gateway(redis: &str, upstream: &Upstream, settings: &[(&str, &str)]) -> Gateway {
    let settings = [&[("REDIS_URL", redis)], settings].concat();
    let gateway = Gateway::with(&settings).await;
    gateway.provider("a", "openai", upstream, json!({"max_retries": 0, "priority": 200})).await;
    gateway
}

async fn cache_status(gateway: &Gateway, expected: &str) {
    eventually(&format!("Redis to be {expected}"), async || {
        (gateway.admin_get("/admin/health").await["cache_status"] == expected).then_some(())
    })
    .await;
}

/// How often Redis failed or was too late.
async fn failures(gateway: &Gateway) -> u32 {
    let metrics = gateway.admin("GET", "/metrics", Value::Null).await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("llm_orchestrator_redis_failures_total "));
    line.unwrap_or_else(|| panic!("no such metric in {metrics}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_requests_at_once_over_three_gateways_exactly_as_many_are_admitted_as_the_limit_says() {
    let Some(redis) = Redis::start().await else { return };
    let upstream = Upstream::start("a").await;
    let limits = [("ENABLE_RATE_LIMITING", "true"), ("RATE_LIMIT_PER_MINUTE", "100"), PATIENT];
    let mut gateways = Vec::new();
    for _ in 0..3 {
        let gateway = gateway(&redis.url(), &upstream, &limits).await;
        cache_status(&gateway, "healthy").await;
        gateways.push(gateway);
    }
    let ask = |number: usize| {
        let address = gateways[number % 3].address();
        tokio::spawn(async move { chat(&question("gpt-4o")).send(address).await })
    };
    let (mut admitted, mut refused) = (0, 0);
    for reply in (0..1_000).map(ask).collect::<Vec<_>>() {
        let reply = reply.await.unwrap();
        match reply.status {
            200 => admitted += 1,
            429 => {
                assert!(
                    reply.header("retry-after").is_some() && reply.header("x-ratelimit-limit-requests") == Some("100")
                );
                refused += 1;
            }
            status => panic!("{status}: {}", reply.text()),
        }
    }
    for gateway in &gateways {
        assert_eq!(failures(gateway).await, 0, "the machine was too busy for this test");
    }
    assert_eq!((admitted, refused, upstream.calls()), (100, 900, 100));
}

#[tokio::test]
async fn tokens_that_one_gateway_reserves_and_settles_count_at_the_other() {
    let Some(redis) = Redis::start().await else { return };
    let upstream = Upstream::start("a").await;
    let limits = [("ORCHESTRATOR_LIMITS_TOKENS_PER_MINUTE", "1000"), PATIENT];
    let (one, other) =
        (gateway(&redis.url(), &upstream, &limits).await, gateway(&redis.url(), &upstream, &limits).await);
    upstream.next(Script::silent());
    let mut body = question("gpt-4o");
    body["max_tokens"] = 900.into();
    let mut running = Raw::connect(one.address()).await;
    running.send(&chat(&body).bytes()).await;
    eventually("the first request to be under way", async || (upstream.calls() == 1).then_some(())).await;
    other.chat(body.clone()).await.assert_error(429, "rate_limit_exceeded");
    // A client that left before an answer: nobody knows what it took, so that what was reserved stays.
    drop(running);
    one.assert_row(json!({"status_code": 499})).await;
    other.chat(body.clone()).await.assert_error(429, "rate_limit_exceeded");
    redis.flush().await;
    // The other has reserved nothing itself. What its request does not use comes back for all.
    other.chat(body.clone()).await.assert_ok();
    eventually("what was not used to come back", async || (other.chat(body.clone()).await.status == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn places_are_shared_and_those_of_a_gateway_that_dies_come_back() {
    let Some(redis) = Redis::start().await else { return };
    let upstream = Upstream::start("a").await;
    let limits = [("ORCHESTRATOR_LIMITS_CONCURRENT_REQUESTS", "1"), PATIENT];
    let mut one = gateway(&redis.url(), &upstream, &limits).await;
    let other = gateway(&redis.url(), &upstream, &limits).await;
    upstream.next(Script::sse(&Dialect::OpenAi.stream(&["one ", "two"])).paced(Duration::from_secs(1)));
    let mut body = question("gpt-4o");
    body["stream"] = true.into();
    let mut running = Raw::connect(one.address()).await;
    running.send(&chat(&body).bytes()).await;
    running.until("one ").await;
    let refused = other.ask("gpt-4o").await;
    refused.assert_error(429, "rate_limit_exceeded");
    assert!(refused.message().contains("1 requests at the same time"), "{}", refused.message());
    assert!(running.reply().await.done());
    eventually("the place to be free", async || (other.ask("gpt-4o").await.status == 200).then_some(())).await;

    upstream.next(Script::silent());
    let calls = upstream.calls();
    let mut running = Raw::connect(one.address()).await;
    running.send(&chat(&body).bytes()).await;
    eventually("a request to be under way", async || (upstream.calls() > calls).then_some(())).await;
    one.kill();
    other.ask("gpt-4o").await.assert_error(429, "rate_limit_exceeded");
    eventually("the dead gateway's place", async || (other.ask("gpt-4o").await.status == 200).then_some(())).await;
}

/// Two gateways with providers `a` and, where that is left alone, `b`.
async fn pair(redis: &Redis, settings: &[(&str, &str)]) -> ([Gateway; 2], Upstream, Upstream) {
    let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
    let both = [gateway(&redis.url(), &a, settings).await, gateway(&redis.url(), &a, settings).await];
    for gateway in &both {
        gateway.provider("b", "openai", &b, json!({"max_retries": 0, "priority": 100})).await;
    }
    both[1].ask("gpt-4o").await.assert_ok();
    assert_eq!((a.calls(), b.calls()), (1, 0));
    (both, a, b)
}

/// Waits until a gateway asks `b` of its own accord, though `a` would answer.
async fn leaves_a_alone(gateway: &Gateway) {
    eventually("the other gateway to learn of it", async || {
        let reply = gateway.ask("gpt-4o").await;
        let (provider, attempts) = (reply.header("x-orchestrator-provider"), reply.header("x-orchestrator-attempts"));
        ((reply.assert_ok().status, provider, attempts) == (200, Some("b"), Some("1"))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_asks_one_gateway_for_a_rest_is_left_alone_by_the_other() {
    let Some(redis) = Redis::start().await else { return };
    let ([one, other], a, _b) = pair(&redis, &[PATIENT]).await;
    a.next(Script::error(429, "slow down").header("Retry-After", "50"));
    one.ask("gpt-4o").await.assert_ok();
    leaves_a_alone(&other).await;
}

#[tokio::test]
async fn a_provider_that_one_gateway_ejects_is_left_out_by_the_other() {
    let Some(redis) = Redis::start().await else { return };
    let long = ("ORCHESTRATOR_HEALTH_EJECTION_BASE", "60");
    let ([one, other], a, _b) = pair(&redis, &[PATIENT, long, ("HEALTH_CHECK_MAX_ERRORS", "2")]).await;
    for _ in 0..2 {
        a.next(Script::error(500, "no"));
        one.ask("gpt-4o").await.assert_ok();
    }
    leaves_a_alone(&other).await;
    assert_eq!(other.health_of("a").await["is_healthy"], false);
}

#[tokio::test]
async fn a_server_that_dies_fails_no_request_and_limits_go_on_from_what_the_gateway_knows() {
    let Some(mut redis) = Redis::start().await else { return };
    let upstream = Upstream::start("a").await;
    let limits = [("ENABLE_RATE_LIMITING", "true"), ("RATE_LIMIT_PER_MINUTE", "4"), PATIENT];
    let gateway = gateway(&redis.url(), &upstream, &limits).await;
    cache_status(&gateway, "healthy").await;
    gateway.ask("gpt-4o").await.assert_ok();
    redis.flush().await;
    gateway.ask("gpt-4o").await.assert_ok();
    redis.kill();
    gateway.ask("gpt-4o").await.assert_ok();
    cache_status(&gateway, "unhealthy").await;
    gateway.ask("gpt-4o").await.assert_ok();
    gateway.ask("gpt-4o").await.assert_error(429, "rate_limit_exceeded");
    redis.restart().await;
    cache_status(&gateway, "healthy").await;
    // The server is empty, and still nothing is given twice.
    gateway.ask("gpt-4o").await.assert_error(429, "rate_limit_exceeded");
    gateway.tells("Redis can be used again").await;
    assert_eq!(gateway.output().matches("Redis cannot be used").count(), 1, "{}", gateway.output());
}

#[tokio::test]
async fn a_server_that_hangs_is_waited_for_once_and_then_no_more() {
    let Some(redis) = Redis::start().await else { return };
    let upstream = Upstream::start("a").await;
    let gateway =
        gateway(&redis.url(), &upstream, &[("ENABLE_RATE_LIMITING", "true"), ("RATE_LIMIT_PER_MINUTE", "500")]).await;
    cache_status(&gateway, "healthy").await;
    redis.freeze();
    let before = failures(&gateway).await;
    for _ in 0..100 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    let failed = failures(&gateway).await - before;
    assert!((1..50).contains(&failed), "{failed} of 100 requests and the background's attempts were too late");
    cache_status(&gateway, "unhealthy").await;
    let output = gateway.output();
    assert!(output.matches("Redis cannot be used").count() <= 10, "{output}");
    redis.thaw();
    cache_status(&gateway, "healthy").await;
}

#[tokio::test]
async fn a_server_that_is_slow_is_left_out_until_it_is_not() {
    let Some(redis) = Redis::start().await else { return };
    let way = Way::to(redis.address()).await;
    let upstream = Upstream::start("a").await;
    let gateway = gateway(
        &format!("redis://{}/0", way.address()),
        &upstream,
        &[("ENABLE_RATE_LIMITING", "true"), ("RATE_LIMIT_PER_MINUTE", "500")],
    )
    .await;
    cache_status(&gateway, "healthy").await;
    way.has(Trouble { delay: Duration::from_millis(200), ..Trouble::default() });
    let before = failures(&gateway).await;
    for _ in 0..50 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    let failed = failures(&gateway).await - before;
    assert!((1..25).contains(&failed), "{failed} of 50 requests and the background's attempts were too late");
    way.heals();
    cache_status(&gateway, "healthy").await;
}

#[tokio::test]
async fn a_gateway_starts_without_its_server_and_finds_it_later() {
    let Some(mut redis) = Redis::start().await else { return };
    redis.kill();
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&redis.url(), &upstream, &[PATIENT]).await;
    cache_status(&gateway, "unhealthy").await;
    gateway.ask("gpt-4o").await.assert_ok();
    redis.restart().await;
    cache_status(&gateway, "healthy").await;
}

#[tokio::test]
async fn without_a_server_there_is_none_to_be_healthy() {
    let gateway = Gateway::start().await;
    cache_status(&gateway, "disabled").await;
    assert!(!gateway.admin("GET", "/metrics", Value::Null).await.text().contains("llm_orchestrator_redis_up "));
}
