//! What operators see of the cache, and how they empty it.

use serde_json::{Value, json};

use super::{about, by, cache, gateway, streamed};
use crate::support::{Gateway, Script, Upstream, gateway::chat};

async fn forget(gateway: &Gateway, filters: &str) -> Value {
    let reply = gateway.admin("DELETE", &format!("/admin/cache{filters}"), Value::Null).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["removed"].clone()
}

#[tokio::test]
async fn all_answers_are_forgotten_or_those_of_a_model_or_a_key() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    let key = gateway.admin("POST", "/admin/keys", json!({"name": "team"})).await.json();
    let body = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    let ask = async |model: &str| cache(&gateway.chat(body(model)).await).unwrap().to_owned();
    let team = async || cache(&gateway.send(by(key["key"].as_str().unwrap(), &body("m2"))).await).unwrap().to_owned();
    for (model, expected) in [("m1", "miss"), ("m2", "miss"), ("m1", "hit")] {
        assert_eq!(ask(model).await, expected);
    }
    assert_eq!(team().await, "miss");

    assert_eq!(forget(&gateway, "?model=m1").await, 1);
    assert_eq!((ask("m2").await, team().await, ask("m1").await), ("hit".into(), "hit".into(), "miss".into()));
    assert_eq!(forget(&gateway, &format!("?key_id={}", key["id"])).await, 1);
    assert_eq!((ask("m2").await, team().await), ("hit".into(), "miss".into()));
    assert_eq!(forget(&gateway, "").await, 3);
    assert_eq!((ask("m1").await, ask("m2").await, team().await), ("miss".into(), "miss".into(), "miss".into()));
    let reply = gateway.admin("DELETE", "/admin/cache?key_id=mine", Value::Null).await;
    assert!(reply.status == 400 && reply.message().contains("`key_id`"), "{}", reply.text());
}

#[tokio::test]
async fn an_answer_that_is_under_way_when_all_is_forgotten_is_not_kept() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    upstream.next(Script::stream(&["one ", "two"]).paced(std::time::Duration::from_millis(300)));
    let mut running = crate::support::Raw::connect(gateway.address()).await;
    running.send(&chat(&streamed(about("old news"))).bytes()).await;
    running.until("one ").await;
    forget(&gateway, "").await;
    assert!(running.reply().await.done());
    assert_eq!(cache(&gateway.chat(streamed(about("old news"))).await), Some("miss"));
}

#[tokio::test]
async fn a_hit_is_logged_and_counted_with_what_it_saved() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    for body in [about("one"), about("one"), streamed(about("two")), streamed(about("two")), about("three")] {
        gateway.chat(body).await.assert_ok();
    }
    gateway.send(chat(&about("one")).header("Cache-Control", "no-store")).await.assert_ok();
    let rows = gateway.logs(6).await;
    let statuses: Vec<&str> = rows.iter().map(|row| row["cache_status"].as_str().unwrap_or("none")).collect();
    assert_eq!(statuses, ["miss", "hit", "miss", "hit", "miss", "bypass"]);
    for (new, again) in [(&rows[0], &rows[1]), (&rows[2], &rows[3])] {
        assert!(new["cost"].as_f64().unwrap() > 0.0 && new["saved_cost"].is_null(), "{new:#}");
        assert_eq!((&again["cost"], &again["saved_cost"]), (&json!(0.0), &new["cost"]), "{again:#}");
        assert_eq!((&again["total_tokens"], &again["attempts"]), (&json!(0), &json!(0)));
        assert_eq!((&again["provider_id"], &again["status_code"]), (&Value::Null, &json!(200)));
        assert_eq!((&again["model"], &again["stream"]), (&new["model"], &new["stream"]));
    }
    let hits = gateway.admin_get("/admin/logs?cache_status=hit").await;
    assert_eq!(hits["total"], 2);

    let stats = gateway.admin_get("/admin/stats?group_by=key").await;
    assert_eq!(
        (&stats["cache_hits"], &stats["cache_misses"], &stats["cache_hit_rate"]),
        (&json!(2), &json!(3), &json!(40.0))
    );
    let saved = rows[0]["cost"].as_f64().unwrap() + rows[2]["cost"].as_f64().unwrap();
    assert!((stats["saved_cost"].as_f64().unwrap() - saved).abs() < 1e-9, "{stats:#}");
    assert_eq!(stats["by_key"][0]["cache_hits"], 2);
    assert_eq!(stats["providers"][0]["total_requests"], 4);

    let metrics = gateway.admin("GET", "/metrics", Value::Null).await.text();
    for (result, count) in [("hit", 2), ("miss", 3), ("bypass", 1)] {
        assert!(
            metrics.contains(&format!("llm_orchestrator_cache_requests_total{{result=\"{result}\"}} {count}\n")),
            "{metrics}"
        );
    }
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("llm_orchestrator_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
    };
    assert!((value("cache_saved_dollars_total") - saved).abs() < 1e-9);
    assert!(value("cache_entries") == 3.0 && value("cache_bytes") > 300.0);
    assert_eq!(gateway.admin_get("/admin/health").await["cache_status"], "healthy");
}

#[tokio::test]
async fn a_hit_is_a_request_to_limits_of_requests_and_no_token_to_limits_of_tokens() {
    let upstream = Upstream::start("a").await;
    let limits = [
        ("ORCHESTRATOR_LIMITS_TOKENS_PER_MINUTE", "1000"),
        ("RATE_LIMIT_PER_MINUTE", "6"),
        ("ENABLE_RATE_LIMITING", "true"),
    ];
    let gateway = gateway(&upstream, &limits).await;
    let mut body = about("again and again");
    body["max_tokens"] = 900.into();
    for _ in 0..6 {
        gateway.chat(body.clone()).await.assert_ok();
    }
    gateway.chat(body).await.assert_error(429, "rate_limit_exceeded");
    assert_eq!(upstream.calls(), 1);
}
