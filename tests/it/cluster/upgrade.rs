//! From the first released schema, with data in every table, to the one of today.

use llm_orchestrator::secret::KeyHash;
use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, PgPool, SqlSafeStr as _, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::SqliteConnectOptions,
};

use super::node;
use crate::{
    store::postgres::Server,
    support::{Gateway, Request, Upstream, gateway::question},
};

const KEY: &str = "sk-from-the-first-release";
const DAY: i64 = 86_400_000_000;

/// What the first release was made of.
fn first_release() -> Migrator {
    let sql = include_str!("../../../migrations/0001_init.sql");
    let migration = Migration::new(1, "init".into(), MigrationType::Simple, sql.into_sql_str(), false);
    Migrator::with_migrations(vec![migration])
}

/// Rows in every table as the first release wrote them, and a log of some days.
fn data(upstream: &str, now: i64) -> String {
    let hash = KeyHash::of(KEY);
    let mut sql = format!(
        "update counter set value = 1 where name <> 'request_log';
         insert into provider (id, name, type, base_url, priority, created_at, updated_at)
             values (1, 'main', 'openai', '{upstream}', 500, 1000, 1000);
         insert into model (id, name, aliases, input_price, created_at, updated_at)
             values (1, 'best', '[\"finest\"]', 2500000, 1000, 1000);
         insert into model_provider (id, model_id, provider_id, upstream_name, created_at, updated_at)
             values (1, 1, 1, 'gpt-4o', 1000, 1000);
         insert into api_key (id, name, prefix, hash, strict, allowed_models, created_at)
             values (1, 'team', 'sk-…ease', '{hash}', 1, '[\"best\", \"finest\"]', 1000);
         insert into setting (key, value) values ('initialized_at', '2026-01-01T00:00:00.000Z');
         update counter set value = 500 where name = 'request_log';"
    );
    for id in 1..=500 {
        let at = now - (500 - id) * DAY / 100;
        sql.push_str(&format!(
            "insert into request_log (id, request_id, created_at, provider_id, provider_name, model, endpoint, method, \
             status_code, latency_ms, cost) values ({id}, 'old-{id}', {at}, 1, 'main', 'best', '/v1/chat/completions', \
             'POST', 200, 10, 1000);"
        ));
    }
    sql
}

fn now() -> i64 {
    llm_orchestrator::clock::now_micros()
}

/// Everything is there and works, and new rows join the old ones.
async fn assert_upgraded(gateway: &Gateway) {
    let providers = gateway.admin_get("/admin/providers").await;
    assert_eq!((&providers[0]["name"], &providers[0]["priority"]), (&json!("main"), &json!(500)));
    let keys = gateway.admin_get("/admin/keys").await;
    assert_eq!((&keys[0]["name"], &keys[0]["fidelity"]), (&json!("team"), &json!("strict")), "{keys}");
    let models = gateway.admin_get("/admin/models").await;
    assert_eq!((&models[0]["name"], &models[0]["aliases"]), (&json!("best"), &json!(["finest"])));

    let ask = Request::post("/v1/chat/completions", &question("finest")).bearer(KEY).header("X-Request-ID", "new");
    gateway.send(ask).await.assert_ok();
    let newest = gateway.admin_get("/admin/logs?page_size=2").await;
    assert_eq!(newest["total"], 501);
    assert_eq!(
        (&newest["logs"][0]["request_id"], &newest["logs"][1]["request_id"]),
        (&json!("new"), &json!("old-500"))
    );
    assert!(newest["logs"][0]["id"].as_i64().unwrap() > 500);
    let oldest = gateway.admin_get("/admin/logs?page=501&page_size=1").await;
    assert_eq!((&oldest["logs"][0]["request_id"], &oldest["next"]), (&json!("old-1"), &Value::String(place(&oldest))));
    assert_eq!(gateway.admin_get("/admin/logs?request_id=old-77").await["total"], 1);
    assert_eq!(gateway.admin_get("/admin/stats?hours=168").await["total_requests"], 501);
    assert!(gateway.run(&["db", "check"]).contains("is in good order"));
    let made = gateway.admin("POST", "/admin/keys", json!({"name": "second"})).await;
    assert_eq!(made.json()["id"], 2, "{}", made.text());
}

/// What points behind the one row of a page.
fn place(page: &Value) -> String {
    let at = llm_orchestrator::clock::parse(page["logs"][0]["created_at"].as_str().unwrap()).unwrap() / 1000;
    let next = page["next"].as_str().unwrap();
    assert!(next.starts_with(&at.to_string()) && next.ends_with(".1"), "{next}");
    next.to_owned()
}

#[tokio::test]
async fn an_upgrade_from_the_first_released_schema_with_data_in_it_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("db");
    let upstream = Upstream::start("a").await;
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    first_release().run(&pool).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(data(&upstream.url(), now()))).execute(&pool).await.unwrap();
    pool.close().await;
    assert_upgraded(&node(&format!("sqlite://{}", file.display()), &[]).await).await;
}

#[tokio::test]
async fn an_upgrade_from_the_first_released_schema_with_data_in_it_on_postgresql() {
    let Some(server) = Server::start().await else { return };
    let database = server.database().await;
    let upstream = Upstream::start("a").await;
    let pool = PgPool::connect(&database).await.unwrap();
    sqlx::raw_sql("drop table if exists _sqlx_migrations").execute(&pool).await.unwrap();
    first_release().run(&pool).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(data(&upstream.url(), now()))).execute(&pool).await.unwrap();
    let gateway = node(&database, &[]).await;
    assert_upgraded(&gateway).await;
    let partitions = "select count(*) from pg_inherits where inhparent = 'request_log'::regclass";
    let partitions: i64 = sqlx::query_scalar(partitions).fetch_one(&pool).await.unwrap();
    assert!(partitions > 3, "{partitions}");
}
