//! Providers that keep failing are left alone for a while, and come back.

use std::time::{Duration, Instant};

use serde_json::json;

use super::stage;
use crate::support::{Script, eventually};

const EAGER: [(&str, &str); 3] = [
    ("HEALTH_CHECK_MAX_ERRORS", "2"),
    ("ORCHESTRATOR_HEALTH_EJECTION_BASE", "1"),
    ("ORCHESTRATOR_HEALTH_EJECTION_MAX", "2"),
];

#[tokio::test]
async fn a_provider_that_keeps_failing_is_asked_no_more_until_it_recovers() {
    let (gateway, [a, b]) = stage(&EAGER).await;
    a.always(Script::error(500, "Oops"));
    for _ in 0..2 {
        assert_eq!(gateway.ask("gpt-4o").await.assert_ok().content(), "Hello from b");
    }
    assert_eq!(a.calls(), 2);
    let health = gateway.health_of("a").await;
    assert_eq!((&health["is_healthy"], &health["state"]), (&json!(false), &json!("unhealthy")), "{health}");
    assert_eq!(health["consecutive_failures"], 2, "{health}");
    assert!(health["last_error"].is_string(), "{health}");
    assert_eq!(gateway.admin_get("/admin/health").await["status"], "degraded");

    let reply = gateway.ask("gpt-4o").await;
    assert_eq!(reply.assert_ok().header("x-orchestrator-attempts"), Some("1"), "an ejected provider costs nothing");
    assert_eq!((a.calls(), b.calls()), (2, 3));

    a.heal();
    let healed = Instant::now();
    eventually("the healed provider to serve again", async || {
        (gateway.ask("gpt-4o").await.assert_ok().content() == "Hello from a").then_some(())
    })
    .await;
    assert!(healed.elapsed() < Duration::from_secs(8), "{:?}", healed.elapsed());
    let health = gateway.health_of("a").await;
    assert_eq!((&health["is_healthy"], &health["consecutive_failures"]), (&json!(true), &json!(0)), "{health}");
    assert_eq!(gateway.admin_get("/admin/health").await["status"], "healthy");
}

#[tokio::test]
async fn when_all_are_ejected_the_least_bad_is_still_tried() {
    let settings = [("HEALTH_CHECK_MAX_ERRORS", "1"), ("ORCHESTRATOR_HEALTH_EJECTION_BASE", "60")];
    let (gateway, [a, b]) = stage(&settings).await;
    for upstream in [&a, &b] {
        upstream.always(Script::error(500, "Oops"));
    }
    gateway.ask("gpt-4o").await.assert_error(502, "upstream_error");
    assert_eq!(gateway.admin_get("/admin/health").await["status"], "unhealthy");
    for upstream in [&a, &b] {
        upstream.heal();
    }
    gateway.ask("gpt-4o").await.assert_ok();
    assert_eq!(a.calls() + b.calls(), 3);
}

#[tokio::test]
async fn a_success_forgives_the_failures_before_it() {
    let (gateway, [a, _b]) = stage(&EAGER).await;
    for _ in 0..3 {
        a.next(Script::error(500, "Oops"));
        gateway.ask("gpt-4o").await.assert_ok();
        assert_eq!(gateway.health_of("a").await["consecutive_failures"], 1);
        assert_eq!(gateway.ask("gpt-4o").await.assert_ok().content(), "Hello from a");
    }
    assert_eq!(gateway.health_of("a").await["is_healthy"], true);
}

#[tokio::test]
async fn broken_streams_count_as_failures() {
    let (gateway, [a, b]) = stage(&EAGER).await;
    a.always(Script::sse(&crate::support::Dialect::OpenAi.begun(&["Hello"])).then_cut());
    for _ in 0..2 {
        gateway.ask_stream("gpt-4o").await.assert_ok();
    }
    assert_eq!(gateway.ask_stream("gpt-4o").await.assert_ok().content(), "Hello from b");
    assert_eq!((a.calls(), b.calls()), (2, 1));
}

#[tokio::test]
async fn a_rate_limited_provider_rests_as_long_as_it_asked_to() {
    let (gateway, [a, b]) = stage(&[]).await;
    a.next(Script::error(429, "Slow down").header("Retry-After", "2"));
    for _ in 0..3 {
        assert_eq!(gateway.ask("gpt-4o").await.assert_ok().content(), "Hello from b");
    }
    assert_eq!((a.calls(), b.calls()), (1, 3), "nobody is asked while it rests");
    eventually("the rested provider to serve again", async || {
        (gateway.ask("gpt-4o").await.assert_ok().content() == "Hello from a").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_probe_notices_that_a_silent_provider_is_gone() {
    let (gateway, [a]) = stage(&[("HEALTH_CHECK_INTERVAL", "0.2"), ("HEALTH_CHECK_MAX_ERRORS", "2")]).await;
    a.lists_by(Script::error(503, "Gone"));
    eventually("the provider to be unhealthy", async || {
        (gateway.health_of("a").await["is_healthy"] == false).then_some(())
    })
    .await;
    a.lists(&["gpt-4o"]);
    eventually("the provider to be healthy again", async || {
        (gateway.health_of("a").await["is_healthy"] == true).then_some(())
    })
    .await;
    assert_eq!(a.calls(), 0, "a probe asks for the list of models, not for an answer");
}

#[tokio::test]
async fn without_any_provider_the_system_is_unhealthy_and_says_so() {
    let gateway = crate::support::Gateway::start().await;
    let health = gateway.admin_get("/admin/health").await;
    assert_eq!(health["status"], "unhealthy", "{health}");
    assert_eq!(health["providers"], json!([]));
    assert_eq!(health["database_status"], "healthy");
    assert_eq!(health["cache_status"], "disabled");
    assert!(health["timestamp"].is_string());
}
