//! Requests that are slow, broken, ambiguous or too large: refused, and never two requests where one was meant.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{SOON, Stage};
use crate::support::{API_KEY, Leave, Question, Raw};

#[tokio::test]
async fn a_body_that_does_not_come_asks_nobody() {
    let (stage, [a]) = Stage::with::<1>(&[]).await;
    let whole = Question::of("gpt-4o");
    let bytes = whole.request(API_KEY).bytes();
    let mut slow = stage.client.line().await;
    slow.send_as(&whole, &bytes[..bytes.len() - 20]).await;
    slow.raw().trickle(&bytes[bytes.len() - 20..bytes.len() - 10], Duration::from_millis(400)).await;
    let reply = slow.reply().await;
    reply.assert_error(408, "request_timeout");
    let elapsed = reply.elapsed.as_secs_f64();
    assert!((2.9..3.0 + 2.0 * SOON.as_secs_f64()).contains(&elapsed), "{elapsed}");
    for how in [Leave::Close, Leave::Reset] {
        for part in [bytes.len() - 1, bytes.len() - 30, bytes.len() - 90] {
            let question = Question::of("gpt-4o");
            let bytes = question.request(API_KEY).bytes();
            let mut line = stage.client.line().await;
            line.send_as(&question, &bytes[..part.min(bytes.len() - 1)]).await;
            stage.is_running(1).await;
            line.leave(how).await;
            stage.is_running(0).await;
        }
    }
    stage.ask(&Question::of("gpt-4o")).await.assert_ok();
    assert_eq!(a.calls(), 1, "only the whole one was sent on");
    stage.check().await;
}

#[tokio::test]
async fn a_body_that_unpacks_to_something_huge_is_not_unpacked() {
    use std::io::Write as _;
    let (stage, [a]) = Stage::with::<1>(&[]).await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let nothing = vec![b' '; 1 << 20];
    for _ in 0..256 {
        packed.write_all(&nothing).unwrap();
    }
    let packed = packed.finish().unwrap();
    let before = harness::vitals::Vitals::of(stage.gateway.pid()).memory;
    for coding in ["gzip", "deflate", "br", "zstd", "identity, gzip"] {
        let question = Question::of("gpt-4o").header("Content-Encoding", coding);
        let request = question.request_with(API_KEY, "application/json", packed.clone());
        let mut line = stage.client.line().await;
        line.send_as(&question, &request.bytes()).await;
        let reply = line.reply().await;
        assert_eq!(reply.status, 415, "{coding}: {}", reply.text());
    }
    let grown = harness::vitals::Vitals::of(stage.gateway.pid()).memory.saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    assert_eq!(a.calls(), 0);
    stage.check().await;
}

#[tokio::test]
async fn json_that_is_made_to_hurt_is_refused_quickly() {
    let (stage, [a]) = Stage::with::<1>(&[]).await;
    let keys: String = (0..50_000).map(|number| format!("\"k{number}\":1,")).collect();
    let hurting: Vec<(&str, Vec<u8>)> = vec![
        ("depth", "[".repeat(100_000).into()),
        ("many keys and no model", format!("{{{}\"messages\":[]}}", keys).into()),
        (
            "a number beyond all",
            br#"{"model":"gpt-4o","temperature":1e400,"messages":[{"role":"user","content":"x"}]}"#.to_vec(),
        ),
        ("a lone surrogate", br#"{"model":"\ud800","messages":[{"role":"user","content":"x"}]}"#.to_vec()),
        (
            "bytes that are no text",
            b"{\"model\":\"gpt-4o\xff\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}".to_vec(),
        ),
        (
            "an overlong form",
            b"{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"\xc0\xaf\"}]}".to_vec(),
        ),
        (
            "a control character",
            b"{\"model\":\"gpt\n-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}".to_vec(),
        ),
        ("two documents", br#"{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}{}"#.to_vec()),
    ];
    for (case, body) in hurting {
        let question = Question::of("gpt-4o");
        let request = question.request_with(API_KEY, "application/json", body);
        let mut line = stage.client.line().await;
        let began = Instant::now();
        line.send_as(&question, &request.bytes()).await;
        let reply = line.reply().await;
        assert_eq!(reply.status, 400, "{case}: {}", reply.text());
        assert!(began.elapsed() < 5 * SOON, "{case}: {:?}", began.elapsed());
    }
    assert_eq!(a.calls(), 0);
    stage.check().await;
}

#[tokio::test]
async fn the_model_that_a_key_is_checked_for_is_the_one_that_is_sent() {
    let (stage, [a]) = Stage::with::<1>(&[]).await;
    let made =
        stage.gateway.admin("POST", "/admin/keys", json!({"name": "one", "allowed_models": ["gpt-4o-mini"]})).await;
    let key = made.json()["key"].as_str().unwrap().to_owned();
    let messages = r#","messages":[{"role":"user","content":"NONCE"}]"#;
    let bodies = [
        r#"{"model":"gpt-4o-mini"@,"model":"gpt-4o"}"#,
        r#"{"model":"gpt-4o"@,"model":"gpt-4o-mini"}"#,
        r#"{"model":"gpt-4o-mini"@,"m\u006fdel":"gpt-4o"}"#,
        r#"{"\u006dodel":"gpt-4o"@,"model":"gpt-4o-mini"}"#,
        r#"{"model":"gpt-4o-mini"@,"Model":"gpt-4o"}"#,
        r#"{"model":"gpt-4o-mini"@,"MODEL":"gpt-4o"}"#,
        r#"{"model":"gpt-4o-mini"@,"model ":"gpt-4o"}"#,
        r#"{"model":"gpt-4o-mini\u0000"@}"#,
        r#"{"model":"gpt-4\u006f"@}"#,
        r#"{"model":["gpt-4o-mini"]@}"#,
    ];
    let client = stage.client.with_key(&key);
    for body in bodies {
        let question = Question::of("gpt-4o");
        let body = body.replace('@', &messages.replace("NONCE", &question.nonce));
        let request = question.request_with(&key, "application/json", body.clone().into_bytes());
        let calls = a.calls();
        let mut line = client.line().await;
        line.send_as(&question, &request.bytes()).await;
        let reply = line.reply().await;
        if reply.status == 200 {
            assert_eq!(a.last().json()["model"], "gpt-4o-mini", "{body}");
        } else {
            assert!([400, 403, 404].contains(&reply.status) && a.calls() == calls, "{body}: {}", reply.text());
        }
    }
    stage.check().await;
}

#[tokio::test]
async fn fifty_requests_on_one_connection_get_their_own_answers_in_their_order() {
    let (stage, [a]) = Stage::with::<1>(&[]).await;
    let question = |number: usize| {
        let question = Question::of("gpt-4o").says(&format!("mock:a/wait={}", number * 7 % 30));
        if number.is_multiple_of(3) { question.stream() } else { question }
    };
    let questions: Vec<Question> = (0..50).map(question).collect();
    let mut line = stage.client.line().await;
    line.send_all(&questions).await;
    for question in &questions {
        let reply = line.reply().await;
        assert_eq!(reply.assert_ok().header("x-request-id"), Some(&*question.nonce));
        assert!(reply.text().contains(&question.nonce), "{}", reply.text());
    }
    assert_eq!(a.calls(), 50);
    drop(line);
    stage.check().await;
}

/// Requests that two parsers could read differently, with what comes behind them on the same connection.
fn ambiguous(number: usize, nonce: &str) -> Vec<u8> {
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": nonce}]}).to_string();
    let length = body.len();
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    let tail = ["", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "0\r\n\r\n"][number / 20 % 3];
    let key = format!("Authorization: Bearer {API_KEY}\r\nContent-Type: application/json\r\nX-Request-ID: {nonce}\r\n");
    let with = |line: &str, headers: &str, body: &str| format!("{line}\r\n{headers}{key}\r\n{body}{tail}").into_bytes();
    let line = "POST /v1/chat/completions HTTP/1.1";
    match number % 20 {
        0 => with(line, &format!("Host: x\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n"), &chunked),
        1 => with(line, &format!("Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: {length}\r\n"), &chunked),
        2 => with(line, &format!("Host: x\r\nContent-Length: {length}\r\nContent-Length: 5\r\n"), &body),
        3 => with(line, &format!("Host: x\r\nContent-Length: {length}, 5\r\n"), &body),
        4 => with(line, "Host: x\r\nTransfer-Encoding: chunked, identity\r\n", &chunked),
        5 => with(line, "Host: x\r\nTransfer-Encoding: xchunked\r\n", &chunked),
        6 => with(line, "Host: x\r\nTransfer-Encoding : chunked\r\n", &chunked),
        7 => with(line, "Host: x\r\nTransfer-Encoding:\x0bchunked\r\n", &chunked),
        8 => with(line, &format!("Host: x\r\nContent-Length: +{length}\r\n"), &body),
        9 => with(line, &format!("Host: x\r\nContent-Length: 0x{length:x}\r\n"), &body),
        10 => with(line, &format!("Host: x\r\nHost: y\r\nContent-Length: {length}\r\n"), &body),
        11 => with(line, &format!("Content-Length: {length}\r\n"), &body),
        12 => with(line, &format!("Host: x\r\nX-A: b\r\n c\r\nContent-Length: {length}\r\n"), &body),
        13 => String::from_utf8_lossy(&with(line, &format!("Host: x\r\nContent-Length: {length}\r\n"), &body))
            .replacen("\r\n", "\n", 3)
            .into_bytes(),
        14 => with(
            "POST http://other.test/v1/chat/completions HTTP/1.1",
            &format!("Host: x\r\nContent-Length: {length}\r\n"),
            &body,
        ),
        15 => with("POST  /v1/chat/completions HTTP/1.1", &format!("Host: x\r\nContent-Length: {length}\r\n"), &body),
        16 => with(
            "POST /v1/chat/completions HTTP/1.0",
            &format!("Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
            &body,
        ),
        17 => with(line, &format!("Host: x\r\nX-Long: {}\r\nContent-Length: {length}\r\n", "y".repeat(80_000)), &body),
        18 => {
            let many: String = (0..150).map(|number| format!("X-{number}: 1\r\n")).collect();
            with(line, &format!("Host: x\r\n{many}Content-Length: {length}\r\n"), &body)
        }
        _ => with(
            line,
            "Host: x\r\nTransfer-Encoding: chunked\r\n",
            &format!("{length:x};a=\"\n\"\r\n{body}\r\n0\r\n\r\n"),
        ),
    }
}

#[tokio::test]
async fn what_two_parsers_could_read_differently_is_one_request_or_none() {
    let (stage, [a]) = Stage::with::<1>(&[]).await;
    let (mut refused, mut passed) = (0, 0);
    for number in 0..300 {
        let question = Question::of("gpt-4o");
        let calls = a.calls();
        let mut raw = Raw::connect(stage.gateway.address()).await;
        raw.send(&ambiguous(number, &question.nonce)).await;
        let reply = raw.reply().await;
        let more = a.calls() - calls;
        if reply.status == 200 {
            assert_eq!((more, a.last().nonce()), (1, Some(question.nonce)), "{number}");
            assert_eq!(a.last().json().as_object().map(|body| body.len()), Some(2), "{number}: the body is whole");
            passed += 1;
        } else {
            assert!([400, 404, 405, 411, 413, 431, 501, 505].contains(&reply.status), "{number}: {}", reply.text());
            assert_eq!(more, 0, "{number}");
            refused += 1;
        }
    }
    assert_eq!(a.calls(), passed);
    assert!(refused > 150 && refused + passed == 300, "{refused} were refused, {passed} passed");
    stage.ask(&Question::of("gpt-4o")).await.assert_ok();
    let row = stage.gateway.admin_get("/admin/logs?page_size=1").await;
    assert!(row["total"].as_u64() >= Some(passed as u64 + 1), "{row}");
}

#[tokio::test]
async fn a_body_that_is_far_too_large_is_refused_before_it_is_sent() {
    let (stage, [a]) = Stage::with::<1>(&[("ORCHESTRATOR_SERVER_MAX_BODY_BYTES", "1000000")]).await;
    for headers in ["Content-Length: 1000000000\r\n", "Content-Length: 1000000000\r\nExpect: 100-continue\r\n"] {
        let question = Question::of("gpt-4o");
        let key = format!("Authorization: Bearer {API_KEY}\r\nX-Request-ID: {}\r\n", question.nonce);
        let kind = "Content-Type: application/json\r\n";
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{key}{kind}{headers}\r\n");
        let mut line = stage.client.line().await;
        line.send_as(&question, head.as_bytes()).await;
        line.reply().await.assert_error(413, "payload_too_large");
    }
    assert_eq!(a.calls(), 0);
    stage.check().await;
}

/// Other ways to write a path, which some server or other takes for the same.
fn written_otherwise(path: &str) -> Vec<String> {
    let (first, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let encoded: String = path.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let dotted = path.replacen('/', "/./", 1);
    vec![
        path.to_owned(),
        format!("/{path}"),
        format!("//{path}"),
        format!("{path}/"),
        format!("{path}//"),
        format!("/{first}//{rest}"),
        format!("/{first}/./{rest}"),
        format!("/{first}/../{first}/{rest}"),
        format!("/v1/..{path}"),
        format!("/v1/%2e%2e{path}"),
        format!("/healthz/..{path}"),
        format!("/healthz/%2e%2e{path}"),
        format!("/healthz/..;{path}"),
        format!("/healthz;{path}"),
        format!("/healthz%2f..{path}"),
        format!("/healthz%00{path}"),
        format!("/healthz?{path}"),
        format!("{path};a=b"),
        format!("{path}%20"),
        format!("{path}%00"),
        format!("{path}%0a"),
        format!("{path}.json"),
        format!("{path}?"),
        format!("{path}#x"),
        format!("{path}%3f"),
        format!("/{}/{rest}", first.to_uppercase()),
        format!("/{first}/{}", rest.to_uppercase()),
        format!("/{first}%2f{rest}"),
        format!("/{first}\\{rest}"),
        format!("/{first}%5c{rest}"),
        encoded.replacen("%2f", "/", 1),
        dotted,
        format!("http://x{path}"),
        format!("http://127.0.0.1{path}"),
    ]
}

#[tokio::test]
async fn no_other_way_to_write_a_path_or_a_host_opens_what_a_key_does_not() {
    let (stage, [a]) = Stage::with::<1>(&[]).await;
    let hosts = ["x", "127.0.0.1", "localhost:1", "healthz", "x/healthz"];
    let mut tried = 0;
    // What the clients' key does not open, and what nothing opens without a key.
    let admins = ["/admin/providers", "/admin/keys", "/admin/logs"].map(|path| (path, Some(API_KEY)));
    let clients = ["/v1/models", "/admin/stats"].map(|path| (path, None));
    for (path, key) in admins.into_iter().chain(clients) {
        for target in written_otherwise(path) {
            for host in hosts {
                let key = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
                let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{key}Connection: close\r\n\r\n");
                let mut raw = Raw::connect(stage.gateway.address()).await;
                raw.send(request.as_bytes()).await;
                let Some(reply) = raw.try_reply().await else { continue };
                tried += 1;
                let is_open = target.starts_with("/healthz?");
                assert!(is_open || reply.status >= 400, "{target} at {host}: {} {}", reply.status, reply.text());
                assert!(
                    !reply.text().contains("base_url") && !reply.text().contains("gpt-4o"),
                    "{target}: {}",
                    reply.text()
                );
            }
        }
    }
    assert!(tried >= 500, "only {tried}");
    assert_eq!(a.calls(), 0);
    stage.ask(&Question::of("gpt-4o")).await.assert_ok();
    stage.check().await;
}
