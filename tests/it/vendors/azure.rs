//! Azure OpenAI.

use serde_json::{Value, json};

use super::{grant, refused};
use crate::support::{Gateway, Script, Upstream};

fn application() -> Value {
    json!({"tenant_id": "tenant-1", "client_id": "app-1", "client_secret": "secret-of-app-1"})
}

#[tokio::test]
async fn the_model_is_the_deployment_in_the_path_and_the_key_has_a_header_of_its_own() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    gateway.provider("a", "azure", &a, json!({})).await;
    gateway.ask("my-gpt").await.assert_ok();
    assert_eq!(a.last().path, "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21");
    assert_eq!((a.last().header("api-key"), a.last().header("authorization")), (Some("sk-of-a"), None));
    gateway.ask_stream("my-gpt").await.assert_ok();
}

#[tokio::test]
async fn versions_and_base_urls_choose_the_form_of_the_path() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    for (base, options, path) in [
        (
            "/openai",
            json!({"api_version": "2025-04-01-preview"}),
            "/openai/deployments/m/chat/completions?api-version=2025-04-01-preview",
        ),
        ("", json!({"api_version": "v1"}), "/openai/v1/chat/completions"),
        ("", json!({"api_version": "preview"}), "/openai/v1/chat/completions?api-version=preview"),
        ("/openai/v1/", json!({}), "/openai/v1/chat/completions"),
        ("/models", json!({}), "/models/chat/completions?api-version=2024-05-01-preview"),
    ] {
        let base = format!("{}{base}", a.url());
        let id = gateway.provider_at("a", "azure", &base, json!({"options": options})).await;
        gateway.ask("m").await.assert_ok();
        assert_eq!(a.last().path, path);
        assert_eq!(a.last().json()["model"], "m");
        gateway.admin("DELETE", &format!("/admin/providers/{id}"), Value::Null).await;
    }
}

#[tokio::test]
async fn deployments_are_listed_and_not_what_could_be_deployed() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    a.lists(&["my-gpt"]);
    let id = gateway.provider("a", "azure", &a, json!({})).await;
    let listed = gateway.admin_get(&format!("/admin/providers/{id}/models")).await;
    assert!(listed.to_string().contains("my-gpt"), "{listed}");
}

#[tokio::test]
async fn an_applications_token_is_fetched_once_for_all_who_ask() {
    let (gateway, a, entra) = (Gateway::start().await, Upstream::start("a").await, Upstream::start("entra").await);
    entra.always(grant("token-1"));
    let more = json!({"api_key": application(), "options": {"authority": entra.url()}});
    let id = gateway.provider("a", "azure", &a, more).await;
    let asked = futures_util::future::join_all((0..8).map(|_| gateway.ask("my-gpt"))).await;
    assert!(asked.iter().all(|reply| reply.status == 200));
    assert_eq!((a.last().header("authorization"), a.last().header("api-key")), (Some("Bearer token-1"), None));
    assert_eq!(entra.calls(), 1, "the list of models and all requests share one token");
    let seen = entra.last();
    assert_eq!(seen.path, "/tenant-1/oauth2/v2.0/token");
    for (name, value) in [
        ("grant_type", "client_credentials"),
        ("client_id", "app-1"),
        ("client_secret", "secret-of-app-1"),
        ("scope", "https://cognitiveservices.azure.com/.default"),
    ] {
        assert_eq!(seen.field(name).as_deref(), Some(value), "{name}");
    }
    let shown = gateway.admin_get(&format!("/admin/providers/{id}")).await;
    assert_eq!(shown["api_key"], "…app-1");
    assert!(!shown.to_string().contains("secret-of-app-1"));
}

#[tokio::test]
async fn a_token_that_the_provider_refuses_is_not_used_again() {
    let (gateway, a, entra) = (Gateway::start().await, Upstream::start("a").await, Upstream::start("entra").await);
    entra.next(grant("token-1")).always(grant("token-2"));
    let more = json!({"api_key": application(), "options": {"authority": entra.url()}, "max_retries": 0});
    gateway.provider("a", "azure", &a, more).await;
    a.next(Script::error(401, "The token has been revoked"));
    gateway.ask("my-gpt").await.assert_error(502, "upstream_error");
    gateway.ask("my-gpt").await.assert_ok();
    assert_eq!(a.last().header("authorization"), Some("Bearer token-2"));
}

#[tokio::test]
async fn a_refusal_to_give_a_token_fails_over_and_says_why_without_the_secret() {
    let (gateway, a, entra) = (Gateway::start().await, Upstream::start("a").await, Upstream::start("entra").await);
    let b = Upstream::start("b").await;
    let said = "AADSTS7000215: Invalid client secret secret-of-app-1 provided";
    entra.always(Script::json(401, &json!({"error": "invalid_client", "error_description": said})));
    let more = json!({"api_key": application(), "options": {"authority": entra.url()}, "priority": 500});
    gateway.provider_at("a", "azure", &a.url(), more).await;
    let alone = gateway.ask("a:gpt-4o").await;
    alone.assert_error(502, "upstream_error");
    assert!(
        alone.message().contains("invalid_client") && !alone.text().contains("secret-of-app-1"),
        "{}",
        alone.text()
    );
    assert_eq!(a.calls(), 0);
    gateway.provider("b", "openai", &b, json!({})).await;
    assert_eq!(gateway.ask("gpt-4o").await.assert_ok().json()["provider"], "b");
}

#[tokio::test]
async fn each_providers_credentials_go_to_its_own_authority_only() {
    let gateway = Gateway::start().await;
    let mut services = Vec::new();
    for name in ["one", "two"] {
        let (a, entra) = (Upstream::start(name).await, Upstream::start("entra").await);
        entra.always(grant(&format!("token-of-{name}")));
        let key = json!({"tenant_id": "t", "client_id": name, "client_secret": format!("secret-of-{name}")});
        gateway.provider(name, "azure", &a, json!({"api_key": key, "options": {"authority": entra.url()}})).await;
        services.push((name, a, entra));
    }
    for (name, a, entra) in &services {
        gateway.ask(&format!("{name}:m")).await.assert_ok();
        assert_eq!(a.last().header("authorization"), Some(&*format!("Bearer token-of-{name}")));
        assert!(entra.seen().iter().all(|seen| seen.field("client_id").as_deref() == Some(name)));
    }
}

#[tokio::test]
async fn a_token_that_somebody_else_fetched_goes_as_it_is() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    gateway.provider("a", "azure", &a, json!({"api_key": "eyJ.token", "options": {"auth": "entra_token"}})).await;
    gateway.ask("m").await.assert_ok();
    assert_eq!((a.last().header("authorization"), a.last().header("api-key")), (Some("Bearer eyJ.token"), None));
}

#[tokio::test]
async fn what_is_wrong_with_a_resource_is_said_when_it_is_configured() {
    let gateway = Gateway::start().await;
    refused(&gateway, "base_url", json!({"name": "x", "type": "azure", "api_key": "k"})).await;
    let base = json!({"name": "x", "type": "azure", "api_key": "k", "base_url": "http://127.0.0.1:1"});
    for (field, value) in [
        ("options", json!({"api-version": "2024-10-21"})),
        ("options", json!({"api_version": 2024})),
        ("options", json!({"auth": "magic"})),
        ("api_key", json!({"client_id": "app"})),
    ] {
        let mut body = base.clone();
        body[field] = value;
        refused(&gateway, field, body).await;
    }
}
