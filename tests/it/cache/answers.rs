//! The same request gets the same answer, in every protocol, and nobody else does.

use serde_json::{Value, json};

use super::{ON, about, by, cache, gateway, streamed};
use crate::support::{API_KEY, Gateway, Request, Upstream, gateway::chat};

/// A call of every protocol, whole and as a stream, to a provider of each type.
fn calls() -> Vec<(&'static str, String, Value)> {
    let messages = json!([{"role": "user", "content": "Say hello"}]);
    let contents = json!([{"role": "user", "parts": [{"text": "Say hello"}]}]);
    let mut calls = Vec::new();
    for (at, kind) in ["openai", "anthropic", "gemini"].into_iter().enumerate() {
        for stream in [false, true] {
            let model = format!("m{at}");
            let verb = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            let plain = json!({"model": model, "messages": messages, "max_tokens": 50, "stream": stream});
            let responses = json!({"model": model, "input": "Say hello", "store": false, "stream": stream});
            calls.extend([
                (kind, "/v1/chat/completions".to_owned(), plain.clone()),
                (kind, "/v1/messages".to_owned(), plain),
                (kind, "/v1/responses".to_owned(), responses),
                (kind, format!("/v1beta/models/{model}:{verb}"), json!({"contents": contents})),
                (kind, format!("/v1beta/models/{model}:streamGenerateContent"), json!({"contents": contents})),
            ]);
        }
    }
    calls
}

#[tokio::test]
async fn every_protocol_gets_the_same_bytes_again_whole_and_as_a_stream() {
    let gateway = Gateway::with(&[ON]).await;
    let mut upstreams = Vec::new();
    for (at, kind) in ["openai", "anthropic", "gemini"].into_iter().enumerate() {
        let upstream = Upstream::start(kind).await;
        upstream.lists(&[&format!("m{at}")]);
        gateway.provider(kind, kind, &upstream, json!({})).await;
        upstreams.push(upstream);
    }
    let mut asked = std::collections::HashSet::new();
    for (kind, path, body) in calls() {
        if !asked.insert((path.clone(), body.to_string())) {
            continue;
        }
        let request = || Request::post(&path, &body).bearer(API_KEY);
        let calls = || upstreams.iter().map(Upstream::calls).sum::<usize>();
        let (before, new) = (calls(), gateway.send(request()).await);
        let again = gateway.send(request()).await;
        assert_eq!((cache(&new), cache(&again)), (Some("miss"), Some("hit")), "{kind} {path} {body}");
        assert_eq!(calls() - before, 1, "{kind} {path}");
        assert_eq!(new.text(), again.text(), "{kind} {path}");
        for same in ["content-type", "x-orchestrator-provider", "x-orchestrator-model", "cache-control"] {
            assert_eq!(new.header(same), again.header(same), "{same} of {kind} {path}");
        }
        assert!(again.header("cache-control").is_some_and(|value| value.contains("no-store")), "{path}");
        assert_eq!(again.header("x-orchestrator-attempts"), Some("0"));
        assert_eq!((new.header("age"), again.header("age").is_some()), (None, true));
        assert_ne!(new.header("x-request-id"), again.header("x-request-id"));
        assert!(again.header("x-process-time").is_some());
    }
}

#[tokio::test]
async fn embeddings_are_given_again() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    let answer = json!({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}],
        "model": "text-embedding-3-small", "usage": {"prompt_tokens": 2, "total_tokens": 2}});
    upstream.always(crate::support::Script::json(200, &answer));
    let ask = |input: &str| {
        Request::post("/v1/embeddings", &json!({"model": "text-embedding-3-small", "input": input})).bearer(API_KEY)
    };
    let (new, again) = (gateway.send(ask("one")).await, gateway.send(ask("one")).await);
    assert_eq!((cache(&new), cache(&again), new.text() == again.text()), (Some("miss"), Some("hit"), true));
    assert_eq!(cache(&gateway.send(ask("two")).await), Some("miss"));
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn a_long_stream_is_given_again_byte_for_byte() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    let words: Vec<String> = (0..3000).map(|number| format!("word{number} ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    upstream.next(crate::support::Script::sse(&crate::support::Dialect::OpenAi.stream(&words)));
    let new = gateway.chat(streamed(about("many words"))).await;
    let again = gateway.chat(streamed(about("many words"))).await;
    assert_eq!((cache(&new), cache(&again)), (Some("miss"), Some("hit")));
    assert!(new.done() && new.body.len() > 100_000 && new.body == again.body, "{} bytes", new.body.len());
}

#[tokio::test]
async fn spelling_and_what_only_says_how_to_ask_do_not_matter_and_all_else_does() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    let ask = async |body: &str| {
        let request =
            Request::new("POST", "/v1/chat/completions").bearer(API_KEY).header("Content-Type", "application/json");
        let reply = gateway.send(request.body(body)).await;
        cache(&reply).unwrap_or_default().to_owned()
    };
    let plain = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"é"}],"temperature":1}"#;
    assert_eq!(ask(plain).await, "miss");
    for same in [
        plain,
        "{ \"temperature\": 1.0, \"messages\": [ {\"content\": \"\\u00e9\", \"role\": \"user\"} ],\n \"model\": \"gpt-4o\" }",
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"é"}],"temperature":1e0,"timeout":30,"retry_count":2}"#,
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"é"}],"temperature":1,"stream":false,"seed":null}"#,
    ] {
        assert_eq!(ask(same).await, "hit", "{same}");
    }
    for other in [
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"é"}],"temperature":0.5}"#,
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"é"}]}"#,
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"é "}],"temperature":1}"#,
        r#"{"model":"a:gpt-4o","messages":[{"role":"user","content":"é"}],"temperature":1}"#,
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"é"}],"temperature":1,"provider":"a"}"#,
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"é"}],"temperature":1,"stream":true}"#,
        r#"{"model":"gpt-4o","messages":[{"role":"user","content":"é"}],"temperature":1,"x":0}"#,
    ] {
        assert_eq!(ask(other).await, "miss", "{other}");
    }
}

#[tokio::test]
async fn headers_that_an_answer_depends_on_are_part_of_the_question() {
    let upstream = Upstream::start("a").await;
    let gateway = Gateway::with(&[ON]).await;
    gateway.provider("a", "anthropic", &upstream, json!({})).await;
    let body = json!({"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    let ask = async |beta: &str, strict: &str| {
        let request = Request::post("/v1/messages", &body).bearer(API_KEY).header("anthropic-beta", beta);
        cache(&gateway.send(request.header("X-Orchestrator-Strict", strict)).await).unwrap_or_default().to_owned()
    };
    assert_eq!(ask("one", "false").await, "miss");
    assert_eq!(ask("one", "false").await, "hit");
    assert_eq!(ask("two", "false").await, "miss");
    assert_eq!(ask("one", "true").await, "miss");
}

#[tokio::test]
async fn no_key_gets_an_answer_of_another_one() {
    let upstream = Upstream::start("a").await;
    let keys = "sk-0123456789abcdefghij-one,sk-0123456789abcdefghij-two";
    let gateway = gateway(&upstream, &[("API_KEYS", keys)]).await;
    let made = async |name: &str| {
        let reply = gateway.admin("POST", "/admin/keys", json!({"name": name})).await;
        reply.json()["key"].as_str().unwrap_or_else(|| panic!("{}", reply.text())).to_owned()
    };
    let (third, fourth) = (made("third").await, made("fourth").await);
    let keys = ["sk-0123456789abcdefghij-one", "sk-0123456789abcdefghij-two", &third, &fourth];
    for (at, key) in keys.into_iter().enumerate() {
        let new = gateway.send(by(key, &about("the same"))).await;
        assert_eq!((cache(&new), upstream.calls()), (Some("miss"), at + 1));
        assert_eq!(cache(&gateway.send(by(key, &about("the same"))).await), Some("hit"));
    }
    assert_eq!(upstream.calls(), 4);
}

#[tokio::test]
async fn a_key_that_may_no_longer_use_a_model_gets_no_kept_answer_of_it() {
    let upstream = Upstream::start("a").await;
    let gateway = gateway(&upstream, &[]).await;
    let key = gateway.admin("POST", "/admin/keys", json!({"name": "team"})).await.json();
    let ask = || by(key["key"].as_str().unwrap(), &about("a secret"));
    assert_eq!(cache(&gateway.send(ask()).await), Some("miss"));
    assert_eq!(cache(&gateway.send(ask()).await), Some("hit"));
    let changed =
        gateway.admin("PATCH", &format!("/admin/keys/{}", key["id"]), json!({"allowed_models": ["other"]})).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(gateway.send(ask()).await.status, 403);
}

#[tokio::test]
async fn an_answer_of_a_provider_that_may_not_answer_any_more_is_not_given_again() {
    let (one, other) = (Upstream::start("a").await, Upstream::start("b").await);
    let gateway = gateway(&one, &[]).await;
    gateway.provider("b", "openai", &other, json!({"priority": 1})).await;
    let body = about("who are you");
    assert_eq!(gateway.chat(body.clone()).await.content(), "Hello from a");
    assert_eq!(cache(&gateway.chat(body.clone()).await), Some("hit"));
    let providers = gateway.admin_get("/admin/providers").await;
    let id = providers.as_array().unwrap().iter().find(|row| row["name"] == "a").unwrap()["id"].clone();
    gateway.admin("PATCH", &format!("/admin/providers/{id}"), json!({"enabled": false})).await;
    assert_eq!(gateway.chat(body).await.content(), "Hello from b");
}

#[tokio::test]
async fn a_gateway_that_keeps_no_answers_says_nothing_of_them() {
    let upstream = Upstream::start("a").await;
    let gateway = Gateway::start().await;
    gateway.provider("a", "openai", &upstream, json!({})).await;
    for calls in [1, 2] {
        let reply = gateway.send(chat(&about("hello"))).await;
        assert_eq!((cache(&reply), reply.header("age"), upstream.calls()), (None, None, calls));
    }
    assert_eq!(gateway.admin_get("/admin/health").await["cache_status"], "disabled");
}
