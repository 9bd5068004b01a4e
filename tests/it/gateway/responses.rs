//! Clients of OpenAI's Responses protocol in front of providers that speak others.

use serde_json::{Value, json};

use super::grammar;
use crate::support::{API_KEY, Dialect, Gateway, Reply, Request, Script, Upstream, canned::openai_chunk};

/// A gateway with one provider that speaks this and nothing else.
async fn stage(dialect: Dialect) -> (Gateway, Upstream) {
    let (gateway, upstream) = (Gateway::start().await, Upstream::start("a").await);
    let kind = if dialect == Dialect::OpenAi { "openai_compatible" } else { dialect.kind() };
    gateway.provider("a", kind, &upstream, json!({"max_retries": 0})).await;
    (gateway, upstream)
}

async fn ask(gateway: &Gateway, body: &Value) -> Reply {
    gateway.send(Request::post("/v1/responses", body).bearer(API_KEY)).await
}

/// A small question for the provider's own model, with these fields on top.
fn question(dialect: Dialect, more: Value) -> Value {
    let mut body = json!({"model": dialect.model(), "input": "Say hello"});
    for (key, value) in more.as_object().expect("fields are an object") {
        body[key] = value.clone();
    }
    body
}

/// The response that an answer is or, of a stream that must obey the protocol's grammar, ends with.
#[track_caller]
fn response(reply: &Reply) -> Value {
    let text = reply.assert_ok().text();
    let response = if reply.is_stream() { grammar::check(&text) } else { reply.json() };
    grammar::check_response(&response);
    response
}

fn event(data: Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().expect("every event has a type"))
}

#[tokio::test]
async fn every_provider_answers_whole_and_as_a_stream() {
    for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini] {
        let (gateway, a) = stage(dialect).await;
        a.next(Script::json(200, &dialect.whole("Hello"))).next(Script::sse(&dialect.stream(&["Hel", "lo"])));
        let whole = response(&ask(&gateway, &question(dialect, json!({"instructions": "Be brief."}))).await);
        let reply = ask(&gateway, &question(dialect, json!({"instructions": "Be brief.", "stream": true}))).await;
        let mut streamed = response(&reply);
        assert!(!reply.text().contains("[DONE]"));
        assert_eq!(whole["output"][0]["content"][0]["text"], "Hello", "{dialect:?}");
        assert_eq!((&whole["status"], &whole["instructions"]), (&json!("completed"), &json!("Be brief.")));
        assert_eq!(whole["usage"]["input_tokens_details"]["cached_tokens"], 3, "{dialect:?}");
        assert_eq!(whole["usage"]["total_tokens"], 18, "{dialect:?}");
        assert!(whole.get("provider").is_none(), "nothing is added");
        for key in ["id", "created_at"] {
            streamed[key] = whole[key].clone();
        }
        let id = |response: &Value| response["output"][0]["id"].clone();
        assert_ne!(id(&whole), id(&streamed));
        streamed["output"][0]["id"] = id(&whole);
        assert_eq!(streamed, whole, "{dialect:?}");
        let rows = gateway.logs(2).await;
        assert_eq!(rows[1]["endpoint"], "/v1/responses");
        assert_eq!((&rows[1]["stream"], &rows[1]["completion_tokens"]), (&json!(true), &json!(7)), "{}", rows[1]);
    }
}

#[tokio::test]
async fn the_path_works_without_v1_and_a_websocket_is_told_to_fall_back() {
    let (gateway, a) = stage(Dialect::Anthropic).await;
    a.always(Script::json(200, &Dialect::Anthropic.whole("Hello")));
    let body = question(Dialect::Anthropic, json!({}));
    let reply = gateway.send(Request::post("/responses", &body).bearer(API_KEY)).await;
    assert_eq!(response(&reply)["status"], "completed");
    for path in ["/v1/responses", "/responses"] {
        let reply = gateway.get(path).await;
        assert_eq!((reply.status, reply.header("upgrade")), (426, Some("websocket")));
        assert!(!reply.message().is_empty());
    }
}

#[tokio::test]
async fn a_function_in_a_namespace_is_called_and_answered_over_two_turns() {
    let dialect = Dialect::Anthropic;
    let (gateway, a) = stage(dialect).await;
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "agents__close", "input": {"target": "x"}});
    let mut first = dialect.whole("");
    first["content"] = json!([call]);
    first["stop_reason"] = "tool_use".into();
    a.next(Script::json(200, &first)).next(Script::json(200, &dialect.whole("Closed")));
    let function = json!({"type": "function", "name": "close", "parameters": {"type": "object"}, "strict": false});
    let tools = json!([{"type": "namespace", "name": "agents", "description": "d", "tools": [function]}]);
    let input = json!({"role": "user", "content": "close it"});

    let answer = response(&ask(&gateway, &question(dialect, json!({"tools": tools, "input": [input]}))).await);
    let called = answer["output"][0].clone();
    assert_eq!((&called["name"], &called["namespace"]), (&json!("close"), &json!("agents")), "{called}");
    assert_eq!((&called["call_id"], &called["arguments"]), (&json!("toolu_1"), &json!(r#"{"target":"x"}"#)));

    let result = json!({"type": "function_call_output", "call_id": "toolu_1", "output": "done"});
    let answer =
        response(&ask(&gateway, &question(dialect, json!({"tools": tools, "input": [input, called, result]}))).await);
    assert_eq!(answer["output"][0]["content"][0]["text"], "Closed");
    let sent = a.last().json();
    assert_eq!(sent["tools"][0]["name"], "agents__close");
    assert_eq!(sent["messages"][1]["content"][0], call);
    assert_eq!(sent["messages"][2]["content"][0]["tool_use_id"], "toolu_1");
}

#[tokio::test]
async fn a_free_text_tool_is_a_function_for_models_of_the_chat_protocol_that_know_no_other() {
    let (gateway, a) = stage(Dialect::OpenAi).await;
    let piece = |arguments: &str, more: Value| {
        let mut call = json!({"index": 0, "function": {"arguments": arguments}});
        for (key, value) in more.as_object().expect("fields are an object") {
            call[key] = value.clone();
        }
        openai_chunk(json!({"tool_calls": [call]}), None)
    };
    let named = json!({"id": "c1", "type": "function", "function": {"name": "apply_patch", "arguments": ""}});
    let frames = [
        piece("", named),
        piece(r#"{"input":"*** Beg"#, json!({})),
        piece(r#"in\nx"}"#, json!({})),
        openai_chunk(json!({}), Some("tool_calls")),
        "data: [DONE]\n\n".to_owned(),
    ];
    a.next(Script::sse(&frames)).next(Script::sse(&Dialect::OpenAi.stream(&["Done"])));
    let grammar = json!({"type": "grammar", "syntax": "lark", "definition": "start: x"});
    let tools = json!([{"type": "custom", "name": "apply_patch", "description": "Edits.", "format": grammar}]);
    let asked = |input: Value| json!({"model": "llama-3.3", "tools": tools, "stream": true, "input": input});

    let reply = ask(&gateway, &asked(json!([{"role": "user", "content": "patch"}]))).await;
    assert_eq!(reply.header("x-orchestrator-approximated"), Some("tools[0].format"));
    let called = response(&reply)["output"][0].clone();
    assert_eq!((&called["type"], &called["input"]), (&json!("custom_tool_call"), &json!("*** Begin\nx")));
    let told = a.last().json()["tools"][0].clone();
    assert_eq!((&told["type"], &told["function"]["name"]), (&json!("function"), &json!("apply_patch")));
    assert!(told["function"]["description"].as_str().unwrap().ends_with("start: x"), "{told}");

    let result = json!({"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"});
    response(&ask(&gateway, &asked(json!([{"role": "user", "content": "patch"}, called, result]))).await);
    let sent = a.last().json();
    let call = &sent["messages"][1]["tool_calls"][0];
    assert_eq!((&call["id"], &call["type"]), (&json!("c1"), &json!("function")));
    assert_eq!(call["function"]["arguments"], r#"{"input":"*** Begin\nx"}"#);
    assert_eq!((&sent["messages"][2]["role"], &sent["messages"][2]["content"]), (&json!("tool"), &json!("ok")));
}

#[tokio::test]
async fn a_free_text_tool_is_a_function_upstream_and_free_text_again_for_the_client() {
    let dialect = Dialect::Anthropic;
    let (gateway, a) = stage(dialect).await;
    let mut frames = dialect.preamble();
    let block = json!({"type": "tool_use", "id": "toolu_1", "name": "apply_patch", "input": {}});
    frames.push(event(json!({"type": "content_block_start", "index": 0, "content_block": block})));
    for piece in [r#"{"input":"*** Beg"#, r#"in\nx"}"#] {
        let delta = json!({"type": "input_json_delta", "partial_json": piece});
        frames.push(event(json!({"type": "content_block_delta", "index": 0, "delta": delta})));
    }
    frames.push(event(json!({"type": "content_block_stop", "index": 0})));
    let delta = json!({"stop_reason": "tool_use", "stop_sequence": null});
    frames.push(event(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}})));
    frames.push(event(json!({"type": "message_stop"})));
    a.next(Script::sse(&frames)).next(Script::sse(&dialect.stream(&["Done"])));
    let tools = json!([{"type": "custom", "name": "apply_patch", "format": {"type": "text"}}]);
    let asked = |input: Value| question(dialect, json!({"tools": tools, "stream": true, "input": input}));

    let answer = response(&ask(&gateway, &asked(json!([{"role": "user", "content": "patch"}]))).await);
    let called = answer["output"][0].clone();
    assert_eq!((&called["type"], &called["input"]), (&json!("custom_tool_call"), &json!("*** Begin\nx")));

    let result = json!({"type": "custom_tool_call_output", "call_id": called["call_id"], "output": "ok"});
    response(&ask(&gateway, &asked(json!([{"role": "user", "content": "patch"}, called, result]))).await);
    let sent = a.last().json();
    assert_eq!(sent["messages"][1]["content"][0]["input"], json!({"input": "*** Begin\nx"}));
    assert_eq!(sent["messages"][2]["content"][0]["type"], "tool_result");
}

#[tokio::test]
async fn signed_reasoning_goes_back_unharmed_over_two_turns() {
    let dialect = Dialect::Anthropic;
    let (gateway, a) = stage(dialect).await;
    let mut frames = dialect.preamble();
    let blocks = [
        (
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            json!({"type": "thinking_delta", "thinking": "Hm."}),
        ),
        (json!({"type": "redacted_thinking", "data": "c2VjcmV0"}), Value::Null),
        (json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}), Value::Null),
    ];
    for (index, (block, delta)) in blocks.into_iter().enumerate() {
        frames.push(event(json!({"type": "content_block_start", "index": index, "content_block": block})));
        if !delta.is_null() {
            let signature = json!({"type": "signature_delta", "signature": "Eq+/Sig=="});
            for delta in [delta, signature] {
                frames.push(event(json!({"type": "content_block_delta", "index": index, "delta": delta})));
            }
        }
        frames.push(event(json!({"type": "content_block_stop", "index": index})));
    }
    let delta = json!({"stop_reason": "tool_use", "stop_sequence": null});
    frames.push(event(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}})));
    frames.push(event(json!({"type": "message_stop"})));
    a.next(Script::sse(&frames)).next(Script::sse(&dialect.stream(&["Done"])));
    let user = json!({"role": "user", "content": "go"});
    let asked = |input: Value| {
        let tools = json!([{"type": "function", "name": "f", "parameters": {"type": "object"}}]);
        let include = json!(["reasoning.encrypted_content"]);
        question(
            dialect,
            json!({"tools": tools, "input": input, "store": false, "include": include, "reasoning": {"effort": "high"}, "stream": true}),
        )
    };

    let answer = response(&ask(&gateway, &asked(json!([user]))).await);
    let kinds: Vec<&str> =
        answer["output"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["reasoning", "reasoning", "function_call"]);
    assert_eq!(answer["output"][0]["summary"], json!([{"type": "summary_text", "text": "Hm."}]));
    assert_eq!(answer["output"][2]["arguments"], "{}");

    let mut input = vec![user];
    input.extend(answer["output"].as_array().unwrap().iter().cloned());
    input.push(json!({"type": "function_call_output", "call_id": "toolu_1", "output": "1"}));
    response(&ask(&gateway, &asked(input.into())).await);
    let turn = &a.last().json()["messages"][1]["content"];
    assert_eq!(turn[0], json!({"type": "thinking", "thinking": "Hm.", "signature": "Eq+/Sig=="}));
    assert_eq!(turn[1], json!({"type": "redacted_thinking", "data": "c2VjcmV0"}));
    assert_eq!(turn[2]["type"], "tool_use");
}

#[tokio::test]
async fn geminis_signature_of_a_call_goes_back_with_the_call() {
    let dialect = Dialect::Gemini;
    let (gateway, a) = stage(dialect).await;
    let call = json!({"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"});
    let mut first = dialect.whole("");
    first["candidates"][0]["content"]["parts"] = json!([call]);
    a.next(Script::json(200, &first)).next(Script::json(200, &dialect.whole("Done")));
    let user = json!({"role": "user", "content": "go"});
    let tools = json!([{"type": "function", "name": "f", "parameters": {"type": "object"}}]);
    let answer = response(&ask(&gateway, &question(dialect, json!({"tools": tools, "input": [user]}))).await);
    let made = answer["output"].as_array().unwrap().clone();
    assert_eq!(made.last().unwrap()["type"], "function_call");
    let result = json!({"type": "function_call_output", "call_id": made.last().unwrap()["call_id"], "output": "1"});
    let input: Vec<Value> = [user].into_iter().chain(made).chain([result]).collect();
    response(&ask(&gateway, &question(dialect, json!({"tools": tools, "input": input}))).await);
    let sent = a.last().json();
    assert_eq!(sent["contents"][1]["parts"][0]["thoughtSignature"], "c2ln", "{sent}");
}

#[tokio::test]
async fn a_schema_is_asked_for_in_the_providers_words() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "name": "answer", "schema": schema, "strict": true});
    for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini] {
        let (gateway, a) = stage(dialect).await;
        a.always(Script::json(200, &dialect.whole(r#"{"n":1}"#)));
        let answer = response(&ask(&gateway, &question(dialect, json!({"text": {"format": format}}))).await);
        assert_eq!(answer["output"][0]["content"][0]["text"], r#"{"n":1}"#);
        assert_eq!(answer["text"]["format"], format, "{dialect:?}");
        let sent = a.last().json().to_string();
        assert!(sent.contains(r#""required":["n"]"#), "{dialect:?}: {sent}");
    }
}

#[tokio::test]
async fn parallel_calls_of_a_chat_server_are_items_of_their_own() {
    let dialect = Dialect::OpenAi;
    let (gateway, a) = stage(dialect).await;
    let piece = |index: u64, id: &str, arguments: &str| {
        let mut call = json!({"index": index, "function": {"arguments": arguments}});
        if !id.is_empty() {
            call["id"] = id.into();
            call["function"]["name"] = "f".into();
        }
        openai_chunk(json!({"tool_calls": [call]}), None)
    };
    let mut frames = dialect.preamble();
    frames.extend([piece(0, "c1", ""), piece(1, "c2", "{\"b\""), piece(0, "", "{\"a\":1}"), piece(1, "", ":2}")]);
    frames.extend([openai_chunk(json!({}), Some("tool_calls")), "data: [DONE]\n\n".to_owned()]);
    a.always(Script::sse(&frames));
    let tools = json!([{"type": "function", "name": "f", "parameters": {"type": "object"}}]);
    let answer = response(&ask(&gateway, &question(dialect, json!({"tools": tools, "stream": true}))).await);
    let calls: Vec<(&str, &str)> = answer["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["call_id"].as_str().unwrap(), item["arguments"].as_str().unwrap()))
        .collect();
    assert_eq!(calls, [("c1", r#"{"a":1}"#), ("c2", r#"{"b":2}"#)]);
    assert_eq!(a.last().json()["tools"][0]["function"]["name"], "f");
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_and_a_failed_response() {
    for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini] {
        let (gateway, a) = stage(dialect).await;
        a.always(Script::sse(&dialect.begun(&["Hel", "lo"])).then_cut());
        let reply = ask(&gateway, &question(dialect, json!({"stream": true}))).await;
        let answer = response(&reply);
        assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!("failed"), &json!("server_error")));
        assert!(reply.text().contains("event: error\n"), "{dialect:?}");
        assert!(reply.complete && !reply.text().contains("response.completed"), "{dialect:?}");
        assert_eq!(a.calls(), 1, "{dialect:?}: no retry after content");
    }
}

#[tokio::test]
async fn errors_have_openais_shape() {
    let dialect = Dialect::Anthropic;
    let (gateway, a) = stage(dialect).await;
    a.next(Script::json(400, &dialect.error(400, "prompt is too long: 220000 tokens > 200000 maximum")));
    let reply = ask(&gateway, &question(dialect, json!({}))).await;
    reply.assert_error(400, "context_length_exceeded");
    assert_eq!(reply.error()["type"], "invalid_request_error");
    let compaction = json!([{"type": "compaction", "encrypted_content": "x"}]);
    for (fields, named) in [
        (json!({"input": null}), "input"),
        (json!({"background": true}), "background"),
        (json!({"input": compaction}), "compaction"),
    ] {
        let reply = ask(&gateway, &question(dialect, fields)).await;
        reply.assert_error(400, "invalid_request");
        assert!(reply.message().contains(named), "{}", reply.message());
    }
    assert_eq!(a.calls(), 1, "what is wrong is sent to nobody");
}

#[tokio::test]
async fn what_could_not_be_said_is_named_in_a_header() {
    let dialect = Dialect::Anthropic;
    let (gateway, a) = stage(dialect).await;
    a.always(Script::json(200, &dialect.whole("Hello")));
    let more = json!({"client_metadata": {"a": "b"}, "truncation": "auto", "store": false});
    let reply = ask(&gateway, &question(dialect, more)).await;
    assert_eq!(reply.header("x-orchestrator-dropped"), Some("client_metadata,truncation"));
}
