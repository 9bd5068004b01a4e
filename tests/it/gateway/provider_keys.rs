//! Several keys of one provider: how requests are spread over them, and what becomes of one that is at its limit or refused.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{API_KEY, Dialect, Gateway, Request, Script, Upstream, eventually, upstream::Seen};

/// A gateway whose only provider has the keys `a` and `b`, of these weights.
async fn two_keys(weights: [u32; 2], settings: &[(&str, &str)]) -> (Gateway, Upstream, i64) {
    let gateway = Gateway::with(settings).await;
    let upstream = Upstream::start("up").await;
    let key = |name: &str, weight: u32| json!({"name": name, "api_key": format!("sk-of-key-{name}"), "weight": weight});
    let keys = json!([key("a", weights[0]), key("b", weights[1])]);
    let more = json!({"api_key": null, "api_keys": keys, "max_retries": 0});
    let id = gateway.provider("main", "openai", &upstream, more).await;
    (gateway, upstream, id)
}

/// The key that a request came with.
fn key(seen: &Seen) -> &str {
    seen.header("authorization").and_then(|bearer| bearer.strip_prefix("Bearer sk-of-key-")).unwrap_or("another")
}

fn keys(upstream: &Upstream) -> BTreeMap<String, usize> {
    let mut keys = BTreeMap::new();
    upstream.seen().iter().for_each(|seen| *keys.entry(key(seen).to_owned()).or_default() += 1);
    keys
}

/// Answers so whoever comes with the key `a`, and everybody else with a chat.
fn answers_a(upstream: &Upstream, script: Script) {
    let chat = Script::json(200, &Dialect::OpenAi.whole("Hello"));
    upstream.answers_by(move |seen| if key(seen) == "a" { script.clone() } else { chat.clone() });
}

async fn standing(gateway: &Gateway, name: &str) -> Value {
    let health = gateway.health_of("main").await;
    let keys = health["keys"].as_array().cloned().unwrap_or_default();
    keys.into_iter().find(|key| key["name"] == name).unwrap_or_default()
}

#[tokio::test]
async fn requests_are_spread_over_the_keys_and_rows_say_which_was_used() {
    let (gateway, upstream, _) = two_keys([100, 100], &[]).await;
    for _ in 0..40 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    let used = keys(&upstream);
    assert!(used["a"] >= 5 && used["b"] >= 5, "{used:?}");
    let rows = gateway.logs(40).await;
    let by_b = rows.iter().filter(|row| row["provider_key"] == "b").count();
    assert_eq!(by_b, used["b"]);
    assert!(!format!("{rows:?}{}", gateway.output()).contains("sk-of-key"), "a key's text is nowhere");
}

#[tokio::test]
async fn a_key_at_its_limit_rests_while_the_other_one_serves_at_once() {
    let (gateway, upstream, _) = two_keys([1000, 1], &[]).await;
    answers_a(&upstream, Script::error(429, "Slow down").header("Retry-After", "30"));
    for _ in 0..10 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    assert_eq!(keys(&upstream), [("a".to_owned(), 1), ("b".to_owned(), 10)].into());
    let a = standing(&gateway, "a").await;
    assert_eq!(a["state"], "resting", "{a}");
    assert!(a["resting_until"].as_str().is_some_and(|until| until.ends_with('Z')), "{a}");
    assert_eq!(standing(&gateway, "b").await["state"], "ready");
    assert_eq!(gateway.health_of("main").await["state"], "healthy", "the provider has done nothing wrong");
}

#[tokio::test]
async fn a_refused_key_is_set_aside_with_an_alarm_and_no_client_sees_a_401() {
    for status in [401, 403] {
        let (gateway, upstream, _) = two_keys([1000, 1], &[]).await;
        answers_a(&upstream, Script::error(status, "Incorrect API key provided: sk-of-key-a"));
        for _ in 0..5 {
            let reply = gateway.ask("gpt-4o").await;
            assert_eq!(reply.assert_ok().header("x-orchestrator-provider"), Some("main"));
        }
        assert_eq!(keys(&upstream), [("a".to_owned(), 1), ("b".to_owned(), 5)].into());
        let a = standing(&gateway, "a").await;
        assert_eq!(a["state"], "set_aside", "{a}");
        let rows = gateway.logs(5).await;
        assert_eq!((&rows[0]["provider_key"], &rows[0]["attempts"]), (&json!("b"), &json!(2)), "{:#}", rows[0]);
        gateway.tells("The key a of main is set aside").await;
        let metrics = gateway.admin("GET", "/metrics", Value::Null).await.text();
        assert!(metrics.contains("provider_key_ready{provider=\"main\",key=\"a\"} 0"), "{metrics}");
        assert!(metrics.contains("provider_key_refusals_total{provider=\"main\",key=\"a\"} 1"), "{metrics}");
        let told = format!("{a}{rows:?}{}{metrics}", gateway.output());
        assert!(!told.contains("sk-of-key"), "a key's text is nowhere: {told}");
    }
}

#[tokio::test]
async fn where_all_keys_are_refused_the_client_hears_of_the_gateways_trouble_not_of_its_own_key() {
    let (gateway, upstream, _) = two_keys([1, 1], &[]).await;
    upstream.always(Script::error(401, "Incorrect API key provided"));
    gateway.ask("gpt-4o").await.assert_error(502, "upstream_error");
    assert_eq!(keys(&upstream), [("a".to_owned(), 1), ("b".to_owned(), 1)].into());
    assert_eq!(gateway.health_of("main").await["is_healthy"], false);
}

#[tokio::test]
async fn a_key_that_is_good_again_comes_back_by_itself_and_at_once_where_the_operator_changes_it() {
    let pauses = [("ORCHESTRATOR_HEALTH_EJECTION_BASE", "0.5"), ("ORCHESTRATOR_HEALTH_EJECTION_MAX", "3600")];
    let (gateway, upstream, id) = two_keys([1000, 1], &pauses).await;
    answers_a(&upstream, Script::error(401, "Incorrect API key provided"));
    gateway.ask("gpt-4o").await.assert_ok();
    answers_a(&upstream, Script::json(200, &Dialect::OpenAi.whole("Hello")));
    eventually("the key to be used again", async || {
        gateway.ask("gpt-4o").await.assert_ok();
        (standing(&gateway, "a").await["state"] == "ready" && keys(&upstream)["a"] > 1).then_some(())
    })
    .await;
    answers_a(&upstream, Script::error(401, "Incorrect API key provided"));
    for _ in 0..20 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    assert_eq!(standing(&gateway, "a").await["state"], "set_aside");
    let changed = json!({"api_keys": [{"name": "a", "api_key": "sk-of-key-new"}, {"name": "b"}]});
    let shown = gateway.admin("PATCH", &format!("/admin/providers/{id}"), changed).await.assert_ok().json();
    assert_eq!(shown["api_keys"][0]["state"], "ready", "{shown:#}");
    assert_eq!(shown["api_keys"][1]["name"], "b");
    assert!(!shown.to_string().contains("sk-of-key"), "{shown}");
}

#[tokio::test]
async fn a_file_is_asked_for_with_the_key_that_it_was_uploaded_with() {
    let (gateway, upstream, id) = two_keys([1, 1], &[]).await;
    let mut owners = BTreeMap::new();
    for number in 0..8 {
        let file = format!("file-{number}");
        upstream.next(Script::json(200, &json!({"id": file, "object": "file"})));
        let form = "--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--x--\r\n";
        let upload =
            Request::new("POST", "/v1/files").bearer(API_KEY).header("Content-Type", "multipart/form-data; boundary=x");
        gateway.send(upload.body(form)).await.assert_ok();
        owners.insert(file, key(&upstream.last()).to_owned());
    }
    for (file, owner) in &owners {
        upstream.next(Script::json(200, &json!({"id": file})));
        gateway.get(&format!("/v1/files/{file}")).await.assert_ok();
        assert_eq!(key(&upstream.last()), owner, "{file}");
        let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": [
            {"type": "file", "file": {"file_id": file}}]}]});
        gateway.chat(body).await.assert_ok();
        assert_eq!(key(&upstream.last()), owner, "{file}");
    }
    let only_b = json!({"api_keys": [{"name": "a", "enabled": false}, {"name": "b"}]});
    gateway.admin("PATCH", &format!("/admin/providers/{id}"), only_b).await.assert_ok();
    gateway.ask("gpt-4o").await.assert_ok();
    assert_eq!(key(&upstream.last()), "b");
}

#[tokio::test]
async fn a_rotated_master_key_opens_all_of_a_providers_keys_and_the_old_one_none() {
    let (mut gateway, upstream, id) = two_keys([1, 1], &[]).await;
    let (old, new) = (gateway.folder().join("master.key"), gateway.folder().join("new.key"));
    gateway.run(&["db", "rotate-master-key", "--to", &new.display().to_string()]);
    let refused = gateway.refuses_to_start(&[]);
    assert!(refused.contains("does not open the stored provider keys"), "{refused}");
    std::fs::rename(&new, &old).unwrap();
    gateway.restart().await;
    for _ in 0..10 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    assert!(upstream.seen().iter().all(|seen| key(seen) != "another"));
    let shown = gateway.admin_get(&format!("/admin/providers/{id}")).await;
    assert_eq!(shown["api_keys"].as_array().map(Vec::len), Some(2), "{shown:#}");
}

#[tokio::test]
async fn each_key_can_be_tested_by_its_name() {
    let (gateway, upstream, id) = two_keys([1, 1], &[]).await;
    answers_a(&upstream, Script::error(401, "Incorrect API key provided"));
    let test = async |key: &str| {
        let body = json!({"model": "gpt-4o", "key": key});
        gateway.admin("POST", &format!("/admin/providers/{id}/test"), body).await
    };
    assert_eq!(test("b").await.assert_ok().json()["success"], true);
    assert_eq!(test("a").await.assert_ok().json()["success"], false);
    assert_eq!(standing(&gateway, "a").await["state"], "set_aside");
    test("c").await.assert_error(400, "invalid_request");
}
