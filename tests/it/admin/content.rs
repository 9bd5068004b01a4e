//! What was said in requests: in the log where two people want it, and nowhere else.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

use crate::{
    store::postgres::Server,
    support::{Dialect, Gateway, Raw, Request, Script, Upstream, eventually},
};

/// Stands in requests and in answers, and must not be where nobody wants it.
const CANARY: &str = "canary-7d1f03";

const ALLOWED: (&str, &str) = ("ORCHESTRATOR_JOURNAL_CONTENT", "per_key");

/// A gateway in front of one provider that repeats what it is told, and a key of these fields.
async fn stage(settings: &[(&str, &str)], key: Value) -> (Gateway, Upstream, String) {
    let upstream = Upstream::start("a").await;
    upstream.echoes();
    let gateway = Gateway::with(settings).await;
    gateway.provider("a", "openai", &upstream, json!({"max_retries": 0})).await;
    let mut body = json!({"name": "team"});
    body.as_object_mut().unwrap().extend(key.as_object().unwrap().clone());
    let made = gateway.admin("POST", "/admin/keys", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let key = made.json()["key"].as_str().unwrap().to_owned();
    (gateway, upstream, key)
}

async fn stage_that_logs(settings: &[(&str, &str)]) -> (Gateway, Upstream, String) {
    stage(&[&[ALLOWED], settings].concat(), json!({"log_content": true})).await
}

fn said(words: &str, stream: bool) -> Value {
    json!({"model": "gpt-4o", "stream": stream, "messages": [{"role": "user", "content": words}]})
}

fn ask(key: &str, body: &Value) -> Request {
    Request::post("/v1/chat/completions", body).bearer(key)
}

/// The newest row of at least so many, with what was said.
async fn newest(gateway: &Gateway, count: usize) -> Value {
    let id = gateway.logs(count).await.last().unwrap()["id"].clone();
    gateway.admin_get(&format!("/admin/logs/{id}")).await
}

/// Files below a folder that have the canary in them, as it is.
fn found_in(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(found_in(&path));
        } else if fs::read(&path).unwrap().windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Has a whole answer, a stream, an error and a request that is refused be about the canary. The upstream was asked for three.
async fn speak_of_it(gateway: &Gateway, upstream: &Upstream, key: &str) {
    let whole = gateway.send(ask(key, &said(CANARY, false))).await;
    assert!(whole.assert_ok().content().contains(CANARY));
    assert!(gateway.send(ask(key, &said(CANARY, true))).await.assert_ok().content().contains(CANARY));
    upstream.next(Script::error(500, "no"));
    assert_eq!(gateway.send(ask(key, &said(CANARY, false))).await.status, 502);
    let nonsense = json!({"model": "gpt-4o", "messages": CANARY});
    assert_eq!(gateway.send(ask(key, &nonsense)).await.status, 400);
    gateway.logs(4).await;
}

/// Where operators can look, but for the one place that is for it.
async fn everywhere_else(gateway: &Gateway, collector: &Upstream) -> String {
    let mut all = gateway.output();
    for target in ["/metrics", "/admin/logs", "/admin/logs/export", "/admin/stats?group_by=model,key", "/admin/keys"] {
        all += &gateway.admin("GET", target, Value::Null).await.text();
    }
    eventually("spans to be delivered", async || (collector.calls() > 0).then_some(())).await;
    all + &collector.seen().iter().map(|seen| String::from_utf8_lossy(&seen.body).into_owned()).collect::<String>()
}

#[tokio::test]
async fn unless_it_is_switched_on_nothing_that_is_said_is_kept_anywhere() {
    for (settings, key) in [(vec![], json!({})), (vec![ALLOWED], json!({"log_content": false}))] {
        let collector = Upstream::start("collector").await;
        collector.always(Script::bytes(200, "application/x-protobuf", Vec::new()));
        let endpoint = collector.url();
        let told = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("LOG_LEVEL", "debug")];
        let (gateway, upstream, key) = stage(&[&settings[..], &told].concat(), key).await;
        speak_of_it(&gateway, &upstream, &key).await;
        assert!(!everywhere_else(&gateway, &collector).await.contains(CANARY));
        assert_eq!(found_in(gateway.folder()), Vec::<String>::new());
        for row in gateway.logs(4).await {
            let detail = gateway.admin_get(&format!("/admin/logs/{}", row["id"])).await;
            assert_eq!((&detail["content"], &detail["unreadable"]), (&Value::Null, &json!(false)));
        }
        let dump = gateway.admin("GET", "/metrics", Value::Null).await.text();
        assert!(dump.contains("llm_orchestrator_log_contents_total{state=\"written\"} 0"), "{dump}");
    }
}

#[tokio::test]
async fn where_it_is_switched_on_it_is_in_one_table_only_and_sealed_there() {
    let collector = Upstream::start("collector").await;
    collector.always(Script::bytes(200, "application/x-protobuf", Vec::new()));
    let endpoint = collector.url();
    let told = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("LOG_LEVEL", "debug")];
    let (gateway, upstream, key) = stage_that_logs(&told).await;
    speak_of_it(&gateway, &upstream, &key).await;
    // Of a key that does not say so nothing is kept beside it.
    gateway.chat(said(CANARY, false)).await.assert_ok();
    assert!(!everywhere_else(&gateway, &collector).await.contains(CANARY));
    assert_eq!(found_in(gateway.folder()), Vec::<String>::new());
    let mut details = Vec::new();
    for row in gateway.logs(5).await {
        let detail = gateway.admin_get(&format!("/admin/logs/{}", row["id"])).await;
        assert_eq!(detail["request_id"], row["request_id"]);
        details.push(detail);
    }
    let text = |at: usize, part: &str| details[at]["content"][part]["text"].as_str().unwrap_or_default().to_owned();
    assert_eq!(text(0, "request"), said(CANARY, false).to_string());
    let whole: Value = serde_json::from_str(&text(0, "answer")).unwrap();
    assert!(whole["choices"][0]["message"]["content"].as_str().unwrap().contains(CANARY));
    assert!(text(1, "answer").starts_with("data: ") && text(1, "answer").ends_with("data: [DONE]\n\n"));
    for at in [2, 3] {
        assert!(text(at, "request").contains(CANARY));
        let error: Value = serde_json::from_str(&text(at, "answer")).unwrap();
        assert_eq!(error["request_id"], details[at]["request_id"]);
    }
    assert_eq!(details[4]["content"], Value::Null);
    let secrets = [key.as_str(), "sk-of-a", "Authorization"];
    let all = json!(details).to_string();
    assert!(secrets.iter().all(|secret| !all.contains(secret)), "{all}");
}

#[tokio::test]
async fn of_what_is_long_the_beginning_is_kept() {
    let (gateway, _a, key) = stage_that_logs(&[("ORCHESTRATOR_JOURNAL_MAX_CONTENT_BYTES", "100")]).await;
    let body = said(&"é".repeat(500), false);
    let answered = gateway.send(ask(&key, &body)).await;
    let content = newest(&gateway, 1).await["content"].clone();
    for (part, whole) in [("request", body.to_string().into_bytes()), ("answer", answered.body)] {
        let excerpt = &content[part];
        assert_eq!((&excerpt["truncated"], &excerpt["bytes"]), (&json!(true), &json!(whole.len())), "{part}");
        let text = excerpt["text"].as_str().unwrap();
        assert!((99..=100).contains(&text.len()) && whole.starts_with(text.as_bytes()), "{part}: {text}");
    }
}

#[tokio::test]
async fn of_a_client_that_leaves_there_is_what_it_got_until_then() {
    let (gateway, upstream, key) = stage_that_logs(&[]).await;
    upstream.next(Script::sse(&Dialect::OpenAi.stream(&["first ", "second"])).paced(Duration::from_secs(2)));
    let mut client = Raw::connect(gateway.address()).await;
    client.send(&ask(&key, &said("go on", true)).bytes()).await;
    client.until("first ").await;
    client.reset();
    let detail = newest(&gateway, 1).await;
    assert_eq!((&detail["status_code"], &detail["error_code"]), (&json!(499), &json!("client_closed")));
    let text = detail["content"]["answer"]["text"].as_str().unwrap();
    assert!(text.contains("first ") && !text.contains("[DONE]"), "{text}");

    upstream.next(Script::silent());
    let mut client = Raw::connect(gateway.address()).await;
    client.send(&ask(&key, &said("say nothing", false)).bytes()).await;
    upstream.call(2).await;
    client.reset();
    let content = newest(&gateway, 2).await["content"].clone();
    assert_eq!(
        (&content["request"]["text"], &content["answer"]["bytes"]),
        (&json!(said("say nothing", false).to_string()), &json!(0))
    );
}

#[tokio::test]
async fn an_answer_that_is_given_again_is_kept_for_each_request() {
    let (gateway, upstream, key) = stage_that_logs(&[("ORCHESTRATOR_CACHE_ENABLED", "true")]).await;
    let first = gateway.send(ask(&key, &said("twice", true))).await.text();
    newest(&gateway, 1).await;
    let again = gateway.send(ask(&key, &said("twice", true))).await;
    assert_eq!((again.header("x-orchestrator-cache"), upstream.calls()), (Some("hit"), 1));
    let detail = newest(&gateway, 2).await;
    assert_eq!((&detail["cache_status"], &detail["content"]["answer"]["text"]), (&json!("hit"), &json!(first)));
}

#[tokio::test]
async fn what_is_no_text_is_shown_in_base64() {
    let (gateway, upstream, key) = stage_that_logs(&[]).await;
    upstream.next(Script::bytes(200, "audio/mpeg", vec![0xff, 0xfb, 0, 1]));
    let speech = json!({"model": "tts-1", "input": "hello", "voice": "alloy"});
    gateway.send(Request::post("/v1/audio/speech", &speech).bearer(&key)).await.assert_ok();
    let answer = newest(&gateway, 1).await["content"]["answer"].clone();
    assert_eq!(answer, json!({"text": null, "base64": "//sAAQ==", "bytes": 4, "truncated": false}));
}

#[tokio::test]
async fn what_does_not_fit_is_left_out_and_counted_and_its_row_stays() {
    let (gateway, _a, key) = stage_that_logs(&[("ORCHESTRATOR_JOURNAL_CONTENT_CAPACITY", "10")]).await;
    gateway.send(ask(&key, &said("too long", false))).await.assert_ok();
    let detail = newest(&gateway, 1).await;
    assert_eq!((&detail["status_code"], &detail["content"]), (&json!(200), &Value::Null));
    let metrics = gateway.admin("GET", "/metrics", Value::Null).await.text();
    assert!(metrics.contains("llm_orchestrator_log_contents_total{state=\"dropped\"} 1"), "{metrics}");
}

#[tokio::test]
async fn whoever_runs_the_machine_can_forbid_it() {
    let (mut gateway, _a, key) = stage_that_logs(&[]).await;
    let id = gateway.admin_get("/admin/keys").await[0]["id"].clone();
    gateway.restart_with(&[(ALLOWED.0, "never")]).await;
    gateway.send(ask(&key, &said("hello", false))).await.assert_ok();
    assert_eq!(newest(&gateway, 1).await["content"], Value::Null);
    let target = format!("/admin/keys/{id}");
    assert_eq!(gateway.admin_get(&target).await["log_content"], true);
    let refused = gateway.admin("PATCH", &target, json!({"log_content": true})).await;
    refused.assert_error(400, "invalid_request");
    assert_eq!(refused.error()["param"], "log_content");
    assert_eq!(gateway.try_run(&["keys", "create", "other", "--log-content", "true"]).0, 1);
    let off = gateway.admin("PATCH", &target, json!({"log_content": null})).await;
    assert_eq!(off.assert_ok().json()["log_content"], false);
}

#[tokio::test]
async fn after_the_master_key_was_changed_it_cannot_be_read_and_the_row_can() {
    let (mut gateway, _a, key) = stage_that_logs(&[]).await;
    gateway.send(ask(&key, &said("hello", false))).await.assert_ok();
    assert!(newest(&gateway, 1).await["content"].is_object());
    let new = gateway.folder().join("new.key").display().to_string();
    gateway.run(&["db", "rotate-master-key", "--to", &new]);
    gateway.restart_with(&[("ORCHESTRATOR_AUTH_MASTER_KEY_FILE", &new)]).await;
    let detail = newest(&gateway, 1).await;
    assert_eq!(
        (&detail["content"], &detail["unreadable"], &detail["status_code"]),
        (&Value::Null, &json!(true), &json!(200))
    );
}

#[tokio::test]
async fn a_row_that_is_not_there_is_not_found() {
    let gateway = Gateway::start().await;
    for id in ["7", "x"] {
        gateway.admin("GET", &format!("/admin/logs/{id}"), Value::Null).await.assert_error(404, "not_found");
    }
}

/// Runs statements on a gateway's database, and answers the number that the last one selects.
async fn on_database(url: &str, changes: &[String], number: &str) -> i64 {
    macro_rules! run {
        ($pool:expr) => {{
            let pool = $pool.await.unwrap();
            for change in changes {
                sqlx::query(AssertSqlSafe(change.clone())).execute(&pool).await.unwrap();
            }
            let number = sqlx::query_scalar(AssertSqlSafe(number)).fetch_one(&pool).await.unwrap();
            pool.close().await;
            number
        }};
    }
    if url.starts_with("sqlite") { run!(SqlitePool::connect(url)) } else { run!(PgPool::connect(url)) }
}

/// Makes what was said in one of two requests older than it may get, and has the gateway look after its log.
async fn outlives_its_time(settings: &[(&str, &str)]) {
    let kept = [&[("ORCHESTRATOR_JOURNAL_RETENTION_DAYS", "7")], settings].concat();
    let (mut gateway, _a, key) = stage_that_logs(&kept).await;
    for words in ["old", "young"] {
        gateway.send(ask(&key, &said(words, false))).await.assert_ok();
    }
    let ids: Vec<_> = gateway.logs(2).await.iter().map(|row| row["id"].clone()).collect();
    let targets = [&ids[0], &ids[1]].map(|id| format!("/admin/logs/{id}"));
    for target in &targets {
        assert!(gateway.admin_get(target).await["content"].is_object());
    }
    gateway.terminate();
    gateway.exit().await;
    let (eight_days, id) = (8 * 86_400_000_000_i64, &ids[0]);
    let age = |table: &str, column: &str| {
        format!("update {table} set created_at = created_at - {eight_days} where {column} = {id}")
    };
    let changes = [age("request_log", "id"), age("log_content", "log_id")];
    assert_eq!(on_database(&gateway.database(), &changes, CONTENTS).await, 2);
    gateway.restart().await;
    eventually("the old row to go", async || {
        (gateway.admin("GET", &targets[0], Value::Null).await.status == 404).then_some(())
    })
    .await;
    let young = gateway.admin_get(&targets[1]).await;
    assert_eq!(young["content"]["request"]["text"], said("young", false).to_string());
    assert_eq!(on_database(&gateway.database(), &[], CONTENTS).await, 1);
}

const CONTENTS: &str = "select count(*) from log_content";

#[tokio::test]
async fn what_was_said_goes_with_its_row_once_that_is_old_enough() {
    outlives_its_time(&[]).await;
}

#[tokio::test]
async fn what_was_said_goes_with_its_row_once_that_is_old_enough_on_postgresql_too() {
    let Some(server) = Server::start().await else { return };
    outlives_its_time(&[("DATABASE_URL", &server.database().await)]).await;
}
