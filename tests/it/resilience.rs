//! What survives the end of the process, whether it came as a signal or as a blow.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{
    Dialect, Gateway, PATIENCE, Raw, Reply, Request, Script, Upstream, eventually,
    gateway::{chat, question},
};

const ROUNDS: usize = 20;

/// Deals admin writes until the process is gone, and returns the names of those that were acknowledged.
async fn write_until_the_end(address: std::net::SocketAddr, prefix: String, first: Arc<Notify>) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let name = format!("{prefix}-{number}");
        let body = json!({"name": name, "aliases": [format!("{name}-alias")]});
        let request = Request::post("/admin/models", &body).bearer(crate::support::ADMIN_KEY);
        let Some(status) = status_of(&request, address).await else { break };
        assert_eq!(status, 201, "{name}");
        acknowledged.push(name);
        first.notify_one();
    }
    acknowledged
}

/// The answer's status, or nothing where the process went away before all of it had come.
async fn status_of(request: &Request, address: std::net::SocketAddr) -> Option<u16> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut socket = tokio::net::TcpStream::connect(address).await.ok()?;
    socket.write_all(&request.bytes()).await.ok()?;
    let mut read = Vec::new();
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        if socket.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    String::from_utf8_lossy(&read).split(' ').nth(1)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_to_kill_9() {
    let mut gateway = Gateway::start().await;
    let mut written = Vec::new();
    for round in 0..ROUNDS {
        let first = Arc::new(Notify::new());
        let writer = |writer| write_until_the_end(gateway.address(), format!("r{round}w{writer}"), first.clone());
        let writers: Vec<_> = (0..3).map(|number| tokio::spawn(writer(number))).collect();
        // A database server takes a while to be connected to.
        tokio::time::timeout(PATIENCE, first.notified()).await.expect("a write is acknowledged");
        // Another moment each round, so that the blow falls into all phases of a write.
        tokio::time::sleep(Duration::from_millis(30 + 17 * round as u64 % 120)).await;
        gateway.kill();
        for writer in writers {
            written.extend(writer.await.expect("a writer ends by itself"));
        }
        let started = Instant::now();
        gateway.restart().await;
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        let known = names(&gateway).await;
        let lost: Vec<&String> = written.iter().filter(|name| !known.contains(*name)).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?} of {} were acknowledged and are gone", written.len());
    }
    assert!(written.len() >= ROUNDS, "only {} writes in {ROUNDS} rounds", written.len());
}

async fn names(gateway: &Gateway) -> std::collections::BTreeSet<String> {
    let list = gateway.admin_get("/admin/models").await;
    let rows = list.as_array().or(list["models"].as_array()).cloned().expect("a list of models");
    rows.iter().filter_map(|row| row["name"].as_str()).map(str::to_owned).collect()
}

/// A gateway with one provider, and its upstream.
async fn stage(settings: &[(&str, &str)]) -> (Gateway, Upstream) {
    let gateway = Gateway::with(settings).await;
    let upstream = Upstream::start("a").await;
    gateway.provider("a", "openai", &upstream, json!({"max_retries": 0})).await;
    (gateway, upstream)
}

fn streamed() -> Request {
    let mut body = question("gpt-4o");
    body["stream"] = true.into();
    chat(&body)
}

/// Begins streams, and returns each as a task that reads it to its end.
async fn begin(gateway: &Gateway, count: usize) -> Vec<tokio::task::JoinHandle<Reply>> {
    let mut running = Vec::new();
    for _ in 0..count {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(&streamed().bytes()).await;
        raw.until("piece").await;
        running.push(tokio::spawn(async move { raw.reply().await }));
    }
    running
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_can_finish_do_so_when_the_process_is_asked_to_stop() {
    let (mut gateway, upstream) = stage(&[("ORCHESTRATOR_SERVER_SHUTDOWN_GRACE", "15")]).await;
    let frames = Dialect::OpenAi.stream(&["piece "; 20]);
    upstream.always(Script::sse(&frames).paced(Duration::from_millis(100)));
    let running = begin(&gateway, 8).await;
    let started = Instant::now();
    gateway.terminate();
    for stream in running {
        let reply = stream.await.expect("a reader ends by itself");
        assert_eq!(reply.content(), "piece ".repeat(20));
        assert!(reply.done() && reply.complete, "{}", reply.text());
    }
    let status = gateway.exit().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.output());
    assert!(started.elapsed() < Duration::from_secs(10), "it ends with the last stream: {:?}", started.elapsed());
    gateway.restart().await;
    let rows = gateway.logs(8).await;
    assert_eq!(rows.len(), 8);
    assert!(rows.iter().all(|row| row["status_code"] == 200 && row["error_code"].is_null()), "{rows:#?}");
    assert!(rows.iter().all(|row| row["completion_tokens"] == 7), "{rows:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_cannot_finish_is_cut_with_an_error_event_at_the_deadline() {
    let (mut gateway, upstream) = stage(&[("ORCHESTRATOR_SERVER_SHUTDOWN_GRACE", "2")]).await;
    upstream.always(Script::sse(&Dialect::OpenAi.begun(&["piece"])).then_stall());
    let running = begin(&gateway, 3).await;
    let started = Instant::now();
    gateway.terminate();
    for stream in running {
        let reply = stream.await.expect("a reader ends by itself");
        assert_eq!(reply.content(), "piece");
        assert!(!reply.stream_error().is_null(), "{}", reply.text());
        assert!(!reply.done(), "{}", reply.text());
    }
    let status = gateway.exit().await;
    let took = started.elapsed().as_secs_f64();
    assert_eq!(status.code(), Some(0), "{}", gateway.output());
    assert!((1.5..5.0).contains(&took), "the grace period is 2 s, it took {took} s");
    gateway.restart().await;
    let rows = gateway.logs(3).await;
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["error_code"].is_string()), "{rows:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_answer_that_is_under_way_is_given_before_the_process_ends() {
    let (mut gateway, upstream) = stage(&[]).await;
    let whole = Script::json(200, &Dialect::OpenAi.whole("worth the wait")).after(Duration::from_millis(1200));
    upstream.always(whole);
    let address = gateway.address();
    let asked = tokio::spawn(async move { chat(&question("gpt-4o")).send(address).await });
    upstream.call(1).await;
    gateway.terminate();
    let reply = asked.await.expect("the client gets its answer");
    assert_eq!(reply.assert_ok().content(), "worth the wait");
    assert_eq!(gateway.exit().await.code(), Some(0), "{}", gateway.output());
    gateway.restart().await;
    gateway.assert_row(json!({"status_code": 200, "error_code": null})).await;
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let (mut gateway, upstream) = stage(&[("ORCHESTRATOR_SERVER_SHUTDOWN_GRACE", "60")]).await;
    upstream.always(Script::sse(&Dialect::OpenAi.begun(&["piece"])).then_stall());
    let running = begin(&gateway, 1).await;
    let started = Instant::now();
    gateway.terminate();
    eventually("the door to be closed", async || {
        tokio::net::TcpStream::connect(gateway.address()).await.is_err().then_some(())
    })
    .await;
    gateway.terminate();
    assert_ne!(gateway.exit().await.code(), Some(0), "work was left undone");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    for stream in running {
        assert!(!stream.await.expect("a reader ends by itself").done());
    }
}

#[tokio::test]
async fn a_process_that_was_asked_to_stop_takes_no_new_work_and_leaves_at_once_when_idle() {
    let (mut gateway, _upstream) = stage(&[]).await;
    let mut idle = Raw::connect(gateway.address()).await;
    idle.send(&Request::get("/healthz").bytes()).await;
    idle.reply().await.assert_ok();
    let address = gateway.address();
    let started = Instant::now();
    gateway.terminate();
    let status = gateway.exit().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.output());
    assert!(started.elapsed() < Duration::from_secs(5), "an idle connection holds nothing up: {:?}", started.elapsed());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_process_that_is_stopping_says_that_it_is_not_ready() {
    let (mut gateway, upstream) = stage(&[("ORCHESTRATOR_SERVER_SHUTDOWN_GRACE", "10")]).await;
    upstream.always(Script::sse(&Dialect::OpenAi.stream(&["piece"; 12])).paced(Duration::from_millis(150)));
    let running = begin(&gateway, 1).await;
    let address = gateway.address();
    gateway.terminate();
    eventually("the door to be closed", async || match tokio::net::TcpStream::connect(address).await {
        Err(_) => Some(()),
        Ok(_) => match status_of(&Request::get("/readyz"), address).await {
            Some(200) => None,
            Some(_) | None => Some(()),
        },
    })
    .await;
    for stream in running {
        assert!(stream.await.expect("a reader ends by itself").done());
    }
    assert_eq!(gateway.exit().await.code(), Some(0));
}

#[tokio::test]
async fn every_row_is_written_before_the_process_ends() {
    let (mut gateway, _upstream) = stage(&[("ORCHESTRATOR_JOURNAL_FLUSH_INTERVAL", "30")]).await;
    for _ in 0..25 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    gateway.terminate();
    assert_eq!(gateway.exit().await.code(), Some(0), "{}", gateway.output());
    gateway.restart().await;
    assert_eq!(gateway.logs(25).await.len(), 25);
}

#[tokio::test]
async fn what_the_admin_api_wrote_is_there_after_a_restart() {
    let (mut gateway, upstream) = stage(&[]).await;
    let made = gateway.admin("POST", "/admin/keys", json!({"name": "kept"})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let key = made.json()["key"].as_str().unwrap_or_default().to_owned();
    gateway.restart().await;
    let request = Request::post("/v1/chat/completions", &question("gpt-4o")).bearer(&key);
    gateway.send(request).await.assert_ok();
    assert_eq!(upstream.calls(), 1);
    let providers: Value = gateway.admin_get("/admin/providers").await;
    assert_eq!(providers[0]["name"], "a");
}
