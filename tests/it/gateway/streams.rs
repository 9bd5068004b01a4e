//! What reaches the client of a stream, byte for byte, and how a stream that breaks ends.

use std::time::Duration;

use serde_json::{Value, json};

use super::{stage, stage_of};
use crate::support::{Dialect, Script, gateway::question};

fn streamed(model: &str) -> Value {
    let mut body = question(model);
    body["stream"] = true.into();
    body
}

/// A stream that broke off after "Hello": an error event, no sign of a good end, no second provider.
async fn breaks_off(dialect: Dialect, script: Script, status: u16, why: &str) {
    let code = if status == 503 { "service_unavailable" } else { "upstream_error" };
    let (gateway, [a, b]) = stage_of(dialect, &[]).await;
    a.always(script);
    let reply = gateway.ask_stream(dialect.model()).await;
    assert_eq!(reply.assert_ok().content(), "Hello", "{dialect:?}: {}", reply.text());
    assert_eq!(reply.stream_error()["code"], code, "{dialect:?}: {}", reply.text());
    assert!(reply.stream_error()["message"].is_string(), "{dialect:?}: {}", reply.text());
    assert!(!reply.done(), "{dialect:?}: {}", reply.text());
    assert!(reply.complete, "{dialect:?}");
    assert_eq!((a.calls(), b.calls()), (1, 0), "{dialect:?}: no retry after content");
    let row = json!({"status_code": status, "error_code": why, "attempts": 1, "stream": true, "provider_name": "a"});
    gateway.assert_row(row).await;
    assert_eq!(gateway.admin_get("/admin/stats").await["failed_requests"], 1);
}

#[tokio::test]
async fn a_stream_cut_after_content_ends_with_an_error_event() {
    for dialect in Dialect::ALL {
        breaks_off(dialect, Script::sse(&dialect.begun(&["Hel", "lo"])).then_cut(), 502, "truncated").await;
    }
}

#[tokio::test]
async fn a_stream_reset_after_content_ends_with_an_error_event() {
    for dialect in Dialect::ALL {
        // A reset overtakes bytes that were not read yet, so these get the time to arrive.
        let mut frames = dialect.begun(&["Hel", "lo"]);
        frames.push(String::new());
        let script = Script::sse(&frames).paced(Duration::from_millis(100)).then_reset();
        breaks_off(dialect, script, 502, "truncated").await;
    }
}

#[tokio::test]
async fn a_stream_that_just_ends_without_a_reason_is_an_error() {
    for dialect in Dialect::ALL {
        breaks_off(dialect, Script::sse(&dialect.begun(&["Hel", "lo"])), 502, "truncated").await;
    }
}

#[tokio::test]
async fn an_error_event_after_content_reaches_the_client_as_an_error_event() {
    for dialect in [Dialect::OpenAi, Dialect::Responses] {
        let mut frames = dialect.begun(&["Hel", "lo"]);
        frames.push(dialect.error_event());
        breaks_off(dialect, Script::sse(&frames), 502, "server_error").await;
    }
    for dialect in [Dialect::Anthropic, Dialect::Gemini] {
        let mut frames = dialect.begun(&["Hel", "lo"]);
        frames.push(dialect.error_event());
        breaks_off(dialect, Script::sse(&frames), 503, "service_unavailable").await;
    }
}

/// The whole answer arrives, however the bytes were cut, with usage in the log.
async fn arrives(dialect: Dialect, script: Script, text: &str) {
    let (gateway, [a]) = stage_of(dialect, &[]).await;
    a.always(script);
    let reply = gateway.ask_stream(dialect.model()).await;
    assert_eq!(reply.assert_ok().content(), text, "{dialect:?}: {}", reply.text());
    assert!(reply.done(), "{dialect:?}: {}", reply.text());
    gateway
        .assert_row(json!({
            "status_code": 200, "error_code": null, "attempts": 1, "stream": true,
            "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "cached_tokens": 3,
        }))
        .await;
}

const TEXTS: [&str; 5] = ["Grüße, ", "世界! ", "👩‍👩‍👧‍👦 ", "\u{1F600}", " done"];

#[tokio::test]
async fn characters_split_over_one_byte_chunks_arrive_whole() {
    for dialect in Dialect::ALL {
        arrives(dialect, Script::sse(&dialect.stream(&TEXTS)).byte_by_byte(), &TEXTS.concat()).await;
    }
}

#[tokio::test]
async fn a_stream_in_one_piece_arrives() {
    for dialect in Dialect::ALL {
        arrives(dialect, Script::sse(&[dialect.stream(&TEXTS).concat()]), &TEXTS.concat()).await;
    }
}

#[tokio::test]
async fn line_ends_of_any_kind_are_understood() {
    for dialect in Dialect::ALL {
        let stream = dialect.stream(&TEXTS).concat().replace("\r\n", "\n");
        arrives(dialect, Script::sse(&[stream.replace('\n', "\r\n")]), &TEXTS.concat()).await;
        arrives(dialect, Script::sse(&[stream.replace('\n', "\r\n")]).byte_by_byte(), &TEXTS.concat()).await;
    }
}

#[tokio::test]
async fn comments_and_empty_lines_between_events_do_no_harm() {
    for dialect in Dialect::ALL {
        let frames = dialect.stream(&TEXTS).into_iter().map(|frame| format!(": thinking\n\n\n{frame}"));
        arrives(dialect, Script::sse(&frames.collect::<Vec<_>>()), &TEXTS.concat()).await;
    }
}

#[tokio::test]
async fn a_stream_that_ends_with_its_connection_arrives() {
    for dialect in Dialect::ALL {
        arrives(dialect, Script::sse(&dialect.stream(&TEXTS)).close_delimited(), &TEXTS.concat()).await;
    }
}

#[tokio::test]
async fn a_stream_without_the_done_mark_but_with_a_reason_is_complete() {
    let (gateway, [a]) = stage(&[]).await;
    let mut frames = Dialect::OpenAi.stream(&["Hello"]);
    assert_eq!(frames.pop().as_deref(), Some("data: [DONE]\n\n"));
    a.always(Script::sse(&frames));
    let reply = gateway.ask_stream("gpt-4o").await;
    assert_eq!(reply.assert_ok().content(), "Hello");
    assert_eq!(reply.stream_error(), Value::Null);
    assert!(reply.complete);
    gateway
        .assert_row(json!({"status_code": 200, "error_code": null, "prompt_tokens": 11, "completion_tokens": 7}))
        .await;
}

#[tokio::test]
async fn events_of_the_same_protocol_are_forwarded_byte_for_byte() {
    let (gateway, [a]) = stage(&[]).await;
    let frames = [
        "data: {\"id\":\"x\",  \"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}], \"odd\" : 1.50}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\",\"future\":[1e2]},\"index\":0}],\"id\":\"x\"}\n\n",
        "data: {\"choices\":[{\"delta\":{},\"index\":0,\"finish_reason\":\"stop\"}],\"id\":\"x\"}\n\n",
        "data: [DONE]\n\n",
    ];
    a.always(Script::sse(&frames));
    let reply = gateway.ask_stream("gpt-4o").await;
    let text = reply.assert_ok().text();
    assert!(text.starts_with(&frames[..2].concat()), "{text}");
    let last: Value = reply.chunks().pop().unwrap();
    assert_eq!(last["provider"], "a", "{text}");
    assert!(last["latency_ms"].is_u64(), "{text}");
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert!(reply.chunks()[..2].iter().all(|chunk| chunk.get("provider").is_none()), "{text}");
}

#[tokio::test]
async fn whole_answers_of_the_same_protocol_keep_their_bytes() {
    let (gateway, [a]) = stage(&[]).await;
    let body = "{\"id\":\"x\",  \"odd\" : 1.50, \"choices\":[{\"index\":0,\"finish_reason\":\"stop\",\"message\":{\"role\":\"assistant\",\
                \"content\":\"Hi\",\"future\":[1e2]}}], \"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}";
    a.always(Script::bytes(200, "application/json", body));
    let reply = gateway.ask("gpt-4o").await;
    let text = reply.assert_ok().text();
    assert!(text.starts_with(body.trim_end_matches('}')), "{text}");
    assert_eq!(reply.json()["provider"], "a");
    assert!(reply.json()["latency_ms"].is_u64());
}

#[tokio::test]
async fn usage_is_asked_for_upstream_and_kept_from_a_client_that_did_not_ask() {
    let (gateway, [a]) = stage(&[]).await;
    let reply = gateway.ask_stream("gpt-4o").await;
    assert_eq!(a.last().json()["stream_options"], json!({"include_usage": true}));
    assert!(reply.chunks().iter().all(|chunk| chunk["usage"].is_null()), "{}", reply.text());
    assert!(reply.chunks().iter().all(|chunk| chunk["choices"] != json!([])), "{}", reply.text());
    gateway.assert_row(json!({"prompt_tokens": 11, "completion_tokens": 7, "status_code": 200})).await;
}

#[tokio::test]
async fn usage_reaches_a_client_that_asked_for_it() {
    for dialect in Dialect::ALL {
        let (gateway, [_a]) = stage_of(dialect, &[]).await;
        let mut body = streamed(dialect.model());
        body["stream_options"] = json!({"include_usage": true});
        let reply = gateway.chat(body).await;
        let chunks = reply.assert_ok().chunks();
        let usage = &chunks.last().unwrap()["usage"];
        assert_eq!(usage["prompt_tokens"], 11, "{dialect:?}: {}", reply.text());
        assert_eq!(usage["completion_tokens"], 7, "{dialect:?}: {}", reply.text());
        assert_eq!(usage["total_tokens"], 18, "{dialect:?}: {}", reply.text());
        assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 3, "{dialect:?}: {}", reply.text());
        assert_eq!(chunks.last().unwrap()["choices"], json!([]), "{dialect:?}: {}", reply.text());
    }
}

#[tokio::test]
async fn the_last_chunk_of_every_stream_names_the_provider_and_the_time() {
    for dialect in Dialect::ALL {
        let (gateway, [_a]) = stage_of(dialect, &[]).await;
        let reply = gateway.ask_stream(dialect.model()).await;
        let chunks = reply.assert_ok().chunks();
        assert_eq!(chunks.last().unwrap()["provider"], "a", "{dialect:?}: {}", reply.text());
        assert!(chunks.last().unwrap()["latency_ms"].is_u64(), "{dialect:?}: {}", reply.text());
        assert_eq!(reply.header("cache-control"), Some("no-cache, no-store"), "{dialect:?}");
        assert_eq!(reply.header("x-orchestrator-provider"), Some("a"), "{dialect:?}");
    }
}

#[tokio::test]
async fn each_event_reaches_the_client_as_soon_as_it_was_sent() {
    let (gateway, [a]) = stage(&[]).await;
    a.always(Script::sse(&Dialect::OpenAi.begun(&["early", "late"])).paced(Duration::from_millis(50)).then_stall());
    let mut raw = crate::support::Raw::connect(gateway.address()).await;
    raw.send(&crate::support::gateway::chat(&streamed("gpt-4o")).bytes()).await;
    raw.until("early").await;
    raw.until("late").await;
}

#[tokio::test]
async fn an_event_beyond_the_limit_ends_the_stream_with_an_error_event() {
    let (gateway, [a, b]) = stage(&[]).await;
    let mut frames = Dialect::OpenAi.begun(&["Hello"]);
    frames.push(Dialect::OpenAi.piece(&"x".repeat(17 << 20)));
    a.always(Script::sse(&frames));
    let reply = gateway.ask_stream("gpt-4o").await;
    assert_eq!(reply.assert_ok().content(), "Hello");
    assert_eq!(reply.stream_error()["code"], "upstream_error", "{} bytes", reply.body.len());
    assert!(!reply.done());
    assert!(reply.body.len() < 1 << 20, "{} bytes", reply.body.len());
    assert_eq!(b.calls(), 0);
    gateway.assert_row(json!({"status_code": 502, "error_code": "malformed", "attempts": 1})).await;
}

#[tokio::test]
async fn a_large_event_within_the_limit_passes() {
    let (gateway, [a]) = stage(&[]).await;
    let large = "y".repeat(12 << 20);
    a.always(Script::stream(&["Hello ", &large]));
    let reply = gateway.ask_stream("gpt-4o").await;
    assert_eq!(reply.assert_ok().content().len(), "Hello ".len() + large.len());
    assert!(reply.done());
    gateway.assert_row(json!({"status_code": 200, "error_code": null})).await;
}

#[tokio::test]
async fn an_event_of_another_protocol_beyond_the_limit_ends_the_stream_too() {
    let settings = [("ORCHESTRATOR_ROUTING_MAX_EVENT_BYTES", "65536")];
    for dialect in [Dialect::Anthropic, Dialect::Gemini] {
        let (gateway, [a]) = stage_of(dialect, &settings).await;
        a.always(Script::sse(&dialect.begun(&["Hello", &"x".repeat(3 << 20)])));
        let reply = gateway.ask_stream(dialect.model()).await;
        assert_eq!(reply.assert_ok().content(), "Hello", "{dialect:?}");
        assert_eq!(reply.stream_error()["code"], "upstream_error", "{dialect:?}");
    }
}
