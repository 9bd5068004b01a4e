//! Files and batches: each stays at one provider, and belongs to one key.

use serde_json::{Value, json};

use super::stage;
use crate::support::{API_KEY, Gateway, Reply, Request, Script, Upstream};

fn file(id: &str) -> Value {
    json!({"id": id, "object": "file", "bytes": 2, "filename": "a.jsonl", "purpose": "batch"})
}

fn upload(fields: &str) -> Request {
    let body = format!(
        "{fields}--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\nContent-Disposition: \
         form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n{{}}\r\n--b--\r\n"
    );
    Request::new("POST", "/v1/files").header("Content-Type", "multipart/form-data; boundary=b").body(body)
}

async fn ask(gateway: &Gateway, method: &str, target: &str) -> Reply {
    gateway.send(Request::new(method, target).bearer(API_KEY)).await
}

/// Uploads a file to `b`, which is not the first that would be asked.
async fn uploaded(gateway: &Gateway, b: &Upstream) {
    b.next(Script::json(200, &file("file-1")));
    let provider = "--b\r\nContent-Disposition: form-data; name=\"provider\"\r\n\r\nb\r\n";
    let reply = gateway.send(upload(provider).bearer(API_KEY)).await;
    assert_eq!(reply.assert_ok().json(), file("file-1"));
    assert!(!String::from_utf8_lossy(&b.last().body).contains("provider"), "the gateway's own field stays here");
}

#[tokio::test]
async fn a_file_is_looked_for_where_it_was_put_even_after_a_restart() {
    let (mut gateway, [a, b]) = stage(&[]).await;
    uploaded(&gateway, &b).await;
    for round in 0..2 {
        b.next(Script::json(200, &file("file-1")));
        assert_eq!(ask(&gateway, "GET", "/v1/files/file-1").await.assert_ok().json(), file("file-1"));
        b.next(Script::bytes(200, "application/json", "{\"a\":1}\n{}").header("Content-Disposition", "attachment"));
        let content = ask(&gateway, "GET", "/files/file-1/content").await;
        assert_eq!(content.assert_ok().text(), "{\"a\":1}\n{}", "a file passes whatever it holds");
        assert_eq!(content.header("content-disposition"), Some("attachment"));
        if round == 0 {
            gateway.restart().await;
        }
    }
    b.next(Script::json(200, &json!({"id": "file-1", "deleted": true})));
    ask(&gateway, "DELETE", "/v1/files/file-1").await.assert_ok();
    assert_eq!(b.last().method, "DELETE");
    assert_eq!(a.calls(), 0);
    a.next(Script::error(404, "No such File object: file-1"));
    assert_eq!(ask(&gateway, "GET", "/v1/files/file-1").await.status, 404, "nobody remembers what is deleted");
    assert_eq!(a.last().path, "/v1/files/file-1");
}

#[tokio::test]
async fn another_keys_file_is_not_there() {
    let (gateway, [a, b]) = stage(&[]).await;
    uploaded(&gateway, &b).await;
    let other = gateway.admin("POST", "/admin/keys", json!({"name": "other"})).await.json();
    let other = other["key"].as_str().unwrap();
    for (method, target) in
        [("GET", "/v1/files/file-1"), ("DELETE", "/v1/files/file-1"), ("GET", "/v1/files/file-1/content")]
    {
        let reply = gateway.send(Request::new(method, target).bearer(other)).await;
        reply.assert_error(404, "not_found");
    }
    let batch = Request::post("/v1/batches", &json!({"input_file_id": "file-1", "endpoint": "/v1/embeddings"}));
    gateway.send(batch.bearer(other)).await.assert_error(404, "not_found");
    assert_eq!((a.calls(), b.calls()), (0, 1));
    let list = json!({"object": "list", "data": [file("file-1"), file("file-2")], "has_more": false});
    b.next(Script::json(200, &list)).next(Script::json(200, &list));
    let seen = gateway.send(Request::get("/v1/files?provider=b&purpose=batch").bearer(other)).await.assert_ok().json();
    assert_eq!(seen["data"], json!([file("file-2")]));
    assert_eq!(b.last().path, "/v1/files?purpose=batch");
    let own = gateway.send(Request::get("/v1/files").bearer(API_KEY).header("X-Orchestrator-Provider", "b")).await;
    assert_eq!(own.assert_ok().json(), list);
}

#[tokio::test]
async fn a_batch_runs_where_its_file_is_and_so_do_its_results() {
    let (gateway, [a, b]) = stage(&[]).await;
    uploaded(&gateway, &b).await;
    let batch =
        json!({"id": "batch_1", "object": "batch", "status": "in_progress", "errors": null, "output_file_id": null});
    b.next(Script::json(200, &batch));
    let body = json!({"input_file_id": "file-1", "endpoint": "/v1/embeddings", "completion_window": "24h"});
    let started = gateway.send(Request::post("/v1/batches", &body).bearer(API_KEY)).await;
    assert_eq!(started.assert_ok().json(), batch);
    assert_eq!(b.last().json(), body);
    b.next(Script::json(200, &json!({"id": "batch_1", "status": "completed", "output_file_id": "file-9"})));
    assert_eq!(ask(&gateway, "GET", "/v1/batches/batch_1").await.assert_ok().json()["status"], "completed");
    b.next(Script::bytes(200, "application/octet-stream", "{}\n"));
    assert_eq!(ask(&gateway, "GET", "/v1/files/file-9/content").await.assert_ok().text(), "{}\n");
    b.next(Script::json(200, &batch));
    ask(&gateway, "POST", "/v1/batches/batch_1/cancel").await.assert_ok();
    assert_eq!((b.last().method.as_str(), b.last().path.as_str()), ("POST", "/v1/batches/batch_1/cancel"));
    a.next(Script::json(200, &json!({"object": "list", "data": []})));
    ask(&gateway, "GET", "/v1/batches?limit=3").await.assert_ok();
    assert_eq!(a.last().path, "/v1/batches?limit=3", "nothing says which provider: the first");
}

#[tokio::test]
async fn a_key_for_some_models_cannot_get_around_that_by_a_batch() {
    let (gateway, [a]) = stage(&[]).await;
    let made =
        gateway.admin("POST", "/admin/keys", json!({"name": "limited", "allowed_models": ["gpt-4o-*"]})).await.json();
    let batch = Request::post("/v1/batches", &json!({"input_file_id": "file-1"})).bearer(made["key"].as_str().unwrap());
    gateway.send(batch).await.assert_error(403, "forbidden");
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn an_id_that_could_lead_elsewhere_leads_nowhere() {
    let (gateway, [a]) = stage(&[]).await;
    for id in ["..", "%2e%2e", "a%2fb", "a%3Fb", "%20"] {
        ask(&gateway, "GET", &format!("/v1/files/{id}")).await.assert_error(404, "not_found");
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn an_upload_is_never_made_twice() {
    let (gateway, [a, b]) = stage(&[]).await;
    a.always(Script::error(500, "Oops"));
    gateway.send(upload("").bearer(API_KEY)).await.assert_error(502, "upstream_error");
    assert_eq!((a.calls(), b.calls()), (1, 0));
    let reply = gateway.send(Request::get("/v1/files?provider=nobody").bearer(API_KEY)).await;
    reply.assert_error(400, "invalid_request");
    gateway.send(upload("")).await.assert_error(401, "unauthorized");
}
