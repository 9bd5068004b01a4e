//! Several gateways on one database: what one is told holds on all.

mod outages;
mod spreading;
mod three;
mod upgrade;

use serde_json::json;

use self::spreading::what_one_is_told_holds_on_all_within_a_second;
use crate::{
    faults::measured,
    store::postgres::Server,
    support::{Gateway, Request, Upstream, eventually, gateway::question},
};

/// Opens providers' keys on every node.
const MASTER_KEY: &str = "master-key-of-the-tests";

/// A gateway on a database that others may share.
async fn node(database: &str, settings: &[(&str, &str)]) -> Gateway {
    let shared = [("DATABASE_URL", database), ("MASTER_KEY", MASTER_KEY)];
    Gateway::without(&["ORCHESTRATOR_AUTH_MASTER_KEY_FILE"], &[&shared, settings].concat()).await
}

/// Waits until all nodes have in force what the database holds.
async fn agree(nodes: &[&Gateway]) {
    for gateway in nodes {
        eventually("all nodes to agree", async || {
            let cluster = gateway.admin_get("/admin/cluster").await;
            let rows = cluster["nodes"].as_array().cloned().unwrap_or_default();
            let current = rows.iter().filter(|row| row["epoch"] == cluster["epoch"]).count();
            (current == nodes.len() && rows.len() == nodes.len()).then_some(())
        })
        .await;
    }
}

/// Sends the same question until the answer has this status.
async fn answers(gateway: &Gateway, key: &str, model: &str, status: u16) {
    eventually(&format!("{status} for {model}"), async || {
        let request = Request::post("/v1/chat/completions", &question(model)).bearer(key);
        (gateway.send(request).await.status == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_one_node_is_told_holds_on_all_that_share_a_postgresql_server() {
    let Some(server) = Server::start().await else { return };
    let database = server.database().await;
    let start = async || node(&database, &[]).await;
    let (a, b, c) = tokio::join!(start(), start(), start());
    measured("spread", &what_one_is_told_holds_on_all_within_a_second(&[a, b, c]).await);
}

#[tokio::test]
async fn what_one_process_is_told_holds_on_all_that_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/db", folder.path().display());
    let first = node(&database, &[]).await;
    let nodes = [first, node(&database, &[]).await, node(&database, &[]).await];
    what_one_is_told_holds_on_all_within_a_second(&nodes).await;
}

#[tokio::test]
async fn nodes_that_start_at_once_on_an_empty_database_make_it_together() {
    let Some(server) = Server::start().await else { return };
    let database = server.database().await;
    let start = async || {
        let settings = [("DATABASE_URL", database.as_str()), ("MASTER_KEY", MASTER_KEY)];
        Gateway::without(&["ORCHESTRATOR_AUTH_MASTER_KEY_FILE", "ADMIN_KEY", "API_KEYS"], &settings).await
    };
    let (a, b, c, d) = tokio::join!(start(), start(), start(), start());
    let output = [&a, &b, &c, &d].map(Gateway::output).join("\n");
    assert_eq!(output.matches("Admin key (shown once").count(), 1, "{output}");
    assert_eq!(output.matches("API key   (shown once").count(), 1, "{output}");
    assert!(!output.contains("ERROR"), "{output}");
    assert!(a.run(&["db", "check"]).contains("is in good order"));
}

#[tokio::test]
async fn nodes_know_of_each_other_until_they_end() {
    let Some(server) = Server::start().await else { return };
    let database = server.database().await;
    let (a, mut b, mut c) = tokio::join!(node(&database, &[]), node(&database, &[]), node(&database, &[]));
    agree(&[&a, &b, &c]).await;
    let cluster = a.admin_get("/admin/cluster").await;
    let rows = cluster["nodes"].as_array().unwrap();
    let this: Vec<_> = rows.iter().filter(|row| row["this"] == true).collect();
    assert_eq!(this.len(), 1, "{cluster}");
    assert_eq!(this[0]["address"], a.address().to_string());
    assert_eq!(this[0]["version"], env!("CARGO_PKG_VERSION"));
    for field in ["id", "hostname", "started_at", "last_seen"] {
        assert!(this[0][field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {cluster}");
    }
    let known = async || a.admin_get("/admin/cluster").await["nodes"].as_array().unwrap().len();
    b.terminate();
    assert!(b.exit().await.success());
    assert_eq!(known().await, 2, "one that ends says so");
    c.kill();
    eventually("the killed one to vanish", async || (known().await == 1).then_some(())).await;
}

#[tokio::test]
async fn a_node_that_is_older_than_the_schema_does_not_start_and_those_that_run_go_on() {
    let Some(server) = Server::start().await else { return };
    let database = server.database().await;
    let (running, mut restarted) = tokio::join!(node(&database, &[]), node(&database, &[]));
    let a = Upstream::start("a").await;
    running.provider("a", "openai", &a, json!({})).await;
    let insert = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                  values (9000, 'from the future', true, '\\x00', 0)";
    let pool = sqlx::PgPool::connect(&database).await.unwrap();
    sqlx::query(insert).execute(&pool).await.unwrap();
    let said = restarted.refuses_to_start(&[]);
    assert!(said.contains("(version 9000) is newer than this program knows"), "{said}");
    assert!(said.contains("run the version that wrote it, or a later one"), "{said}");
    running.ask("gpt-4o").await.assert_ok();
    running.admin_get("/admin/providers").await;
}
