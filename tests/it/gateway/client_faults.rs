//! Clients that are slow, gone, greedy or wrong.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{stage, stage_of};
use crate::support::{
    API_KEY, Dialect, Gateway, Raw, Request, Script, Upstream,
    gateway::{chat, question},
};

/// How soon the upstream must see that the client left. The promise is 100 ms; a busy machine gets more.
const SOON: Duration = Duration::from_millis(1000);

fn request(stream: bool) -> Vec<u8> {
    let mut body = question("gpt-4o");
    body["stream"] = stream.into();
    chat(&body).bytes()
}

#[derive(Clone, Copy, Debug)]
enum Leave {
    Close,
    Reset,
}

impl Leave {
    fn go(self, raw: Raw) -> Instant {
        let now = Instant::now();
        match self {
            Self::Close => drop(raw),
            Self::Reset => raw.reset(),
        }
        now
    }
}

async fn the_upstream_is_let_go(gateway: &Gateway, a: &Upstream, left: Instant, case: &str) {
    let closed = a.last().closed().await;
    let took = closed.saturating_duration_since(left);
    assert!(took < SOON, "{case}: the upstream was held for {took:?}");
    gateway
        .assert_row(json!({"status_code": 499, "error_code": "client_closed", "attempts": 1, "provider_name": "a"}))
        .await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_takes_the_upstream_with_it() {
    for stream in [false, true] {
        for leave in [Leave::Close, Leave::Reset] {
            let (gateway, [a, b]) = stage(&[]).await;
            a.always(Script::silent());
            let mut raw = Raw::connect(gateway.address()).await;
            raw.send(&request(stream)).await;
            a.call(1).await;
            let left = leave.go(raw);
            the_upstream_is_let_go(&gateway, &a, left, &format!("{leave:?}, stream {stream}")).await;
            assert_eq!(b.calls(), 0, "nobody is asked for a client that left");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_stream_takes_the_upstream_with_it() {
    for dialect in Dialect::ALL {
        for leave in [Leave::Close, Leave::Reset] {
            let (gateway, [a]) = stage_of(dialect, &[]).await;
            a.always(Script::sse(&dialect.begun(&["Hello"])).then_stall());
            let mut body = question(dialect.model());
            body["stream"] = true.into();
            let mut raw = Raw::connect(gateway.address()).await;
            raw.send(&chat(&body).bytes()).await;
            raw.until("Hello").await;
            let left = leave.go(raw);
            the_upstream_is_let_go(&gateway, &a, left, &format!("{dialect:?}, {leave:?}")).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_a_whole_body_arrives_takes_the_upstream_with_it() {
    let (gateway, [a]) = stage(&[]).await;
    let script = Script::bytes(200, "application/json", "{\"id\":").header("Content-Length", "1000");
    a.always(script.then_stall());
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(&request(false)).await;
    a.call(1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let left = Leave::Close.go(raw);
    the_upstream_is_let_go(&gateway, &a, left, "whole body").await;
}

#[tokio::test]
async fn a_client_that_sent_more_and_leaves_takes_the_upstream_with_it() {
    for stream in [false, true] {
        for leave in [Leave::Close, Leave::Reset] {
            let (gateway, [a]) = stage(&[]).await;
            a.always(Script::silent());
            let mut raw = Raw::connect(gateway.address()).await;
            raw.send(&[request(stream), Request::get("/healthz").bytes()].concat()).await;
            a.call(1).await;
            let left = leave.go(raw);
            the_upstream_is_let_go(&gateway, &a, left, &format!("pipelined, {leave:?}, stream {stream}")).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_a_retry_is_waited_for_ends_the_request() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::error(429, "Slow down").header("Retry-After", "2"));
    let mut body = question("gpt-4o");
    body["retry_count"] = json!(3);
    body["timeout"] = json!(30);
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(&chat(&body).bytes()).await;
    a.call(1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(raw);
    gateway.assert_row(json!({"status_code": 499, "error_code": "client_closed", "attempts": 1})).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(a.calls(), 1, "nobody is asked for a client that left");
}

#[tokio::test]
async fn a_client_that_leaves_is_not_held_against_the_provider() {
    let (gateway, [a]) = stage(&[("HEALTH_CHECK_MAX_ERRORS", "1")]).await;
    a.always(Script::silent());
    for number in 1..=3 {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(&request(false)).await;
        a.call(number).await;
        drop(raw);
    }
    gateway.logs(3).await;
    assert_eq!(gateway.health_of("a").await["is_healthy"], true);
    a.heal();
    gateway.ask("gpt-4o").await.assert_ok();
}

#[tokio::test]
async fn a_client_that_never_reads_is_let_go_in_the_end() {
    let (gateway, [a]) = stage(&[("ORCHESTRATOR_SERVER_WRITE_STALL_TIMEOUT", "1")]).await;
    let frames: Vec<String> = (0..400).map(|_| Dialect::OpenAi.piece(&"x".repeat(100_000))).collect();
    a.always(Script::sse(&[Dialect::OpenAi.preamble(), frames].concat()).then_stall());
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(&request(true)).await;
    a.call(1).await.closed().await;
    gateway.assert_row(json!({"attempts": 1, "stream": true})).await;
    drop(raw);
}

#[tokio::test]
async fn a_slow_header_is_cut_off() {
    let gateway = Gateway::with(&[("ORCHESTRATOR_SERVER_HEADER_TIMEOUT", "1")]).await;
    let mut raw = Raw::connect(gateway.address()).await;
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Slow: {}", "y".repeat(100));
    raw.trickle(head.as_bytes(), Duration::from_millis(30)).await;
    let (_, elapsed) = raw.end().await;
    assert!(elapsed < Duration::from_secs(6), "{elapsed:?}");
    gateway.send(Request::get("/healthz")).await.assert_ok();
}

#[tokio::test]
async fn a_slow_body_is_a_request_timeout_and_nobody_is_asked() {
    let (gateway, [a]) = stage(&[("ORCHESTRATOR_SERVER_BODY_TIMEOUT", "1")]).await;
    let bytes = request(false);
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(&bytes[..bytes.len() - 10]).await;
    let reply = raw.reply().await;
    reply.assert_error(408, "request_timeout");
    assert!(reply.elapsed < Duration::from_secs(6), "{:?}", reply.elapsed);
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_body_asks_nobody() {
    let (gateway, [a]) = stage(&[]).await;
    let bytes = request(false);
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(&bytes[..bytes.len() - 10]).await;
    drop(raw);
    gateway.ask("gpt-4o").await.assert_ok();
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_before_it_is_sent() {
    let (gateway, [a]) = stage(&[("ORCHESTRATOR_SERVER_MAX_BODY_BYTES", "100000")]).await;
    let mut raw = Raw::connect(gateway.address()).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n"
    );
    raw.send(head.as_bytes()).await;
    raw.reply().await.assert_error(413, "payload_too_large");
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn a_chunked_body_is_refused_as_soon_as_it_is_too_large() {
    let (gateway, [a]) = stage(&[("ORCHESTRATOR_SERVER_MAX_BODY_BYTES", "100000")]).await;
    let mut raw = Raw::connect(gateway.address()).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    raw.send(head.as_bytes()).await;
    let chunk = format!("{:x}\r\n{}\r\n", 60_000, " ".repeat(60_000));
    raw.send(chunk.as_bytes()).await;
    raw.send(chunk.as_bytes()).await;
    raw.reply().await.assert_error(413, "payload_too_large");
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn a_chunked_body_within_the_limit_is_read() {
    let (gateway, [_a]) = stage(&[]).await;
    let body = question("gpt-4o").to_string();
    let (first, rest) = body.split_at(body.len() / 2);
    let mut raw = Raw::connect(gateway.address()).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let chunks = format!("{:x}\r\n{first}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n", first.len(), rest.len());
    raw.send(format!("{head}{chunks}").as_bytes()).await;
    raw.reply().await.assert_ok();
}

/// A body that is not a request: refused with a reason, and no upstream is asked.
async fn is_refused(body: impl Into<Vec<u8>>, names: &str) {
    let (gateway, [a]) = stage(&[]).await;
    let request =
        Request::new("POST", "/v1/chat/completions").bearer(API_KEY).header("Content-Type", "application/json");
    let reply = gateway.send(request.body(body)).await;
    reply.assert_error(400, "invalid_request");
    assert!(reply.message().contains(names), "{names}: {}", reply.message());
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn json_nested_too_deep_is_refused() {
    is_refused("[".repeat(100_000), "").await;
    let deep = format!("{{\"model\":\"gpt-4o\",\"messages\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    is_refused(deep, "").await;
    let unknown = format!(
        "{{\"model\":\"gpt-4o\",\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}],\"odd\":{}{}}}",
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    is_refused(unknown, "").await;
}

#[tokio::test]
async fn a_key_that_is_given_twice_is_refused() {
    is_refused(r#"{"model":"gpt-4o","messages":[{"role":"user","content":"x"}],"model":"gpt-4o-mini"}"#, "model").await;
    is_refused(r#"{"model":"gpt-4o","messages":[{"role":"user","content":"x"}],"m\u006fdel":"gpt-4o-mini"}"#, "model")
        .await;
    is_refused(
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"x"}],"stream":false,"stream":true}"#,
        "stream",
    )
    .await;
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused() {
    is_refused("", "").await;
    is_refused("hello", "").await;
    is_refused("null", "").await;
    is_refused("[]", "").await;
    is_refused(r#"{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]"#, "").await;
    is_refused(r#"{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]} extra"#, "").await;
    is_refused(b"{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\xfe\"}]}".to_vec(), "")
        .await;
}

#[tokio::test]
async fn a_compressed_body_is_refused_by_its_coding() {
    let (gateway, [a]) = stage(&[]).await;
    let reply = gateway.send(chat(&question("gpt-4o")).header("Content-Encoding", "gzip")).await;
    assert_eq!(reply.status, 415, "{}", reply.text());
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn a_request_without_a_host_or_with_two_is_refused() {
    let gateway = Gateway::start().await;
    for head in ["GET /healthz HTTP/1.1\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"] {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(head.as_bytes()).await;
        let reply = raw.reply().await;
        assert_eq!(reply.status, 400, "{head}");
        raw.end().await;
    }
}

#[tokio::test]
async fn a_request_with_two_lengths_is_refused_and_its_connection_closed() {
    let (gateway, [a]) = stage(&[]).await;
    let body = question("gpt-4o").to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        body.len()
    );
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes()).await;
    assert_eq!(raw.reply().await.status, 400);
    raw.end().await;
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let (gateway, [_a]) = stage(&[]).await;
    let mut raw = Raw::connect(gateway.address()).await;
    let health = Request::get("/healthz").header("X-Request-ID", "second").bytes();
    let first = chat(&question("gpt-4o")).header("X-Request-ID", "first").bytes();
    raw.send(&[first, health].concat()).await;
    let replies = [raw.reply().await, raw.reply().await];
    assert_eq!(replies[0].assert_ok().header("x-request-id"), Some("first"));
    assert_eq!(replies[1].assert_ok().header("x-request-id"), Some("second"));
}

#[tokio::test]
async fn a_request_that_is_refused_still_leaves_its_row() {
    let (gateway, [_a]) = stage(&[]).await;
    let body: Value = json!({"model": "gpt-4o", "messages": []});
    gateway.chat(body).await.assert_error(400, "invalid_request");
    gateway.assert_row(json!({"status_code": 400, "error_code": "invalid_request", "attempts": 0})).await;
}
