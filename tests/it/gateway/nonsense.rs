//! Answers that are none: pages, redirects, broken codings, bodies without end.

use serde_json::json;

use super::{stage, stage_of};
use crate::support::{Dialect, Gateway, Script, Upstream};

/// The only provider answers so: the client gets a clean 502 that repeats none of it.
async fn is_a_bad_gateway(settings: &[(&str, &str)], script: Script, why: &str) {
    let (gateway, [a]) = stage(settings).await;
    a.always(script);
    let reply = gateway.ask("gpt-4o").await;
    reply.assert_error(502, "upstream_error");
    assert!(!reply.text().contains('<'), "{}", reply.text());
    assert!(!reply.text().contains("proxy-17"), "{}", reply.text());
    gateway.assert_row(json!({"status_code": 502, "error_code": why, "attempts": 1})).await;
}

#[tokio::test]
async fn an_html_page_with_a_good_status_is_a_bad_gateway() {
    is_a_bad_gateway(&[], Script::html(200), "malformed").await;
}

#[tokio::test]
async fn an_html_page_with_a_bad_status_is_a_json_error() {
    is_a_bad_gateway(&[], Script::html(502), "server_error").await;
}

#[tokio::test]
async fn an_empty_answer_is_a_bad_gateway() {
    is_a_bad_gateway(&[], Script::bytes(200, "application/json", ""), "malformed").await;
}

#[tokio::test]
async fn json_of_another_shape_is_a_bad_gateway() {
    for body in ["[]", "null", "{}", "\"ok\"", "{\"choices\":[]}", "{\"choices\":{}}"] {
        is_a_bad_gateway(&[], Script::bytes(200, "application/json", body), "malformed").await;
    }
}

#[tokio::test]
async fn a_body_cut_short_is_a_bad_gateway() {
    let whole = Dialect::OpenAi.whole("Hello").to_string();
    let half = &whole[..whole.len() / 2];
    let declared = Script::bytes(200, "application/json", half).header("Content-Length", "1000").then_cut();
    is_a_bad_gateway(&[], declared, "truncated").await;
    is_a_bad_gateway(&[], Script::bytes(200, "application/json", half).close_delimited(), "malformed").await;
    let chunked = Script::sse(&[half]).header("Content-Type", "application/json").then_cut();
    is_a_bad_gateway(&[], chunked, "truncated").await;
}

#[tokio::test]
async fn an_error_inside_a_good_status_keeps_its_message_and_is_no_success() {
    for dialect in Dialect::ALL {
        let (gateway, [a]) = stage_of(dialect, &[]).await;
        a.always(Script::json(200, &dialect.error(500, "It broke inside")));
        let reply = gateway.ask(dialect.model()).await;
        assert!(reply.status >= 400, "{dialect:?}: {}", reply.text());
        assert!(reply.message().contains("It broke inside"), "{dialect:?}: {}", reply.text());
        gateway.assert_row(json!({"status_code": reply.status, "attempts": 1})).await;
    }
}

#[tokio::test]
async fn a_compressed_answer_nobody_asked_for_is_unpacked() {
    let (gateway, [a]) = stage(&[]).await;
    let packed = gzip(Dialect::OpenAi.whole("Hello packed").to_string().as_bytes());
    a.always(Script::bytes(200, "application/json", packed).header("Content-Encoding", "gzip"));
    let reply = gateway.ask("gpt-4o").await;
    assert_eq!(reply.assert_ok().content(), "Hello packed");
    assert_eq!(reply.header("content-encoding"), None);
}

#[tokio::test]
async fn a_compressed_stream_nobody_asked_for_is_unpacked() {
    let (gateway, [a]) = stage(&[]).await;
    let packed = gzip(Dialect::OpenAi.stream(&["Hello ", "packed"]).concat().as_bytes());
    a.always(Script::sse(&[packed]).header("Content-Encoding", "gzip"));
    let reply = gateway.ask_stream("gpt-4o").await;
    assert_eq!(reply.assert_ok().content(), "Hello packed");
    assert!(reply.done());
    assert_eq!(a.last().header("accept-encoding").unwrap_or("identity"), "identity");
}

#[tokio::test]
async fn a_compressed_answer_cut_short_is_a_bad_gateway() {
    let packed = gzip(Dialect::OpenAi.whole("Hello packed").to_string().as_bytes());
    let script = Script::bytes(200, "application/json", &packed[..packed.len() - 12]);
    is_a_bad_gateway(&[], script.header("Content-Encoding", "gzip"), "truncated").await;
}

#[tokio::test]
async fn a_compressed_answer_that_unpacks_beyond_the_limit_is_a_bad_gateway() {
    let packed = gzip(&vec![b' '; 8 << 20]);
    assert!(packed.len() < 64 << 10);
    let script = Script::bytes(200, "application/json", packed).header("Content-Encoding", "gzip");
    is_a_bad_gateway(&[("ORCHESTRATOR_ROUTING_MAX_RESPONSE_BYTES", "1048576")], script, "malformed").await;
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_a_bad_gateway() {
    let script = Script::json(200, &Dialect::OpenAi.whole(&"z".repeat(2 << 20)));
    is_a_bad_gateway(&[("ORCHESTRATOR_ROUTING_MAX_RESPONSE_BYTES", "1048576")], script, "malformed").await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in [301, 302, 307, 308] {
        let (gateway, [a]) = stage(&[]).await;
        let elsewhere = Upstream::start("elsewhere").await;
        let target = format!("{}/v1/chat/completions", elsewhere.url());
        a.always(Script::bytes(status, "text/plain", "").header("Location", &target));
        let reply = gateway.ask("gpt-4o").await;
        reply.assert_error(502, "upstream_error");
        assert_eq!((elsewhere.calls(), elsewhere.model_lists()), (0, 0));
        gateway.assert_row(json!({"status_code": 502, "attempts": 1})).await;
    }
}

#[tokio::test]
async fn an_answer_without_content_is_a_bad_gateway() {
    is_a_bad_gateway(&[], Script::bytes(204, "application/json", ""), "malformed").await;
}

#[tokio::test]
async fn cookies_and_other_headers_of_the_provider_do_not_reach_the_client() {
    let (gateway, [a]) = stage(&[]).await;
    let script = Script::json(200, &Dialect::OpenAi.whole("Hello"));
    a.always(script.header("Set-Cookie", "session=1").header("Server", "secret-server").header("Via", "proxy-17"));
    let reply = gateway.ask("gpt-4o").await;
    for name in ["set-cookie", "server", "via"] {
        assert_eq!(reply.assert_ok().header(name), None);
    }
}

#[tokio::test]
async fn headers_of_the_client_do_not_reach_the_provider() {
    let (gateway, [a]) = stage(&[]).await;
    let request = crate::support::gateway::chat(&crate::support::gateway::question("gpt-4o"))
        .header("Cookie", "session=1")
        .header("X-Forwarded-For", "203.0.113.9")
        .header("X-Custom", "private");
    gateway.send(request).await.assert_ok();
    let seen = a.last();
    for name in ["cookie", "x-forwarded-for", "x-custom", "x-api-key"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("authorization"), Some("Bearer sk-of-a"));
    assert!(seen.header("host").is_some_and(|host| host.starts_with("127.0.0.1:")));
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_do_not_break_a_stream() {
    let (gateway, [a]) = stage(&[]).await;
    let mut frames: Vec<Vec<u8>> = Dialect::OpenAi.stream(&["Hello"]).into_iter().map(String::into_bytes).collect();
    frames.insert(2, b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xff\xfe\"}}]}\n\n".to_vec());
    a.always(Script::sse(&frames));
    let reply = gateway.ask_stream("gpt-4o").await;
    let text = String::from_utf8_lossy(&reply.body);
    assert_eq!(reply.status, 200, "{text}");
    assert!(text.contains("Hello"), "{text}");
    assert!(reply.complete);
}

#[tokio::test]
async fn a_provider_is_spoken_to_at_the_same_place_however_its_base_url_is_written() {
    for tail in ["", "/", "/v1", "/v1/"] {
        for dialect in Dialect::ALL {
            let gateway = Gateway::start().await;
            let upstream = Upstream::start("a").await;
            let base = format!(
                "{}{}",
                upstream.url(),
                if dialect == Dialect::Gemini { tail.replace("v1", "v1beta") } else { tail.into() }
            );
            gateway.provider_at("a", dialect.kind(), &base, json!({})).await;
            gateway.ask(dialect.model()).await.assert_ok();
            let path = upstream.last().path.split('?').next().unwrap_or_default().to_owned();
            let expected = match dialect {
                Dialect::OpenAi => "/v1/chat/completions",
                Dialect::Anthropic => "/v1/messages",
                Dialect::Gemini => "/v1beta/models/gemini-2.5-flash:generateContent",
                Dialect::Responses => "/v1/responses",
            };
            assert_eq!(path, expected, "{base}");
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

#[tokio::test]
async fn a_token_count_beyond_all_reason_does_not_break_the_statistics() {
    let (gateway, [a]) = stage(&[]).await;
    let mut answer = Dialect::OpenAi.whole("Hello");
    answer["usage"] = json!({"prompt_tokens": u64::MAX, "completion_tokens": 5, "total_tokens": u64::MAX});
    a.always(Script::json(200, &answer));
    for _ in 0..3 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    gateway.logs(3).await;
    let stats = gateway.admin_get("/admin/stats").await;
    assert_eq!(stats["successful_requests"], 3, "{stats}");
    assert!(stats["providers"][0]["total_tokens"].as_u64().is_some_and(|total| total > 0), "{stats}");
}
