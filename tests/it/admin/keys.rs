//! Keys over their life: made, taken over, found, changed, rotated, revoked, deleted.

use serde_json::{Value, json};

use crate::support::{
    ADMIN_KEY, API_KEY, Gateway, Reply, Request, Upstream, eventually,
    gateway::{chat, question},
};

/// Makes a key and says its id and its text.
async fn create(gateway: &Gateway, body: Value) -> (i64, String) {
    let made = gateway.admin("POST", "/admin/keys", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    (made["id"].as_i64().unwrap(), made["key"].as_str().unwrap().to_owned())
}

async fn status(gateway: &Gateway, key: &str) -> u16 {
    gateway.send(Request::get("/v1/models").bearer(key)).await.status
}

#[tokio::test]
async fn a_running_gateway_takes_notice_of_keys_that_the_command_line_makes_and_revokes() {
    let gateway = Gateway::start().await;
    let key = gateway.run(&["keys", "create", "laptop"]).trim().to_owned();
    eventually("the key to be known", async || (status(&gateway, &key).await == 200).then_some(())).await;
    let listed = gateway.admin_get("/admin/keys").await;
    let rows = listed.as_array().cloned().unwrap_or_default();
    let id = rows.iter().find(|row| row["name"] == json!("laptop")).map(|row| row["id"].to_string()).unwrap();
    gateway.run(&["keys", "revoke", &id]);
    eventually("the key to be unknown", async || (status(&gateway, &key).await == 401).then_some(())).await;
}

#[tokio::test]
async fn the_command_line_sets_and_shows_the_same_fields_as_the_admin_api() {
    let gateway = Gateway::start().await;
    let options = "--owner ada --tag blue --tag green --model gpt-* --provider openai --endpoint chat --address 10.0.0.0/8 \
                   --requests-per-minute 5 --tokens-per-minute 6 --concurrent-requests 7 --expires 2999-01-01 \
                   --fidelity lenient --enabled false --json";
    let arguments: Vec<&str> = ["keys", "create", "laptop"].into_iter().chain(options.split_whitespace()).collect();
    let made: Value = serde_json::from_str(&gateway.run(&arguments)).unwrap();
    assert!(made["key"].as_str().unwrap().starts_with("sk-"));
    let id = made["id"].to_string();
    let shown: Value = serde_json::from_str(&gateway.run(&["keys", "show", &id, "--json"])).unwrap();
    assert_eq!(shown, gateway.admin_get(&format!("/admin/keys/{id}")).await);
    for (field, value) in [
        ("owner", json!("ada")),
        ("tags", json!(["blue", "green"])),
        ("allowed_models", json!(["gpt-*"])),
        ("allowed_providers", json!(["openai"])),
        ("allowed_endpoints", json!(["chat"])),
        ("allowed_addresses", json!(["10.0.0.0/8"])),
        ("requests_per_minute", json!(5)),
        ("tokens_per_minute", json!(6)),
        ("concurrent_requests", json!(7)),
        ("expires_at", json!("2999-01-01T00:00:00.000Z")),
        ("fidelity", json!("lenient")),
        ("status", json!("disabled")),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    let changed = gateway.run(&["keys", "update", &id, "--name", "desk", "--enabled", "true", "--clear", "owner"]);
    assert!(
        changed.contains("name\tdesk") && changed.contains("live\ttrue") && !changed.contains("owner"),
        "{changed}"
    );
    let list = |arguments: &[&str]| gateway.run(&[&["keys", "list"], arguments].concat());
    assert!(list(&["--tag", "blue", "-q", "DESK"]).contains("desk"));
    assert!(!list(&["--tag", "red"]).contains("desk") && !list(&["--enabled", "false"]).contains("desk"));
    let rotated = gateway.run(&["keys", "rotate", &id, "--overlap", "60"]).trim().to_owned();
    assert!(rotated.starts_with("sk-") && rotated != made["key"]);
    gateway.run(&["keys", "delete", &id]);
    assert_eq!(gateway.try_run(&["keys", "show", &id]).0, 1);
    assert_eq!(gateway.try_run(&["keys", "update", &id, "--clear", "everything"]).0, 1);
    assert_eq!(gateway.try_run(&["keys", "create", "x", "--endpoint", "telepathy"]).0, 2);
    assert_eq!(gateway.try_run(&["keys", "create", "x", "--provider", "nobody"]).0, 1);
}

#[tokio::test]
async fn a_key_from_elsewhere_is_taken_over_and_never_shown() {
    let gateway = Gateway::start().await;
    let text = "team-5fJ2kq9ZpL0aXw7T-old";
    let made = gateway.admin("POST", "/admin/keys", json!({"name": "old", "key": text})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(made.json().get("key").is_none() && !made.text().contains(text), "{}", made.text());
    assert_eq!(status(&gateway, text).await, 200);
    let target = format!("/admin/keys/{}", made.json()["id"]);
    for (key, expected) in [(text, "in use"), (API_KEY, "in use"), (ADMIN_KEY, "in use"), ("tiny", "at least 20")] {
        let refused = gateway.admin("POST", "/admin/keys", json!({"name": "again", "key": key})).await;
        refused.assert_error(400, "invalid_request");
        assert_eq!(refused.error()["param"], "key");
        assert!(refused.message().contains(expected) && !refused.text().contains(key), "{}", refused.text());
    }
    gateway
        .admin("PATCH", &target, json!({"key": "another-5fJ2kq9ZpL0aXw7T"}))
        .await
        .assert_error(400, "invalid_request");

    let file = gateway.folder().join("key.txt");
    std::fs::write(&file, "cli-5fJ2kq9ZpL0aXw7T-old\n").unwrap();
    let said = gateway.run(&["keys", "create", "cli", "--key-from", &file.display().to_string()]);
    assert!(said.contains("taken over") && !said.contains("5fJ2"), "{said}");
    eventually("the key to be known", async || {
        (status(&gateway, "cli-5fJ2kq9ZpL0aXw7T-old").await == 200).then_some(())
    })
    .await;
    std::fs::write(&file, API_KEY).unwrap();
    assert_eq!(gateway.try_run(&["keys", "create", "x", "--key-from", &file.display().to_string()]).0, 1);
    assert!(!gateway.output().contains(text));
}

#[tokio::test]
async fn keys_are_found_by_owner_tag_state_and_text() {
    let gateway = Gateway::start().await;
    create(&gateway, json!({"name": "Alpha", "owner": "ada", "tags": ["blue", "prod"]})).await;
    create(&gateway, json!({"name": "beta", "owner": "bob", "tags": ["blue"], "enabled": false})).await;
    let found = async |query: &str| {
        let list = gateway.admin_get(&format!("/admin/keys?{query}")).await;
        let names = list.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        ("", "beta Alpha"),
        ("owner=ada", "Alpha"),
        ("owner=ad", ""),
        ("tag=blue", "beta Alpha"),
        ("tag=prod&owner=bob", ""),
        ("enabled=false", "beta"),
        ("q=ALP", "Alpha"),
        ("q=bob", "beta"),
        ("q=prod&enabled=true", "Alpha"),
    ] {
        assert_eq!(found(query).await, expected, "{query}");
    }
    gateway.admin("GET", "/admin/keys?enabled=perhaps", Value::Null).await.assert_error(400, "invalid_request");
}

#[tokio::test]
async fn a_change_is_in_force_when_it_is_answered_and_both_methods_change_what_they_name() {
    let gateway = Gateway::start().await;
    let (id, key) = create(&gateway, json!({"name": "team", "owner": "ada", "requests_per_minute": 9})).await;
    let target = format!("/admin/keys/{id}");
    let off = gateway.admin("PUT", &target, json!({"enabled": false})).await.assert_ok().json();
    assert_eq!(
        (&off["status"], &off["owner"], &off["requests_per_minute"]),
        (&json!("disabled"), &json!("ada"), &json!(9))
    );
    assert_eq!(status(&gateway, &key).await, 401);
    let on = gateway.admin("PATCH", &target, json!({"enabled": null, "owner": null})).await.assert_ok().json();
    assert_eq!((&on["live"], &on["owner"], &on["name"]), (&json!(true), &Value::Null, &json!("team")));
    assert_eq!(status(&gateway, &key).await, 200);
    for (body, param) in [
        (json!({"nmae": "x"}), "nmae"),
        (json!({"name": null}), "name"),
        (json!({"allowed_endpoints": ["chats"]}), "allowed_endpoints"),
        (json!({"allowed_providers": ["openai", "nobody"]}), "allowed_providers[1]"),
        (json!({"allowed_addresses": ["10.0.0.0/40"]}), "allowed_addresses"),
        (json!({"allowed_models": []}), "allowed_models"),
        (json!({"tokens_per_minute": 0}), "tokens_per_minute"),
        (json!({"concurrent_requests": "many"}), "concurrent_requests"),
    ] {
        let refused = gateway.admin("PATCH", &target, body.clone()).await;
        refused.assert_error(400, "invalid_request");
        assert_eq!(refused.error()["param"], param, "{body}: {}", refused.text());
    }
    assert_eq!(gateway.admin_get(&target).await, on, "what was refused changed nothing");
    for method in ["GET", "PATCH", "PUT", "DELETE"] {
        gateway.admin(method, "/admin/keys/999", json!({})).await.assert_error(404, "not_found");
    }
}

#[tokio::test]
async fn a_rotated_key_works_by_both_texts_until_the_overlap_ends() {
    let gateway = Gateway::start().await;
    let (id, first) = create(&gateway, json!({"name": "team"})).await;
    let rotate = async |overlap: i64| {
        let reply = gateway.admin("POST", &format!("/admin/keys/{id}/rotate"), json!({"overlap": overlap})).await;
        reply.assert_ok().json()
    };
    let rotated = rotate(3600).await;
    let second = rotated["key"].as_str().unwrap().to_owned();
    assert!(second != first && rotated["previous_until"].is_string() && rotated["rotated_at"].is_string(), "{rotated}");
    assert_eq!([status(&gateway, &first).await, status(&gateway, &second).await], [200, 200]);
    let third = rotate(1).await["key"].as_str().unwrap().to_owned();
    assert_eq!([status(&gateway, &first).await, status(&gateway, &third).await], [401, 200], "two texts at most");
    eventually("the overlap to end", async || (status(&gateway, &second).await == 401).then_some(())).await;
    let last = rotate(0).await;
    assert_eq!(last["previous_until"], Value::Null);
    let fourth = last["key"].as_str().unwrap().to_owned();
    assert_eq!([status(&gateway, &third).await, status(&gateway, &fourth).await], [401, 200]);
    let target = format!("/admin/keys/{id}/rotate");
    for overlap in [json!(-1), json!(2_592_001), json!("soon")] {
        let refused = gateway.admin("POST", &target, json!({"overlap": overlap})).await;
        refused.assert_error(400, "invalid_request");
        assert_eq!(refused.error()["param"], "overlap");
    }
    gateway.admin("POST", "/admin/keys/999/rotate", Value::Null).await.assert_error(404, "not_found");
}

#[tokio::test]
async fn a_revoked_key_is_kept_and_a_deleted_one_is_gone_and_neither_opens_anything() {
    let gateway = Gateway::start().await;
    let (id, key) = create(&gateway, json!({"name": "team"})).await;
    let target = format!("/admin/keys/{id}");
    let revoke = async || gateway.admin("POST", &format!("{target}/revoke"), Value::Null).await.assert_ok().json();
    let revoked = revoke().await;
    assert_eq!((&revoked["status"], status(&gateway, &key).await), (&json!("revoked"), 401));
    assert_eq!(revoke().await["revoked_at"], revoked["revoked_at"], "the first time counts");
    gateway.admin("POST", &format!("{target}/rotate"), Value::Null).await.assert_error(409, "invalid_request");
    gateway.admin("PATCH", &target, json!({"enabled": true})).await.assert_ok();
    assert_eq!(status(&gateway, &key).await, 401);

    let (id, key) = create(&gateway, json!({"name": "guest"})).await;
    assert_eq!(gateway.admin("DELETE", &format!("/admin/keys/{id}"), Value::Null).await.status, 204);
    assert_eq!(status(&gateway, &key).await, 401);
    gateway.admin("GET", &format!("/admin/keys/{id}"), Value::Null).await.assert_error(404, "not_found");
}

#[tokio::test]
async fn when_a_key_was_last_used_is_told() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    gateway.provider("a", "openai", &a, json!({})).await;
    let (id, key) = create(&gateway, json!({"name": "team"})).await;
    let (idle, _) = create(&gateway, json!({"name": "idle"})).await;
    let last_used = async |id: i64| gateway.admin_get(&format!("/admin/keys/{id}")).await["last_used_at"].clone();
    assert_eq!(last_used(id).await, Value::Null);
    let asked: Reply =
        gateway.send(Request::post("/v1/chat/completions", &question("gpt-4o")).bearer(&key)).await.assert_ok().clone();
    assert_eq!(asked.content(), "Hello from a");
    gateway.send(chat(&question("gpt-4o"))).await.assert_ok();
    assert!(last_used(id).await.is_string());
    assert_eq!(last_used(idle).await, Value::Null);
}
