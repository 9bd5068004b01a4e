//! Providers through the admin API: made, read, changed, taken away, tried out.

use serde_json::{Value, json};

use super::stage;
use crate::support::{Dialect, Gateway, Reply, Script, Upstream};

async fn create(gateway: &Gateway, body: Value) -> Reply {
    gateway.admin("POST", "/admin/providers", body).await
}

#[tokio::test]
async fn a_provider_is_made_with_the_documented_defaults_and_its_key_hidden() {
    let gateway = Gateway::start().await;
    let body = json!({"name": "main", "type": "openai", "api_key": "sk-proj-0123456789abcdef-a1b2"});
    let reply = create(&gateway, body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let provider = reply.json();
    for (field, value) in [
        ("name", json!("main")),
        ("type", json!("openai")),
        ("enabled", json!(true)),
        ("priority", json!(100)),
        ("weight", json!(100)),
        ("timeout", json!(60)),
        ("max_retries", json!(3)),
        ("rate_limit", json!(null)),
        ("metadata", json!(null)),
        ("api_key", json!("sk-…a1b2")),
    ] {
        assert_eq!(provider[field], value, "{field} of {provider}");
    }
    assert!(provider["id"].is_i64(), "{provider}");
    for field in ["created_at", "updated_at"] {
        assert!(provider[field].as_str().is_some_and(|time| time.ends_with('Z')), "{provider}");
    }
    let page = gateway.admin_get(&format!("/admin/providers/{}", provider["id"])).await;
    assert_eq!(page, provider);
    assert_eq!(gateway.admin_get("/admin/providers").await, json!([provider]));
}

#[tokio::test]
async fn every_field_is_kept_as_given() {
    let gateway = Gateway::start().await;
    let body = json!({
        "name": "full", "type": "anthropic", "base_url": "http://127.0.0.1:1", "enabled": false, "priority": 1000,
        "weight": 0, "timeout": 300, "max_retries": 10, "rate_limit": 60, "protocols": ["anthropic"],
        "metadata": {"team": "blue", "n": [1, 2.5]},
    });
    let reply = create(&gateway, body.clone()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&reply.json()[field], value, "{field}");
    }
    assert_eq!(reply.json()["api_key"], Value::Null);
}

#[tokio::test]
async fn what_is_out_of_range_or_unknown_is_refused_by_name() {
    let gateway = Gateway::start().await;
    for (field, values) in [
        ("name", vec![json!(null), json!(""), json!(5)]),
        ("type", vec![json!(null), json!("fantasy"), json!(5)]),
        ("base_url", vec![json!("not a url"), json!("ftp://x"), json!(5)]),
        ("enabled", vec![json!("yes")]),
        ("priority", vec![json!(-1), json!(1001), json!("high"), json!(1.5)]),
        ("weight", vec![json!(-1), json!(1001)]),
        ("timeout", vec![json!(0), json!(301), json!(-1)]),
        ("max_retries", vec![json!(-1), json!(11)]),
        ("rate_limit", vec![json!(0), json!(-1)]),
        ("protocols", vec![json!("openai_chat"), json!(["fantasy"])]),
        ("colour", vec![json!("blue")]),
    ] {
        for value in values {
            let mut body = json!({"name": "x", "type": "openai"});
            body[field] = value.clone();
            let reply = create(&gateway, body).await;
            assert_eq!(reply.status, 400, "{field} {value}: {}", reply.text());
            reply.assert_error(400, "invalid_request");
            assert!(reply.message().contains(field), "{field} {value}: {}", reply.message());
        }
    }
    let unknown = create(&gateway, json!({"name": "x", "type": "fantasy"})).await;
    for known in ["openai", "anthropic", "gemini"] {
        assert!(unknown.message().contains(known), "{}", unknown.message());
    }
    assert_eq!(gateway.admin_get("/admin/providers").await, json!([]));
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let gateway = Gateway::start().await;
    let first = create(&gateway, json!({"name": "main", "type": "openai"})).await.json();
    let again = create(&gateway, json!({"name": "main", "type": "gemini"})).await;
    again.assert_error(400, "invalid_request");
    assert!(again.message().contains("main"), "{}", again.message());
    let other = create(&gateway, json!({"name": "other", "type": "openai"})).await.json();
    let rename = gateway.admin("PATCH", &format!("/admin/providers/{}", other["id"]), json!({"name": "main"})).await;
    rename.assert_error(400, "invalid_request");
    let same = gateway.admin("PATCH", &format!("/admin/providers/{}", first["id"]), json!({"name": "main"})).await;
    assert_eq!(same.status, 200, "{}", same.text());
}

#[tokio::test]
async fn patch_and_put_change_what_they_name_and_null_clears() {
    let gateway = Gateway::start().await;
    let body = json!({
        "name": "main", "type": "openai", "base_url": "http://127.0.0.1:1/v1", "api_key": "sk-proj-0123456789abcdef-a1b2",
        "rate_limit": 60, "metadata": {"a": 1}, "priority": 7,
    });
    let before = create(&gateway, body).await.json();
    let target = format!("/admin/providers/{}", before["id"]);
    for method in ["PATCH", "PUT"] {
        let changed = gateway.admin(method, &target, json!({"weight": 5})).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
        let changed = changed.json();
        assert_eq!((&changed["weight"], &changed["priority"]), (&json!(5), &json!(7)), "{method}");
        assert_eq!(changed["api_key"], "sk-…a1b2", "{method} keeps the key that it does not name");
        assert_eq!(changed["base_url"], "http://127.0.0.1:1/v1");
    }
    let clear = json!({"base_url": null, "api_key": null, "rate_limit": null, "metadata": null, "weight": null, "priority": null});
    let cleared = gateway.admin("PATCH", &target, clear).await;
    assert_eq!(cleared.status, 200, "{}", cleared.text());
    let cleared = cleared.json();
    for field in ["base_url", "api_key", "rate_limit", "metadata"] {
        assert_eq!(cleared[field], Value::Null, "{field}");
    }
    assert_eq!((&cleared["weight"], &cleared["priority"]), (&json!(100), &json!(100)), "null goes back to the default");
    assert_eq!(cleared["name"], "main");
    for (changes, name) in
        [(json!({"name": null}), "name"), (json!({"colour": 1}), "colour"), (json!({"weight": 5000}), "weight")]
    {
        let reply = gateway.admin("PATCH", &target, changes).await;
        reply.assert_error(400, "invalid_request");
        assert!(reply.message().contains(name), "{}", reply.message());
    }
    assert_eq!(gateway.admin_get(&target).await["weight"], 100, "a refused change changes nothing");
}

#[tokio::test]
async fn a_provider_is_deleted_once_and_then_unknown() {
    let (gateway, [a]) = stage(&[]).await;
    let id = gateway.admin_get("/admin/providers").await[0]["id"].clone();
    let target = format!("/admin/providers/{id}");
    let gone = gateway.admin("DELETE", &target, Value::Null).await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    for method in ["GET", "DELETE", "PATCH", "PUT"] {
        let body = if method.starts_with('P') { json!({"weight": 1}) } else { Value::Null };
        gateway.admin(method, &target, body).await.assert_error(404, "not_found");
    }
    let odd = gateway.admin("GET", "/admin/providers/nine", Value::Null).await;
    assert!([400, 404].contains(&odd.status), "{}", odd.text());
    gateway.ask("gpt-4o").await.assert_error(404, "not_found");
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn providers_are_listed_by_priority_and_then_by_age() {
    let gateway = Gateway::start().await;
    for (name, priority, enabled) in [("a", 5, true), ("b", 50, false), ("c", 50, true), ("d", 500, true)] {
        let body = json!({"name": name, "type": "openai", "priority": priority, "enabled": enabled});
        assert_eq!(create(&gateway, body).await.status, 201);
    }
    let names = |list: Value| -> Vec<String> {
        let rows = list.as_array().cloned().expect("a bare array");
        rows.iter().map(|row| row["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(names(gateway.admin_get("/admin/providers").await), ["d", "b", "c", "a"]);
    assert_eq!(names(gateway.admin_get("/admin/providers?enabled_only=true").await), ["d", "c", "a"]);
    assert_eq!(names(gateway.admin_get("/admin/providers?enabled_only=false").await), ["d", "b", "c", "a"]);
}

#[tokio::test]
async fn changes_take_effect_at_once() {
    let (gateway, [a, b]) = stage(&[]).await;
    assert_eq!(gateway.ask("gpt-4o").await.assert_ok().content(), "Hello from a");
    let providers = gateway.admin_get("/admin/providers").await;
    let target = format!("/admin/providers/{}", providers[0]["id"]);
    for (changes, expected) in [
        (json!({"priority": 1}), "Hello from b"),
        (json!({"priority": 900}), "Hello from a"),
        (json!({"enabled": false}), "Hello from b"),
        (json!({"enabled": true, "base_url": b.url()}), "Hello from b"),
        (json!({"base_url": a.url()}), "Hello from a"),
    ] {
        gateway.admin("PATCH", &target, changes).await.assert_ok();
        assert_eq!(gateway.ask("gpt-4o").await.assert_ok().content(), expected);
    }
    gateway.admin("PATCH", &target, json!({"api_key": "sk-of-another"})).await.assert_ok();
    gateway.ask("gpt-4o").await.assert_ok();
    assert_eq!(a.last().header("authorization"), Some("Bearer sk-of-another"));
}

#[tokio::test]
async fn the_alias_of_the_admin_api_is_the_same() {
    let gateway = Gateway::start().await;
    let made = gateway.admin("POST", "/api/admin/providers", json!({"name": "main", "type": "openai"})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(gateway.admin_get("/api/admin/providers").await, gateway.admin_get("/admin/providers").await);
    assert_eq!(gateway.admin("GET", "/api/admin/verify", Value::Null).await.status, 204);
    for page in ["models", "model-providers", "health", "stats", "logs"] {
        gateway.admin_get(&format!("/api/admin/{page}")).await;
    }
}

#[tokio::test]
async fn each_type_sends_its_key_its_own_way_and_never_in_the_address() {
    for dialect in Dialect::ALL {
        let (gateway, [a]) = super::stage_of(dialect, &[]).await;
        gateway.ask(dialect.model()).await.assert_ok();
        let seen = a.last();
        let (name, value) = match dialect {
            Dialect::OpenAi | Dialect::Responses => ("authorization", "Bearer sk-of-a"),
            Dialect::Anthropic => ("x-api-key", "sk-of-a"),
            Dialect::Gemini => ("x-goog-api-key", "sk-of-a"),
        };
        assert_eq!(seen.header(name), Some(value), "{dialect:?}");
        assert!(!seen.path.contains("sk-of-a"), "{}", seen.path);
        if dialect == Dialect::Anthropic {
            assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"));
        }
    }
}

#[tokio::test]
async fn a_providers_own_models_are_listed_and_imported() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    a.lists(&["gpt-4o", "gpt-4o-2024-11-20", "o3"]);
    let id = gateway.provider("a", "openai", &a, json!({})).await;
    let listed = gateway.admin_get(&format!("/admin/providers/{id}/models")).await.to_string();
    for model in ["gpt-4o", "gpt-4o-2024-11-20", "o3"] {
        assert!(listed.contains(&format!("\"{model}\"")), "{listed}");
    }
    let import = format!("/admin/providers/{id}/models/import");
    let chosen = json!({"models": ["gpt-4o", {"id": "gpt-4o-2024-11-20", "name": "gpt-4o-pinned"}]});
    let reply = gateway.admin("POST", &import, chosen.clone()).await;
    let counts = |reply: &Reply| {
        let body = reply.assert_ok().json();
        [body["imported"].clone(), body["skipped"].clone(), body["total"].clone()]
    };
    assert_eq!(counts(&reply), [json!(2), json!(0), json!(2)]);
    let again = gateway.admin("POST", &import, chosen).await;
    assert_eq!(counts(&again), [json!(0), json!(2), json!(2)], "importing twice changes nothing");
    gateway.ask("gpt-4o-pinned").await.assert_ok();
    assert_eq!(a.last().json()["model"], "gpt-4o-2024-11-20");
    let all = gateway.admin("POST", &import, Value::Null).await;
    assert_eq!(counts(&all)[2], 3, "{}", all.text());
    gateway.ask("o3").await.assert_ok();
}

#[tokio::test]
async fn a_list_of_models_that_cannot_be_had_is_a_bad_gateway() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    a.lists_by(Script::html(502));
    let id = gateway.provider("a", "openai", &a, json!({})).await;
    let reply = gateway.admin("GET", &format!("/admin/providers/{id}/models"), Value::Null).await;
    reply.assert_error(502, "upstream_error");
    gateway.admin("GET", "/admin/providers/999/models", Value::Null).await.assert_error(404, "not_found");
}

#[tokio::test]
async fn a_provider_can_be_tried_with_one_real_request() {
    for dialect in Dialect::ALL {
        let gateway = Gateway::start().await;
        let a = Upstream::start("a").await;
        a.lists(&["text-embedding-3", dialect.model()]);
        let id = gateway.provider("a", dialect.kind(), &a, json!({"max_retries": 0})).await;
        let target = format!("/admin/providers/{id}/test");
        let good = gateway.admin("POST", &target, Value::Null).await;
        assert_eq!(good.assert_ok().json()["success"], true, "{dialect:?}: {}", good.text());
        assert_eq!(good.json()["model"], dialect.model(), "{dialect:?}: {}", good.text());
        assert_eq!(a.calls(), 1, "{dialect:?}");
        a.always(Script::json(401, &dialect.error(401, "Incorrect API key provided: sk-of-a")));
        let bad = gateway.admin("POST", &target, Value::Null).await;
        assert_eq!(bad.assert_ok().json()["success"], false, "{dialect:?}: {}", bad.text());
        assert!(!bad.text().contains("sk-of-a"), "{dialect:?}: {}", bad.text());
        assert_eq!(a.calls(), 2, "{dialect:?}: a test is one request");
    }
}

#[tokio::test]
async fn keys_are_sealed_in_the_database_and_readable_after_a_restart() {
    let (mut gateway, [a]) = stage(&[]).await;
    gateway.restart().await;
    gateway.ask("gpt-4o").await.assert_ok();
    assert_eq!(a.last().header("authorization"), Some("Bearer sk-of-a"));
    for entry in std::fs::read_dir(gateway.folder()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!bytes.windows(7).any(|window| window == b"sk-of-a"), "{}", path.display());
        let admin = crate::support::ADMIN_KEY.as_bytes();
        assert!(!bytes.windows(admin.len()).any(|window| window == admin), "{}", path.display());
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is open to others", path.display());
    }
}
