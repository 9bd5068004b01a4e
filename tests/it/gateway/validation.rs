//! Requests that are wrong are refused here, naming the field; what is not known passes.

use serde_json::{Value, json};

use super::{stage, stage_of};
use crate::support::{Dialect, Gateway, Reply, Request, gateway::chat};

async fn ask(gateway: &Gateway, changes: Value) -> Reply {
    let mut body = crate::support::gateway::question("gpt-4o");
    for (key, value) in changes.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    gateway.chat(body).await
}

#[tokio::test]
async fn what_is_out_of_range_is_refused_by_name() {
    let (gateway, [a]) = stage(&[]).await;
    for (field, values) in [
        ("temperature", vec![json!(-0.1), json!(2.1), json!("1")]),
        ("top_p", vec![json!(-0.1), json!(1.1), json!("1")]),
        ("n", vec![json!(0), json!(-1), json!(1.5), json!("1")]),
        ("max_tokens", vec![json!(0), json!(-5), json!("10"), json!(1.5)]),
        ("max_completion_tokens", vec![json!(0), json!(-5), json!("10")]),
        ("presence_penalty", vec![json!(-2.1), json!(2.1), json!("0")]),
        ("frequency_penalty", vec![json!(-2.1), json!(2.1), json!("0")]),
        ("stream", vec![json!("true"), json!(1)]),
        ("messages", vec![json!([]), json!("hi"), json!({}), json!(null)]),
        ("model", vec![json!(""), json!(5), json!(null)]),
    ] {
        for value in values {
            let reply = ask(&gateway, json!({field: value})).await;
            reply.assert_error(400, "invalid_request");
            assert!(reply.message().contains(field), "{field} {value}: {}", reply.message());
            assert_eq!(reply.error()["param"], field, "{value}");
            assert_eq!(reply.error()["type"], "invalid_request_error");
        }
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn what_is_missing_is_refused_by_name() {
    let (gateway, [a]) = stage(&[]).await;
    let no_model = gateway.chat(json!({"messages": [{"role": "user", "content": "x"}]})).await;
    no_model.assert_error(400, "invalid_request");
    assert!(no_model.message().contains("model"), "{}", no_model.message());
    let no_messages = gateway.chat(json!({"model": "gpt-4o"})).await;
    no_messages.assert_error(400, "invalid_request");
    assert!(no_messages.message().contains("messages"), "{}", no_messages.message());
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn the_ends_of_each_range_are_allowed() {
    let (gateway, [a]) = stage(&[]).await;
    for changes in [
        json!({"temperature": 0, "top_p": 0, "presence_penalty": -2, "frequency_penalty": -2, "n": 1, "max_tokens": 1}),
        json!({"temperature": 2, "top_p": 1, "presence_penalty": 2, "frequency_penalty": 2, "max_completion_tokens": 1}),
    ] {
        ask(&gateway, changes).await.assert_ok();
    }
    assert_eq!(a.calls(), 2);
}

#[tokio::test]
async fn null_is_the_same_as_leaving_out() {
    for dialect in Dialect::ALL {
        let (gateway, [_a]) = stage_of(dialect, &[]).await;
        let mut body = crate::support::gateway::question(dialect.model());
        for field in [
            "temperature",
            "top_p",
            "n",
            "max_tokens",
            "max_completion_tokens",
            "presence_penalty",
            "frequency_penalty",
            "stop",
            "stream",
            "stream_options",
            "tools",
            "tool_choice",
            "response_format",
            "seed",
            "user",
            "logprobs",
            "top_logprobs",
            "logit_bias",
            "reasoning_effort",
            "parallel_tool_calls",
            "functions",
            "function_call",
        ] {
            body[field] = Value::Null;
        }
        let reply = gateway.chat(body).await;
        assert_eq!(reply.assert_ok().content(), "Hello from a", "{dialect:?}");
        assert_eq!(reply.header("x-orchestrator-dropped"), None, "{dialect:?}");
    }
}

#[tokio::test]
async fn nothing_that_the_client_did_not_send_is_sent_upstream() {
    let (gateway, [a]) = stage(&[]).await;
    let body = crate::support::gateway::question("gpt-4o");
    gateway.chat(body.clone()).await.assert_ok();
    assert_eq!(a.last().json(), body);
}

#[tokio::test]
async fn the_request_reaches_a_provider_of_the_same_protocol_byte_for_byte() {
    let (gateway, [a]) = stage(&[]).await;
    let body = "{ \"messages\" : [{\"content\":\"h\\u00e4llo\",\"role\":\"user\",\"x\":1.0}],\"temperature\":1.50,\n \"odd\":[1e2],\"model\":\"a:gpt-4o\" }";
    let request = chat(&json!({})).body(body);
    gateway.send(request).await.assert_ok();
    assert_eq!(String::from_utf8(a.last().body).unwrap(), body.replace("a:gpt-4o", "gpt-4o"));
}

#[tokio::test]
async fn unknown_fields_pass_to_the_same_protocol() {
    let (gateway, [a]) = stage(&[]).await;
    let reply = ask(&gateway, json!({"future_field": {"a": [1, 2]}, "verbosity": "low"})).await;
    reply.assert_ok();
    assert_eq!(reply.header("x-orchestrator-dropped"), None);
    assert_eq!(a.last().json()["future_field"], json!({"a": [1, 2]}));
}

#[tokio::test]
async fn what_another_protocol_cannot_carry_is_dropped_and_named() {
    for dialect in [Dialect::Anthropic, Dialect::Gemini] {
        let (gateway, [_a]) = stage_of(dialect, &[]).await;
        let mut body = crate::support::gateway::question(dialect.model());
        body["future_field"] = json!(1);
        body["verbosity"] = json!("low");
        let reply = gateway.chat(body.clone()).await;
        let dropped = reply.assert_ok().header("x-orchestrator-dropped").unwrap_or_default().to_owned();
        let names: Vec<&str> = dropped.split(',').map(str::trim).collect();
        assert!(names.contains(&"future_field") && names.contains(&"verbosity"), "{dialect:?}: {dropped}");
        let row = gateway.assert_row(json!({"status_code": 200})).await;
        assert!(row.get("dropped").is_none_or(|known| known.to_string().contains("future_field")), "{row}");
    }
}

#[tokio::test]
async fn a_strict_request_is_refused_rather_than_weakened() {
    for dialect in [Dialect::Anthropic, Dialect::Gemini] {
        let (gateway, [a]) = stage_of(dialect, &[]).await;
        let mut body = crate::support::gateway::question(dialect.model());
        body["future_field"] = json!(1);
        let reply = gateway.send(chat(&body).header("X-Orchestrator-Strict", "true")).await;
        reply.assert_error(400, "invalid_request");
        assert!(reply.message().contains("future_field"), "{}", reply.message());
        assert_eq!(a.calls(), 0);
        let plain = crate::support::gateway::question(dialect.model());
        gateway.send(chat(&plain).header("X-Orchestrator-Strict", "true")).await.assert_ok();
    }
}

#[tokio::test]
async fn what_would_change_the_answers_meaning_is_refused() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    for (field, value) in [
        ("n", json!(2)),
        ("logprobs", json!(true)),
        ("logit_bias", json!({"50256": -100})),
        ("modalities", json!(["text", "audio"])),
    ] {
        let mut body = crate::support::gateway::question(Dialect::Anthropic.model());
        body[field] = value;
        let reply = gateway.chat(body).await;
        reply.assert_error(400, "invalid_request");
        assert!(reply.message().contains(field), "{field}: {}", reply.message());
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn a_provider_that_cannot_carry_the_request_is_passed_over_for_one_that_can() {
    let (gateway, [_claude]) = stage_of(Dialect::Anthropic, &[]).await;
    let open = crate::support::Upstream::start("open").await;
    gateway.provider("open", "openai", &open, json!({})).await;
    let mut body = crate::support::gateway::question("claude-sonnet-4-5");
    body["n"] = json!(2);
    body["fallback_providers"] = json!(["open"]);
    let reply = gateway.chat(body).await;
    assert_eq!(reply.assert_ok().content(), "Hello from open");
}

#[tokio::test]
async fn legacy_functions_work_and_are_answered_in_kind() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    let answer = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
        "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    });
    a.always(crate::support::Script::json(200, &answer));
    let mut body = crate::support::gateway::question("claude-sonnet-4-5");
    body["functions"] =
        json!([{"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}]);
    body["function_call"] = json!("auto");
    let reply = gateway.chat(body).await;
    let choice = reply.assert_ok().json()["choices"][0].clone();
    assert_eq!(choice["message"]["function_call"]["name"], "weather", "{choice}");
    let arguments: Value =
        serde_json::from_str(choice["message"]["function_call"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments, json!({"city": "Oslo"}));
    assert_eq!(choice["finish_reason"], "function_call");
    assert_eq!(a.last().json()["tools"][0]["name"], "weather");
}

#[tokio::test]
async fn anthropic_gets_the_most_tokens_it_may_write_when_the_client_set_no_limit() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    gateway.ask("claude-sonnet-4-5").await.assert_ok();
    assert!(a.last().json()["max_tokens"].as_u64().is_some_and(|limit| limit >= 4096), "{}", a.last().json());
    let mut body = crate::support::gateway::question("claude-sonnet-4-5");
    body["max_completion_tokens"] = json!(77);
    gateway.chat(body).await.assert_ok();
    assert_eq!(a.last().json()["max_tokens"], 77);
}

#[tokio::test]
async fn a_body_of_another_type_is_still_read_or_refused_cleanly() {
    let (gateway, [_a]) = stage(&[]).await;
    let body = crate::support::gateway::question("gpt-4o").to_string();
    let request = Request::new("POST", "/v1/chat/completions").bearer(crate::support::API_KEY);
    let reply = gateway.send(request.header("Content-Type", "text/plain").body(body)).await;
    assert!([200, 400, 415].contains(&reply.status), "{}", reply.text());
}
