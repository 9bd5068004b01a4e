//! What a translation loses: what clients and operators are told of it, and what policies make of it.

use serde_json::{Value, json};

use super::stage_of;
use crate::support::{Dialect, Gateway, Reply, Upstream, gateway::chat, gateway::question};

/// A question to Anthropic's model, with these fields on top.
fn asking(fields: Value) -> Value {
    let mut body = question(Dialect::Anthropic.model());
    for (key, value) in fields.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

async fn under(gateway: &Gateway, policy: &str, fields: Value) -> Reply {
    gateway.send(chat(&asking(fields)).header("X-Orchestrator-Fidelity", policy)).await
}

#[tokio::test]
async fn a_receipt_tells_what_was_left_out_and_what_was_said_otherwise() {
    let (gateway, [_a]) = stage_of(Dialect::Anthropic, &[]).await;
    let reply = gateway.chat(asking(json!({"seed": 7, "temperature": 1.5, "user": "x"}))).await;
    assert_eq!(reply.assert_ok().header("x-orchestrator-dropped"), Some("seed"));
    assert_eq!(reply.header("x-orchestrator-approximated"), Some("temperature"));
    let row = gateway.assert_row(json!({"dropped": ["seed"], "approximated": ["temperature"]})).await;
    assert_eq!((&row["protocol"], &row["upstream_protocol"]), (&json!("openai_chat"), &json!("anthropic")));
    let found = async |filter: &str| gateway.admin_get(&format!("/admin/logs?{filter}")).await["total"].clone();
    assert_eq!(found("protocol=openai_chat&upstream_protocol=anthropic").await, 1);
    assert_eq!(found("upstream_protocol=gemini").await, 0);
}

#[tokio::test]
async fn a_stream_begins_with_the_same_receipt() {
    let (gateway, [_a]) = stage_of(Dialect::Gemini, &[]).await;
    let mut body = question(Dialect::Gemini.model());
    (body["stream"], body["verbosity"]) = (true.into(), "low".into());
    let reply = gateway.chat(body).await;
    assert_eq!(reply.assert_ok().header("x-orchestrator-dropped"), Some("verbosity"));
    assert_eq!(reply.header("x-orchestrator-approximated"), None);
    gateway.assert_row(json!({"dropped": ["verbosity"], "upstream_protocol": "gemini"})).await;
}

#[tokio::test]
async fn bytes_that_pass_leave_a_row_with_one_protocol_twice_and_no_loss() {
    let (gateway, [_a]) = stage_of(Dialect::OpenAi, &[]).await;
    gateway.ask("gpt-4o").await.assert_ok();
    let expected = json!({
        "dropped": [], "approximated": [], "protocol": "openai_chat", "upstream_protocol": "openai_chat",
    });
    gateway.assert_row(expected).await;
}

#[tokio::test]
async fn a_field_of_any_name_makes_a_receipt_that_a_header_can_hold() {
    let (gateway, [_a]) = stage_of(Dialect::Anthropic, &[]).await;
    let reply = gateway.chat(asking(json!({"a,b": 1, "é\r\nX-Evil: 1": 2}))).await;
    let expected = "a%2Cb,%C3%A9%0D%0AX-Evil:%201";
    assert_eq!(reply.assert_ok().header("x-orchestrator-dropped"), Some(expected));
    assert_eq!(reply.header("x-evil"), None);
    let many: serde_json::Map<String, Value> =
        (0..5000).map(|number| (format!("field_{number}_{}", "x".repeat(90)), json!(1))).collect();
    let reply = gateway.chat(asking(many.into())).await;
    let dropped = reply.assert_ok().header("x-orchestrator-dropped").unwrap_or_default();
    let (told, more) = dropped.split_once(",...+").unwrap_or_default();
    assert_eq!(told.split(',').count() + more.parse::<usize>().unwrap_or_default(), 5000, "{dropped}");
    assert!(dropped.len() < 2000, "{dropped}");
}

#[tokio::test]
async fn losses_are_counted_by_kind_and_by_the_protocols_between_which_they_happened() {
    let (gateway, [_a]) = stage_of(Dialect::Anthropic, &[]).await;
    gateway.chat(asking(json!({"seed": 7, "temperature": 1.5, "verbosity": "low"}))).await.assert_ok();
    gateway.chat(asking(json!({"n": 2}))).await.assert_error(400, "invalid_request");
    let text = gateway.admin("GET", "/metrics", Value::Null).await.assert_ok().text();
    for (kind, count) in [("dropped", 2), ("approximated", 1), ("refused", 1)] {
        let line = format!(
            "llm_orchestrator_losses_total{{kind=\"{kind}\",client_protocol=\"openai_chat\",upstream_protocol=\"anthropic\"}} {count}"
        );
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_request_names_its_policy() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    let strict = under(&gateway, "strict", json!({"seed": 7})).await;
    strict.assert_error(400, "invalid_request");
    assert!(strict.message().contains("seed"), "{}", strict.message());
    under(&gateway, "warn", json!({"seed": 7})).await.assert_ok();
    under(&gateway, "warn", json!({"n": 2})).await.assert_error(400, "invalid_request");
    assert_eq!(a.calls(), 1);
    let lenient = under(&gateway, "lenient", json!({"n": 2, "seed": 7})).await;
    assert_eq!(lenient.assert_ok().header("x-orchestrator-dropped"), Some("n,seed"));
    assert!(a.last().json().get("n").is_none());
    under(&gateway, "loose", json!({})).await.assert_error(400, "invalid_request");
}

#[tokio::test]
async fn content_that_cannot_be_shown_is_refused_under_every_policy() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    let sound = json!({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}});
    let messages = json!([{"role": "user", "content": [{"type": "text", "text": "What is this?"}, sound]}]);
    for policy in ["strict", "warn", "lenient"] {
        let reply = under(&gateway, policy, json!({"messages": messages})).await;
        reply.assert_error(400, "invalid_request");
        assert!(reply.message().contains("messages"), "{policy}: {}", reply.message());
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn the_configuration_has_a_policy_and_a_request_may_differ_from_it() {
    let (gateway, [_a]) = stage_of(Dialect::Anthropic, &[("ORCHESTRATOR_ROUTING_FIDELITY", "lenient")]).await;
    gateway.chat(asking(json!({"n": 2}))).await.assert_ok();
    under(&gateway, "warn", json!({"n": 2})).await.assert_error(400, "invalid_request");
}

#[tokio::test]
async fn a_key_has_a_policy_that_can_be_changed_and_a_strict_one_cannot_be_loosened_by_a_request() {
    let (gateway, [_a]) = stage_of(Dialect::Anthropic, &[]).await;
    let made = gateway.admin("POST", "/admin/keys", json!({"name": "team", "strict": true})).await.json();
    assert_eq!((&made["strict"], &made["fidelity"]), (&json!(true), &json!("strict")));
    let key = made["key"].as_str().unwrap();
    let ask = async |policy: Option<&str>| {
        let request = crate::support::Request::post("/v1/chat/completions", &asking(json!({"n": 2}))).bearer(key);
        let request =
            policy.into_iter().fold(request, |request, policy| request.header("X-Orchestrator-Fidelity", policy));
        gateway.send(request).await.status
    };
    assert_eq!((ask(None).await, ask(Some("lenient")).await), (400, 400));

    let target = format!("/admin/keys/{}", made["id"]);
    let changed = gateway.admin("PATCH", &target, json!({"fidelity": "lenient"})).await.assert_ok().json();
    assert_eq!((&changed["strict"], &changed["fidelity"]), (&json!(false), &json!("lenient")));
    assert_eq!((ask(None).await, ask(Some("warn")).await), (200, 400));
    let kept = gateway.admin("PATCH", &target, json!({"strict": false})).await.assert_ok().json();
    assert_eq!(kept["fidelity"], "lenient", "the older flag speaks of strictness only");
    gateway.admin("PATCH", &target, json!({"fidelity": null})).await.assert_ok();
    assert_eq!((ask(None).await, ask(Some("lenient")).await), (400, 200));
}

#[tokio::test]
async fn a_key_is_changed_field_by_field() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    gateway.provider("a", "openai", &a, json!({})).await;
    let made = gateway.admin("POST", "/admin/keys", json!({"name": "team", "fidelity": "warn"})).await.json();
    let (target, key) = (format!("/admin/keys/{}", made["id"]), made["key"].as_str().unwrap());
    let ask = async || {
        let request = crate::support::Request::post("/v1/chat/completions", &question("gpt-4o")).bearer(key);
        gateway.send(request).await.status
    };
    let change = async |body: Value| gateway.admin("PATCH", &target, body).await.assert_ok().json();
    assert_eq!(ask().await, 200);
    assert_eq!(change(json!({"enabled": false})).await["live"], false);
    assert_eq!(ask().await, 401);
    change(json!({"enabled": true, "allowed_models": ["claude-*"]})).await;
    assert_eq!(ask().await, 403);
    let changed = change(json!({"allowed_models": null, "name": "crew", "expires_at": "2999-01-01T00:00:00Z"})).await;
    assert_eq!((&changed["name"], &changed["fidelity"]), (&json!("crew"), &json!("warn")));
    assert_eq!(changed["expires_at"], "2999-01-01T00:00:00.000Z");
    assert_eq!(ask().await, 200);
    assert_eq!(change(json!({"expires_at": null})).await["expires_at"], Value::Null);
    assert_eq!(gateway.admin_get(&target).await["name"], "crew");
    for (body, expected) in [
        (json!({"name": null}), "`name` must not be empty"),
        (json!({"fidelity": "loose"}), "`fidelity`"),
        (json!({"fidelity": "warn", "strict": true}), "give one of them"),
        (json!({"expires_at": "2001-01-01"}), "must lie ahead"),
    ] {
        let reply = gateway.admin("PATCH", &target, body).await;
        reply.assert_error(400, "invalid_request");
        assert!(reply.message().contains(expected), "{}", reply.text());
    }
    gateway.admin("PATCH", "/admin/keys/999", json!({"enabled": false})).await.assert_error(404, "not_found");
}
