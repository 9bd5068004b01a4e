//! What every answer carries, whoever gave it.

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode},
    routing::get,
};
use http_body_util::BodyExt;
use llm_orchestrator::{
    config::ServerConfig,
    http::{
        middleware::{Around, RequestId},
        server::Handler,
    },
};
use serde_json::Value;

use crate::support::Routes;

async fn panics() -> &'static str {
    panic!("a secret inside")
}

async fn ask(request: axum::http::request::Builder, origins: &[&str]) -> Response<Body> {
    let router = Router::new()
        .route("/", get(|id: axum::Extension<RequestId>| async move { id.to_string() }))
        .route("/panic", get(panics));
    let config = ServerConfig {
        cors_origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
        ..ServerConfig::default()
    };
    Around::new(Routes(router), &config).handle(request.body(Body::empty()).unwrap()).await
}

fn get_path(path: &str) -> axum::http::request::Builder {
    Request::get(path).header("host", "here")
}

async fn json(response: Response<Body>) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn every_answer_has_the_id_that_its_handler_saw_and_the_time_it_took() {
    let response = ask(get_path("/"), &[]).await;
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let took: f64 = response.headers()["x-process-time"].to_str().unwrap().parse().unwrap();
    assert!(id.starts_with("req_") && id.len() == 36 && (0.0..5000.0).contains(&took), "{id} {took}");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), id.as_bytes());

    let response = ask(get_path("/nowhere").header("x-request-id", "mine"), &[]).await;
    assert_eq!(
        (response.status(), &response.headers()["x-request-id"]),
        (StatusCode::NOT_FOUND, &"mine".parse().unwrap())
    );
}

#[tokio::test]
async fn a_panic_is_an_error_that_tells_nothing() {
    let response = ask(get_path("/panic").header("x-request-id", "mine"), &[]).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = json(response).await;
    assert_eq!((&body["error"]["code"], &body["request_id"]), (&"internal_error".into(), &"mine".into()));
    assert!(!body.to_string().contains("secret"));
}

#[tokio::test]
async fn a_request_must_name_its_host_once() {
    let refused = [Request::get("/"), get_path("/").header("host", "there"), get_path("http://there/")];
    for request in refused {
        let response = ask(request, &[]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()["connection"], "close");
        assert!(json(response).await["error"]["message"].as_str().unwrap().to_lowercase().contains("host"));
    }
    assert_eq!(ask(get_path("http://here/"), &[]).await.status(), StatusCode::OK);
    assert_eq!(ask(Request::get("/").version(axum::http::Version::HTTP_10), &[]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_only_by_name() {
    let preflight = || {
        Request::options("/")
            .header("host", "here")
            .header("origin", "https://a.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,x-stainless-os")
    };
    let allowed = ask(preflight(), &["https://a.example"]).await;
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://a.example");
    assert_eq!(allowed.headers()["access-control-allow-headers"], "authorization,x-stainless-os");
    let header = "access-control-allow-origin";
    assert!(!ask(preflight(), &["https://b.example"]).await.headers().contains_key(header));
    assert!(!ask(preflight(), &[]).await.headers().contains_key(header));
    let refused = ask(get_path("/panic").header("origin", "https://a.example"), &["*"]).await;
    assert_eq!(refused.headers()[header], "*");
}
