//! What a change of a provider does beyond its row.

use serde_json::{Value, json};

use crate::support::{Gateway, Script, Upstream, eventually};

#[tokio::test]
async fn a_provider_that_moves_is_asked_anew_what_it_has() {
    let gateway = Gateway::start().await;
    let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
    a.lists(&["old-model"]);
    b.lists(&["new-model"]);
    let id = gateway.provider("main", "openai", &a, json!({})).await;
    let target = format!("/admin/providers/{id}");
    let listed = async |count: u64| {
        eventually("the list of models", async || {
            (gateway.admin_get(&target).await["listed_models"] == count).then_some(())
        })
        .await;
    };
    listed(1).await;
    gateway.ask("old-model").await.assert_ok();
    gateway.admin("PATCH", &target, json!({"base_url": b.url()})).await.assert_ok();
    listed(1).await;
    gateway.ask("new-model").await.assert_ok();
    assert_eq!(gateway.ask("old-model").await.status, 404);
    assert_eq!(b.calls(), 1);
}

#[tokio::test]
async fn a_new_key_brings_back_a_provider_that_was_left_out() {
    let gateway = Gateway::with(&[("HEALTH_CHECK_INTERVAL", "3600")]).await;
    let a = Upstream::start("a").await;
    let id = gateway.provider("a", "openai", &a, json!({})).await;
    a.always(Script::error(401, "Incorrect API key provided"));
    gateway.ask("gpt-4o").await.assert_error(502, "upstream_error");
    assert_eq!(gateway.health_of("a").await["is_healthy"], false);
    a.heal();
    gateway.admin("PATCH", &format!("/admin/providers/{id}"), json!({"api_key": "sk-better"})).await.assert_ok();
    assert_eq!(gateway.health_of("a").await["is_healthy"], true);
    gateway.ask("gpt-4o").await.assert_ok();
    assert_eq!(a.last().header("authorization"), Some("Bearer sk-better"));
}

#[tokio::test]
async fn a_provider_that_is_switched_off_can_be_tested_before_it_is_switched_on() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    a.lists(&["text-embedding-3-small", "gpt-4o-mini"]);
    let id = gateway.provider("a", "openai", &a, json!({"enabled": false})).await;
    let target = format!("/admin/providers/{id}/test");
    let tested = gateway.admin("POST", &target, Value::Null).await.assert_ok().json();
    assert_eq!((&tested["success"], &tested["model"]), (&json!(true), &json!("gpt-4o-mini")));
    assert_eq!(tested["message"], "Hello from a");
    let named = gateway.admin("POST", &target, json!({"model": "o3"})).await.assert_ok().json();
    assert_eq!((&named["model"], &a.last().json()["model"]), (&json!("o3"), &json!("o3")));
    let unreachable = gateway.provider_at("gone", "openai", &Upstream::nowhere().await, json!({})).await;
    let failed = gateway.admin("POST", &format!("/admin/providers/{unreachable}/test"), Value::Null).await;
    let failed = failed.assert_ok().json();
    assert_eq!((&failed["success"], &failed["error_code"]), (&json!(false), &json!("upstream_error")));
}

#[tokio::test]
async fn a_key_that_a_provider_repeats_is_shown_to_nobody() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    let secret = "sk-very-secret-key-0123456789";
    a.lists_by(Script::error(401, &format!("{secret} is wrong")))
        .always(Script::error(400, &format!("{secret} is odd")));
    gateway.provider("a", "openai", &a, json!({"api_key": secret, "max_retries": 0})).await;
    let reply = gateway.ask("gpt-4o").await;
    assert_eq!(reply.status, 400);
    let health = eventually("the probe to fail", async || {
        let health = gateway.health_of("a").await;
        health["last_error"].is_string().then_some(health)
    });
    for text in [reply.text(), health.await.to_string(), gateway.admin_get("/admin/logs").await.to_string()] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(!gateway.output().contains(secret));
}

#[tokio::test]
async fn an_import_says_what_is_wrong_with_it() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    let id = gateway.provider("a", "openai", &a, json!({})).await;
    let target = format!("/admin/providers/{id}/models/import");
    for (body, expected) in [
        (json!({"models": [5]}), "expected a model's id"),
        (json!({"models": [{"name": "x"}]}), "expected a model's id"),
        (json!({"models": [""]}), "`models` must not be empty"),
        (json!({"modles": []}), "unknown field `modles`"),
        (json!({"models": "gpt-4o"}), "expected a list"),
    ] {
        let reply = gateway.admin("POST", &target, body.clone()).await;
        reply.assert_error(400, "invalid_request");
        assert!(reply.message().contains(expected), "{body}: {}", reply.text());
    }
    gateway.admin("POST", "/admin/providers/999/models/import", json!({})).await.assert_error(404, "not_found");
    gateway.admin("GET", "/admin/providers/abc", Value::Null).await.assert_error(404, "not_found");
    gateway.admin("POST", "/admin/providers", json!([])).await.assert_error(400, "invalid_request");
}

#[tokio::test]
async fn a_key_is_described_when_it_is_made_and_refused_when_it_makes_no_sense() {
    let gateway = Gateway::start().await;
    let body =
        json!({"name": "team", "strict": true, "allowed_models": ["gpt-*"], "expires_at": "2999-01-01T00:00:00Z"});
    let made = gateway.admin("POST", "/admin/keys", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert!(made["key"].as_str().unwrap().starts_with("sk-"));
    assert_eq!((&made["strict"], &made["live"]), (&json!(true), &json!(true)));
    assert_eq!(made["expires_at"], "2999-01-01T00:00:00.000Z");
    for (body, expected) in [
        (json!({}), "`name` must not be empty"),
        (json!({"name": "x", "expires_at": "soon"}), "`expires_at` must be a time"),
        (json!({"name": "x", "allowed_models": "gpt-*"}), "`allowed_models`"),
        (json!({"nmae": "x"}), "unknown field `nmae`"),
    ] {
        let reply = gateway.admin("POST", "/admin/keys", body.clone()).await;
        reply.assert_error(400, "invalid_request");
        assert!(reply.message().contains(expected), "{body}: {}", reply.text());
    }
    let target = format!("/admin/keys/{}", made["id"]);
    gateway.admin("POST", &format!("{target}/revoke"), Value::Null).await.assert_ok();
    let listed = gateway.admin_get("/admin/keys").await;
    let row = listed.as_array().unwrap().iter().find(|row| row["id"] == made["id"]).unwrap();
    assert_eq!(row["live"], false);
    assert!(row["revoked_at"].is_string() && row["key"].is_null());
}

#[tokio::test]
async fn a_master_key_that_opens_no_stored_key_stops_the_start_in_one_line() {
    let mut gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    gateway.provider("a", "openai", &a, json!({})).await;
    let said = gateway.refuses_to_start(&[("MASTER_KEY", "quite-another-master-key")]);
    assert!(said.contains("MASTER_KEY") && said.contains("restore"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    gateway.restart().await;
    assert_eq!(gateway.ask("gpt-4o").await.assert_ok().content(), "Hello from a");
}

#[tokio::test]
async fn a_rotated_master_key_opens_what_the_old_one_sealed_and_the_old_one_opens_it_no_more() {
    let mut gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    let more = json!({"api_key": "sk-of-the-provider", "extra_headers": {"x-team": "blue-secret-team"}});
    gateway.provider("a", "openai", &a, more).await;
    let old = gateway.folder().join("master.key");
    let new = gateway.folder().join("new.key");
    let said = gateway.run(&["db", "rotate-master-key", "--to", &new.display().to_string()]);
    assert!(said.contains("all providers (1)") && said.contains("new.key"), "{said}");
    gateway.ask("gpt-4o").await.assert_ok();

    let refused = gateway.refuses_to_start(&[]);
    assert!(refused.contains("does not open the stored provider keys"), "{refused}");
    let again = gateway.try_run(&["db", "rotate-master-key", "--to", &new.display().to_string()]);
    assert_eq!(again.0, 1, "the old key opens nothing any more: {}", again.1);
    std::fs::rename(&new, &old).unwrap();
    gateway.restart().await;
    gateway.ask("gpt-4o").await.assert_ok();
    assert_eq!(a.last().header("authorization"), Some("Bearer sk-of-the-provider"));
    assert_eq!(a.last().header("x-team"), Some("blue-secret-team"));
}
