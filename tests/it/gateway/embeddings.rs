//! Texts as numbers, from providers that speak OpenAI's API and from those that speak Google's.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{stage, stage_of};
use crate::support::{API_KEY, Dialect, Gateway, Reply, Request, Script, Upstream};

const MODEL: &str = "text-embedding-3-small";

async fn embed(gateway: &Gateway, body: &Value) -> Reply {
    gateway.send(Request::post("/v1/embeddings", body).bearer(API_KEY)).await
}

fn openai_answer() -> Value {
    json!({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": "AACAPw=="}],
        "model": MODEL, "usage": {"prompt_tokens": 4, "total_tokens": 4}})
}

#[tokio::test]
async fn a_request_passes_with_nothing_but_the_gateways_own_fields_changed() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::json(200, &openai_answer()));
    let body = r#"{ "input" : [[3923,374],[1e0]], "model":"a:text-embedding-3-small","provider":"a" ,"encoding_format":"base64" }"#;
    let request = Request::new("POST", "/v1/embeddings").bearer(API_KEY).header("Content-Type", "application/json");
    let reply = gateway.send(request.body(body)).await;
    assert_eq!(reply.assert_ok().json(), openai_answer());
    assert_eq!(reply.header("x-orchestrator-provider"), Some("a"));
    let seen = a.last();
    assert_eq!(seen.path, "/v1/embeddings");
    assert_eq!(seen.header("authorization"), Some("Bearer sk-of-a"));
    let expected = r#"{ "input" : [[3923,374],[1e0]], "model":"text-embedding-3-small" ,"encoding_format":"base64" }"#;
    assert_eq!(String::from_utf8(seen.body).unwrap(), expected);
    let row = gateway.assert_row(json!({"endpoint": "/v1/embeddings", "status_code": 200, "prompt_tokens": 4})).await;
    assert_eq!((&row["completion_tokens"], &row["model"]), (&json!(0), &json!("a:text-embedding-3-small")));
    assert!(row["cost"].as_f64().is_some_and(|cost| cost > 0.0), "{row:#}");
}

#[tokio::test]
async fn a_provider_that_fails_is_left_for_the_next() {
    for script in [
        Script::error(500, "Oops"),
        Script::error(429, "Slow down").header("Retry-After", "30"),
        Script::html(200),
        Script::json(200, &Dialect::OpenAi.error(500, "Oops")),
        Script::bytes(200, "application/json", ""),
        Script::hang_up(),
    ] {
        let (gateway, [a, b]) = stage(&[]).await;
        a.always(script);
        b.always(Script::json(200, &openai_answer()));
        let reply = embed(&gateway, &json!({"model": MODEL, "input": "hi"})).await;
        assert_eq!(reply.assert_ok().json(), openai_answer());
        assert_eq!(reply.header("x-orchestrator-provider"), Some("b"));
        gateway.assert_row(json!({"status_code": 200, "attempts": 2, "provider_name": "b"})).await;
    }
}

#[tokio::test]
async fn a_providers_word_about_the_request_is_final() {
    let (gateway, [a, b]) = stage(&[]).await;
    a.always(Script::error(400, "-1 is less than the minimum of 1 - 'dimensions'"));
    let reply = embed(&gateway, &json!({"model": MODEL, "input": "hi", "dimensions": -1})).await;
    reply.assert_error(400, "invalid_request");
    assert!(reply.message().contains("dimensions"));
    assert_eq!(b.calls(), 0);
}

/// A gateway with a Gemini provider that answers with two embeddings.
async fn gemini() -> (Gateway, Upstream) {
    let (gateway, [a]) = stage_of(Dialect::Gemini, &[]).await;
    a.always(Script::json(200, &json!({
        "embeddings": [{"values": [-0.010658385, 4.623822e-05]}, {"values": [0.5, -1]}], "usageMetadata": {"promptTokenCount": 4},
    })));
    (gateway, a)
}

#[tokio::test]
async fn gemini_is_asked_in_its_own_words_and_its_answer_is_openais() {
    let (gateway, a) = gemini().await;
    let body =
        json!({"model": "gemini-embedding-001", "input": ["one", "two"], "dimensions": 2, "user": "u", "timeout": 9});
    let reply = embed(&gateway, &body).await;
    let answer = reply.assert_ok().json();
    assert_eq!(
        answer["data"][0],
        json!({"object": "embedding", "index": 0, "embedding": [-0.010658385, 4.623822e-05]})
    );
    assert_eq!((&answer["data"][1]["index"], &answer["model"]), (&json!(1), &json!("gemini-embedding-001")));
    assert_eq!(answer["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));
    assert_eq!(reply.header("x-orchestrator-dropped"), Some("user"));
    let seen = a.last();
    assert_eq!(seen.path, "/v1beta/models/gemini-embedding-001:batchEmbedContents");
    assert_eq!(seen.header("x-goog-api-key"), Some("sk-of-a"));
    let text = |text: &str| json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]}, "outputDimensionality": 2});
    assert_eq!(seen.json(), json!({"requests": [text("one"), text("two")]}));
    gateway.assert_row(json!({"prompt_tokens": 4, "provider_name": "a", "dropped": ["user"]})).await;
}

#[tokio::test]
async fn base64_from_gemini_holds_the_numbers_of_the_list() {
    let (gateway, _a) = gemini().await;
    let body = json!({"model": "gemini-embedding-001", "input": ["one", "two"], "encoding_format": "base64"});
    let answer = embed(&gateway, &body).await.assert_ok().json();
    let numbers = |at: usize| -> Vec<f32> {
        let bytes = BASE64_STANDARD.decode(answer["data"][at]["embedding"].as_str().unwrap()).unwrap();
        bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
    };
    assert_eq!(numbers(0), [-0.010658385, 4.623822e-05]);
    assert_eq!(numbers(1), [0.5, -1.0]);
}

#[tokio::test]
async fn what_gemini_cannot_be_told_is_refused_and_said() {
    let (gateway, a) = gemini().await;
    let tokens = embed(&gateway, &json!({"model": "gemini-embedding-001", "input": [1, 2]})).await;
    tokens.assert_error(400, "invalid_request");
    assert_eq!(tokens.error()["param"], "input");
    let strict = Request::post("/v1/embeddings", &json!({"model": "gemini-embedding-001", "input": "x", "user": "u"}));
    let strict = gateway.send(strict.bearer(API_KEY).header("X-Orchestrator-Strict", "true")).await;
    strict.assert_error(400, "invalid_request");
    assert_eq!(a.calls(), 0);
    a.always(Script::json(
        404,
        &json!({"error": {"code": 404, "message": "models/x is not found", "status": "NOT_FOUND"}}),
    ));
    let missing = embed(&gateway, &json!({"model": "gemini-x", "input": "x"})).await;
    assert_eq!((missing.status, missing.error()["code"].as_str()), (404, Some("model_not_found")));
}

#[tokio::test]
async fn gemini_and_openai_stand_in_for_each_other() {
    let gateway = Gateway::start().await;
    let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
    a.lists(&["e"]).always(Script::error(503, "Be right back"));
    b.lists(&["e"]).always(Script::json(200, &json!({"embeddings": [{"values": [0.5]}]})));
    gateway.provider("a", "openai", &a, json!({"priority": 900, "max_retries": 0})).await;
    gateway.provider("b", "gemini", &b, json!({"max_retries": 0})).await;
    let reply = embed(&gateway, &json!({"model": "e", "input": "hi"})).await;
    assert_eq!(reply.assert_ok().json()["data"][0]["embedding"], json!([0.5]));
    assert_eq!((a.calls(), b.calls()), (1, 1));
}

async fn embed_content(gateway: &Gateway, path: &str, body: &Value) -> Reply {
    gateway.send(Request::post(path, body).header("x-goog-api-key", API_KEY)).await
}

#[tokio::test]
async fn a_client_of_googles_passes_to_google_under_the_targets_name_for_the_model() {
    let (gateway, a) = gemini().await;
    for prefix in ["/v1beta", "/v1"] {
        let text = json!({"model": "models/mine", "content": {"parts": [{"text": "one"}]}, "taskType": "CLUSTERING"});
        let body = json!({"requests": [text, {"content": {"parts": []}, "later": 1.5}]});
        let path = format!("{prefix}/models/a:gemini-embedding-001:batchEmbedContents");
        let reply = embed_content(&gateway, &path, &body).await;
        assert_eq!(reply.assert_ok().json()["usageMetadata"]["promptTokenCount"], 4);
        let seen = a.last();
        assert_eq!(seen.path, "/v1beta/models/gemini-embedding-001:batchEmbedContents");
        assert_eq!(seen.header("x-goog-api-key"), Some("sk-of-a"));
        let sent = seen.json();
        assert_eq!(sent["requests"][0]["model"], "models/gemini-embedding-001");
        assert_eq!(
            (&sent["requests"][0]["taskType"], &sent["requests"][1]["later"]),
            (&json!("CLUSTERING"), &json!(1.5))
        );
    }
    a.always(Script::bytes(200, "application/json", r#"{ "embedding": {"values": [1.50]} }"#));
    let one = json!({"content": {"parts": [{"text": "one"}]}});
    let reply = embed_content(&gateway, "/v1beta/models/gemini-embedding-001:embedContent", &one).await;
    assert_eq!(reply.assert_ok().text(), r#"{ "embedding": {"values": [1.50]} }"#, "the bytes pass");
    assert_eq!((a.last().path.as_str(), a.last().json()), ("/v1beta/models/gemini-embedding-001:embedContent", one));
    let rows = gateway.logs(3).await;
    let told = rows.iter().map(|row| (&row["endpoint"], &row["prompt_tokens"])).collect::<Vec<_>>();
    assert_eq!(told[0], (&json!("/v1beta/models/a:gemini-embedding-001:batchEmbedContents"), &json!(4)));
    assert_eq!(told[2], (&json!("/v1beta/models/gemini-embedding-001:embedContent"), &Value::Null), "none were told");
}

#[tokio::test]
async fn a_client_of_googles_is_answered_by_a_provider_of_openais() {
    let (gateway, [a]) = stage(&[]).await;
    let data = json!([{"index": 1, "embedding": [2.5]}, {"index": 0, "embedding": [0.5]}]);
    a.next(Script::json(
        200,
        &json!({"object": "list", "data": data, "usage": {"prompt_tokens": 7, "total_tokens": 7}}),
    ));
    let text = |text: &str| json!({"content": {"parts": [{"text": text}]}, "outputDimensionality": 1, "taskType": "CLUSTERING"});
    let body = json!({"requests": [text("one"), text("two")], "provider": "a"});
    let reply = embed_content(&gateway, &format!("/v1beta/models/{MODEL}:batchEmbedContents"), &body).await;
    let usage = json!({"promptTokenCount": 7, "totalTokenCount": 7});
    assert_eq!(
        reply.assert_ok().json(),
        json!({"embeddings": [{"values": [0.5]}, {"values": [2.5]}], "usageMetadata": usage})
    );
    assert_eq!(reply.header("x-orchestrator-dropped"), Some("requests[0].taskType,requests[1].taskType"));
    assert_eq!(a.last().path, "/v1/embeddings");
    assert_eq!(a.last().json(), json!({"model": MODEL, "input": ["one", "two"], "dimensions": 1}));
    gateway.assert_row(json!({"protocol": "gemini", "prompt_tokens": 7, "provider_name": "a"})).await;

    a.next(Script::json(200, &json!({"data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 3}})));
    let one = json!({"content": {"parts": [{"text": "one"}]}});
    let reply = embed_content(&gateway, &format!("/v1/models/{MODEL}:embedContent"), &one).await;
    assert_eq!(reply.assert_ok().json()["embedding"], json!({"values": [0.5]}));
}

#[tokio::test]
async fn a_client_of_googles_is_told_of_errors_in_its_own_words() {
    let (gateway, [a]) = stage(&[]).await;
    let path = format!("/v1beta/models/{MODEL}:embedContent");
    let picture = json!({"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}});
    let refused = embed_content(&gateway, &path, &picture).await;
    assert_eq!((refused.status, &refused.error()["status"]), (400, &json!("INVALID_ARGUMENT")));
    assert!(refused.message().contains("content.parts[0]"), "{}", refused.message());
    let empty = embed_content(&gateway, &path, &json!({})).await;
    assert!(empty.status == 400 && empty.message().contains("`content`"), "{}", empty.text());
    assert_eq!(a.calls(), 0);
    a.next(Script::error(429, "Slow down").header("Retry-After", "1"));
    let limited = embed_content(&gateway, &path, &json!({"content": {"parts": [{"text": "one"}]}})).await;
    assert_eq!((limited.status, &limited.error()["status"]), (429, &json!("RESOURCE_EXHAUSTED")));
}
