//! The cache as single keys have it: on, off, or as configured.

use serde_json::{Value, json};

use super::{ON, about, by, cache};
use crate::support::{Gateway, Redis, Upstream};

/// A key that says this of the cache, or nothing: its id and its text.
async fn key(gateway: &Gateway, own: Value) -> (i64, String) {
    let made = gateway.admin("POST", "/admin/keys", json!({"name": format!("cache {own}"), "cache": own})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert_eq!(made["cache"], own);
    (made["id"].as_i64().unwrap(), made["key"].as_str().unwrap().to_owned())
}

/// What two equal requests with a key are told of the cache.
async fn twice(gateway: &Gateway, key: &str) -> [Option<String>; 2] {
    let ask = async || cache(&gateway.send(by(key, &about("the same"))).await).map(str::to_owned);
    [ask().await, ask().await]
}

fn told(first: &str, second: &str) -> [Option<String>; 2] {
    [Some(first.to_owned()), Some(second.to_owned())]
}

const NOTHING: [Option<String>; 2] = [None, None];

/// A gateway with these settings in front of one provider.
async fn gateway(upstream: &Upstream, settings: &[(&str, &str)]) -> Gateway {
    let gateway = Gateway::with(settings).await;
    gateway.provider("a", "openai", upstream, json!({"max_retries": 0})).await;
    gateway
}

#[tokio::test]
async fn a_key_that_has_it_off_is_never_answered_from_it_and_nothing_of_it_is_kept() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[ON]).await;
    let ((id, off), (_, usual)) = (key(&gateway, json!(false)).await, key(&gateway, Value::Null).await);
    assert_eq!(twice(&gateway, &off).await, NOTHING);
    assert_eq!(twice(&gateway, &usual).await, told("miss", "hit"));
    assert_eq!(upstream.calls(), 3);
    // What it asked while it was off is not there once it is on.
    gateway.admin("PATCH", &format!("/admin/keys/{id}"), json!({"cache": null})).await.assert_ok();
    assert_eq!(twice(&gateway, &off).await, told("miss", "hit"));
    // And what was kept while it was on is not given once it is off.
    gateway.admin("PATCH", &format!("/admin/keys/{id}"), json!({"cache": false})).await.assert_ok();
    assert_eq!(twice(&gateway, &off).await, NOTHING);
    assert_eq!(upstream.calls(), 6);
    let rows = gateway.logs(8).await;
    let looked = rows.iter().filter(|row| row["cache_status"] != Value::Null).count();
    assert_eq!(looked, 4, "{rows:?}");
}

#[tokio::test]
async fn a_key_that_has_it_on_is_answered_from_it_where_no_other_is() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    let usual = key(&gateway, Value::Null).await.1;
    let status = async || gateway.admin_get("/admin/health").await["cache_status"].clone();
    assert_eq!(status().await, "disabled");
    let on = key(&gateway, json!(true)).await.1;
    assert_eq!(status().await, "healthy");
    assert_eq!(twice(&gateway, &usual).await, NOTHING);
    assert_eq!(twice(&gateway, &on).await, told("miss", "hit"));
    gateway.chat(about("the same")).await.assert_ok();
    assert_eq!(upstream.calls(), 4);
    let forgotten = gateway.admin("DELETE", "/admin/cache", Value::Null).await;
    assert_eq!(forgotten.json()["removed"], 1);
    assert_eq!(twice(&gateway, &on).await, told("miss", "hit"));
}

#[tokio::test]
async fn a_key_that_has_it_on_is_answered_from_redis_by_all_gateways() {
    let Some(redis) = Redis::start().await else { return };
    let upstream = Upstream::start("a").await;
    let url = redis.url();
    let settings =
        [("REDIS_URL", url.as_str()), ("ORCHESTRATOR_CACHE_BACKEND", "redis"), ("ORCHESTRATOR_REDIS_TIMEOUT", "10")];
    let gateway = gateway(&upstream, &settings).await;
    let on = key(&gateway, json!(true)).await.1;
    crate::support::eventually("the answer to be kept", async || {
        (twice(&gateway, &on).await[1].as_deref() == Some("hit")).then_some(())
    })
    .await;
    // Nothing is in this gateway's own memory.
    let metrics = gateway.admin("GET", "/metrics", Value::Null).await.text();
    assert!(!metrics.contains("llm_orchestrator_cache_entries"), "{metrics}");
}

#[tokio::test]
async fn the_command_line_switches_it_too() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    let made = gateway.run(&["keys", "create", "team", "--cache", "true", "--json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let id = made["id"].to_string();
    assert_eq!(made["cache"], true);
    for (arguments, expected) in [(["--cache", "false"], json!(false)), (["--clear", "cache"], Value::Null)] {
        let changed = gateway.run(&[&["keys", "update", &id, "--json"], &arguments[..]].concat());
        assert_eq!(serde_json::from_str::<Value>(&changed).unwrap()["cache"], expected);
    }
}
