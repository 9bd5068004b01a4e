//! Which provider serves a request, and what its fields may say about that.

use serde_json::{Value, json};

use super::{stage, stage_of};
use crate::support::{
    Dialect, Gateway, Reply, Script, Upstream,
    gateway::{chat, question},
};

async fn ask(gateway: &Gateway, model: &str, more: Value) -> Reply {
    let mut body = question(model);
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    gateway.chat(body).await
}

/// Providers of all three types: `open`, `claude` and `gem`.
async fn mixed() -> (Gateway, [Upstream; 3]) {
    let gateway = Gateway::start().await;
    let upstreams = [Upstream::start("open").await, Upstream::start("claude").await, Upstream::start("gem").await];
    upstreams[0].lists(&["gpt-4o", "o3-mini"]);
    for (upstream, dialect) in upstreams.iter().zip(Dialect::ALL) {
        gateway.provider(upstream.name(), dialect.kind(), upstream, json!({"max_retries": 0})).await;
    }
    (gateway, upstreams)
}

#[tokio::test]
async fn a_model_goes_to_the_type_that_is_known_for_it() {
    let (gateway, _upstreams) = mixed().await;
    for (model, provider) in
        [("gpt-4o", "open"), ("o3-mini", "open"), ("claude-sonnet-4-5", "claude"), ("gemini-2.5-flash", "gem")]
    {
        let reply = gateway.ask(model).await;
        assert_eq!(reply.assert_ok().content(), format!("Hello from {provider}"), "{model}");
        assert_eq!(reply.json()["provider"], provider);
        assert_eq!(reply.json()["object"], "chat.completion");
        assert_eq!(reply.header("x-orchestrator-provider"), Some(provider));
    }
}

#[tokio::test]
async fn a_higher_priority_is_preferred() {
    let gateway = Gateway::start().await;
    let (low, high) = (Upstream::start("low").await, Upstream::start("high").await);
    gateway.provider("low", "openai", &low, json!({"priority": 10})).await;
    gateway.provider("high", "openai", &high, json!({"priority": 20})).await;
    for _ in 0..5 {
        assert_eq!(gateway.ask("gpt-4o").await.assert_ok().content(), "Hello from high");
    }
}

#[tokio::test]
async fn within_a_priority_the_weights_decide_and_zero_is_the_last_resort() {
    let gateway = Gateway::start().await;
    let upstreams = [Upstream::start("a").await, Upstream::start("b").await, Upstream::start("never").await];
    for (upstream, weight) in upstreams.iter().zip([100, 100, 0]) {
        gateway.provider(upstream.name(), "openai", upstream, json!({"weight": weight, "max_retries": 0})).await;
    }
    for _ in 0..40 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    let [a, b, never] = &upstreams;
    assert!(a.calls() > 0 && b.calls() > 0, "{} and {}", a.calls(), b.calls());
    assert_eq!(never.calls(), 0);
    for upstream in [a, b] {
        upstream.always(Script::error(500, "Oops"));
    }
    assert_eq!(gateway.ask("gpt-4o").await.assert_ok().content(), "Hello from never");
}

#[tokio::test]
async fn a_named_provider_serves_and_the_request_does_not_leave_it() {
    let (gateway, [a, b]) = stage(&[]).await;
    assert_eq!(ask(&gateway, "gpt-4o", json!({"provider": "b"})).await.assert_ok().content(), "Hello from b");
    b.always(Script::error(500, "Oops"));
    ask(&gateway, "gpt-4o", json!({"provider": "b"})).await.assert_error(502, "upstream_error");
    assert_eq!((a.calls(), b.calls()), (0, 2));
}

#[tokio::test]
async fn a_provider_type_stands_for_its_providers_in_their_order() {
    let (gateway, [a, b]) = stage_of(Dialect::Anthropic, &[]).await;
    let open = Upstream::start("open").await;
    gateway.provider("open", "openai", &open, json!({"priority": 900})).await;
    let reply = ask(&gateway, "claude-sonnet-4-5", json!({"provider": "anthropic"})).await;
    assert_eq!(reply.assert_ok().content(), "Hello from a");
    a.always(Script::error(529, "Overloaded"));
    let reply = ask(&gateway, "claude-sonnet-4-5", json!({"provider": "anthropic"})).await;
    assert_eq!(reply.assert_ok().content(), "Hello from b");
    assert_eq!((open.calls(), b.calls()), (0, 1));
}

#[tokio::test]
async fn a_name_wins_over_a_type_of_the_same_word() {
    let gateway = Gateway::start().await;
    let (named, other) = (Upstream::start("named").await, Upstream::start("other").await);
    gateway.provider("openai", "openai", &named, json!({"priority": 1})).await;
    gateway.provider("other", "openai", &other, json!({"priority": 900})).await;
    let reply = ask(&gateway, "gpt-4o", json!({"provider": "openai"})).await;
    assert_eq!(reply.assert_ok().content(), "Hello from named");
}

#[tokio::test]
async fn an_unknown_provider_is_refused_by_name() {
    let (gateway, [a]) = stage(&[]).await;
    for more in [
        json!({"provider": "nobody"}),
        json!({"fallback_providers": ["nobody"]}),
        json!({"provider": "a", "fallback_providers": ["a", "nobody"]}),
    ] {
        let reply = ask(&gateway, "gpt-4o", more).await;
        reply.assert_error(400, "invalid_request");
        assert!(reply.message().contains("nobody"), "{}", reply.message());
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn fallbacks_are_tried_in_their_order_after_the_named_provider() {
    let (gateway, [a, b, c]) = stage(&[]).await;
    for upstream in [&a, &c] {
        upstream.always(Script::error(500, "Oops"));
    }
    let reply = ask(&gateway, "gpt-4o", json!({"provider": "c", "fallback_providers": ["a", "b"]})).await;
    assert_eq!(reply.assert_ok().content(), "Hello from b");
    assert!([c.last().at, a.last().at, b.last().at].is_sorted());
    gateway.assert_row(json!({"status_code": 200, "attempts": 3, "provider_name": "b"})).await;
}

#[tokio::test]
async fn without_a_named_provider_the_usual_choice_comes_before_the_fallbacks() {
    let (gateway, [open, claude, _gem]) = mixed().await;
    open.always(Script::error(500, "Oops"));
    let reply = ask(&gateway, "gpt-4o", json!({"fallback_providers": ["claude"]})).await;
    assert_eq!(reply.assert_ok().content(), "Hello from claude");
    assert_eq!(open.calls(), 1);
    assert_eq!(claude.last().json()["model"], "gpt-4o", "a fallback is asked for the model by the same name");
}

#[tokio::test]
async fn a_fallback_of_another_protocol_answers_in_the_clients_own() {
    let (gateway, [open, _claude, gem]) = mixed().await;
    open.always(Script::error(503, "Gone"));
    for fallback in ["claude", "gem"] {
        let reply = ask(&gateway, "gpt-4o", json!({"stream": true, "fallback_providers": [fallback]})).await;
        assert_eq!(reply.assert_ok().content(), format!("Hello from {fallback}"));
        assert!(reply.done());
    }
    assert!(gem.last().path.contains("/models/gpt-4o:streamGenerateContent"), "{}", gem.last().path);
}

#[tokio::test]
async fn the_orchestration_fields_stay_here() {
    for dialect in Dialect::ALL {
        let (gateway, [a]) = stage_of(dialect, &[]).await;
        let more =
            json!({"provider": "a", "fallback_providers": ["a"], "timeout": 30, "retry_count": 1, "max_tokens": 333});
        let reply = ask(&gateway, dialect.model(), more).await;
        reply.assert_ok();
        let sent = String::from_utf8(a.last().body).unwrap();
        for name in ["\"provider\"", "fallback", "\"timeout\"", "retry"] {
            assert!(!sent.contains(name), "{sent}");
        }
        assert!(sent.contains("333"), "{sent}");
        assert_eq!(reply.header("x-orchestrator-dropped"), None);
    }
}

#[tokio::test]
async fn a_provider_that_is_an_object_is_somebody_elses_and_passes() {
    let (gateway, [a]) = stage(&[]).await;
    let provider = json!({"order": ["x"], "allow_fallbacks": false});
    ask(&gateway, "gpt-4o", json!({"provider": provider})).await.assert_ok();
    assert_eq!(a.last().json()["provider"], provider);
}

#[tokio::test]
async fn the_same_can_be_said_in_headers_and_the_body_wins() {
    let (gateway, [a, b, c]) = stage(&[]).await;
    let named = |name: &str| chat(&question("gpt-4o")).header("X-Orchestrator-Provider", name);
    assert_eq!(gateway.send(named("b")).await.assert_ok().content(), "Hello from b");

    b.always(Script::error(500, "Oops"));
    let reply = gateway.send(named("b").header("X-Orchestrator-Fallback", "c, a")).await;
    assert_eq!(reply.assert_ok().content(), "Hello from c");
    assert_eq!(a.calls(), 0);

    let before = b.calls();
    let reply = gateway.send(named("b").header("X-Orchestrator-Retries", "2")).await;
    reply.assert_error(502, "upstream_error");
    assert_eq!(b.calls() - before, 3);

    a.always(Script::silent());
    let reply = gateway.send(named("a").header("X-Orchestrator-Timeout", "1.2")).await;
    reply.assert_error(504, "upstream_timeout");

    let mut body = question("gpt-4o");
    body["provider"] = json!("c");
    let reply = gateway.send(chat(&body).header("X-Orchestrator-Provider", "b")).await;
    assert_eq!(reply.assert_ok().content(), "Hello from c");
    assert_eq!(c.calls(), 2);
}

#[tokio::test]
async fn headers_that_make_no_sense_are_refused_by_name() {
    let (gateway, [a]) = stage(&[]).await;
    for (name, value) in [
        ("X-Orchestrator-Provider", "nobody"),
        ("X-Orchestrator-Fallback", "nobody"),
        ("X-Orchestrator-Timeout", "soon"),
        ("X-Orchestrator-Timeout", "0.5"),
        ("X-Orchestrator-Retries", "many"),
        ("X-Orchestrator-Retries", "6"),
    ] {
        let reply = gateway.send(chat(&question("gpt-4o")).header(name, value)).await;
        reply.assert_error(400, "invalid_request");
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn fields_that_make_no_sense_are_refused_by_name() {
    let (gateway, [a]) = stage(&[]).await;
    for (field, values) in [
        ("provider", vec![json!(1), json!(["a"]), json!("")]),
        ("fallback_providers", vec![json!("a"), json!([1]), json!({"a": 1})]),
        ("timeout", vec![json!(0), json!(0.5), json!(-1), json!("10")]),
        ("retry_count", vec![json!(-1), json!(6), json!(1.5), json!("1")]),
    ] {
        for value in values {
            let reply = ask(&gateway, "gpt-4o", json!({field: value})).await;
            reply.assert_error(400, "invalid_request");
            assert!(reply.message().contains(field), "{field} {value}: {}", reply.message());
            assert_eq!(reply.error()["param"], field, "{value}");
        }
        ask(&gateway, "gpt-4o", json!({field: null})).await.assert_ok();
    }
    assert_eq!(a.calls(), 4);
}

#[tokio::test]
async fn a_provider_before_the_models_name_serves_it_listed_or_not() {
    let (gateway, [a, b]) = stage(&[]).await;
    b.lists(&["something-else"]);
    let reply = gateway.ask("b:any-model:2").await;
    assert_eq!(reply.assert_ok().content(), "Hello from b");
    assert_eq!(b.last().json()["model"], "any-model:2");
    assert_eq!(gateway.ask("openai:gpt-3.5-turbo").await.assert_ok().content(), "Hello from a");
    assert_eq!(a.last().json()["model"], "gpt-3.5-turbo");
}

#[tokio::test]
async fn a_colon_after_a_word_that_is_no_provider_belongs_to_the_model() {
    let gateway = Gateway::start().await;
    let llama = Upstream::start("llama").await;
    llama.lists(&["llama3:8b", "org/model-x"]);
    gateway.provider("local", "openai", &llama, json!({})).await;
    for model in ["llama3:8b", "org/model-x"] {
        gateway.ask(model).await.assert_ok();
        assert_eq!(llama.last().json()["model"], model);
    }
}

#[tokio::test]
async fn a_model_that_nobody_serves_is_not_found_and_nobody_is_asked() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    a.lists(&["gpt-4o"]);
    gateway.provider("a", "openai", &a, json!({})).await;
    let reply = gateway.ask("no-such-model-9000").await;
    reply.assert_error(404, "not_found");
    assert!(reply.message().contains("no-such-model-9000"), "{}", reply.message());
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn without_any_provider_a_model_is_not_found() {
    let gateway = Gateway::start().await;
    gateway.ask("gpt-4o").await.assert_error(404, "not_found");
}

#[tokio::test]
async fn a_provider_serves_what_its_own_list_names() {
    let gateway = Gateway::start().await;
    let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
    a.lists(&["model-of-a"]);
    b.lists(&["model-of-b"]);
    gateway.provider("a", "openai", &a, json!({"priority": 900})).await;
    gateway.provider("b", "openai", &b, json!({})).await;
    assert_eq!(gateway.ask("model-of-b").await.assert_ok().content(), "Hello from b");
    assert_eq!(gateway.ask("model-of-a").await.assert_ok().content(), "Hello from a");
}

#[tokio::test]
async fn a_disabled_provider_serves_nothing() {
    let (gateway, [a, b]) = stage(&[]).await;
    let id = gateway.admin_get("/admin/providers").await[0]["id"].clone();
    let reply = gateway.admin("PATCH", &format!("/admin/providers/{id}"), json!({"enabled": false})).await;
    assert_eq!(reply.status, 200);
    assert_eq!(gateway.ask("gpt-4o").await.assert_ok().content(), "Hello from b");
    let reply = ask(&gateway, "gpt-4o", json!({"provider": "a"})).await;
    assert!((400..=503).contains(&reply.status), "{}", reply.text());
    assert_eq!((a.calls(), b.calls()), (0, 1));
}

#[tokio::test]
async fn associations_say_who_serves_a_model_under_which_name() {
    let (gateway, [a, b]) = stage(&[]).await;
    let model = json!({"name": "house-model", "aliases": ["house", "default"]});
    let model = gateway.admin("POST", "/admin/models", model).await;
    assert_eq!(model.status, 201, "{}", model.text());
    let id = gateway.admin_get("/admin/providers").await[1]["id"].clone();
    let link = json!({"model_id": model.json()["id"], "provider_id": id, "upstream_name": "gpt-4o-2024-11-20"});
    let link = gateway.admin("POST", "/admin/model-providers", link).await;
    assert_eq!(link.status, 201, "{}", link.text());
    for name in ["house-model", "house", "default"] {
        let reply = gateway.ask(name).await;
        assert_eq!(reply.assert_ok().content(), "Hello from b", "{name}");
        assert_eq!(b.last().json()["model"], "gpt-4o-2024-11-20");
        assert!(reply.header("x-orchestrator-model").is_some());
    }
    assert_eq!(a.calls(), 0);
    let rows = gateway.logs(3).await;
    assert_eq!(rows[0]["upstream_model"], "gpt-4o-2024-11-20", "{:#}", rows[0]);
    assert_eq!(rows[0]["model"], "house-model", "{:#}", rows[0]);
}
