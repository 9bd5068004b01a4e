//! What clients and operators want of the cache.

use std::time::Duration;

use serde_json::json;

use super::{about, cache, gateway, wish};
use crate::support::{Upstream, eventually};

#[tokio::test]
async fn no_store_neither_reads_nor_writes() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    assert_eq!(cache(&wish(&gateway, "no-store").await), Some("bypass"));
    assert_eq!(cache(&wish(&gateway, "").await), Some("miss"));
    assert_eq!(cache(&wish(&gateway, "no-store").await), Some("bypass"));
    assert_eq!(upstream.calls(), 3);
    assert_eq!(cache(&wish(&gateway, "").await), Some("hit"));
}

#[tokio::test]
async fn no_cache_asks_anew_and_what_comes_is_given_from_then_on() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    upstream.echoes();
    wish(&gateway, "").await.assert_ok();
    upstream.next(crate::support::Script::json(200, &crate::support::Dialect::OpenAi.whole("newer words")));
    let anew = wish(&gateway, "max-age=600, No-Cache").await;
    assert_eq!((cache(&anew), anew.content().as_str()), (Some("miss"), "newer words"));
    let again = wish(&gateway, "").await;
    assert_eq!((cache(&again), again.content().as_str()), (Some("hit"), "newer words"));
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn nothing_older_is_given_than_the_client_wants() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    wish(&gateway, "").await.assert_ok();
    assert_eq!(cache(&wish(&gateway, "max-age=600").await), Some("hit"));
    assert_eq!(cache(&wish(&gateway, "max-age=0").await), Some("miss"));
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn only_if_cached_asks_nobody() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    let absent = wish(&gateway, "only-if-cached").await;
    absent.assert_error(504, "upstream_timeout");
    assert_eq!(upstream.calls(), 0);
    wish(&gateway, "").await.assert_ok();
    assert_eq!(cache(&wish(&gateway, "only-if-cached").await), Some("hit"));
}

#[tokio::test]
async fn an_answer_is_forgotten_when_its_time_is_over() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[("ORCHESTRATOR_CACHE_TTL", "0.3")]).await;
    assert_eq!(cache(&wish(&gateway, "").await), Some("miss"));
    eventually("the answer to be forgotten", async || (cache(&wish(&gateway, "").await) == Some("miss")).then_some(()))
        .await;
}

#[tokio::test]
async fn each_model_has_its_own_time_and_none_at_all_keeps_nothing() {
    let upstream = Upstream::start("a").await;
    let ttl = ("ORCHESTRATOR_CACHE_MODEL_TTL", "gpt-4o-mini=600,gpt-*=0");
    let gateway = gateway(&upstream, &[ttl, ("ORCHESTRATOR_CACHE_TTL", "0")]).await;
    for (model, expected) in [("gpt-4o-mini", Some("hit")), ("gpt-4o", None)] {
        gateway.ask(model).await.assert_ok();
        assert_eq!(cache(&gateway.ask(model).await), expected, "{model}");
    }
}

#[tokio::test]
async fn what_is_left_to_chance_is_not_kept_where_the_operator_says_so() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[("ORCHESTRATOR_CACHE_SAMPLED", "false")]).await;
    for (temperature, expected) in
        [(json!(0), Some("hit")), (json!(0.0), Some("hit")), (json!(0.7), None), (json!(null), None)]
    {
        let mut body = about(&format!("by chance? {temperature}"));
        body["temperature"] = temperature;
        gateway.chat(body.clone()).await.assert_ok();
        assert_eq!(cache(&gateway.chat(body.clone()).await), expected, "{body}");
    }
}

#[tokio::test]
async fn an_answer_says_how_old_it_is() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    wish(&gateway, "").await.assert_ok();
    let began = std::time::Instant::now();
    let age = eventually("the answer to be a second old", async || {
        let age: u64 = wish(&gateway, "").await.header("age")?.parse().ok()?;
        (age > 0).then_some(age)
    })
    .await;
    assert!(began.elapsed() + Duration::from_secs(1) >= Duration::from_secs(age));
}
