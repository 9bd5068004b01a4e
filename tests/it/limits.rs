//! How much clients may do at one gateway.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    API_KEY, Dialect, Gateway, Raw, Reply, Request, Script, Upstream, eventually,
    gateway::{chat, question},
};

const OTHER_KEY: &str = "sk-another-key-of-the-tests";

/// A gateway with a provider `a` of this type, tried once.
async fn stage(kind: &str, settings: &[(&str, &str)]) -> (Gateway, Upstream) {
    let gateway = Gateway::with(settings).await;
    let upstream = Upstream::start("a").await;
    gateway.provider("a", kind, &upstream, json!({"max_retries": 0})).await;
    (gateway, upstream)
}

/// A question whose answer may have so many tokens.
fn long(answer: u64) -> Value {
    let mut body = question("gpt-4o");
    body["max_tokens"] = answer.into();
    body
}

#[track_caller]
fn number(reply: &Reply, header: &str) -> i64 {
    let value = reply.header(header).unwrap_or_else(|| panic!("no {header} among {:?}", reply.headers));
    value.parse().unwrap_or_else(|_| panic!("{header}: {value}"))
}

#[tokio::test]
async fn every_route_of_the_data_plane_is_limited() {
    let (gateway, _a) = stage("openai", &[("ORCHESTRATOR_LIMITS_GLOBAL_REQUESTS_PER_MINUTE", "1")]).await;
    gateway.ask("gpt-4o").await.assert_ok();
    gateway.get("/v1/models").await.assert_ok();
    let document = gateway.get("/openapi.json").await.json();
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, about) in methods.as_object().unwrap() {
            if about["tags"] != json!(["client"]) {
                continue;
            }
            let asked = if path.starts_with("/v1beta") { "m:generateContent" } else { "m" };
            let path = path.replace("{id}", asked);
            let bare = path.strip_prefix("/v1/").map_or_else(|| path.clone(), |rest| format!("/{rest}"));
            for path in [path.clone(), bare.to_owned(), format!("/openai/v1{bare}"), format!("/v1/engines/m{bare}")] {
                let request = Request::new(&method.to_uppercase(), &path).bearer(API_KEY);
                let request = if method == "post" { request.json(&question("gpt-4o")) } else { request };
                let reply = gateway.send(request).await;
                let unknown = [404, 405].contains(&reply.status) && reply.text().contains("/docs lists what");
                assert!(reply.status == 429 || unknown, "{method} {path}: {} {}", reply.status, reply.text());
                tried += usize::from(!unknown);
            }
        }
    }
    assert!(tried > 40, "only {tried} routes were found");
}

#[tokio::test]
async fn every_answer_says_what_is_left_in_the_words_of_its_protocol() {
    let limits = [
        ("ENABLE_RATE_LIMITING", "true"),
        ("RATE_LIMIT_PER_MINUTE", "3"),
        ("ORCHESTRATOR_LIMITS_TOKENS_PER_MINUTE", "5000"),
    ];
    let (gateway, a) = stage("openai", &limits).await;
    a.next(Script::json(200, &Dialect::OpenAi.whole("hi")).header("x-ratelimit-remaining-requests", "9999"));
    let first = gateway.chat(long(600)).await;
    first.assert_ok();
    assert_eq!(number(&first, "x-ratelimit-limit-requests"), 3);
    assert_eq!(number(&first, "x-ratelimit-remaining-requests"), 2, "not the provider's");
    assert_eq!(number(&first, "x-ratelimit-limit-tokens"), 5000);
    assert!((4000..4400).contains(&number(&first, "x-ratelimit-remaining-tokens")), "{:?}", first.headers);
    let reset = first.header("x-ratelimit-reset-requests").unwrap();
    assert!(["1m0s", "1m1s", "1m2s"].contains(&reset), "{reset}");

    a.next(Script::error(500, "no"));
    let failed = gateway.ask("gpt-4o").await;
    assert_eq!((failed.status, number(&failed, "x-ratelimit-remaining-requests")), (502, 1));

    let messages = json!({"model": "gpt-4o", "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]});
    let send = async || gateway.send(Request::post("/v1/messages", &messages).header("x-api-key", API_KEY)).await;
    let third = send().await;
    assert_eq!((third.status, number(&third, "anthropic-ratelimit-requests-remaining")), (200, 0));
    assert!(third.header("anthropic-ratelimit-tokens-reset").unwrap().ends_with('Z'));
    assert!(third.header("x-ratelimit-limit-requests").is_none());

    let refused = send().await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    assert_eq!(number(&refused, "anthropic-ratelimit-requests-limit"), 3);
    let refused = gateway.ask("gpt-4o").await;
    refused.assert_error(429, "rate_limit_exceeded");
    assert_eq!(refused.message(), "rate limit reached: this API key is limited to 3 requests a minute");
    assert_eq!(number(&refused, "x-ratelimit-remaining-requests"), 0);
    let (seconds, millis) = (number(&refused, "retry-after"), number(&refused, "retry-after-ms"));
    assert!((1..=61).contains(&seconds) && (millis + 999) / 1000 == seconds, "{seconds} s, {millis} ms");
}

#[tokio::test]
async fn without_limits_no_answer_speaks_of_them() {
    let (gateway, a) = stage("openai", &[]).await;
    a.next(Script::json(200, &Dialect::OpenAi.whole("hi")).header("x-ratelimit-remaining-requests", "9999"));
    let reply = gateway.ask("gpt-4o").await;
    assert_eq!(number(reply.assert_ok(), "x-ratelimit-remaining-requests"), 9999, "the provider's own passes");
    assert!(reply.header("x-ratelimit-limit-requests").is_none());
}

#[tokio::test]
async fn tokens_are_reserved_while_a_request_runs_and_settled_when_it_ends() {
    let (gateway, a) = stage("openai", &[("ORCHESTRATOR_LIMITS_TOKENS_PER_MINUTE", "1000")]).await;
    let mut body = long(700);
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    a.next(Script::sse(&Dialect::OpenAi.stream(&["one ", "two ", "three"])).paced(Duration::from_secs(1)));
    let mut running = Raw::connect(gateway.address()).await;
    running.send(&chat(&body).bytes()).await;
    running.until("one ").await;
    let refused = gateway.chat(long(700)).await;
    refused.assert_error(429, "rate_limit_exceeded");
    assert!(refused.message().starts_with("rate limit reached: this API key is limited to 1000 tokens a minute"));
    assert!(running.reply().await.done());
    // 11 and 7 tokens were used, as the provider says, and those of the refused request never.
    let next = eventually("the reservation to be settled", async || {
        let reply = gateway.chat(long(100)).await;
        (reply.status == 200 && number(&reply, "x-ratelimit-remaining-tokens") > 800).then_some(reply)
    })
    .await;
    assert!(number(&next, "x-ratelimit-remaining-tokens") < 1000 - 18 - 100);
}

#[tokio::test]
async fn a_client_that_allows_for_more_than_its_limit_is_served_alone_and_a_longer_prompt_is_not() {
    let (gateway, a) = stage("openai", &[("ORCHESTRATOR_LIMITS_TOKENS_PER_MINUTE", "1000")]).await;
    gateway.chat(long(64_000)).await.assert_ok();
    let mut body = question("gpt-4o");
    body["messages"][0]["content"] = "word ".repeat(2_000).into();
    gateway.chat(body).await.assert_error(429, "rate_limit_exceeded");
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn a_place_is_free_again_when_its_client_leaves() {
    let (gateway, a) = stage("openai", &[("ORCHESTRATOR_LIMITS_CONCURRENT_REQUESTS", "1")]).await;
    a.next(Script::silent());
    let mut leaving = Raw::connect(gateway.address()).await;
    leaving.send(&chat(&question("gpt-4o")).bytes()).await;
    eventually("the first request to be under way", async || (a.calls() == 1).then_some(())).await;
    let refused = gateway.ask("gpt-4o").await;
    refused.assert_error(429, "rate_limit_exceeded");
    assert_eq!(refused.message(), "rate limit reached: this API key is limited to 1 requests at the same time");
    leaving.reset();
    eventually("the place to be free", async || (gateway.ask("gpt-4o").await.status == 200).then_some(())).await;
    gateway.ask("gpt-4o").await.assert_ok();
}

#[tokio::test]
async fn what_one_limit_refuses_uses_nothing_of_another() {
    let keys = format!("{API_KEY},{OTHER_KEY}");
    let limits = [
        ("API_KEYS", keys.as_str()),
        ("ENABLE_RATE_LIMITING", "true"),
        ("RATE_LIMIT_PER_MINUTE", "2"),
        ("ORCHESTRATOR_LIMITS_GLOBAL_REQUESTS_PER_MINUTE", "4"),
    ];
    let (gateway, a) = stage("openai", &limits).await;
    // Nobody is asked for these, so that they do not count either.
    for _ in 0..5 {
        let mut body = question("gpt-4o");
        body["provider"] = "nobody".into();
        gateway.chat(body).await.assert_error(400, "invalid_request");
        gateway.chat(json!({"model": "gpt-4o"})).await.assert_error(400, "invalid_request");
    }
    for _ in 0..2 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    for _ in 0..10 {
        gateway.ask("gpt-4o").await.assert_error(429, "rate_limit_exceeded");
    }
    let other = || Request::post("/v1/chat/completions", &question("gpt-4o")).bearer(OTHER_KEY);
    for _ in 0..2 {
        gateway.send(other()).await.assert_ok();
    }
    assert_eq!(a.calls(), 4);
    let metrics = gateway.admin("GET", "/metrics", Value::Null).await.text();
    assert!(metrics.contains(r#"limit_refusals_total{limit="key",of="requests"} 10"#), "{metrics}");
}

#[tokio::test]
async fn a_provider_at_its_limit_costs_its_client_nothing() {
    let gateway = Gateway::with(&[("ENABLE_RATE_LIMITING", "true"), ("RATE_LIMIT_PER_MINUTE", "3")]).await;
    let a = Upstream::start("a").await;
    gateway.provider("a", "openai", &a, json!({"max_retries": 0, "rate_limit": 1})).await;
    let mut brief = question("gpt-4o");
    brief["timeout"] = 1.into();
    gateway.chat(brief.clone()).await.assert_ok();
    let refused = gateway.chat(brief.clone()).await;
    refused.assert_error(429, "rate_limit_exceeded");
    assert_eq!(refused.message(), "provider `a` is at its rate limit");
    for _ in 0..5 {
        let refused = gateway.chat(brief.clone()).await;
        assert!(refused.status != 200 && !refused.message().contains("API key"), "{}", refused.text());
        assert_eq!(number(&refused, "x-ratelimit-remaining-requests"), 1);
    }
    assert_eq!(a.calls(), 1);
}

#[tokio::test]
async fn a_keys_own_limits_win_over_those_for_every_key() {
    let (gateway, _a) = stage("openai", &[("ENABLE_RATE_LIMITING", "true"), ("RATE_LIMIT_PER_MINUTE", "1")]).await;
    let made = gateway.admin("POST", "/admin/keys", json!({"name": "more", "requests_per_minute": 3})).await.json();
    let ask = || Request::post("/v1/chat/completions", &question("gpt-4o")).bearer(made["key"].as_str().unwrap());
    for left in [2, 1, 0] {
        assert_eq!(number(gateway.send(ask()).await.assert_ok(), "x-ratelimit-remaining-requests"), left);
    }
    gateway.send(ask()).await.assert_error(429, "rate_limit_exceeded");
    let target = format!("/admin/keys/{}", made["id"]);
    let changed = gateway.admin("PATCH", &target, json!({"requests_per_minute": 5})).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(number(gateway.send(ask()).await.assert_ok(), "x-ratelimit-remaining-requests"), 1);
    gateway.ask("gpt-4o").await.assert_ok();
    gateway.ask("gpt-4o").await.assert_error(429, "rate_limit_exceeded");
}

#[tokio::test]
async fn who_tries_keys_is_limited_by_address() {
    let (gateway, _a) = stage("openai", &[("ORCHESTRATOR_LIMITS_ADDRESS_REQUESTS_PER_MINUTE", "5")]).await;
    let wrong = || Request::post("/v1/chat/completions", &question("gpt-4o")).bearer("sk-wrong");
    for _ in 0..5 {
        gateway.send(wrong()).await.assert_error(401, "unauthorized");
    }
    let refused = gateway.send(wrong()).await;
    refused.assert_error(429, "rate_limit_exceeded");
    assert_eq!(refused.message(), "rate limit reached: your address is limited to 5 requests a minute");
    gateway.ask("gpt-4o").await.assert_error(429, "rate_limit_exceeded");
}

#[tokio::test]
async fn counting_tokens_and_listing_models_leave_work_its_own_limit() {
    let (gateway, _a) = stage("openai", &[("ENABLE_RATE_LIMITING", "true"), ("RATE_LIMIT_PER_MINUTE", "2")]).await;
    gateway.get("/v1/models").await.assert_ok();
    let counted = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]});
    let count = Request::post("/v1/messages/count_tokens", &counted).bearer(API_KEY);
    gateway.send(count).await.assert_ok();
    gateway.get("/v1/models").await.assert_error(429, "rate_limit_exceeded");
    for _ in 0..2 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    gateway.ask("gpt-4o").await.assert_error(429, "rate_limit_exceeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_requests_at_once_exactly_as_many_are_admitted_as_the_limit_says() {
    let (gateway, a) = stage("openai", &[("ENABLE_RATE_LIMITING", "true"), ("RATE_LIMIT_PER_MINUTE", "50")]).await;
    let address = gateway.address();
    let asked = (0..400).map(|_| tokio::spawn(async move { chat(&question("gpt-4o")).send(address).await.status }));
    let mut admitted = 0;
    for reply in asked.collect::<Vec<_>>() {
        let status = reply.await.unwrap();
        assert!([200, 429].contains(&status), "{status}");
        admitted += usize::from(status == 200);
    }
    assert_eq!((admitted, a.calls()), (50, 50));
}
