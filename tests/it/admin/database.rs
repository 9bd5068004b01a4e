//! The admin API waits for the database; traffic does not.

use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use crate::{
    store::postgres::Server,
    support::{Gateway, Upstream, eventually},
};

#[tokio::test]
async fn everything_works_on_postgresql_and_traffic_goes_on_without_it() {
    let Some(server) = Server::start().await else { return };
    let gateway = Gateway::with(&[("DATABASE_URL", &server.database().await)]).await;
    let a = Upstream::start("a").await;
    let id = gateway.provider("a", "openai", &a, json!({"metadata": {"region": "eu"}})).await;
    let import = json!({"models": ["gpt-4o", {"id": "gpt-4o-mini", "name": "small"}]});
    let imported = gateway.admin("POST", &format!("/admin/providers/{id}/models/import"), import).await;
    assert_eq!(imported.assert_ok().json()["imported"], 2);
    let key = gateway.admin("POST", "/admin/keys", json!({"name": "team"})).await.json();
    gateway.ask("small").await.assert_ok();
    let rows = gateway.logs(1).await;
    assert_eq!((&rows[0]["upstream_model"], &rows[0]["provider_id"]), (&json!("gpt-4o-mini"), &json!(id)));
    let stats = gateway.admin_get("/admin/stats").await;
    assert_eq!((&stats["total_requests"], &stats["success_rate"]), (&json!(1), &json!(100.0)));
    assert_eq!(stats["providers"][0]["total_tokens"], 18);

    if !server.stop() {
        return;
    }
    gateway.ask("small").await.assert_ok();
    let body = json!({"model": "small", "messages": [{"role": "user", "content": "hi"}]});
    let by_stored_key = crate::support::Request::post("/v1/chat/completions", &body);
    gateway.send(by_stored_key.bearer(key["key"].as_str().unwrap())).await.assert_ok();
    let refused = gateway.admin("PATCH", &format!("/admin/providers/{id}"), json!({"priority": 1})).await;
    refused.assert_error(503, "service_unavailable");
    assert!(refused.header("retry-after").is_some());
    let health = gateway.admin_get("/admin/health").await;
    assert_eq!((&health["database_status"], &health["status"]), (&json!("unhealthy"), &json!("healthy")));
    assert_eq!(health["providers"][0]["provider_name"], "a");

    server.resume();
    eventually("the database to be used again", async || {
        let reply = gateway.admin("PATCH", &format!("/admin/providers/{id}"), json!({"priority": 1})).await;
        (reply.status == 200).then_some(())
    })
    .await;
    assert_eq!(gateway.logs(3).await.len(), 3, "rows waited for the database");
}

#[tokio::test]
async fn a_locked_database_refuses_writes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/db", folder.path().display());
    let gateway = Gateway::with(&[("DATABASE_URL", &url)]).await;
    let a = Upstream::start("a").await;
    let id = gateway.provider("a", "openai", &a, json!({})).await;
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    let held = other.begin_with("begin exclusive").await.unwrap();

    gateway.ask("gpt-4o").await.assert_ok();
    let refused = gateway.admin("PATCH", &format!("/admin/providers/{id}"), json!({"priority": 1})).await;
    refused.assert_error(503, "service_unavailable");
    assert_eq!(gateway.admin_get(&format!("/admin/providers/{id}")).await["priority"], 100);

    held.rollback().await.unwrap();
    let changed = gateway.admin("PATCH", &format!("/admin/providers/{id}"), json!({"priority": 1})).await;
    assert_eq!(changed.assert_ok().json()["priority"], 1);
    gateway.logs(1).await;
}

#[tokio::test]
async fn writers_at_the_same_time_do_not_undo_each_other() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    let id = gateway.provider("a", "openai", &a, json!({})).await;
    let target = format!("/admin/providers/{id}");
    let change = |body: Value| gateway.admin("PATCH", &target, body);
    let (one, two, three, four) = tokio::join!(
        change(json!({"priority": 1})),
        change(json!({"weight": 2})),
        change(json!({"timeout": 3})),
        change(json!({"max_retries": 4})),
    );
    for reply in [one, two, three, four] {
        reply.assert_ok();
    }
    let row = gateway.admin_get(&target).await;
    let fields = ["priority", "weight", "timeout", "max_retries"].map(|field| row[field].as_i64().unwrap());
    assert_eq!(fields, [1, 2, 3, 4]);
    assert!(gateway.admin_get("/admin/stats").await["dropped_log_rows"] == 0);
}
