//! Requests that name what only one provider has: they go there, and nobody names what is another's.

use serde_json::{Value, json};

use super::{stage, stage_of};
use crate::support::{API_KEY, Dialect, Gateway, Request, Script};

async fn other_key(gateway: &Gateway) -> String {
    let other = gateway.admin("POST", "/admin/keys", json!({"name": "other"})).await.json();
    other["key"].as_str().expect("a new key is shown").to_owned()
}

#[tokio::test]
async fn a_request_that_names_a_file_goes_where_the_file_is() {
    let (mut gateway, [a, b]) = stage(&[]).await;
    b.next(Script::json(200, &json!({"id": "file-1", "object": "file", "bytes": 2})));
    let parts = [("provider", "", "b"), ("purpose", "", "user_data"), ("file", "; filename=\"a.pdf\"", "{}")];
    let parts = parts.map(|(name, more, value)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{value}\r\n")
    });
    let upload = Request::new("POST", "/v1/files").header("Content-Type", "multipart/form-data; boundary=b");
    gateway.send(upload.body(parts.concat() + "--b--\r\n").bearer(API_KEY)).await.assert_ok();

    let file = json!({"type": "file", "file": {"file_id": "file-1"}});
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": [file]}]});
    for _ in 0..2 {
        let before = b.calls();
        gateway.send(Request::post("/v1/chat/completions", &body).bearer(API_KEY)).await.assert_ok();
        assert_eq!((a.calls(), b.calls()), (0, before + 1));
        gateway.restart().await;
    }
    let reply = gateway.send(Request::post("/v1/chat/completions", &body).bearer(&other_key(&gateway).await)).await;
    reply.assert_error(404, "not_found");
    assert_eq!((&reply.error()["param"], a.calls()), (&json!("file_id"), 0));
    let mut elsewhere = body.clone();
    elsewhere["provider"] = json!("a");
    gateway.chat(elsewhere).await.assert_error(400, "invalid_request");

    let mut unknown = body;
    unknown["messages"][0]["content"][0]["file"]["file_id"] = json!("file-unknown");
    gateway.chat(unknown).await.assert_ok();
    assert_eq!(a.calls(), 1, "what nobody here knows may be anywhere");
}

fn message(more: &Value) -> Request {
    let messages = json!([{"role": "user", "content": "Count"}]);
    let mut body = json!({"model": Dialect::Anthropic.model(), "max_tokens": 9, "messages": messages});
    for (field, value) in more.as_object().expect("fields are an object") {
        body[field] = value.clone();
    }
    Request::post("/v1/messages", &body)
}

/// An answer that tells of a container.
fn from_container(streamed: bool) -> Script {
    let container = json!({"id": "container_1", "expires_at": "2026-01-01T00:00:00Z"});
    if !streamed {
        let mut answer = Dialect::Anthropic.whole("Hi");
        answer["container"] = container;
        return Script::json(200, &answer);
    }
    let frames = Dialect::Anthropic.stream(&["Hi"]);
    let end = format!("\"container\":{container},\"stop_reason\"");
    let frames: Vec<String> = frames.iter().map(|frame| frame.replace("\"stop_reason\"", &end)).collect();
    Script::sse(&frames)
}

#[tokio::test]
async fn a_container_and_a_thread_stay_at_the_account_that_made_them() {
    for streamed in [false, true] {
        let (mut gateway, [a, b]) = stage_of(Dialect::Anthropic, &[]).await;
        let tools = json!([{"type": "code_execution_20250825", "name": "code_execution"}]);
        let made = [json!({"tools": tools}), json!({"thread": {"type": "create"}})];
        let named = [
            json!({"container": "container_1"}),
            json!({"thread": {"type": "continue", "previous_message_id": "msg_1"}}),
        ];
        for (making, naming) in made.into_iter().zip(&named) {
            let mut making = making;
            making["stream"] = json!(streamed);
            b.next(from_container(streamed));
            let making = message(&making).bearer(API_KEY).header("X-Orchestrator-Provider", "b");
            gateway.send(making).await.assert_ok();
            let before = b.calls();
            gateway.send(message(naming).bearer(API_KEY)).await.assert_ok();
            assert_eq!((a.calls(), b.calls()), (0, before + 1), "{naming}");
        }
        gateway.stop_and_start().await;
        let other = other_key(&gateway).await;
        for naming in named {
            let before = b.calls();
            gateway.send(message(&naming).bearer(API_KEY)).await.assert_ok();
            assert_eq!((a.calls(), b.calls()), (0, before + 1), "{naming}");
            let reply = gateway.send(message(&naming).bearer(&other)).await;
            assert_eq!((reply.status, a.calls()), (404, 0), "{naming}: {}", reply.text());
            if naming.get("thread").is_some() {
                let code = &reply.error()["details"]["error_code"];
                assert_eq!(code, "thread_not_found", "SDKs send the whole conversation again for this word");
            }
        }
    }
}
