//! Answers in Redis, which several gateways give again, and which none of them needs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{about, by, cache, streamed};
use crate::support::{Gateway, Redis, Upstream, eventually, gateway::chat};

/// The same for all gateways of a test.
const MASTER: (&str, &str) = ("MASTER_KEY", "a master key that all of them have");

/// A wait that a busy machine does not pass by itself.
const PATIENT: (&str, &str) = ("ORCHESTRATOR_REDIS_TIMEOUT", "10");

async fn gateway(redis: &Redis, upstream: &Upstream, settings: &[(&str, &str)]) -> Gateway {
    let url = redis.url();
    let shared = [("REDIS_URL", url.as_str()), ("ORCHESTRATOR_CACHE_BACKEND", "redis"), MASTER];
    let gateway = super::gateway(upstream, &[&shared, settings].concat()).await;
    healthy(&gateway, "healthy").await;
    gateway
}

async fn healthy(gateway: &Gateway, expected: &str) {
    eventually(&format!("the cache to be {expected}"), async || {
        (gateway.admin_get("/admin/health").await["cache_status"] == expected).then_some(())
    })
    .await;
}

/// Asks until the answer comes from the cache: it is kept there beside the request.
async fn until_kept(gateway: &Gateway, body: &Value) -> String {
    eventually("the answer to be kept", async || {
        let reply = gateway.chat(body.clone()).await;
        (cache(&reply) == Some("hit")).then(|| reply.text())
    })
    .await
}

#[tokio::test]
async fn what_one_gateway_keeps_another_one_gives_whole_and_as_a_stream() {
    let Some(redis) = Redis::start().await else { return };
    let upstream = Upstream::start("a").await;
    let (one, other) = (gateway(&redis, &upstream, &[PATIENT]).await, gateway(&redis, &upstream, &[PATIENT]).await);
    for body in [about("for all"), streamed(about("for all"))] {
        let calls = upstream.calls();
        let new = one.chat(body.clone()).await;
        assert_eq!(cache(&new), Some("miss"));
        assert_eq!(until_kept(&one, &body).await, new.text());
        let again = other.chat(body).await;
        assert_eq!((cache(&again), again.text() == new.text()), (Some("hit"), true));
        assert!(again.header("age").is_some() && upstream.calls() == calls + 1);
    }
}

#[tokio::test]
async fn the_server_sees_neither_questions_nor_answers_and_forgets_in_time() {
    let Some(redis) = Redis::start().await else { return };
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&redis, &upstream, &[PATIENT, ("ORCHESTRATOR_CACHE_TTL", "100")]).await;
    until_kept(&gateway, &about("a secret question")).await;
    let name = redis.command("KEYS *answer:*").await;
    let name = name.lines().find(|line| line.contains("answer:")).unwrap().trim().to_owned();
    assert!(!name.contains("gpt-4o"), "{name}");
    let kept = redis.command(&format!("GET {name}")).await;
    assert!(kept.len() > 100 && !kept.contains("Hello") && !kept.contains("secret"), "{kept}");
    let left: i64 = redis.command(&format!("TTL {name}")).await.trim().trim_start_matches(':').parse().unwrap();
    assert!((1..=100).contains(&left), "{left}");
}

#[tokio::test]
async fn what_somebody_else_wrote_or_moved_is_not_given_to_anybody() {
    let Some(redis) = Redis::start().await else { return };
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&redis, &upstream, &[PATIENT]).await;
    until_kept(&gateway, &about("one")).await;
    until_kept(&gateway, &about("two")).await;
    let names = redis.command("KEYS *answer:*").await;
    let names: Vec<&str> = names.lines().filter(|line| line.contains("answer:")).map(str::trim).collect();
    redis.command(&format!("COPY {} {} REPLACE", names[0], names[1])).await;
    redis.command(&format!("SET {} nonsense", names[0])).await;
    let calls = upstream.calls();
    gateway.chat(about("one")).await.assert_ok();
    gateway.chat(about("two")).await.assert_ok();
    assert_eq!(upstream.calls(), calls + 2);
}

#[tokio::test]
async fn what_is_forgotten_at_one_gateway_is_forgotten_at_all() {
    let Some(redis) = Redis::start().await else { return };
    let upstream = Upstream::start("a").await;
    let (one, other) = (gateway(&redis, &upstream, &[PATIENT]).await, gateway(&redis, &upstream, &[PATIENT]).await);
    let key = one.admin("POST", "/admin/keys", json!({"name": "team"})).await.json()["id"].clone();
    let bodies = [json!({"model": "m1", "messages": [{"role": "user", "content": "hi"}]}), about("hi")];
    for body in &bodies {
        until_kept(&one, body).await;
    }
    let forget = async |filters: &str| {
        one.admin("DELETE", &format!("/admin/cache{filters}"), Value::Null).await.json()["removed"].clone()
    };
    assert_eq!(forget(&format!("?key_id={key}")).await, 0);
    assert_eq!(forget("?model=m1").await, 1);
    assert_eq!(cache(&other.chat(bodies[1].clone()).await), Some("hit"));
    assert_eq!(forget("").await, 1);
    assert_eq!(cache(&other.chat(bodies[1].clone()).await), Some("miss"));
}

#[tokio::test]
async fn without_its_server_every_answer_is_new_and_one_request_waits_for_it_at_most() {
    let Some(mut redis) = Redis::start().await else { return };
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&redis, &upstream, &[("ORCHESTRATOR_REDIS_TIMEOUT", "0.5")]).await;
    until_kept(&gateway, &about("hi")).await;
    redis.freeze();
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(cache(&gateway.chat(about("hi")).await), Some("miss"));
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    healthy(&gateway, "unhealthy").await;
    let refused = gateway.admin("DELETE", "/admin/cache", Value::Null).await;
    refused.assert_error(503, "service_unavailable");
    redis.thaw();
    healthy(&gateway, "healthy").await;
    until_kept(&gateway, &about("hi")).await;
    redis.kill();
    gateway.chat(about("hi")).await.assert_ok();
    redis.restart().await;
    healthy(&gateway, "healthy").await;
    until_kept(&gateway, &about("hi")).await;
}

#[tokio::test]
async fn keys_share_nothing_in_redis_either() {
    let Some(redis) = Redis::start().await else { return };
    let upstream = Upstream::start("a").await;
    let keys = ("API_KEYS", "sk-0123456789abcdefghij-one,sk-0123456789abcdefghij-two");
    let gateway = gateway(&redis, &upstream, &[PATIENT, keys]).await;
    let ask = async |key: &str| gateway.send(by(key, &about("the same"))).await;
    eventually("the answer to be kept", async || {
        (cache(&ask("sk-0123456789abcdefghij-one").await) == Some("hit")).then_some(())
    })
    .await;
    assert_eq!(cache(&ask("sk-0123456789abcdefghij-two").await), Some("miss"));
}

#[tokio::test]
async fn a_cache_in_redis_without_a_redis_stops_the_start() {
    let mut gateway = Gateway::start().await;
    // Also where it is off: a key can switch it on.
    for enabled in [super::ON.1, "false"] {
        let why = gateway.refuses_to_start(&[(super::ON.0, enabled), ("ORCHESTRATOR_CACHE_BACKEND", "redis")]);
        assert!(why.contains("cache.backend") && why.contains("REDIS_URL"), "{why}");
    }
}

#[tokio::test]
async fn equal_requests_that_come_together_wait_for_one_answer_with_redis_too() {
    let Some(redis) = Redis::start().await else { return };
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&redis, &upstream, &[PATIENT]).await;
    let hello = crate::support::Script::json(200, &crate::support::Dialect::OpenAi.whole("Hello all"));
    upstream.next(hello.after(Duration::from_millis(700)));
    let (request, address) = (about("together"), gateway.address());
    let ask = |_| {
        let request = chat(&request);
        tokio::spawn(async move { request.send(address).await })
    };
    for reply in (0..30).map(ask).collect::<Vec<_>>() {
        assert_eq!(reply.await.unwrap().assert_ok().content(), "Hello all");
    }
    assert_eq!(upstream.calls(), 1);
}
