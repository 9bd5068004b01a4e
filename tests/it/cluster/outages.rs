//! The database server killed, frozen, or not there: traffic goes on, and every request is in the log or counted.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use super::node;
use crate::{
    store::postgres::Server,
    support::{API_KEY, Gateway, Request, Upstream, eventually, gateway::question},
};

/// Longer than any statement may take, so that the gateway gives up what it had begun.
const OUTAGE: Duration = Duration::from_secs(7);

/// Asks without a pause, from several clients, until told to stop. Every answer must be a good one. Says how many there were.
async fn ask_until(gateway: &Gateway, stop: &AtomicBool) -> u64 {
    let asked = AtomicU64::new(0);
    let client = async || {
        while !stop.load(Ordering::Relaxed) {
            gateway.ask("gpt-4o").await.assert_ok();
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::join!(client(), client(), client());
    asked.into_inner()
}

/// Waits until no row waits any more: those stored and those counted as dropped are then as many as were asked for.
async fn assert_accounted(gateway: &Gateway, asked: u64) -> u64 {
    let (stored, dropped) = eventually("every row to be stored or dropped", async || {
        let reply = gateway.admin("GET", "/admin/stats", Value::Null).await;
        let stats = (reply.status == 200).then(|| reply.json())?;
        let (stored, dropped) = (stats["total_requests"].as_u64()?, stats["dropped_log_rows"].as_u64()?);
        (stored + dropped >= asked).then_some((stored, dropped))
    })
    .await;
    assert_eq!(stored + dropped, asked, "{stored} stored, {dropped} dropped");
    // Nothing comes twice later either.
    gateway.ask("gpt-4o").await.assert_ok();
    let total = gateway.admin_get("/admin/logs?page_size=1").await["total"].as_u64().unwrap();
    assert_eq!(total, stored + 1);
    dropped
}

/// Asks through an outage, and checks what operators are told of it.
async fn go_through(settings: &[(&str, &str)], server: &Server, end: impl Fn() -> bool, begin: impl Fn()) -> u64 {
    let gateway = node(&server.database().await, settings).await;
    let a = Upstream::start("a").await;
    let id = gateway.provider("a", "openai", &a, json!({})).await;
    let stop = AtomicBool::new(false);
    let trouble = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(end());
        let target = format!("/admin/providers/{id}");
        let refused = gateway.admin("PATCH", &target, json!({"priority": 1})).await;
        refused.assert_error(503, "service_unavailable");
        eventually("the trouble to be known", async || {
            let ready = gateway.send(Request::get("/readyz")).await;
            assert_eq!(ready.status, 200, "requests can be served");
            (ready.json()["degraded"] != json!([])).then_some(())
        })
        .await;
        let unknown = Request::post("/v1/chat/completions", &question("gpt-4o")).bearer("sk-nobody-here-knows");
        gateway.send(unknown).await.assert_error(503, "service_unavailable");
        tokio::time::sleep(OUTAGE).await;
        begin();
        eventually("the database to be used again", async || {
            let ready = gateway.send(Request::get("/readyz")).await.json();
            let reply = gateway.admin("PATCH", &target, json!({"priority": 1})).await;
            (reply.status == 200 && ready["degraded"] == json!([])).then_some(())
        })
        .await;
        stop.store(true, Ordering::Relaxed);
    };
    let (asked, ()) = tokio::join!(ask_until(&gateway, &stop), trouble);
    // The one with the unknown key is in the log too.
    assert_accounted(&gateway, asked + 1).await
}

#[tokio::test]
async fn a_killed_server_costs_no_request_and_no_row() {
    let Some(server) = Server::start().await else { return };
    let dropped = go_through(&[], &server, || server.stop(), || server.resume()).await;
    assert_eq!(dropped, 0);
}

#[tokio::test]
async fn a_frozen_server_costs_no_request_and_no_row() {
    let Some(server) = Server::start().await else { return };
    let dropped = go_through(&[], &server, || server.freeze(), || server.thaw()).await;
    assert_eq!(dropped, 0);
}

#[tokio::test]
async fn rows_that_do_not_fit_into_the_queue_are_counted() {
    let Some(server) = Server::start().await else { return };
    let small = [("ORCHESTRATOR_JOURNAL_CAPACITY", "20")];
    let dropped = go_through(&small, &server, || server.stop(), || server.resume()).await;
    assert!(dropped > 0);
}

#[tokio::test]
async fn a_gateway_starts_without_its_server_on_what_it_last_read_there() {
    let Some(server) = Server::start().await else { return };
    let mut gateway = node(&server.database().await, &[]).await;
    let a = Upstream::start("a").await;
    let id = gateway.provider("a", "openai", &a, json!({})).await;
    let key = gateway.admin("POST", "/admin/keys", json!({"name": "team"})).await.json();
    let key = key["key"].as_str().unwrap().to_owned();
    if !server.stop() {
        return;
    }
    gateway.restart().await;
    let ask = |key: &str| Request::post("/v1/chat/completions", &question("gpt-4o")).bearer(key);
    gateway.send(ask(API_KEY)).await.assert_ok();
    gateway.send(ask(&key)).await.assert_ok();
    assert_eq!(a.last().header("authorization"), Some("Bearer sk-of-a"), "the provider's key could be opened");
    gateway.send(ask("sk-made-meanwhile")).await.assert_error(503, "service_unavailable");
    let ready = gateway.send(Request::get("/readyz")).await;
    assert_eq!((ready.status, ready.json()["degraded"].as_array().map(Vec::len)), (200, Some(1)), "{}", ready.text());
    let refused = gateway.admin("PATCH", &format!("/admin/providers/{id}"), json!({"priority": 1})).await;
    refused.assert_error(503, "service_unavailable");

    server.resume();
    eventually("the database to be used", async || {
        let ready = gateway.send(Request::get("/readyz")).await.json();
        (ready["degraded"] == json!([])).then_some(())
    })
    .await;
    gateway.send(ask("sk-of-nobody")).await.assert_error(401, "unauthorized");
    gateway.admin("PATCH", &format!("/admin/providers/{id}"), json!({"priority": 1})).await.assert_ok();
    assert_eq!(gateway.logs(4).await.len(), 4, "rows waited for the database");
}

#[tokio::test]
async fn a_first_start_needs_its_server_and_so_does_one_with_the_snapshot_of_another() {
    let Some(server) = Server::start().await else { return };
    let database = server.database().await;
    let mut gateway = node(&database, &[]).await;
    if !server.stop() {
        return;
    }
    let said = gateway.refuses_to_start(&[("ORCHESTRATOR_DATABASE_SNAPSHOT_FILE", "nothing.json")]);
    assert!(said.contains("nothing to start with instead: nothing.json cannot be read"), "{said}");
    let other = database.replace("/test0", "/another");
    let said = gateway.refuses_to_start(&[("DATABASE_URL", &other)]);
    assert!(said.contains("is of another database"), "{said}");
    assert!(!said.contains("sk-"), "{said}");
}

#[tokio::test]
async fn the_snapshot_is_for_its_owner_only_and_holds_no_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(server) = Server::start().await else { return };
    let gateway = node(&server.database().await, &[]).await;
    gateway.provider_at("a", "openai", "http://127.0.0.1:9", json!({})).await;
    let key = gateway.admin("POST", "/admin/keys", json!({"name": "team"})).await.json();
    let file = gateway.folder().join("data/snapshot.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"team\""), "{text}");
    for secret in ["sk-of-a", key["key"].as_str().unwrap(), crate::support::ADMIN_KEY] {
        assert!(!text.contains(secret), "{secret}");
    }
}
