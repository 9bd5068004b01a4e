//! Model configurations, and which provider serves which model.

use serde_json::{Value, json};

use super::stage;
use crate::support::{Gateway, Upstream};

async fn created(gateway: &Gateway, target: &str, body: Value) -> Value {
    let reply = gateway.admin("POST", target, body).await;
    assert_eq!(reply.status, 201, "{target}: {}", reply.text());
    reply.json()
}

#[tokio::test]
async fn a_model_is_made_read_changed_and_deleted() {
    let gateway = Gateway::start().await;
    let body = json!({"name": "house", "aliases": ["default"], "description": "Ours", "max_output_tokens": 4096,
        "metadata": {"tier": "gold"}});
    let model = created(&gateway, "/admin/models", body.clone()).await;
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&model[field], value, "{field}");
    }
    assert_eq!(model["enabled"], true);
    let target = format!("/admin/models/{}", model["id"]);
    assert_eq!(gateway.admin_get(&target).await, model);
    let listed = gateway.admin_get("/admin/models").await;
    assert!(listed.as_array().is_some_and(|rows| rows.iter().any(|row| row["name"] == "house")), "{listed}");
    for method in ["PATCH", "PUT"] {
        let changed = gateway.admin(method, &target, json!({"description": method})).await;
        assert_eq!(changed.assert_ok().json()["description"], method);
        assert_eq!(changed.json()["max_output_tokens"], 4096);
    }
    let cleared = gateway.admin("PATCH", &target, json!({"description": null, "max_output_tokens": null})).await;
    assert_eq!(cleared.assert_ok().json()["description"], Value::Null);
    assert_eq!(gateway.admin("DELETE", &target, Value::Null).await.status, 204);
    gateway.admin("GET", &target, Value::Null).await.assert_error(404, "not_found");
}

#[tokio::test]
async fn a_wrong_model_is_refused_by_name() {
    let gateway = Gateway::start().await;
    created(&gateway, "/admin/models", json!({"name": "house"})).await;
    for (body, name) in [
        (json!({}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": "house"}), "house"),
        (json!({"name": "x", "aliases": "y"}), "aliases"),
        (json!({"name": "x", "max_output_tokens": 0}), "max_output_tokens"),
        (json!({"name": "x", "colour": "blue"}), "colour"),
    ] {
        let reply = gateway.admin("POST", "/admin/models", body.clone()).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        assert!(reply.message().contains(name), "{body}: {}", reply.message());
    }
}

#[tokio::test]
async fn an_association_is_made_read_changed_and_deleted() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    a.lists(&["gpt-4o", "gpt-4o-mini"]);
    let provider = gateway.provider("a", "openai", &a, json!({})).await;
    let model = created(&gateway, "/admin/models", json!({"name": "house"})).await;
    let body = json!({"model_id": model["id"], "provider_id": provider, "upstream_name": "gpt-4o", "weight": 7});
    let link = created(&gateway, "/admin/model-providers", body.clone()).await;
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&link[field], value, "{field}");
    }
    for (field, value) in [("enabled", true), ("tool_call", true), ("structured_output", true), ("image", true)] {
        assert_eq!(link[field], value, "{field} of {link}");
    }
    let target = format!("/admin/model-providers/{}", link["id"]);
    assert_eq!(gateway.admin_get(&target).await, link);
    let changed = gateway.admin("PATCH", &target, json!({"upstream_name": "gpt-4o-mini"})).await;
    assert_eq!(changed.assert_ok().json()["weight"], 7);
    gateway.ask("house").await.assert_ok();
    assert_eq!(a.last().json()["model"], "gpt-4o-mini", "a change takes effect at once");
    gateway
        .admin(
            "POST",
            "/admin/model-providers",
            json!({"model_id": 999, "provider_id": provider, "upstream_name": "x"}),
        )
        .await
        .assert_error(400, "invalid_request");
    assert_eq!(gateway.admin("DELETE", &target, Value::Null).await.status, 204);
    gateway.ask("house").await.assert_error(404, "not_found");
}

#[tokio::test]
async fn a_provider_that_cannot_do_what_is_asked_is_passed_over() {
    let (gateway, [a, b]) = stage(&[]).await;
    let model = created(&gateway, "/admin/models", json!({"name": "house"})).await;
    let providers = gateway.admin_get("/admin/providers").await;
    for (provider, capable) in [(&providers[0], false), (&providers[1], true)] {
        let body = json!({"model_id": model["id"], "provider_id": provider["id"], "upstream_name": "m", "tool_call": capable,
            "structured_output": capable, "image": capable});
        created(&gateway, "/admin/model-providers", body).await;
    }
    assert_eq!(gateway.ask("house").await.assert_ok().content(), "Hello from a");
    let tool =
        json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}});
    let image = json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]);
    let schema =
        json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object", "properties": {}}}});
    for (field, value) in [
        ("tools", json!([tool])),
        ("response_format", schema),
        ("messages", json!([{"role": "user", "content": image}])),
    ] {
        let mut body = crate::support::gateway::question("house");
        body[field] = value;
        assert_eq!(gateway.chat(body).await.assert_ok().content(), "Hello from b", "{field}");
    }
    assert_eq!((a.calls(), b.calls()), (1, 3));
}

#[tokio::test]
async fn deleting_a_model_or_a_provider_takes_its_associations_along() {
    let (gateway, [_a, _b]) = stage(&[]).await;
    let providers = gateway.admin_get("/admin/providers").await;
    let model = created(&gateway, "/admin/models", json!({"name": "house"})).await;
    for provider in providers.as_array().unwrap() {
        let body = json!({"model_id": model["id"], "provider_id": provider["id"], "upstream_name": "m"});
        created(&gateway, "/admin/model-providers", body).await;
    }
    let count = async || gateway.admin_get("/admin/model-providers").await.as_array().map(Vec::len);
    assert_eq!(count().await, Some(2));
    gateway.admin("DELETE", &format!("/admin/providers/{}", providers[0]["id"]), Value::Null).await;
    assert_eq!(count().await, Some(1));
    gateway.admin("DELETE", &format!("/admin/models/{}", model["id"]), Value::Null).await;
    assert_eq!(count().await, Some(0));
}

#[tokio::test]
async fn a_disabled_model_is_not_served() {
    let (gateway, [a]) = stage(&[]).await;
    let model = created(&gateway, "/admin/models", json!({"name": "gpt-4o", "enabled": false})).await;
    gateway.ask("gpt-4o").await.assert_error(404, "not_found");
    assert_eq!(a.calls(), 0);
    gateway.admin("PATCH", &format!("/admin/models/{}", model["id"]), json!({"enabled": true})).await.assert_ok();
    gateway.ask("gpt-4o").await.assert_ok();
}
