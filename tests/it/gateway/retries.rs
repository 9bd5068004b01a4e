//! The only provider fails: whether it is asked again, when, and what the client hears.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{stage, stage_of};
use crate::support::{Dialect, Gateway, Script, Upstream, gateway::question};

fn with(mut body: Value, more: Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

#[tokio::test]
async fn a_failure_is_tried_again_as_often_as_the_request_says() {
    let (gateway, [a]) = stage(&[]).await;
    a.next(Script::error(500, "Oops")).next(Script::error(500, "Oops"));
    let reply = gateway.chat(with(question("gpt-4o"), json!({"retry_count": 2}))).await;
    assert_eq!(reply.assert_ok().content(), "Hello from a");
    assert_eq!(reply.header("x-orchestrator-attempts"), Some("3"));
    assert_eq!(a.calls(), 3);
    gateway.assert_row(json!({"status_code": 200, "attempts": 3, "error_code": null})).await;
}

#[tokio::test]
async fn a_retry_count_of_zero_is_exactly_one_attempt() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::error(500, "Oops"));
    let reply = gateway.chat(with(question("gpt-4o"), json!({"retry_count": 0}))).await;
    reply.assert_error(502, "upstream_error");
    assert_eq!(a.calls(), 1);
    gateway.assert_row(json!({"status_code": 502, "attempts": 1})).await;
}

#[tokio::test]
async fn an_error_tells_who_was_asked_last_and_how_often() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::error(500, "Oops"));
    let reply = gateway.chat(with(question("gpt-4o"), json!({"retry_count": 1}))).await;
    reply.assert_error(502, "upstream_error");
    assert_eq!(reply.header("x-orchestrator-provider"), Some("a"));
    assert_eq!(reply.header("x-orchestrator-model"), Some("gpt-4o"));
    assert_eq!(reply.header("x-orchestrator-attempts"), Some("2"));
}

#[tokio::test]
async fn without_a_retry_count_the_providers_own_holds() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    gateway.provider("a", "openai", &a, json!({"max_retries": 1})).await;
    a.always(Script::error(500, "Oops"));
    gateway.ask("gpt-4o").await.assert_error(502, "upstream_error");
    assert_eq!(a.calls(), 2);
    gateway.assert_row(json!({"status_code": 502, "attempts": 2})).await;
}

#[tokio::test]
async fn a_rate_limit_that_fits_the_deadline_is_waited_for() {
    let (gateway, [a]) = stage(&[]).await;
    a.next(Script::error(429, "Slow down").header("Retry-After", "1"));
    let reply = gateway.chat(with(question("gpt-4o"), json!({"retry_count": 1, "timeout": 20}))).await;
    assert_eq!(reply.assert_ok().content(), "Hello from a");
    assert!(reply.elapsed >= Duration::from_millis(950), "{:?}", reply.elapsed);
    let seen = a.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(950), "{:?}", seen[1].at - seen[0].at);
    gateway.assert_row(json!({"status_code": 200, "attempts": 2})).await;
}

#[tokio::test]
async fn a_wait_in_milliseconds_is_understood() {
    let (gateway, [a]) = stage(&[]).await;
    a.next(Script::error(429, "Slow down").header("retry-after-ms", "400"));
    let reply = gateway.chat(with(question("gpt-4o"), json!({"retry_count": 1, "timeout": 20}))).await;
    assert_eq!(reply.assert_ok().content(), "Hello from a");
    let seen = a.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(380), "{:?}", seen[1].at - seen[0].at);
}

#[tokio::test]
async fn a_rate_limit_that_does_not_fit_the_deadline_is_told_at_once() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::error(429, "Slow down, please").header("Retry-After", "30"));
    let reply = gateway.chat(with(question("gpt-4o"), json!({"retry_count": 3, "timeout": 5}))).await;
    reply.assert_error(429, "rate_limit_exceeded");
    assert_eq!(reply.error()["type"], "rate_limit_error");
    let wait: f64 = reply.header("retry-after").expect("a 429 says when to come back").parse().unwrap();
    assert!((25.0..=31.0).contains(&wait), "{wait}");
    assert!(reply.elapsed < Duration::from_secs(3), "{:?}", reply.elapsed);
    assert_eq!(a.calls(), 1);
    gateway.assert_row(json!({"status_code": 429, "error_code": "rate_limit_exceeded", "attempts": 1})).await;
}

#[tokio::test]
async fn a_rate_limit_without_a_hint_still_tells_the_client_when_to_come_back() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::error(429, "Slow down"));
    let reply = gateway.ask("gpt-4o").await;
    reply.assert_error(429, "rate_limit_exceeded");
    assert!(reply.header("retry-after").is_some());
}

#[tokio::test]
async fn a_spent_quota_is_not_tried_again() {
    let (gateway, [a]) = stage(&[]).await;
    let body = json!({"error": {"message": "You exceeded your current quota", "type": "insufficient_quota",
        "param": null, "code": "insufficient_quota"}});
    a.always(Script::json(429, &body));
    let reply = gateway.chat(with(question("gpt-4o"), json!({"retry_count": 3}))).await;
    reply.assert_error(429, "insufficient_quota");
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn an_overloaded_provider_is_service_unavailable_with_a_time_to_come_back() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::error(529, "Overloaded"));
    let reply = gateway.ask("gpt-4o").await;
    reply.assert_error(503, "service_unavailable");
    assert!(reply.header("retry-after").is_some());
    gateway.assert_row(json!({"status_code": 503, "error_code": "service_unavailable", "attempts": 1})).await;
}

#[tokio::test]
async fn a_refused_provider_key_is_a_bad_gateway_and_never_the_callers_fault() {
    for (status, dialect) in [401, 403].into_iter().flat_map(|status| Dialect::ALL.map(|dialect| (status, dialect))) {
        let (gateway, [a]) = stage_of(dialect, &[]).await;
        a.always(Script::json(status, &dialect.error(status, "Incorrect API key provided: sk-of-a")));
        let reply = gateway.chat(with(question(dialect.model()), json!({"retry_count": 3}))).await;
        reply.assert_error(502, "upstream_error");
        assert_eq!(reply.error()["details"]["reason"], "auth");
        assert!(!reply.text().contains("sk-of-a"), "no key leaks: {}", reply.text());
        assert_eq!(a.calls(), 1, "a key that was refused is refused again");
        let row = gateway.assert_row(json!({"status_code": 502, "error_code": "auth", "attempts": 1})).await;
        assert!(!row.to_string().contains("sk-of-a"), "{row}");
        assert!(!gateway.output().contains("sk-of-a"), "{}", gateway.output());
    }
}

#[tokio::test]
async fn the_providers_verdict_on_the_request_passes_with_its_status_and_message() {
    for status in [400, 413, 422] {
        let (gateway, [a, b]) = stage(&[]).await;
        let message = format!("What {status} means here");
        a.always(Script::error(status, &message));
        let reply = gateway.chat(with(question("gpt-4o"), json!({"retry_count": 3}))).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(reply.message(), message);
        assert_eq!((a.calls(), b.calls()), (1, 0), "{status} is the same everywhere");
        let health = gateway.health_of("a").await;
        assert_eq!(health["consecutive_failures"], 0, "{health}");
        assert_eq!(health["is_healthy"], true, "{health}");
        gateway.assert_row(json!({"status_code": status, "attempts": 1})).await;
    }
}

#[tokio::test]
async fn a_model_that_a_provider_does_not_know_is_asked_for_elsewhere_and_never_again_here() {
    let (gateway, [a, b]) = stage(&[]).await;
    a.always(Script::error(404, "The model `gpt-4o` does not exist"));
    let body = with(question("gpt-4o"), json!({"retry_count": 3}));
    assert_eq!(gateway.chat(body.clone()).await.assert_ok().content(), "Hello from b");
    assert_eq!(gateway.health_of("a").await["is_healthy"], true);
    let alone = gateway.chat(with(body, json!({"provider": "a"}))).await;
    assert_eq!(
        (alone.status, alone.message().as_str()),
        (404, "The model `gpt-4o` does not exist"),
        "{}",
        alone.text()
    );
    assert_eq!((a.calls(), b.calls()), (2, 1));
    let rows = gateway.logs(2).await;
    assert_eq!((&rows[1]["status_code"], &rows[1]["attempts"]), (&json!(404), &json!(1)), "{:#}", rows[1]);
}

#[tokio::test]
async fn the_providers_own_code_and_field_reach_the_client() {
    let (gateway, [a]) = stage(&[]).await;
    let error = json!({"message": "Use 'max_completion_tokens' instead.", "type": "invalid_request_error",
        "param": "max_tokens", "code": "unsupported_parameter"});
    a.always(Script::json(400, &json!({"error": error})));
    let reply = gateway.ask("gpt-4o").await;
    reply.assert_error(400, "unsupported_parameter");
    assert_eq!(reply.error()["param"], "max_tokens");
    assert_eq!(reply.error()["type"], "invalid_request_error");
}

#[tokio::test]
async fn a_request_that_the_client_asked_to_stream_fails_with_a_status_while_nothing_was_sent() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::error(500, "Oops"));
    let reply = gateway.ask_stream("gpt-4o").await;
    reply.assert_error(502, "upstream_error");
    gateway.assert_row(json!({"status_code": 502, "stream": true, "attempts": 1})).await;
}

/// A server that answers one request on each connection, promises to keep it open, and closes it when the next one comes.
async fn closes_reused_connections() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = vec![0; 64 * 1024];
                let read = client.read(&mut request).await.unwrap_or(0);
                let body = match request[..read].starts_with(b"GET") {
                    true => json!({"object": "list", "data": [{"id": "gpt-4o"}]}).to_string(),
                    false => Dialect::OpenAi.whole("Hello again").to_string(),
                };
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
                client.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
                let _next = client.read(&mut request).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_idled_is_nobodys_failure() {
    let gateway = Gateway::start().await;
    let address = closes_reused_connections().await;
    gateway.provider_at("a", "openai", &address, json!({"max_retries": 0})).await;
    for _ in 0..5 {
        let mut body = question("gpt-4o");
        body["retry_count"] = json!(0);
        let reply = gateway.chat(body).await;
        assert_eq!(reply.assert_ok().content(), "Hello again");
        assert_eq!(reply.header("x-orchestrator-attempts"), Some("1"));
    }
    assert_eq!(gateway.health_of("a").await["state"], "healthy");
}
