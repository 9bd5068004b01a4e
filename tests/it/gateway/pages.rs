//! Health, version and documentation pages, the list of models, and what every answer carries.

use serde_json::{Value, json};

use super::stage;
use crate::support::{
    API_KEY, Gateway, Request, Upstream,
    gateway::{chat, question},
};

#[tokio::test]
async fn health_pages_answer_without_a_key() {
    let gateway = Gateway::start().await;
    for target in ["/health", "/healthz"] {
        let reply = gateway.send(Request::get(target)).await;
        assert_eq!(reply.assert_ok().json(), json!({"status": "healthy", "service": "llm-orchestrator"}));
    }
}

#[tokio::test]
async fn readiness_tells_whether_a_request_could_be_served() {
    let gateway = Gateway::start().await;
    let reply = gateway.send(Request::get("/readyz")).await;
    assert_eq!(reply.status, 503, "nothing can be served without a provider: {}", reply.text());
    let a = Upstream::start("a").await;
    gateway.provider("a", "openai", &a, json!({})).await;
    gateway.send(Request::get("/readyz")).await.assert_ok();
}

#[tokio::test]
async fn the_version_page_names_the_version() {
    let gateway = Gateway::start().await;
    let reply = gateway.send(Request::get("/version")).await;
    assert_eq!(reply.assert_ok().json()["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn the_documentation_is_there_and_names_every_page() {
    let gateway = Gateway::start().await;
    let page = gateway.send(Request::get("/docs")).await;
    let page = match page.header("location") {
        Some(target) => gateway.send(Request::get(target)).await,
        None => page,
    };
    assert!(page.assert_ok().header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    let document = gateway.send(Request::get("/openapi.json")).await;
    let document = document.assert_ok().json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    for path in [
        "/v1/chat/completions",
        "/v1/models",
        "/health",
        "/readyz",
        "/version",
        "/admin/providers",
        "/admin/providers/{id}",
        "/admin/providers/{id}/models",
        "/admin/providers/{id}/models/import",
        "/admin/providers/{id}/test",
        "/admin/models",
        "/admin/model-providers",
        "/admin/health",
        "/admin/stats",
        "/admin/logs",
        "/admin/verify",
    ] {
        assert!(document["paths"][path].is_object(), "{path} is not documented");
    }
}

#[tokio::test]
async fn an_unknown_page_and_a_wrong_method_are_json_errors() {
    let gateway = Gateway::start().await;
    for target in ["/nowhere", "/v1/nowhere", "/v1", "/admin/nowhere", "/v2/chat/completions"] {
        let reply = gateway.send(Request::get(target).bearer(API_KEY)).await;
        assert!([403, 404].contains(&reply.status), "{target}: {}", reply.text());
        reply.assert_error(reply.status, if reply.status == 404 { "not_found" } else { "forbidden" });
    }
    for (method, target) in [("GET", "/v1/chat/completions"), ("DELETE", "/v1/models"), ("POST", "/health")] {
        let reply = gateway.send(Request::new(method, target).bearer(API_KEY)).await;
        reply.assert_error(405, "method_not_allowed");
        assert!(reply.header("allow").is_some(), "{method} {target}");
    }
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_any_other_replaced() {
    let (gateway, [_a]) = stage(&[]).await;
    for id in ["abc", "req_1.2:3-4", &"x".repeat(128)] {
        let reply = gateway.send(Request::get("/healthz").header("X-Request-ID", id)).await;
        assert_eq!(reply.header("x-request-id"), Some(id));
    }
    for id in ["", "two words", "<script>", "a,b", "ä", &"x".repeat(129)] {
        let reply = gateway.send(Request::get("/healthz").header("X-Request-ID", id)).await;
        let fresh = reply.header("x-request-id").expect("every answer has one");
        assert!(fresh != id && fresh.starts_with("req_") && fresh.len() > 20, "{id:?}: {fresh:?}");
    }
    gateway.send(chat(&question("gpt-4o")).header("X-Request-ID", "trace-me")).await.assert_ok();
    gateway.assert_row(json!({"request_id": "trace-me", "endpoint": "/v1/chat/completions", "method": "POST"})).await;
}

#[tokio::test]
async fn every_answer_carries_an_id_and_the_time_it_took() {
    let (gateway, [_a]) = stage(&[]).await;
    let mut streamed = question("gpt-4o");
    streamed["stream"] = true.into();
    let requests = [
        (200, Request::get("/healthz")),
        (200, Request::get("/openapi.json")),
        (404, Request::get("/nowhere")),
        (405, Request::new("DELETE", "/healthz")),
        (401, Request::get("/v1/models")),
        (401, Request::get("/admin/providers")),
        (200, chat(&question("gpt-4o"))),
        (200, chat(&streamed)),
        (400, chat(&json!({}))),
    ];
    for (status, request) in requests {
        let reply = gateway.send(request).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert!(reply.header("x-request-id").is_some_and(|id| !id.is_empty()), "{status}");
        let took = reply.header("x-process-time").expect("every answer has an X-Process-Time");
        assert!(took.parse::<f64>().is_ok_and(|ms| (0.0..60_000.0).contains(&ms)), "{took}");
    }
}

#[tokio::test]
async fn a_chat_answer_says_who_served_it() {
    let (gateway, [_a]) = stage(&[]).await;
    let reply = gateway.ask("gpt-4o").await;
    assert_eq!(reply.assert_ok().header("x-orchestrator-provider"), Some("a"));
    assert_eq!(reply.header("x-orchestrator-model"), Some("gpt-4o"));
    assert_eq!(reply.header("x-orchestrator-attempts"), Some("1"));
    let body = reply.json();
    assert_eq!(body["provider"], "a");
    assert!(body["latency_ms"].is_u64(), "{body}");
    let row = gateway.assert_row(json!({"model": "gpt-4o", "upstream_model": "gpt-4o", "status_code": 200})).await;
    assert!(row["latency_ms"].is_number() && row["created_at"].is_string(), "{row}");
}

#[tokio::test]
async fn the_models_are_listed_and_each_has_its_page() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    a.lists(&["gpt-4o", "org/llama3:8b"]);
    gateway.provider("a", "openai", &a, json!({})).await;
    let list = gateway.get("/v1/models").await;
    let list = list.assert_ok().json();
    assert_eq!(list["object"], "list");
    let rows = list["data"].as_array().unwrap();
    for id in ["a:gpt-4o", "a:org/llama3:8b"] {
        let row = rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("{id} is not in {list}"));
        assert_eq!(row["object"], "model");
        assert!(row["created"].is_u64() && row["owned_by"].is_string(), "{row}");
        let page = gateway.get(&format!("/v1/models/{id}")).await;
        assert_eq!(page.assert_ok().json(), *row);
        let plain = gateway.get(&format!("/v1/models/{}", &id[2..])).await;
        assert_eq!(plain.assert_ok().json()["id"], id[2..]);
    }
    let encoded = gateway.get("/v1/models/org%2Fllama3%3A8b").await;
    assert_eq!(encoded.assert_ok().json()["id"], "org/llama3:8b");
    let served = gateway.ask("a:org/llama3:8b").await;
    assert_eq!(served.assert_ok().content(), "Hello from a", "what is listed can be asked for");
    gateway.get("/v1/models/%FF").await.assert_error(400, "invalid_request");
    let missing = gateway.get("/v1/models/no-such-model").await;
    missing.assert_error(404, "not_found");
    assert!(missing.message().contains("no-such-model"), "{}", missing.message());
}

#[tokio::test]
async fn origins_that_are_allowed_get_their_headers() {
    let gateway = Gateway::with(&[("CORS_ORIGINS", "https://ui.example")]).await;
    let preflight = Request::new("OPTIONS", "/v1/chat/completions")
        .header("Origin", "https://ui.example")
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "authorization,content-type");
    let reply = gateway.send(preflight).await;
    assert!([200, 204].contains(&reply.status), "{}", reply.status);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://ui.example"));
    let other = gateway.send(Request::get("/healthz").header("Origin", "https://evil.example")).await;
    assert_ne!(other.header("access-control-allow-origin"), Some("https://evil.example"));
    let default = Gateway::start().await;
    let reply = default.send(Request::get("/healthz").header("Origin", "https://ui.example")).await;
    assert_eq!(reply.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn operators_alone_see_what_is_counted() {
    let (gateway, [_a]) = stage(&[]).await;
    gateway.ask("gpt-4o").await.assert_ok();
    gateway.logs(1).await;
    assert_eq!(gateway.get("/metrics").await.status, 403);
    let counted = gateway.admin("GET", "/metrics", Value::Null).await;
    let text = counted.assert_ok().text().to_owned();
    for line in [
        "llm_orchestrator_requests_total{provider=\"a\",model=\"gpt-4o\",status=\"200\",stream=\"0\"} 1",
        "llm_orchestrator_tokens_total{provider=\"a\",model=\"gpt-4o\",kind=\"input\"}",
        "llm_orchestrator_log_rows_total{state=\"dropped\"} 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
