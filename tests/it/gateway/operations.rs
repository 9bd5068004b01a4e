//! Completions, pictures, speech, transcriptions, moderation, ranking: routed, counted and passed on.

use std::time::Duration;

use serde_json::{Value, json};

use super::{stage, stage_of};
use crate::support::{API_KEY, Dialect, Gateway, PATIENCE, Raw, Reply, Request, Script};

async fn post(gateway: &Gateway, target: &str, body: &Value) -> Reply {
    gateway.send(Request::post(target, body).bearer(API_KEY)).await
}

// === Completions ===

fn text_chunk(text: &str, finish: Option<&str>) -> String {
    let choice = json!({"text": text, "index": 0, "logprobs": null, "finish_reason": finish});
    format!("data: {}\n\n", json!({"id": "cmpl-1", "object": "text_completion", "choices": [choice]}))
}

fn text_stream() -> Vec<String> {
    let usage = json!({"id": "cmpl-1", "object": "text_completion", "choices": [],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}});
    vec![
        text_chunk("Hel", None),
        text_chunk("lo", Some("stop")),
        format!("data: {usage}\n\n"),
        "data: [DONE]\n\n".into(),
    ]
}

#[tokio::test]
async fn a_prompt_is_completed_whole_and_counted() {
    let (gateway, [a]) = stage(&[]).await;
    let answer = json!({"id": "cmpl-1", "object": "text_completion", "choices": [{"text": "Hello", "index": 0, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}});
    a.always(Script::json(200, &answer));
    let reply =
        post(&gateway, "/v1/completions", &json!({"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello"})).await;
    assert_eq!(reply.assert_ok().json(), answer);
    assert_eq!(a.last().path, "/v1/completions");
    assert_eq!(a.last().json(), json!({"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello"}));
    gateway.assert_row(json!({"prompt_tokens": 5, "completion_tokens": 2, "endpoint": "/v1/completions"})).await;
}

#[tokio::test]
async fn a_prompt_is_completed_as_a_stream_whose_count_is_hidden_unless_asked_for() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::sse(&text_stream()).byte_by_byte());
    let mut body = json!({"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello", "stream": true});
    let reply = post(&gateway, "/v1/completions", &body).await;
    let [first, last, usage, done] = &text_stream()[..] else { unreachable!() };
    assert_eq!(reply.assert_ok().text(), [first.as_str(), last, done].concat());
    assert_eq!(a.last().json()["stream_options"], json!({"include_usage": true}));
    gateway.assert_row(json!({"prompt_tokens": 5, "completion_tokens": 2, "stream": true, "status_code": 200})).await;
    body["stream_options"] = json!({"include_usage": true});
    let reply = post(&gateway, "/v1/completions", &body).await;
    assert_eq!(reply.assert_ok().text(), [first.as_str(), last, usage, done].concat());
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_and_one_that_never_began_is_somebody_elses() {
    let (gateway, [a, b]) = stage(&[]).await;
    let body = json!({"model": "gpt-3.5-turbo-instruct", "prompt": "Say hello", "stream": true});
    a.next(Script::sse(&[text_chunk("Hel", None)]));
    let cut = post(&gateway, "/v1/completions", &body).await;
    assert!(!cut.done() && cut.stream_error()["code"] == "upstream_error", "{}", cut.text());
    a.next(Script::sse(&[Dialect::OpenAi.error_event()]));
    b.next(Script::sse(&text_stream()));
    let saved = post(&gateway, "/v1/completions", &body).await;
    assert!(saved.done());
    assert_eq!(saved.header("x-orchestrator-provider"), Some("b"));
    let rows = gateway.logs(2).await;
    assert_eq!((&rows[0]["error_code"], &rows[1]["attempts"]), (&json!("truncated"), &json!(2)));
}

// === Pictures ===

#[tokio::test]
async fn a_picture_is_made_and_its_tokens_are_counted() {
    let (gateway, [a]) = stage(&[]).await;
    let answer = json!({"created": 1, "data": [{"b64_json": "aGk="}],
        "usage": {"input_tokens": 14, "output_tokens": 272, "total_tokens": 286, "input_tokens_details": {"text_tokens": 14}}});
    a.always(Script::json(200, &answer));
    let reply = post(&gateway, "/v1/images/generations", &json!({"model": "gpt-image-1", "prompt": "a cat"})).await;
    assert_eq!(reply.assert_ok().json(), answer);
    assert_eq!(a.last().path, "/v1/images/generations");
    gateway.assert_row(json!({"prompt_tokens": 14, "completion_tokens": 272})).await;
}

#[tokio::test]
async fn a_picture_that_comes_in_steps_is_a_stream() {
    let (gateway, [a]) = stage(&[]).await;
    let event = |data: Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap());
    let frames = [
        event(json!({"type": "image_generation.partial_image", "b64_json": "aA=="})),
        event(
            json!({"type": "image_generation.completed", "b64_json": "aGk=", "usage": {"input_tokens": 3, "output_tokens": 9}}),
        ),
    ];
    a.always(Script::sse(&frames));
    let body = json!({"model": "gpt-image-1", "prompt": "a cat", "stream": true, "partial_images": 1});
    let reply = post(&gateway, "/v1/images/generations", &body).await;
    assert_eq!(reply.assert_ok().text(), frames.concat());
    assert_eq!(a.last().json(), body, "nothing is added to what is asked");
    gateway.assert_row(json!({"status_code": 200, "stream": true, "prompt_tokens": 3, "completion_tokens": 9})).await;
}

// === Forms ===

const BOUNDARY: &str = "----x_1";

/// A form with a file of every byte there is.
fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
        );
    }
    body.extend(format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n").bytes());
    body.extend((0..=255).cycle().take(5000));
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
    body
}

async fn send_form(gateway: &Gateway, target: &str, body: Vec<u8>) -> Reply {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    gateway.send(Request::new("POST", target).bearer(API_KEY).header("Content-Type", &kind).body(body)).await
}

#[tokio::test]
async fn a_form_passes_byte_for_byte_but_for_the_model_and_the_gateways_own_fields() {
    for path in ["/v1/audio/transcriptions", "/v1/audio/translations", "/v1/images/edits"] {
        let (gateway, [a]) = stage(&[]).await;
        a.always(Script::json(
            200,
            &json!({"text": "hi", "usage": {"type": "tokens", "input_tokens": 4, "output_tokens": 2}}),
        ));
        let sent = form(&[("model", "a:whisper-1"), ("provider", "a"), ("language", "en"), ("timeout", "20")]);
        let reply = send_form(&gateway, path, sent).await;
        assert_eq!(reply.assert_ok().json()["text"], "hi");
        let seen = a.last();
        assert_eq!(seen.path, path);
        assert_eq!(seen.header("content-type"), Some("multipart/form-data; boundary=----x_1"));
        assert!(
            seen.body == form(&[("model", "whisper-1"), ("language", "en")]),
            "{}",
            String::from_utf8_lossy(&seen.body)
        );
        gateway.assert_row(json!({"model": "a:whisper-1", "upstream_model": "whisper-1", "prompt_tokens": 4})).await;
    }
}

#[tokio::test]
async fn a_form_is_sent_to_the_next_provider_whole() {
    let (gateway, [a, b]) = stage(&[]).await;
    a.always(Script::error(500, "Oops"));
    b.always(Script::bytes(200, "text/plain; charset=utf-8", "1\n00:00 --> 00:01\nhi\n"));
    let sent = form(&[("model", "whisper-1"), ("response_format", "srt")]);
    let reply = send_form(&gateway, "/v1/audio/transcriptions", sent.clone()).await;
    assert_eq!(reply.assert_ok().text(), "1\n00:00 --> 00:01\nhi\n");
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(b.last().body == sent && a.last().body == sent);
}

#[tokio::test]
async fn a_transcription_can_come_as_a_stream() {
    let (gateway, [a]) = stage(&[]).await;
    let event = |data: Value| format!("data: {data}\n\n");
    let frames = [
        event(json!({"type": "transcript.text.delta", "delta": "h"})),
        event(json!({"type": "transcript.text.done", "text": "hi", "usage": {"input_tokens": 4, "output_tokens": 2}})),
    ];
    a.always(Script::sse(&frames));
    let reply =
        send_form(&gateway, "/v1/audio/transcriptions", form(&[("model", "whisper-1"), ("stream", "true")])).await;
    assert_eq!(reply.assert_ok().text(), frames.concat());
    gateway.assert_row(json!({"stream": true, "status_code": 200, "completion_tokens": 2})).await;
}

#[tokio::test]
async fn a_form_that_is_none_says_why() {
    let (gateway, [a]) = stage(&[]).await;
    let broken = send_form(&gateway, "/v1/audio/transcriptions", b"--nonsense".to_vec()).await;
    broken.assert_error(400, "invalid_request");
    let without = send_form(&gateway, "/v1/audio/transcriptions", form(&[])).await;
    without.assert_error(400, "invalid_request");
    assert_eq!(without.error()["param"], "model");
    assert_eq!(a.calls(), 0);
}

// === Speech ===

const SPEECH: &str = "/v1/audio/speech";

fn speech() -> Value {
    json!({"model": "tts-1", "input": "hi", "voice": "alloy"})
}

fn sound(pieces: &[&[u8]]) -> Script {
    Script::sse(pieces).header("Content-Type", "audio/mpeg")
}

#[tokio::test]
async fn speech_is_passed_on_byte_for_byte() {
    let (gateway, [a]) = stage(&[]).await;
    let pieces: [&[u8]; 2] = [b"\xff\xfb\x00data: not an event\n\n", b"\x00\x01"];
    a.always(sound(&pieces));
    let reply = post(&gateway, SPEECH, &speech()).await;
    assert_eq!((reply.status, reply.complete), (200, true));
    assert_eq!(reply.header("content-type"), Some("audio/mpeg"));
    assert_eq!(reply.body, pieces.concat());
    gateway.assert_row(json!({"status_code": 200, "error_code": null, "model": "tts-1"})).await;
}

#[tokio::test]
async fn speech_comes_as_it_is_made_and_a_client_that_leaves_ends_it() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(sound(&[b"first piece"]).then_stall());
    let mut client = Raw::connect(gateway.address()).await;
    client.send(&Request::post(SPEECH, &speech()).bearer(API_KEY).bytes()).await;
    client.until("first piece").await;
    let left = std::time::Instant::now();
    drop(client);
    let closed = a.call(1).await.closed().await;
    assert!(closed >= left && closed - left < PATIENCE);
    gateway.assert_row(json!({"status_code": 499, "error_code": "client_closed"})).await;
}

#[tokio::test]
async fn speech_that_breaks_off_never_looks_whole() {
    let (gateway, [a]) = stage(&[("ORCHESTRATOR_ROUTING_STREAM_IDLE_TIMEOUT", "1")]).await;
    for script in [sound(&[b"first piece"]).then_cut(), sound(&[b"first piece"]).then_stall()] {
        a.next(script);
        let reply = post(&gateway, SPEECH, &speech()).await;
        assert_eq!((reply.status, reply.body.as_slice(), reply.complete), (200, &b"first piece"[..], false));
    }
    let rows = gateway.logs(2).await;
    assert_eq!((&rows[0]["status_code"], &rows[1]["status_code"]), (&json!(502), &json!(504)));
}

#[tokio::test]
async fn speech_that_never_began_is_somebody_elses() {
    for script in [sound(&[]).then_cut(), sound(&[]), Script::html(200), Script::error(500, "Oops")] {
        let (gateway, [a, b]) = stage(&[]).await;
        a.always(script);
        b.always(sound(&[b"hello"]));
        let reply = post(&gateway, SPEECH, &speech()).await;
        assert_eq!((reply.status, reply.body.as_slice()), (200, &b"hello"[..]));
        assert_eq!(reply.header("x-orchestrator-attempts"), Some("2"));
    }
}

// === Moderation and ranking ===

#[tokio::test]
async fn moderation_needs_no_model() {
    let (gateway, [a]) = stage(&[]).await;
    let answer = json!({"id": "modr-1", "model": "omni-moderation-latest", "results": [{"flagged": false}]});
    a.always(Script::json(200, &answer));
    let reply = post(&gateway, "/v1/moderations", &json!({"input": "hi"})).await;
    assert_eq!(reply.assert_ok().json(), answer);
    assert_eq!(a.last().json(), json!({"input": "hi", "model": "omni-moderation-latest"}));
    gateway.assert_row(json!({"model": "omni-moderation-latest", "status_code": 200, "prompt_tokens": null})).await;
}

#[tokio::test]
async fn documents_are_ranked_and_counted() {
    let (gateway, [a]) = stage_of(Dialect::OpenAi, &[]).await;
    let answer = json!({"results": [{"index": 1, "relevance_score": 0.9}], "usage": {"total_tokens": 15}});
    a.always(Script::json(200, &answer));
    let body = json!({"model": "a:bge-reranker", "query": "q", "documents": ["x", "y"], "top_n": 1});
    for target in ["/v1/rerank", "/rerank"] {
        assert_eq!(post(&gateway, target, &body).await.assert_ok().json(), answer);
        assert_eq!(a.last().path, "/v1/rerank");
        assert_eq!(a.last().json()["model"], "bge-reranker");
    }
    assert_eq!(gateway.logs(2).await[1]["prompt_tokens"], 15);
}

// === What all have in common ===

#[tokio::test]
async fn a_provider_that_has_no_such_operation_is_passed_over_and_named_where_nobody_is_left() {
    let (gateway, [a, _b]) = stage_of(Dialect::Anthropic, &[]).await;
    let reply = post(&gateway, SPEECH, &json!({"model": "a:claude-x", "input": "hi", "voice": "v"})).await;
    reply.assert_error(400, "invalid_request");
    assert!(reply.message().contains("`a`") && reply.message().contains("/audio/speech"), "{}", reply.message());
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn keys_models_and_limits_hold_for_every_operation() {
    let (gateway, [a]) = stage(&[("ENABLE_RATE_LIMITING", "true"), ("RATE_LIMIT_PER_MINUTE", "2")]).await;
    gateway.send(Request::post(SPEECH, &speech())).await.assert_error(401, "unauthorized");
    let made =
        gateway.admin("POST", "/admin/keys", json!({"name": "limited", "allowed_models": ["whisper-*"]})).await.json();
    let limited = Request::post(SPEECH, &speech()).bearer(made["key"].as_str().unwrap());
    gateway.send(limited).await.assert_error(403, "forbidden");
    assert_eq!(a.calls(), 0);
    a.always(sound(&[b"x"]));
    for _ in 0..2 {
        assert_eq!(post(&gateway, SPEECH, &speech()).await.status, 200);
    }
    post(&gateway, SPEECH, &speech()).await.assert_error(429, "rate_limit_exceeded");
    let empty = Request::new("POST", SPEECH).bearer(made["key"].as_str().unwrap());
    gateway.send(empty).await.assert_error(400, "invalid_request");
}

#[tokio::test]
async fn a_clients_deadline_holds_for_operations() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::json(200, &json!({})).after(Duration::from_secs(30)));
    let mut body = speech();
    body["timeout"] = json!(1);
    post(&gateway, SPEECH, &body).await.assert_error(504, "upstream_timeout");
}
