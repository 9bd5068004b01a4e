//! In whose words a client hears of errors, and what every answer tells its headers' readers.

use llm_protocol::{
    ErrorContext, ProtocolId, inbound,
    ir::{ApiError, ErrorKind},
    openai_chat::OpenAiChat,
};
use serde_json::{Value, json};

use super::{stage, stage_of};
use crate::support::{
    API_KEY, Dialect, Gateway, Reply, Request, Script,
    gateway::{chat, question},
};

/// The members of an error in the words of `protocol`, in order of name, down to the second level.
fn shape(protocol: ProtocolId, error: &ApiError) -> (u16, Value) {
    let inbound = inbound(protocol).unwrap_or(&OpenAiChat);
    let context = ErrorContext { request_id: "r".into(), timestamp: "t".into() };
    let body: Value = serde_json::from_slice(&inbound.encode_error(error, &context)).unwrap();
    (inbound.status(error), outline(&body))
}

fn outline(body: &Value) -> Value {
    let members =
        |value: &Value| value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    json!([members(body), members(&body["error"])])
}

fn is_in(reply: &Reply, protocol: ProtocolId, kind: ErrorKind) {
    let (status, outline_of_kind) = shape(protocol, &ApiError::new(kind, "x"));
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(outline(&reply.json()), outline_of_kind, "{}", reply.text());
    let id = reply.header("x-request-id").unwrap();
    assert_eq!(reply.header("request-id"), Some(id), "both names are read by somebody");
}

#[tokio::test]
async fn an_unknown_path_or_method_is_told_in_the_words_of_the_protocol_that_was_asked() {
    let gateway = Gateway::start().await;
    for (method, target, header, protocol, kind) in [
        ("GET", "/v1/nowhere", "x-none", ProtocolId::OpenAiChat, ErrorKind::NotFound),
        ("GET", "/v1/nowhere", "anthropic-version", ProtocolId::Anthropic, ErrorKind::NotFound),
        ("GET", "/v1/messages/batches/1", "x-none", ProtocolId::Anthropic, ErrorKind::NotFound),
        ("POST", "/v1beta/nowhere", "x-none", ProtocolId::Gemini, ErrorKind::NotFound),
        ("POST", "/v1/nowhere", "x-goog-api-key", ProtocolId::Gemini, ErrorKind::NotFound),
        ("POST", "/v1/responses/x/nowhere", "x-none", ProtocolId::OpenAiResponses, ErrorKind::NotFound),
        ("PATCH", "/v1/models", "anthropic-version", ProtocolId::Anthropic, ErrorKind::MethodNotAllowed),
        ("PATCH", "/v1beta/models", "x-none", ProtocolId::Gemini, ErrorKind::MethodNotAllowed),
        ("PATCH", "/v1/embeddings", "x-none", ProtocolId::OpenAiChat, ErrorKind::MethodNotAllowed),
        ("GET", "/v1/models", "anthropic-version", ProtocolId::Anthropic, ErrorKind::Unauthorized),
        ("GET", "/v1beta/models", "x-none", ProtocolId::Gemini, ErrorKind::Unauthorized),
    ] {
        let reply = gateway.send(Request::new(method, target).header(header, "wrong")).await;
        is_in(&reply, protocol, kind);
    }
    let twice = Request::get("/v1beta/models").header("Host", "a").header("Host", "b");
    is_in(&gateway.send(twice).await, ProtocolId::Gemini, ErrorKind::InvalidRequest);
}

#[tokio::test]
async fn once_everybody_has_failed_the_sdks_are_told_not_to_repeat_it() {
    for (script, status) in
        [(Script::error(500, "Oops"), 502), (Script::error(503, "Busy"), 503), (Script::error(429, "Slow"), 429)]
    {
        let (gateway, [a, b]) = stage(&[]).await;
        a.always(script.clone());
        b.always(script);
        for reply in [
            gateway.ask("gpt-4o").await,
            gateway
                .send(Request::post("/v1/embeddings", &json!({"model": "gpt-4o", "input": "x"})).bearer(API_KEY))
                .await,
        ] {
            assert_eq!(reply.status, status, "{}", reply.text());
            assert_eq!(reply.header("x-should-retry"), Some("false"));
            let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=2).contains(&wait), "{wait}");
        }
    }
}

#[tokio::test]
async fn nobody_is_told_to_wait_for_an_account_that_has_nothing_left() {
    let (gateway, [a]) = stage(&[]).await;
    let spent = json!({"error": {"message": "You exceeded your quota", "type": "x", "code": "insufficient_quota"}});
    a.always(Script::json(429, &spent));
    let reply = gateway.ask("gpt-4o").await;
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (429, Some("insufficient_quota")));
    assert_eq!(reply.header("x-should-retry"), Some("false"));
}

#[tokio::test]
async fn the_only_providers_limit_may_be_waited_for() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::error(429, "Slow").header("Retry-After", "40"));
    let reply = gateway.ask("gpt-4o").await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("40")));
    assert_eq!(reply.header("x-should-retry"), None);
}

#[tokio::test]
async fn a_client_is_asked_to_wait_for_whoever_is_free_first() {
    let (gateway, [a, b]) = stage(&[]).await;
    a.always(Script::error(429, "Slow").header("Retry-After", "4"));
    b.always(Script::error(503, "Busy").header("Retry-After", "3000"));
    let reply = gateway.ask("gpt-4o").await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("4")));
}

#[tokio::test]
async fn limits_and_ids_of_the_upstream_pass_where_they_mean_something() {
    let (gateway, [a]) = stage(&[]).await;
    let told = |script: Script| {
        script.header("x-ratelimit-remaining-tokens", "9").header("x-request-id", "theirs").header("set-cookie", "c=1")
    };
    a.next(told(Script::json(200, &Dialect::OpenAi.whole("hi")))).next(told(Script::stream(&["hi"])));
    for reply in [gateway.ask("gpt-4o").await, gateway.ask_stream("gpt-4o").await] {
        assert_eq!(reply.assert_ok().header("x-ratelimit-remaining-tokens"), Some("9"));
        assert_eq!(reply.header("x-orchestrator-upstream-request-id"), Some("theirs"));
        assert!(reply.header("x-request-id").unwrap().starts_with("req_") && reply.header("set-cookie").is_none());
    }
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    let script = Script::json(200, &Dialect::Anthropic.whole("hi"));
    a.next(script.header("anthropic-ratelimit-tokens-remaining", "9").header("request-id", "theirs"));
    let reply = gateway.send(chat(&question("claude-sonnet-4-5"))).await;
    assert_eq!(reply.assert_ok().header("x-orchestrator-upstream-request-id"), Some("theirs"));
    assert_eq!(reply.header("anthropic-ratelimit-tokens-remaining"), None, "these are no chat client's limits");
}
