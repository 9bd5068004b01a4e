//! The request log in pages without end, and as a file.

use llm_orchestrator::store::{LogRow, Store};
use serde_json::Value;

use crate::support::{Gateway, Reply};

/// More than are read at once.
const ROWS: i64 = 2345;

/// A gateway beside a log with many rows, of which each third was a stream.
async fn stage() -> (Gateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/db", folder.path().display());
    let gateway = Gateway::with(&[("DATABASE_URL", &url), ("ORCHESTRATOR_JOURNAL_RETENTION_DAYS", "0")]).await;
    let store = Store::open(&url).unwrap();
    let row = |id: i64| LogRow {
        id: 1_000_000 + id,
        request_id: format!("req-{id}").into(),
        created_at: 1_000_000 * (id / 7),
        endpoint: "/v1/chat/completions".into(),
        method: "POST".into(),
        status_code: 200,
        stream: id % 3 == 0,
        user_agent: Some("=cmd|' /C calc'!A0".into()),
        ..LogRow::default()
    };
    let rows: Vec<_> = (1..=ROWS).map(row).collect();
    store.insert_logs(&rows).await.unwrap();
    (gateway, folder)
}

async fn export(gateway: &Gateway, query: &str) -> Reply {
    gateway.admin("GET", &format!("/admin/logs/export?{query}"), Value::Null).await
}

/// The request ids that a file must have, newest first.
fn expected(filter: impl Fn(i64) -> bool) -> Vec<String> {
    (1..=ROWS).rev().filter(|id| filter(*id)).map(|id| format!("req-{id}")).collect()
}

#[tokio::test]
async fn json_lines_hold_every_row_once_and_newest_first() {
    let (gateway, _folder) = stage().await;
    let reply = export(&gateway, "format=jsonl").await;
    assert_eq!(reply.header("content-type"), Some("application/jsonl"));
    let ids = |reply: &Reply| -> Vec<String> {
        let lines = reply.text();
        let row = |line: &str| serde_json::from_str::<Value>(line).unwrap()["request_id"].as_str().unwrap().to_owned();
        lines.lines().map(row).collect()
    };
    assert_eq!(ids(&reply), expected(|_| true));
    let some = export(&gateway, "format=jsonl&stream=true&to=1970-01-01T00:03:00Z").await;
    assert_eq!(ids(&some), expected(|id| id % 3 == 0 && id / 7 < 180));
    assert_eq!(export(&gateway, "format=jsonl&model=none").await.text(), "");
}

#[tokio::test]
async fn csv_has_a_head_and_no_formulas() {
    let (gateway, _folder) = stage().await;
    let reply = export(&gateway, "stream=false").await;
    assert!(reply.header("content-type").unwrap().starts_with("text/csv"));
    assert!(reply.header("content-disposition").unwrap().contains("request-log.csv"));
    let text = reply.text();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let head = reader.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|column| column == name).unwrap();
    let (id, agent) = (column("request_id"), column("user_agent"));
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let ids: Vec<_> = rows.iter().map(|row| row[id].to_owned()).collect();
    assert_eq!(ids, expected(|id| id % 3 != 0));
    assert!(rows.iter().all(|row| &row[agent] == "'=cmd|' /C calc'!A0"));
    export(&gateway, "format=xml").await.assert_error(400, "invalid_request");
    export(&gateway, "status_code=x").await.assert_error(400, "invalid_request");
}

#[tokio::test]
async fn next_leads_through_the_whole_log() {
    let (gateway, _folder) = stage().await;
    let mut ids = Vec::new();
    let mut before = String::new();
    loop {
        let page = gateway.admin_get(&format!("/admin/logs?page_size=100&stream=true&before={before}")).await;
        assert_eq!(page["total"], expected(|id| id % 3 == 0).len());
        let rows = page["logs"].as_array().unwrap();
        ids.extend(rows.iter().map(|row| row["request_id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => before = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(ids, expected(|id| id % 3 == 0));
    let reply = gateway.admin("GET", "/admin/logs?before=yesterday", Value::Null).await;
    reply.assert_error(400, "invalid_request");
    assert!(reply.message().contains("before"), "{}", reply.message());
}
