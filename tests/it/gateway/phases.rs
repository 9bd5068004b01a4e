//! Which part of an answer a message is: OpenAI's models want to be told again what they said of it, whoever kept it.

use serde_json::{Value, json};

use super::stage_of;
use crate::support::{API_KEY, Dialect, Gateway, Reply, Request, Script, canned::responses_answer};

const MODEL: &str = "gpt-5-codex";

/// A remark on the way, and the answer.
fn answer() -> Value {
    let message = |id: &str, phase: &str, text: &str| {
        let content = json!([{"type": "output_text", "text": text, "annotations": []}]);
        json!({"type": "message", "id": id, "status": "completed", "role": "assistant", "phase": phase, "content": content})
    };
    let output = json!([message("msg_1", "commentary", "Let me see."), message("msg_2", "final_answer", "Hello.")]);
    responses_answer("completed", output)
}

/// The phases and texts of the model's messages in what the upstream was sent last.
fn told(sent: &Value) -> Vec<(Value, Value)> {
    let items = sent["input"].as_array().into_iter().flatten();
    let said = items.filter(|item| item["role"] == "assistant");
    said.map(|item| (item["phase"].clone(), item["content"].clone())).collect()
}

fn both() -> Vec<(Value, Value)> {
    vec![(json!("commentary"), json!("Let me see.")), (json!("final_answer"), json!("Hello."))]
}

async fn ask(gateway: &Gateway, path: &str, body: &Value) -> Reply {
    let reply = gateway.send(Request::post(path, body).bearer(API_KEY)).await;
    reply.assert_ok();
    reply
}

#[tokio::test]
async fn clients_of_other_protocols_send_phases_back_without_knowing_them() {
    let (gateway, [a]) = stage_of(Dialect::Responses, &[]).await;
    a.always(Script::json(200, &answer()));

    let turn = |content: Value| json!({"role": "user", "content": content});
    let mut body = json!({"model": MODEL, "max_tokens": 99, "messages": [turn(json!("Hi"))]});
    let said = ask(&gateway, "/v1/messages", &body).await.json()["content"].clone();
    body["messages"] = json!([turn(json!("Hi")), {"role": "assistant", "content": said}, turn(json!("And?"))]);
    ask(&gateway, "/v1/messages", &body).await;
    assert_eq!(told(&a.last().json()), both());

    let turn = |text: &str| json!({"role": "user", "parts": [{"text": text}]});
    let path = format!("/v1beta/models/{MODEL}:generateContent");
    let said =
        ask(&gateway, &path, &json!({"contents": [turn("Hi")]})).await.json()["candidates"][0]["content"].clone();
    ask(&gateway, &path, &json!({"contents": [turn("Hi"), said, turn("And?")]})).await;
    assert_eq!(told(&a.last().json()), both());
}

#[tokio::test]
async fn a_chat_message_has_the_phase_of_its_last_text() {
    let (gateway, [a]) = stage_of(Dialect::Responses, &[]).await;
    a.always(Script::json(200, &answer()));
    let mut body = json!({"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]});
    let said = ask(&gateway, "/v1/chat/completions", &body).await.json()["choices"][0]["message"].clone();
    assert_eq!(said["phase"], "final_answer");
    body["messages"] = json!([{"role": "user", "content": "Hi"}, said, {"role": "user", "content": "And?"}]);
    ask(&gateway, "/v1/chat/completions", &body).await;
    assert_eq!(told(&a.last().json()), [(json!("final_answer"), json!("Let me see.Hello."))]);
}

#[tokio::test]
async fn other_models_are_not_told_of_phases_and_nothing_counts_as_lost() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    let said = answer()["output"].clone();
    let input = json!([{"role": "user", "content": "Hi"}, said[0], said[1], {"role": "user", "content": "And?"}]);
    let reply = ask(&gateway, "/v1/responses", &json!({"model": "claude-sonnet-4-5", "input": input})).await;
    assert!(!a.last().json().to_string().contains("commentary"));
    assert_eq!(reply.header("x-orchestrator-dropped"), None);
}

#[tokio::test]
async fn reasoning_that_another_provider_signed_is_left_out_and_told() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    let thought = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"});
    let input = json!([
        {"role": "user", "content": "Hi"}, thought, {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "And?"},
    ]);
    let reply = ask(&gateway, "/v1/responses", &json!({"model": "claude-sonnet-4-5", "input": input})).await;
    assert!(!a.last().json().to_string().contains("gAAAA"));
    assert_eq!(reply.header("x-orchestrator-dropped"), Some("input[1]"));
}
