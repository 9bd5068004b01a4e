//! Google's clients in front of every sort of provider.

use serde_json::{Value, json};

use super::stage_of;
use crate::support::{API_KEY, Dialect, Gateway, Reply, Request, Script, Upstream};

const SSE: &str = "streamGenerateContent?alt=sse";
const ARRAY: &str = "streamGenerateContent";
const WHOLE: &str = "generateContent";

fn asking(path: &str, body: &Value) -> Request {
    Request::post(path, body).header("x-goog-api-key", API_KEY)
}

fn hello() -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": "Say hello"}]}]})
}

async fn ask(gateway: &Gateway, model: &str, verb: &str, body: &Value) -> Reply {
    gateway.send(asking(&format!("/v1beta/models/{model}:{verb}"), body)).await
}

/// The pieces of an answer, however it came.
fn pieces(reply: &Reply) -> Vec<Value> {
    if reply.is_stream() {
        return reply.chunks();
    }
    match reply.json() {
        Value::Array(pieces) => pieces,
        whole => vec![whole],
    }
}

fn parts(reply: &Reply) -> Vec<Value> {
    let pieces = pieces(reply);
    let lists = pieces.iter().filter_map(|piece| piece["candidates"][0]["content"]["parts"].as_array());
    lists.flatten().cloned().collect()
}

fn text(reply: &Reply) -> String {
    let shown = |part: &Value| part["thought"] != true;
    parts(reply).iter().filter(|part| shown(part)).filter_map(|part| part["text"].as_str().map(str::to_owned)).collect()
}

/// The model's turn as a client keeps it for the next request.
fn turn(reply: &Reply) -> Value {
    json!({"role": "model", "parts": parts(reply)})
}

#[track_caller]
fn assert_status(reply: &Reply, code: u16, status: &str) {
    let body = reply.json();
    assert_eq!((reply.status, &body["error"]["code"], &body["error"]["status"]), (code, &json!(code), &json!(status)));
    assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
}

#[tokio::test]
async fn between_google_and_its_clients_bytes_pass() {
    let (gateway, [a]) = stage_of(Dialect::Gemini, &[]).await;
    let whole = "{ \"candidates\": [ {\"content\":{\"parts\":[{\"text\":\"hi\"}]},\"finishReason\":\"STOP\"} ], \"new\": 1.50 }";
    a.next(Script::bytes(200, "application/json", whole));
    let body = "{\"contents\" : [{\"parts\":[{\"text\":\"hi\"}]}],  \"retry_count\":0, \"future\":1.50}";
    let reply = gateway.send(asking("/v1beta/models/gemini-3-flash:generateContent", &json!(null)).body(body)).await;
    assert_eq!(reply.assert_ok().text(), whole);
    assert_eq!(reply.header("x-orchestrator-provider"), Some("a"));
    assert_eq!(a.last().path, "/v1beta/models/gemini-3-flash:generateContent");
    assert_eq!(a.last().body, b"{\"contents\" : [{\"parts\":[{\"text\":\"hi\"}]}], \"future\":1.50}");

    let frames = Dialect::Gemini.stream(&["Hel", "lo"]);
    a.always(Script::sse(&frames));
    let events = ask(&gateway, "gemini-3-flash", SSE, &hello()).await;
    assert_eq!(events.assert_ok().text(), frames.concat());
    let array = ask(&gateway, "gemini-3-flash", ARRAY, &hello()).await;
    assert_eq!(array.header("content-type"), Some("application/json"));
    assert_eq!(array.json(), Value::Array(events.chunks()));
    assert!(a.last().path.ends_with(":streamGenerateContent?alt=sse"), "an upstream is asked for events in any case");
}

#[tokio::test]
async fn a_client_of_googles_is_answered_by_anybody() {
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        let (gateway, [a]) = stage_of(dialect, &[]).await;
        for verb in [WHOLE, SSE, ARRAY] {
            a.always(match verb {
                WHOLE => Script::json(200, &dialect.whole("Hello")),
                _ => Script::sse(&dialect.stream(&["Hel", "lo"])),
            });
            let reply = ask(&gateway, dialect.model(), verb, &hello()).await;
            assert_eq!(text(reply.assert_ok()), "Hello", "{dialect:?} {verb}: {}", reply.text());
            let last = pieces(&reply).pop().unwrap();
            assert_eq!(last["candidates"][0]["finishReason"], "STOP", "{dialect:?} {verb}");
            let counts = json!({"promptTokenCount": 11, "cachedContentTokenCount": 3, "totalTokenCount": 18});
            for (key, count) in counts.as_object().unwrap() {
                assert_eq!(&last["usageMetadata"][key], count, "{dialect:?} {verb} {key}: {last}");
            }
            assert_eq!(last["modelVersion"], "upstream-model", "{dialect:?} {verb}");
            assert_eq!(reply.is_stream(), verb == SSE);
        }
    }
}

#[tokio::test]
async fn settings_reach_another_protocol_and_what_it_cannot_say_is_told() {
    let (gateway, [a]) = stage_of(Dialect::OpenAi, &[]).await;
    let mut body = hello();
    body["system_instruction"] = json!({"parts": [{"text": "Be brief."}]});
    body["generationConfig"] = json!({"maxOutputTokens": 9, "stopSequences": ["x"], "responseMimeType": "application/json",
        "responseSchema": {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": true}}}});
    body["safetySettings"] = json!([{"category": "c", "threshold": "t"}]);
    let reply = ask(&gateway, "gpt-4o", WHOLE, &body).await;
    assert_eq!(reply.assert_ok().header("x-orchestrator-dropped"), Some("safetySettings"));
    let seen = a.last().json();
    assert_eq!(seen["messages"][0], json!({"role": "system", "content": "Be brief."}));
    assert_eq!((&seen["stop"], seen["model"].as_str()), (&json!(["x"]), Some("gpt-4o")));
    let schema = &seen["response_format"]["json_schema"]["schema"];
    assert_eq!(schema["properties"]["a"], json!({"type": ["string", "null"]}));
    body["cachedContent"] = json!("cachedContents/x");
    assert_status(&ask(&gateway, "gpt-4o", WHOLE, &body).await, 400, "INVALID_ARGUMENT");
}

fn tools() -> Value {
    json!([{"functionDeclarations": [{"name": "look", "parameters": {"type": "OBJECT", "properties": {"at": {"type": "STRING"}}}}]}])
}

/// An answer of Claude's that thinks, says something and calls a function, whole or as events.
fn claude_calls(stream: bool) -> Script {
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "sky"}});
    if !stream {
        let mut answer = Dialect::Anthropic.whole("");
        answer["stop_reason"] = "tool_use".into();
        let thinking = json!({"type": "thinking", "thinking": "I look.", "signature": "c2ln+/=="});
        answer["content"] = json!([thinking, {"type": "text", "text": "Wait."}, call]);
        return Script::json(200, &answer);
    }
    let mut events = vec![
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "I "}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "look."}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln+/=="}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Wait"}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "."}}),
        json!({"type": "content_block_stop", "index": 1}),
    ];
    let mut begun = call;
    begun["input"] = json!({});
    let input = r#"{"at":"sky"}"#;
    events.extend([
        json!({"type": "content_block_start", "index": 2, "content_block": begun}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": input}}),
        json!({"type": "content_block_stop", "index": 2}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": {"output_tokens": 7}}),
        json!({"type": "message_stop"}),
    ]);
    let event = |data: &Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap());
    let frames: Vec<String> = Dialect::Anthropic.preamble().into_iter().chain(events.iter().map(event)).collect();
    Script::sse(&frames)
}

/// What Claude is told in the second turn, after a client answered its call.
async fn second_turn(gateway: &Gateway, a: &Upstream, verb: &str, include: bool, keeps_thoughts: bool) -> Value {
    a.next(claude_calls(verb != WHOLE));
    let mut body = hello();
    body["tools"] = tools();
    body["generationConfig"] = json!({"thinkingConfig": {"includeThoughts": include, "thinkingBudget": 2048}});
    let reply = ask(gateway, "claude-sonnet-4-5", verb, &body).await;
    assert_eq!(text(reply.assert_ok()), "Wait.", "{verb}: {}", reply.text());
    let mut turn = turn(&reply);
    let shown = |part: &Value| part["thought"] == true;
    let told = turn["parts"].as_array_mut().unwrap();
    assert_eq!(told.iter().any(shown), include, "{verb}");
    if !keeps_thoughts {
        told.retain(|part| !shown(part));
    }
    let call = told.iter().find(|part| part["functionCall"].is_object()).unwrap()["functionCall"].clone();
    assert_eq!(call, json!({"id": "toolu_1", "name": "look", "args": {"at": "sky"}}), "{verb}");
    let answer = json!({"functionResponse": {"name": "look", "response": {"output": "blue"}}});
    body["contents"].as_array_mut().unwrap().extend([turn, json!({"role": "user", "parts": [answer]})]);
    a.next(Script::json(200, &Dialect::Anthropic.whole("Done")));
    ask(gateway, "claude-sonnet-4-5", WHOLE, &body).await.assert_ok();
    a.last().json()["messages"].clone()
}

#[tokio::test]
async fn what_claude_thought_comes_back_unharmed_whatever_the_client_keeps() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    for verb in [WHOLE, SSE, ARRAY] {
        for (include, keeps_thoughts) in [(true, true), (true, false), (false, false)] {
            let messages = second_turn(&gateway, &a, verb, include, keeps_thoughts).await;
            let expected = json!([
                {"type": "thinking", "thinking": "I look.", "signature": "c2ln+/=="},
                {"type": "text", "text": "Wait."},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "sky"}},
            ]);
            assert_eq!(messages[1]["content"], expected, "{verb} {include} {keeps_thoughts}");
            let result = &messages[2]["content"][0];
            assert_eq!((&result["tool_use_id"], &result["type"]), (&json!("toolu_1"), &json!("tool_result")));
            assert!(result["content"].to_string().contains("blue"), "{result}");
        }
    }
}

#[tokio::test]
async fn what_a_compatible_server_thought_comes_back_too() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    gateway.provider("a", "deepseek", &a, json!({})).await;
    let mut answer = Dialect::OpenAi.whole("");
    let call = json!({"id": "call_x", "type": "function", "function": {"name": "look", "arguments": "{}"}});
    answer["choices"][0] = json!({"index": 0, "finish_reason": "tool_calls",
        "message": {"role": "assistant", "content": null, "reasoning_content": "Hm.", "tool_calls": [call]}});
    a.next(Script::json(200, &answer));
    let mut body = hello();
    body["tools"] = tools();
    let reply = ask(&gateway, "deepseek-v4", WHOLE, &body).await;
    let response = json!({"functionResponse": {"id": "call_x", "name": "look", "response": {"error": "dark"}}});
    let contents = body["contents"].as_array_mut().unwrap();
    contents.extend([turn(reply.assert_ok()), json!({"role": "user", "parts": [response]})]);
    ask(&gateway, "deepseek-v4", WHOLE, &body).await.assert_ok();
    let messages = a.last().json()["messages"].clone();
    assert_eq!(messages[1]["reasoning_content"], "Hm.");
    assert_eq!(messages[1]["tool_calls"][0]["id"], "call_x");
    assert_eq!((&messages[2]["role"], &messages[2]["tool_call_id"]), (&json!("tool"), &json!("call_x")));
}

#[tokio::test]
async fn what_another_model_thought_is_not_shown_to_gemini() {
    let gateway = Gateway::start().await;
    let (claude, gemini) = (Upstream::start("claude").await, Upstream::start("gemini").await);
    gateway.provider("claude", "anthropic", &claude, json!({})).await;
    gateway.provider("gemini", "gemini", &gemini, json!({})).await;
    claude.next(claude_calls(false));
    let mut body = hello();
    body["tools"] = tools();
    let reply = ask(&gateway, "claude-sonnet-4-5", WHOLE, &body).await;
    let turn = turn(reply.assert_ok());
    assert!(turn.to_string().contains("LLMO"), "{turn}");
    body["contents"].as_array_mut().unwrap().push(turn);
    ask(&gateway, "gemini-3-flash", WHOLE, &body).await.assert_ok();
    let seen = gemini.last().json();
    assert!(!seen.to_string().contains("LLMO"), "{seen}");
    let call = &seen["contents"][1]["parts"][1];
    assert_eq!(call["thoughtSignature"], "skip_thought_signature_validator", "{seen}");
}

#[tokio::test]
async fn every_address_that_googles_clients_use_leads_to_the_model() {
    let (gateway, [a]) = stage_of(Dialect::OpenAi, &[]).await;
    for path in [
        "/v1beta/models/gpt-4o:generateContent",
        "/v1beta/models/models/gpt-4o:generateContent",
        "/v1/models/gpt-4o:generateContent",
        "/models/gpt-4o:generateContent",
        "/v1beta1/publishers/google/models/gpt-4o:generateContent",
        "/v1/projects/p/locations/global/publishers/google/models/gpt-4o:generateContent",
        "/v1beta/models/a:gpt-4o:generateContent",
        "/v1beta/models/a%3Agpt-4o:generateContent",
    ] {
        let reply = gateway.send(asking(path, &hello())).await;
        assert_eq!(text(reply.assert_ok()), "Hello from a", "{path}");
        assert_eq!(a.last().json()["model"], "gpt-4o", "{path}");
    }
    a.lists(&["org/m:free"]);
    gateway.provider("b", "openai_compatible", &a, json!({})).await;
    let reply = gateway.send(asking("/v1beta/models/b:org/m:free:generateContent", &hello())).await;
    reply.assert_ok();
    assert_eq!(a.last().json()["model"], "org/m:free");
}

#[tokio::test]
async fn a_key_may_stand_in_the_query() {
    let (gateway, [_a]) = stage_of(Dialect::OpenAi, &[]).await;
    let target = format!("/v1beta/models/gpt-4o:generateContent?key={API_KEY}");
    gateway.send(Request::post(&target, &hello())).await.assert_ok();
    let reply = gateway.send(Request::post("/v1beta/models/gpt-4o:generateContent?key=wrong", &hello())).await;
    assert_status(&reply, 401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn errors_have_googles_shape() {
    let (picky, [_b]) = stage_of(Dialect::Anthropic, &[]).await;
    assert_status(&ask(&picky, "nobodys-model", WHOLE, &hello()).await, 404, "NOT_FOUND");
    let (gateway, [a]) = stage_of(Dialect::OpenAi, &[]).await;
    assert_status(&ask(&gateway, "gpt-4o", "generateSong", &hello()).await, 404, "NOT_FOUND");
    assert_status(&ask(&gateway, "gpt-4o", WHOLE, &json!({})).await, 400, "INVALID_ARGUMENT");
    let wrong = ask(&gateway, "gpt-4o", WHOLE, &json!({"contents": [{"parts": [{"text": 1}]}]})).await;
    assert_status(&wrong, 400, "INVALID_ARGUMENT");
    assert_eq!(wrong.json()["error"]["details"][1]["fieldViolations"][0]["field"], "contents[0].parts[0].text");
    a.next(Script::error(429, "slow down").header("Retry-After", "1"));
    let limited = ask(&gateway, "gpt-4o", WHOLE, &hello()).await;
    assert_status(&limited, 429, "RESOURCE_EXHAUSTED");
    assert!(limited.text().contains(r#"google.rpc.RetryInfo","retryDelay":"1s""#), "{}", limited.text());
    a.next(Script::error(401, "bad key"));
    assert_status(&ask(&gateway, "gpt-4o", WHOLE, &hello()).await, 502, "INTERNAL");
    a.next(Script::error(503, "overloaded"));
    assert_status(&ask(&gateway, "gpt-4o", SSE, &hello()).await, 503, "UNAVAILABLE");
}

#[tokio::test]
async fn what_google_says_of_a_request_reaches_its_clients_unchanged() {
    let (gateway, [a]) = stage_of(Dialect::Gemini, &[]).await;
    let said = r#"{ "error": {"code":400, "message":"Invalid value", "status":"INVALID_ARGUMENT", "details":[{"new":1.50}]} }"#;
    a.next(Script::bytes(400, "application/json", said));
    let reply = ask(&gateway, "gemini-3-flash", WHOLE, &hello()).await;
    assert_eq!((reply.status, reply.text()), (400, said.to_owned()));
}

#[tokio::test]
async fn tokens_are_counted_by_google_and_estimated_for_others() {
    let (gateway, [a]) = stage_of(Dialect::Gemini, &[]).await;
    a.always(Script::json(200, &json!({"totalTokens": 42})));
    let whole = json!({"generateContentRequest": {"model": "models/gemini-3-flash", "contents": hello()["contents"]}});
    for body in [hello(), whole.clone()] {
        let reply = ask(&gateway, "gemini-3-flash", "countTokens", &body).await;
        assert_eq!(reply.assert_ok().json(), json!({"totalTokens": 42}));
        assert_eq!((a.last().path.as_str(), a.last().json()), ("/v1beta/models/gemini-3-flash:countTokens", body));
    }
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    gateway.provider("a", "openai", &a, json!({"protocols": ["openai_chat"]})).await;
    let bare = ask(&gateway, "gpt-4o", "countTokens", &hello()).await;
    assert!(bare.assert_ok().json()["totalTokens"].as_u64().is_some_and(|count| count > 0), "{}", bare.text());
    assert_eq!(bare.header("x-orchestrator-estimate"), Some("true"));
    assert_eq!(ask(&gateway, "gpt-4o", "countTokens", &whole).await.json(), bare.json());
    assert_status(&ask(&gateway, "gpt-4o", "countTokens", &json!({})).await, 400, "INVALID_ARGUMENT");
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_and_without_a_reason() {
    for dialect in Dialect::ALL {
        for verb in [SSE, ARRAY] {
            let (gateway, [a]) = stage_of(dialect, &[]).await;
            a.always(Script::sse(&dialect.begun(&["Hel", "lo"])).then_cut());
            let reply = ask(&gateway, dialect.model(), verb, &hello()).await;
            assert_eq!(text(reply.assert_ok()), "Hello", "{dialect:?} {verb}: {}", reply.text());
            let pieces = pieces(&reply);
            assert_eq!(pieces.last().unwrap()["error"]["status"], "INTERNAL", "{dialect:?} {verb}");
            assert!(!reply.text().contains("finishReason"), "{dialect:?} {verb}: {}", reply.text());
            assert!(reply.complete, "{dialect:?} {verb}");
        }
    }
}

#[tokio::test]
async fn the_log_tells_of_a_request_by_a_client_of_googles() {
    let (gateway, [_a]) = stage_of(Dialect::Anthropic, &[]).await;
    ask(&gateway, "claude-sonnet-4-5", ARRAY, &hello()).await.assert_ok();
    gateway
        .assert_row(json!({
            "status_code": 200, "stream": true, "model": "claude-sonnet-4-5", "provider_name": "a",
            "endpoint": "/v1beta/models/claude-sonnet-4-5:streamGenerateContent", "total_tokens": 18,
        }))
        .await;
}
