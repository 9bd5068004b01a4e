//! Providers that are examined: what is found out about them, and who is asked thereafter.

use serde_json::{Value, json};

use crate::support::{
    API_KEY, Dialect, Gateway, Reply, Request, Script, Upstream, canned::openai_chunk, eventually, gateway::question,
    upstream::Seen,
};

fn says(text: &str) -> Script {
    Script::json(200, &Dialect::OpenAi.whole(text))
}

fn calls(count: usize) -> Script {
    let call = |at: usize| {
        json!({"id": format!("call_{at}"), "type": "function",
            "function": {"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}})
    };
    let mut answer = Dialect::OpenAi.whole("");
    let calls: Vec<Value> = (0..count).map(call).collect();
    answer["choices"][0]["message"] = json!({"role": "assistant", "content": null, "tool_calls": calls});
    answer["choices"][0]["finish_reason"] = "tool_calls".into();
    Script::json(200, &answer)
}

/// A server that speaks OpenAI's chat protocol and nothing else, and can do all there is in it.
fn able(seen: &Seen) -> Script {
    let body = seen.json();
    match seen.path.as_str() {
        "/v1/embeddings" => Script::json(200, &json!({"data": []})),
        "/v1/chat/completions" if body["messages"].is_null() => Script::error(400, "messages: field required"),
        "/v1/chat/completions" if body["stream"] == true => Script::stream(&["O", "K"]),
        "/v1/chat/completions" if body["tools"].is_array() => {
            calls(if body.to_string().contains("both cities") { 2 } else { 1 })
        }
        "/v1/chat/completions" if body["response_format"].is_object() => says(r#"{"sum": 4}"#),
        "/v1/chat/completions" if body.to_string().contains("image_url") => says("Red."),
        "/v1/chat/completions" => says("OK"),
        _ => Script::error(404, &format!("Invalid URL (POST {})", seen.path)),
    }
}

/// The same server with a small model: it does not call tools, sees nothing, and writes what it likes.
fn unable(seen: &Seen) -> Script {
    let body = seen.json();
    let chat = seen.path == "/v1/chat/completions";
    if chat && body.to_string().contains("image_url") {
        return Script::error(400, "this model takes no pictures; key sk-of-a was fine");
    }
    if chat && body["stream"] == true {
        let frames =
            [openai_chunk(json!({"role": "assistant", "content": "OK"}), None), openai_chunk(json!({}), Some("stop"))];
        return Script::sse(&[&frames[0], &frames[1], "data: [DONE]\n\n"]);
    }
    if chat && body["messages"].is_null() {
        return Script::html(500);
    }
    if chat { says("OK") } else { able(seen) }
}

async fn examine(gateway: &Gateway, id: i64, body: Value) -> Value {
    gateway.admin("POST", &format!("/admin/providers/{id}/doctor"), body).await.assert_ok().json()
}

/// The verdicts of one protocol, by capability.
fn verdicts(report: &Value, model: &str, protocol: &str) -> Value {
    let found = &report["models"][model]["protocols"][protocol]["capabilities"];
    let found = found.as_object().unwrap_or_else(|| panic!("{protocol} in {report:#}"));
    found
        .iter()
        .map(|(name, finding)| (name.clone(), finding["verdict"].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn with_tools(model: &str) -> Value {
    let mut body = question(model);
    body["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    body
}

fn content(reply: &Reply) -> Option<&str> {
    reply.assert_ok().header("x-orchestrator-provider")
}

#[tokio::test]
async fn an_examination_tells_what_a_provider_speaks_and_what_its_model_can_do() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    a.lists(&["m", "n"]).answers_by(able);
    let id = gateway.provider("a", "openai_compatible", &a, json!({})).await;
    let result = examine(&gateway, id, Value::Null).await;
    assert_eq!((&result["model"], &result["usable"], &result["kept"]), (&json!("m"), &json!(true), &json!(true)));
    let report = &result["report"];
    let expected = json!({
        "chat": "yes", "stream": "yes", "stream_usage": "yes", "tools": "yes", "parallel_tools": "yes",
        "tool_choice": "yes", "image": "yes", "json_schema": "yes", "system_later": "yes", "errors": "yes",
    });
    assert_eq!(verdicts(report, "m", "openai_chat"), expected, "{report:#}");
    let protocols = &report["models"]["m"]["protocols"];
    assert_eq!(protocols["openai_chat"]["spoken"], "yes");
    assert_eq!((&protocols["anthropic"]["spoken"], &protocols["gemini"]["spoken"]), (&json!("no"), &json!("no")));
    assert_eq!(report["services"]["models"], json!({"verdict": "yes", "seen": "2 models"}));
    assert_eq!(report["services"]["embeddings"]["verdict"], "yes");
    assert!(a.calls() < 25, "an examination is cheap: {} calls", a.calls());
    let shown = gateway.admin_get(&format!("/admin/providers/{id}")).await;
    assert_eq!(&shown["capabilities"], report);
    assert!(shown["examined_at"].is_string());
}

#[tokio::test]
async fn what_a_model_cannot_do_is_told_with_what_was_seen_and_no_secret() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    a.answers_by(unable);
    let id = gateway.provider("a", "openai_compatible", &a, json!({})).await;
    let result = examine(&gateway, id, json!({"model": "small", "protocols": ["openai_chat"]})).await;
    let expected = json!({
        "chat": "yes", "stream": "yes", "stream_usage": "no", "tools": "no", "parallel_tools": "unknown",
        "tool_choice": "no", "image": "no", "json_schema": "no", "system_later": "yes", "errors": "no",
    });
    assert_eq!(verdicts(&result["report"], "small", "openai_chat"), expected, "{result:#}");
    let image = &result["report"]["models"]["small"]["protocols"]["openai_chat"]["capabilities"]["image"]["seen"];
    assert!(image.as_str().unwrap().starts_with("400: this model takes no pictures"), "{image}");
    assert!(!result.to_string().contains("sk-of-a"), "{result}");
    let wrong = json!({"protocols": ["morse"]});
    let reply = gateway.admin("POST", &format!("/admin/providers/{id}/doctor"), wrong).await;
    reply.assert_error(400, "invalid_request");
}

#[tokio::test]
async fn requests_that_need_what_is_missing_go_elsewhere_until_the_provider_is_another() {
    let gateway = Gateway::start().await;
    let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
    a.answers_by(unable);
    b.answers_by(able);
    let id = gateway.provider("a", "openai_compatible", &a, json!({"priority": 900})).await;
    gateway.provider("b", "openai_compatible", &b, json!({})).await;
    assert_eq!(content(&gateway.chat(with_tools("m")).await), Some("a"), "nothing is known yet");

    examine(&gateway, id, json!({"model": "m", "protocols": ["openai_chat"]})).await;
    assert_eq!(content(&gateway.chat(with_tools("m")).await), Some("b"));
    assert_eq!(content(&gateway.ask("m").await), Some("a"), "who needs nothing is not turned away");
    assert_eq!(content(&gateway.chat(with_tools("other")).await), Some("a"), "another model was not asked");
    let refused = gateway.chat(with_tools("a:m")).await;
    refused.assert_error(400, "invalid_request");
    assert!(refused.message().contains("tool_call"), "{}", refused.message());

    let moved = gateway.admin("PATCH", &format!("/admin/providers/{id}"), json!({"base_url": a.url() + "/v1"})).await;
    let moved = moved.assert_ok().json();
    assert_eq!((&moved["capabilities"], &moved["examined_at"]), (&Value::Null, &Value::Null));
    assert_eq!(content(&gateway.chat(with_tools("m")).await), Some("a"));
}

#[tokio::test]
async fn what_the_operator_says_of_a_model_goes_before_what_was_found_out() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    a.answers_by(unable);
    let id = gateway.provider("a", "openai_compatible", &a, json!({})).await;
    examine(&gateway, id, json!({"model": "m", "protocols": ["openai_chat"]})).await;
    gateway.chat(with_tools("m")).await.assert_error(400, "invalid_request");
    let import = gateway.admin("POST", &format!("/admin/providers/{id}/models/import"), json!({"models": ["m"]})).await;
    import.assert_ok();
    assert_eq!(content(&gateway.chat(with_tools("m")).await), Some("a"));
}

#[tokio::test]
async fn a_protocol_that_was_found_absent_is_not_spoken_any_more() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    a.answers_by(able);
    let id = gateway.provider("a", "vllm", &a, json!({"max_retries": 0})).await;
    let body = json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]});
    let ask = async || gateway.send(Request::post("/v1/messages", &body).header("x-api-key", API_KEY)).await;
    assert_ne!(ask().await.status, 200);
    assert_eq!(a.last().path, "/v1/messages", "nothing is known yet");
    examine(&gateway, id, json!({"model": "m"})).await;
    assert_eq!(ask().await.assert_ok().json()["content"][0]["text"], "OK");
    assert_eq!(a.last().path, "/v1/chat/completions");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_asks_in_the_protocols_that_are_named() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    a.answers_by(able);
    gateway.provider("a", "openai_compatible", &a, json!({})).await;
    let (code, printed) =
        gateway.try_run(&["doctor", "--model", "m", "--json", "--protocols", "openai_chat,anthropic"]);
    let all: Value = serde_json::from_str(&printed).unwrap();
    let asked = all[0]["report"]["models"]["m"]["protocols"].as_object().unwrap();
    assert_eq!((code, asked.keys().map(String::as_str).collect::<Vec<_>>()), (0, vec!["anthropic", "openai_chat"]));
    assert_ne!(gateway.try_run(&["doctor", "--protocols", "morse"]).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_prints_a_table_and_a_running_gateway_takes_notice() {
    let gateway = Gateway::start().await;
    let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
    a.answers_by(unable);
    b.answers_by(able);
    gateway.provider("a", "openai_compatible", &a, json!({"priority": 900})).await;
    gateway.provider("b", "openai_compatible", &b, json!({})).await;
    let printed = gateway.run(&["doctor", "--provider", "a", "--model", "m"]);
    assert!(printed.starts_with("a (openai_compatible), model m\n"), "{printed}");
    let row = |name: &str| {
        let line = printed.lines().find(|line| line.trim_start().starts_with(name));
        line.map(|line| line.split_whitespace().collect::<Vec<_>>()).unwrap_or_else(|| panic!("{name} in {printed}"))
    };
    let at = row("openai_chat").iter().position(|name| *name == "openai_chat").unwrap() + 1;
    assert_eq!((row("spoken")[at], row("tools")[at], row("json_schema")[at]), ("yes", "no", "no"), "{printed}");
    assert!(row("spoken")[1..].contains(&"no"), "{printed}");
    assert!(printed.contains("  openai_chat image: no: 400: this model takes no pictures"), "{printed}");
    assert!(!printed.contains("sk-of-a"), "{printed}");
    eventually("the findings to be in force", async || {
        let reply = gateway.chat(with_tools("m")).await;
        (reply.header("x-orchestrator-provider") == Some("b")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_fails_for_a_provider_that_cannot_be_used_at_all() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    a.answers_by(able);
    gateway.provider("a", "openai_compatible", &a, json!({})).await;
    gateway.provider_at("gone", "openai_compatible", &Upstream::nowhere().await, json!({"enabled": false})).await;
    let (code, printed) = gateway.try_run(&["doctor", "--model", "m", "--json"]);
    let all: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &all[0]["usable"], all.as_array().unwrap().len()), (0, &json!(true), 1), "{printed}");
    let (code, printed) = gateway.try_run(&["doctor", "--model", "m", "--all"]);
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("It cannot be used at all."), "{printed}");
    assert_eq!(gateway.try_run(&["doctor", "--provider", "nobody"]).0, 1);
}
