//! Headers and fields that an operator adds to all requests to a provider.

use serde_json::{Value, json};

use super::refused;
use crate::support::{API_KEY, Gateway, Request, Script, Upstream, gateway::question};

#[tokio::test]
async fn added_headers_and_fields_reach_the_provider_where_the_client_said_nothing() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    let more = json!({
        "extra_headers": {"X-Team": "search", "OpenAI-Organization": "org-1"},
        "extra_body": {"service_tier": "flex", "provider": {"order": ["x"]}},
    });
    gateway.provider("a", "openai", &a, more).await;
    gateway.ask("gpt-4o").await.assert_ok();
    assert_eq!(a.last().header("x-team"), Some("search"));
    assert_eq!(a.last().header("openai-organization"), Some("org-1"));
    assert_eq!(a.last().header("authorization"), Some("Bearer sk-of-a"));
    assert_eq!(
        (&a.last().json()["service_tier"], &a.last().json()["provider"]["order"]),
        (&json!("flex"), &json!(["x"]))
    );
    let mut body = question("gpt-4o");
    body["service_tier"] = "default".into();
    gateway.chat(body).await.assert_ok();
    assert_eq!(a.last().json()["service_tier"], "default");
}

#[tokio::test]
async fn added_headers_go_with_the_question_for_models_too_and_may_hold_the_key() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    let more = json!({"api_key": null, "extra_headers": {"Authorization": "Basic abc"}});
    gateway.provider("a", "openai_compatible", &a, more).await;
    gateway.ask("any").await.assert_ok();
    assert_eq!(a.last().header("authorization"), Some("Basic abc"));
}

#[tokio::test]
async fn added_headers_are_masked_on_reads_kept_by_their_masks_and_sealed_at_rest() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    let secret = "token-0123456789-very-secret";
    let id = gateway.provider("a", "openai", &a, json!({"extra_headers": {"X-Key": secret, "X-Old": "1"}})).await;
    let target = format!("/admin/providers/{id}");
    let shown = gateway.admin_get(&target).await;
    assert_eq!(shown["extra_headers"], json!({"X-Key": "…cret", "X-Old": "…"}));
    let change = json!({"extra_headers": {"X-Key": shown["extra_headers"]["X-Key"], "X-New": "2"}});
    let changed = gateway.admin("PATCH", &target, change).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    gateway.ask("gpt-4o").await.assert_ok();
    assert_eq!(a.last().header("x-key"), Some(secret));
    assert_eq!((a.last().header("x-old"), a.last().header("x-new")), (None, Some("2")));
    for entry in std::fs::read_dir(gateway.folder()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
    a.next(Script::error(400, &format!("no {secret} here")));
    let reply = gateway.ask("gpt-4o").await;
    assert!(!reply.text().contains(secret), "{}", reply.text());
    let all = json!({"extra_headers": null, "extra_body": null, "options": null, "proxy": null});
    let cleared = gateway.admin("PATCH", &target, all).await.json();
    assert_eq!(
        (&cleared["extra_headers"], &cleared["extra_body"], &cleared["proxy"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    gateway.ask("gpt-4o").await.assert_ok();
    assert_eq!(a.last().header("x-key"), None);
}

#[tokio::test]
async fn a_client_cannot_reach_past_what_the_operator_added() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    gateway.provider("a", "openai", &a, json!({"extra_headers": {"X-Team": "search"}})).await;
    let request = Request::post("/v1/chat/completions", &question("gpt-4o")).bearer(API_KEY).header("X-Team", "other");
    gateway.send(request).await.assert_ok();
    assert_eq!(a.last().header("x-team"), Some("search"));
}

#[tokio::test]
async fn what_cannot_be_added_is_refused_with_the_field_that_is_to_blame() {
    let gateway = Gateway::start().await;
    let base = json!({"name": "x", "type": "openai", "api_key": "k"});
    for (field, value) in [
        ("extra_headers", json!({"Host": "x"})),
        ("extra_headers", json!({"Content-Length": "1"})),
        ("extra_headers", json!({"Authorization": "x"})),
        ("extra_headers", json!({"X-A": 1})),
        ("extra_headers", json!({"X-A": "…abcd"})),
        ("extra_body", json!({"model": "x"})),
        ("extra_body", json!({"stream": true})),
        ("proxy", json!("proxy:1")),
        ("proxy", json!("http://user:…@proxy:1")),
        ("api_key", json!({"client_id": "x"})),
    ] {
        let mut body = base.clone();
        body[field] = value;
        refused(&gateway, field, body).await;
    }
}
