//! The addresses that clients call besides the documented ones.

use serde_json::{Value, json};

use super::{stage, stage_of};
use crate::support::{API_KEY, Dialect, Request, Script, gateway::question};

#[tokio::test]
async fn openais_api_is_there_without_a_version_and_where_azures_newer_clients_look() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::json(200, &Dialect::OpenAi.whole("Hello")));
    for prefix in ["/v1", "", "/openai/v1"] {
        for path in
            ["/chat/completions", "/completions", "/embeddings", "/images/generations", "/audio/speech", "/moderations"]
        {
            let target = format!("{prefix}{path}?api-version=preview");
            let reply = gateway.send(Request::post(&target, &question("gpt-4o")).header("api-key", API_KEY)).await;
            reply.assert_ok();
            assert_eq!(a.last().path, format!("/v1{path}"), "{target}");
        }
    }
}

#[tokio::test]
async fn a_model_in_the_path_needs_none_in_the_body_and_wins_over_one() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::json(200, &Dialect::OpenAi.whole("Hello")));
    let mut body = question("other");
    for body in [body.clone(), {
        body.as_object_mut().unwrap().remove("model");
        body
    }] {
        for target in [
            "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
            "/openai/deployments/gpt-4o/completions?api-version=2023-05-15",
            "/openai/deployments/gpt-4o/embeddings?api-version=2023-05-15",
            "/openai/deployments/gpt-4o/images/generations?api-version=2024-10-21",
            "/openai/deployments/gpt-4o/audio/speech?api-version=2024-10-21",
            "/v1/engines/gpt-4o/completions",
            "/engines/gpt-4o/completions",
        ] {
            let reply = gateway.send(Request::post(target, &body).header("api-key", API_KEY)).await;
            assert_eq!(reply.assert_ok().header("x-orchestrator-model"), Some("gpt-4o"), "{target}");
            assert_eq!(a.last().json()["model"], "gpt-4o", "{target}");
            let sent = String::from_utf8(a.last().body).unwrap();
            assert_eq!(sent.matches("\"model\"").count(), 1, "{target}: {sent}");
            assert!(!a.last().path.contains("api-version"), "{}", a.last().path);
        }
    }
}

#[tokio::test]
async fn a_chat_at_azures_address_reaches_providers_of_any_protocol() {
    let (gateway, [_a]) = stage_of(Dialect::Anthropic, &[]).await;
    let body = json!({"messages": [{"role": "user", "content": "Say hello"}]});
    let target = "/openai/deployments/claude-sonnet-4-5/chat/completions?api-version=2024-10-21";
    let reply = gateway.send(Request::post(target, &body).header("api-key", API_KEY)).await;
    assert_eq!(reply.assert_ok().content(), "Hello from a");
    gateway.assert_row(json!({"model": "claude-sonnet-4-5", "status_code": 200})).await;
}

#[tokio::test]
async fn a_path_that_is_no_text_is_an_error_like_any_other() {
    let (gateway, [a]) = stage(&[]).await;
    for target in ["/openai/deployments/%FF/chat/completions", "/v1/engines/%FF/completions"] {
        let reply = gateway.send(Request::post(target, &question("x")).bearer(API_KEY)).await;
        reply.assert_error(400, "invalid_request");
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn a_greeting_is_answered_without_a_key() {
    let (gateway, [_a]) = stage(&[]).await;
    for target in ["/", "/api/hello"] {
        let reply = gateway.send(Request::get(target)).await;
        assert_eq!(reply.assert_ok().json()["status"], "healthy", "{target}");
        let mut head = crate::support::Raw::connect(gateway.address()).await;
        head.send(format!("HEAD {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await;
        let (answer, _) = head.end().await;
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{target}: {}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn a_large_header_is_taken() {
    let (gateway, [_a]) = stage(&[]).await;
    let large = "x".repeat(60_000);
    let request = Request::post("/v1/chat/completions", &question("gpt-4o")).bearer(API_KEY);
    gateway.send(request.header("x-codex-turn-metadata", &large)).await.assert_ok();
}

#[tokio::test]
async fn every_operation_is_documented() {
    let (gateway, [_a]) = stage(&[]).await;
    let document = gateway.send(Request::get("/openapi.json")).await.assert_ok().json();
    for (path, method) in [
        ("/v1/completions", "post"),
        ("/v1/embeddings", "post"),
        ("/v1/images/generations", "post"),
        ("/v1/images/edits", "post"),
        ("/v1/audio/speech", "post"),
        ("/v1/audio/transcriptions", "post"),
        ("/v1/audio/translations", "post"),
        ("/v1/moderations", "post"),
        ("/v1/rerank", "post"),
        ("/v1/files", "get"),
        ("/v1/files", "post"),
        ("/v1/files/{id}", "delete"),
        ("/v1/files/{id}/content", "get"),
        ("/v1/batches", "post"),
        ("/v1/batches/{id}", "get"),
        ("/v1/batches/{id}/cancel", "post"),
    ] {
        let operation: &Value = &document["paths"][path][method];
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{method} {path}");
    }
}
