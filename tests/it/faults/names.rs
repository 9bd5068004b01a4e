//! Name servers that are silent.

use std::{
    net::UdpSocket,
    process::Command,
    time::{Duration, Instant},
};

use harness::{measures::quantile, profile, vitals::Vitals};
use serde_json::json;
use tokio::task::JoinSet;

use super::{PATIENT, SOON, Stage, measured};
use crate::support::{Dialect, Gateway, Question, Upstream};

/// Where a name server listens that never answers.
const SILENT: &str = "127.0.0.153:53";

/// Becomes the program in a world of its own, in which the name server is another one. The file is in the test's folder.
fn in_a_world_with(resolv: &str) -> [String; 5] {
    let script = format!("mount --bind {resolv} /etc/resolv.conf && exec \"$0\"");
    ["unshare", "--mount", "sh", "-c", &script].map(str::to_owned)
}

/// Whether this machine lets a process have mounts of its own, and port 53.
fn silent_server(resolv: &str) -> Option<UdpSocket> {
    let [program, arguments @ ..] = in_a_world_with(resolv);
    let tried = Command::new(program).args(arguments).arg("true").status();
    let server = UdpSocket::bind(SILENT);
    if !tried.is_ok_and(|status| status.success()) || server.is_err() {
        println!(
            "SKIPPED: this machine allows no mounts of one's own or no port 53: nobody plays a silent name server"
        );
        return None;
    }
    server.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_server_that_never_answers_costs_its_providers_requests_in_time_and_nobody_else_anything() {
    let folder = tempfile::tempdir().unwrap();
    let resolv = folder.path().join("resolv.conf");
    std::fs::write(&resolv, format!("nameserver {}\noptions timeout:5 attempts:2\n", SILENT.trim_end_matches(":53")))
        .unwrap();
    let resolv = resolv.to_str().unwrap();
    let Some(server) = silent_server(resolv) else { return };
    server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let launcher = in_a_world_with(resolv);
    let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
    let gateway = Gateway::launched(&launcher, &[], &profile::with(&[PATIENT])).await;
    let (mut stage, a) = (Stage::around(gateway), Upstream::start("a").await);
    stage.add(Dialect::OpenAi, &a, json!({"max_retries": 0})).await;
    stage.gateway.provider_at("lost", "openai", "http://silent.example/v1", json!({"max_retries": 0})).await;
    stage.rest();
    let threads = Vitals::of(stage.gateway.pid()).threads;
    let mut asking = JoinSet::new();
    for _ in 0..200 {
        let client = stage.client.clone();
        let lost = Question::of("gpt-4o").with(json!({"provider": "lost", "timeout": 5}));
        asking.spawn(async move { client.ask(&lost).await });
    }
    let (mut beside, mut most) = (Vec::new(), threads);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(400) {
        let other = Question::of("gpt-4o").with(json!({"provider": "a"}));
        beside.push(stage.ask(&other).await.assert_ok().elapsed.as_secs_f64() * 1000.0);
        most = most.max(Vitals::of(stage.gateway.pid()).threads);
    }
    let mut slowest = Duration::ZERO;
    for reply in asking.join_all().await {
        reply.assert_error(502, "upstream_error");
        slowest = slowest.max(reply.elapsed);
    }
    // Half a second to connect.
    assert!(slowest < Duration::from_millis(500) + 2 * SOON, "{slowest:?}");
    assert!(most <= threads + 3, "{most} threads, {threads} before: each request looks for itself");
    let questions = std::iter::from_fn(|| server.recv_from(&mut [0; 512]).ok()).count();
    assert!((1..=16).contains(&questions), "the name server was asked {questions} times");
    measured(
        "silent_names",
        &format!(
            "200 requests whose name server is silent answered after {:.1} s at most with a limit of 0.5 s; p50 {:.0} ms and p99 {:.0} ms of {} others; {} threads more",
            slowest.as_secs_f64(),
            quantile(&mut beside, 0.5),
            quantile(&mut beside, 0.99),
            beside.len(),
            most.saturating_sub(threads)
        ),
    );
    stage.check().await;
}
