//! Amazon Bedrock.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::refused;
use crate::support::{API_KEY, Gateway, Request, Script, Upstream, gateway::question};

const CLAUDE: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
const NOVA: &str = "amazon.nova-lite-v1:0";
const KEYS: &str = "AKIDEXAMPLE:wJalrXUtnFEMI";

fn message(kind: &'static str, name: &str, payload: &Value) -> Vec<u8> {
    let named = if kind == "event" { ":event-type" } else { ":exception-type" };
    let header = |name: &'static str, value: String| Header::new(name, HeaderValue::String(value.into()));
    let headers = vec![header(":message-type", kind.to_owned()), header(named, name.to_owned())];
    let mut out = Vec::new();
    write_message_to(&Message::new_from_parts(headers, payload.to_string().into_bytes()), &mut out).unwrap();
    out
}

fn said(text: &str) -> Vec<Vec<u8>> {
    vec![
        message("event", "messageStart", &json!({"role": "assistant"})),
        message("event", "contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"text": text}})),
    ]
}

fn ended() -> Vec<Vec<u8>> {
    let usage = json!({"inputTokens": 3, "outputTokens": 4, "totalTokens": 7});
    vec![
        message("event", "contentBlockStop", &json!({"contentBlockIndex": 0})),
        message("event", "messageStop", &json!({"stopReason": "end_turn"})),
        message("event", "metadata", &json!({"usage": usage})),
    ]
}

fn busy() -> Vec<u8> {
    message("exception", "serviceUnavailableException", &json!({"message": "Bedrock is busy"}))
}

/// An event of Anthropic's, as InvokeModel wraps it.
fn wrapped(event: &Value) -> Vec<u8> {
    message("event", "chunk", &json!({"bytes": BASE64_STANDARD.encode(event.to_string())}))
}

/// What Claude says in events of its own protocol: "Hi.", of three tokens to four.
fn greeting() -> [Value; 6] {
    [
        json!({"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 3}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi."}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}}),
        json!({"type": "message_stop"}),
    ]
}

fn stream(messages: &[Vec<u8>]) -> Script {
    Script::sse(messages).header("Content-Type", "application/vnd.amazon.eventstream")
}

fn whole(text: &str) -> Script {
    let output = json!({"message": {"role": "assistant", "content": [{"text": text}]}});
    let usage = json!({"inputTokens": 3, "outputTokens": 4, "totalTokens": 7});
    Script::json(200, &json!({"output": output, "stopReason": "end_turn", "usage": usage}))
}

async fn provider(gateway: &Gateway, a: &Upstream, key: &str) {
    gateway.provider_at("a", "bedrock", &a.url(), json!({"api_key": key, "max_retries": 0})).await;
}

#[tokio::test]
async fn a_request_goes_to_the_model_in_the_path_and_is_signed() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    provider(&gateway, &a, KEYS).await;
    a.next(whole("Hi."));
    let mut body = question(CLAUDE);
    body["max_tokens"] = json!(100);
    let reply = gateway.chat(body).await;
    assert_eq!(reply.assert_ok().content(), "Hi.");
    let seen = a.last();
    assert_eq!(seen.path, "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse");
    assert_eq!(seen.json()["messages"][0]["content"], json!([{"text": "Say hello"}]));
    let proof = seen.header("authorization").unwrap();
    assert!(proof.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{proof}");
    assert!(proof.contains("/us-east-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date,"), "{proof}");
    assert!(seen.header("x-amz-date").is_some() && !format!("{seen:?}").contains("wJalrXUtnFEMI"));
}

#[tokio::test]
async fn a_bedrock_key_is_a_bearer_token_and_the_region_an_option() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    let more = json!({"api_key": "ABSKtoken=", "options": {"region": "eu-west-1"}});
    gateway.provider_at("a", "bedrock", &a.url(), more).await;
    a.next(whole("Hi."));
    gateway.ask(NOVA).await.assert_ok();
    assert_eq!((a.last().header("authorization"), a.last().header("x-amz-date")), (Some("Bearer ABSKtoken="), None));
    let wrong = |more: Value| json!({"name": "b", "type": "bedrock", "api_key": KEYS, "options": more});
    assert!(refused(&gateway, "options", wrong(json!({"regoin": "eu-west-1"}))).await.contains("region"));
    let keyless = json!({"name": "b", "type": "bedrock", "api_key": "AKID:"});
    assert!(refused(&gateway, "api_key", keyless).await.contains("SECRET_ACCESS_KEY"));
}

#[tokio::test]
async fn a_binary_stream_is_read_however_it_is_cut() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    provider(&gateway, &a, KEYS).await;
    a.next(stream(&[said("Hi."), ended()].concat()).byte_by_byte());
    let reply = gateway.ask_stream(NOVA).await;
    assert_eq!((reply.assert_ok().content().as_str(), reply.done()), ("Hi.", true));
    assert_eq!(a.last().path, "/model/amazon.nova-lite-v1%3A0/converse-stream");
    assert_eq!(a.last().header("accept"), Some("application/vnd.amazon.eventstream"));
    gateway.assert_row(json!({"prompt_tokens": 3, "completion_tokens": 4})).await;
}

#[tokio::test]
async fn a_long_answer_of_claude_is_streamed_and_put_together() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    provider(&gateway, &a, KEYS).await;
    a.always(stream(&[said("Hi."), ended()].concat()));
    let mut body = question(CLAUDE);
    body["max_tokens"] = json!(30_000);
    let reply = gateway.chat(body.clone()).await;
    assert_eq!(reply.assert_ok().content(), "Hi.");
    assert!(a.last().path.ends_with("/converse-stream"), "{}", a.last().path);
    gateway.assert_row(json!({"prompt_tokens": 3, "completion_tokens": 4, "stream": false})).await;
    a.always(whole("Hi."));
    body["model"] = json!(NOVA);
    assert_eq!(gateway.chat(body).await.assert_ok().content(), "Hi.");
    assert!(a.last().path.ends_with("/converse"), "{}", a.last().path);
}

#[tokio::test]
async fn an_exception_before_any_content_moves_to_the_next_provider() {
    let (gateway, a, b) = (Gateway::start().await, Upstream::start("a").await, Upstream::start("b").await);
    for (name, upstream, priority) in [("a", &a, 200), ("b", &b, 100)] {
        let more = json!({"api_key": KEYS, "max_retries": 0, "priority": priority});
        gateway.provider_at(name, "bedrock", &upstream.url(), more).await;
    }
    a.next(stream(&[said("")[0].clone(), busy()]));
    b.next(stream(&[said("Hi."), ended()].concat()));
    let reply = gateway.ask_stream(NOVA).await;
    assert_eq!(reply.assert_ok().content(), "Hi.");
}

#[tokio::test]
async fn a_stream_that_fails_or_breaks_off_never_ends_as_if_it_were_complete() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    provider(&gateway, &a, KEYS).await;
    let mut half = [said("Hi."), ended()].concat();
    half[4].truncate(20);
    let mut damaged = [said("Hi."), ended()].concat();
    damaged[3][30] ^= 1;
    for (script, why) in [
        (stream(&[said("Hi."), vec![busy()]].concat()), "Bedrock is busy"),
        (stream(&said("Hi.")), "broke off"),
        (stream(&half), "broke off"),
        (stream(&damaged), "damaged"),
    ] {
        a.next(script);
        let reply = gateway.ask_stream(NOVA).await;
        let told = reply.stream_error()["message"].as_str().unwrap_or_default().to_owned();
        assert!(told.contains(why) && !reply.done(), "{why}: {}", reply.text());
        assert_eq!(reply.content(), "Hi.");
    }
}

#[tokio::test]
async fn claude_is_asked_in_its_own_protocol_where_converse_would_lose_something() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    provider(&gateway, &a, KEYS).await;
    a.next(stream(&greeting().each_ref().map(wrapped)));
    let mut body = question(CLAUDE);
    body["user"] = json!("u-1");
    body["stream"] = json!(true);
    let reply = gateway.chat(body.clone()).await;
    assert_eq!((reply.assert_ok().content().as_str(), reply.done()), ("Hi.", true));
    assert_eq!(reply.header("x-orchestrator-dropped"), None);
    let seen = a.last();
    assert_eq!(seen.path, "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke-with-response-stream");
    let sent = seen.json();
    assert_eq!(sent["anthropic_version"], "bedrock-2023-05-31");
    assert!(sent["model"].is_null() && sent["stream"].is_null(), "{sent}");
    assert_eq!(seen.header("anthropic-version"), None);

    let slow = json!({"message": "Too many requests"});
    a.next(stream(&[message("exception", "throttlingException", &slow)]));
    gateway.chat(body).await.assert_error(429, "rate_limit_exceeded");
}

#[tokio::test]
async fn tokens_are_counted_in_converse_for_the_model_behind_a_profile() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    provider(&gateway, &a, KEYS).await;
    let body = json!({"model": CLAUDE, "max_tokens": 5, "system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}]});
    let request = || Request::post("/v1/messages/count_tokens", &body).header("x-api-key", API_KEY);
    a.next(Script::json(200, &json!({"inputTokens": 38})));
    let reply = gateway.send(request()).await;
    assert_eq!(reply.assert_ok().json(), json!({"input_tokens": 38}));
    assert_eq!(reply.header("x-orchestrator-estimate"), None);
    let seen = a.last();
    assert_eq!(seen.path, "/model/anthropic.claude-haiku-4-5-20251001-v1%3A0/count-tokens");
    let counted =
        json!({"system": [{"text": "Be brief."}], "messages": [{"role": "user", "content": [{"text": "Hi"}]}]});
    assert_eq!(seen.json(), json!({"input": {"converse": counted}}));
    a.next(Script::json(400, &json!({"message": "The provided model doesn't support counting tokens."})));
    let reply = gateway.send(request()).await;
    assert_eq!(reply.assert_ok().header("x-orchestrator-estimate"), Some("true"));
}

/// The answer of a service that gives out a machine's credentials.
fn credentials(id: &str, ends: &str) -> Script {
    Script::json(200, &json!({"AccessKeyId": id, "SecretAccessKey": "s", "Token": "session", "Expiration": ends}))
}

#[tokio::test]
async fn without_a_key_the_machines_role_signs_and_is_asked_once() {
    let (a, metadata) = (Upstream::start("a").await, Upstream::start("metadata").await);
    metadata.answers_by(|seen| match (seen.method.as_str(), seen.path.as_str()) {
        ("PUT", "/latest/api/token") => Script::bytes(200, "text/plain", "session-1"),
        (_, "/latest/meta-data/iam/security-credentials/") => Script::bytes(200, "text/plain", "gateway-role"),
        (_, "/latest/meta-data/iam/security-credentials/gateway-role") => {
            credentials("AKIDROLE", "2199-01-01T00:00:00Z")
        }
        _ => Script::error(404, "No such page"),
    });
    let gateway = Gateway::with(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata.url())]).await;
    gateway.provider_at("a", "bedrock", &a.url(), json!({"api_key": null, "max_retries": 0})).await;
    for _ in 0..2 {
        a.next(whole("Hi."));
        gateway.ask(NOVA).await.assert_ok();
        let proof = a.last().header("authorization").unwrap().to_owned();
        assert!(proof.starts_with("AWS4-HMAC-SHA256 Credential=AKIDROLE/"), "{proof}");
        assert_eq!(a.last().header("x-amz-security-token"), Some("session"));
    }
    assert_eq!(metadata.calls(), 3);
    assert_eq!(metadata.last().header("x-aws-ec2-metadata-token"), Some("session-1"));
}

#[tokio::test]
async fn a_containers_credentials_are_fetched_with_the_proof_in_its_file_and_anew_when_they_end() {
    let (a, container) = (Upstream::start("a").await, Upstream::start("container").await);
    let proof = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(proof.path(), "proof-1\n").unwrap();
    container.next(credentials("AKIDONE", "2020-01-01T00:00:00Z"));
    container.answers_by(|_| credentials("AKIDTWO", "2199-01-01T00:00:00Z"));
    let gateway = Gateway::with(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/v1/credentials", container.url())),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &proof.path().display().to_string()),
    ])
    .await;
    gateway.provider_at("a", "bedrock", &a.url(), json!({"api_key": null, "max_retries": 0})).await;
    a.next(whole("Hi."));
    gateway.ask(NOVA).await.assert_ok();
    a.next(whole("Hi."));
    gateway.ask(NOVA).await.assert_ok();
    assert!(a.last().header("authorization").unwrap().contains("Credential=AKIDTWO/"));
    assert_eq!(container.last().path, "/v1/credentials");
    assert_eq!(container.last().header("authorization"), Some("proof-1"));
}

#[tokio::test]
async fn a_machine_without_credentials_is_no_fault_of_the_client() {
    let (a, container) = (Upstream::start("a").await, Upstream::start("container").await);
    container.always(Script::error(403, "no"));
    let gateway = Gateway::with(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container.url())]).await;
    gateway.provider_at("a", "bedrock", &a.url(), json!({"api_key": null, "max_retries": 0})).await;
    let reply = gateway.ask(NOVA).await;
    reply.assert_error(502, "upstream_error");
    assert_eq!((reply.error()["details"]["reason"].as_str(), a.calls()), (Some("token"), 0));
}

#[tokio::test]
async fn a_guardrail_is_told_of_in_either_protocol() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    let options = json!({"guardrail": "gr-1", "guardrail_version": "3", "guardrail_trace": "enabled"});
    gateway.provider_at("a", "bedrock", &a.url(), json!({"api_key": KEYS, "options": options})).await;
    a.next(whole("Hi."));
    gateway.ask(NOVA).await.assert_ok();
    let told = json!({"guardrailIdentifier": "gr-1", "guardrailVersion": "3", "trace": "enabled"});
    assert_eq!(a.last().json()["guardrailConfig"], told);
    let body = json!({"model": CLAUDE, "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]});
    a.next(Script::json(200, &crate::support::Dialect::Anthropic.whole("Hi.")));
    gateway.send(Request::post("/v1/messages", &body).header("x-api-key", API_KEY)).await.assert_ok();
    let seen = a.last();
    assert_eq!(seen.header("x-amzn-bedrock-guardrailidentifier"), Some("gr-1"));
    assert_eq!(seen.header("x-amzn-bedrock-guardrailversion"), Some("3"));
    assert_eq!(seen.header("x-amzn-bedrock-trace"), Some("ENABLED"));
    let half = json!({"name": "b", "type": "bedrock", "api_key": KEYS, "options": {"guardrail": "gr-1"}});
    assert!(refused(&gateway, "options", half).await.contains("guardrail_version"));
}

#[tokio::test]
async fn models_and_profiles_are_listed_and_who_may_not_list_is_well_all_the_same() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    let models = json!([{"modelId": NOVA, "modelName": "Nova Lite"}]);
    let profiles = json!([{"inferenceProfileId": CLAUDE}]);
    a.lists_by(Script::json(200, &json!({"modelSummaries": models, "inferenceProfileSummaries": profiles})));
    gateway.provider("a", "bedrock", &a, json!({"api_key": KEYS})).await;
    assert_eq!(a.model_lists(), 2);
    let models = gateway.get("/v1/models").await.text();
    assert!(models.contains(NOVA) && models.contains(CLAUDE), "{models}");

    let b = Upstream::start("b").await;
    let why = "User: arn:aws:iam::1:user/b is not authorized to perform: bedrock:ListFoundationModels";
    b.lists_by(Script::json(403, &json!({"message": why})));
    gateway.provider("b", "bedrock", &b, json!({"api_key": KEYS})).await;
    assert_eq!(gateway.health_of("b").await["is_healthy"], true);
}

#[tokio::test]
async fn a_long_answer_that_is_wrapped_reaches_its_client_whole() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    provider(&gateway, &a, KEYS).await;
    a.always(stream(&greeting().each_ref().map(wrapped)).byte_by_byte());
    let body = json!({
        "model": CLAUDE, "max_tokens": 30_000, "later": {"kept": 1.0}, "messages": [{"role": "user", "content": "Hi"}],
    });
    let reply = gateway.send(Request::post("/v1/messages", &body).header("x-api-key", API_KEY)).await;
    let whole = json!({
        "id": "m", "model": "c", "content": [{"type": "text", "text": "Hi."}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 4},
    });
    assert_eq!(reply.assert_ok().json(), whole);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(a.last().path.ends_with("/invoke-with-response-stream"), "{}", a.last().path);
    gateway.assert_row(json!({"prompt_tokens": 3, "completion_tokens": 4, "stream": false})).await;
    a.always(stream(&[&greeting().each_ref().map(wrapped)[..3], &[busy()]].concat()));
    let reply = gateway.send(Request::post("/v1/messages", &body).header("x-api-key", API_KEY)).await;
    assert_eq!(reply.error()["type"], "overloaded_error", "{}", reply.text());
}

#[tokio::test]
async fn a_client_of_anthropics_gets_the_events_that_are_wrapped_byte_for_byte() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    provider(&gateway, &a, KEYS).await;
    let events = [
        json!({"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 3}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "later", "text": ""}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}}),
        json!({"type": "message_stop"}),
    ];
    a.next(stream(&events.each_ref().map(wrapped)));
    let body = json!({
        "model": CLAUDE, "max_tokens": 5, "stream": true, "later": {"kept": 1.0},
        "messages": [{"role": "user", "content": "Hi"}],
    });
    let request = Request::post("/v1/messages", &body).header("x-api-key", API_KEY);
    let betas = "claude-code-20250219,context-1m-2025-08-07";
    let reply = gateway.send(request.header("anthropic-version", "2023-06-01").header("anthropic-beta", betas)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let expected = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    assert_eq!(reply.text(), events.iter().map(expected).collect::<String>());
    let seen = a.last();
    assert!(seen.path.ends_with("/invoke-with-response-stream"), "{}", seen.path);
    assert_eq!((seen.header("anthropic-beta"), seen.json()["later"].clone()), (None, json!({"kept": 1.0})));
    assert_eq!(seen.json()["anthropic_beta"], json!(["context-1m-2025-08-07"]));
}
