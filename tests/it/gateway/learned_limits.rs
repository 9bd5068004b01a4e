//! What providers say of their limits in good answers: others are asked before there is a refusal.

use super::{stage, stage_of};
use crate::support::{Dialect, Script};

#[tokio::test]
async fn a_provider_with_nothing_left_is_passed_over_before_it_refuses() {
    let (gateway, [a, b]) = stage(&[]).await;
    let last_one = Script::json(200, &Dialect::OpenAi.whole("Hello from a"))
        .header("x-ratelimit-limit-requests", "60")
        .header("x-ratelimit-remaining-requests", "0")
        .header("x-ratelimit-reset-requests", "6m0s");
    a.next(last_one);
    assert_eq!(gateway.ask("gpt-4o").await.assert_ok().content(), "Hello from a");
    assert_eq!(gateway.ask("gpt-4o").await.assert_ok().content(), "Hello from b");
    assert_eq!(gateway.ask("gpt-4o-mini").await.assert_ok().content(), "Hello from a", "limits are a model's own");
    assert_eq!((a.calls(), b.calls()), (2, 1));
    b.always(Script::error(500, "Oops"));
    let reply = gateway.ask("gpt-4o").await;
    assert_eq!(reply.assert_ok().content(), "Hello from a", "where nobody else is left it is asked all the same");
}

#[tokio::test]
async fn a_request_larger_than_what_is_left_of_the_tokens_goes_elsewhere() {
    let (gateway, [a, b]) = stage_of(Dialect::Anthropic, &[]).await;
    let soon = "2999-01-01T00:00:00Z";
    let few = Script::json(200, &Dialect::Anthropic.whole("Hello from a"))
        .header("anthropic-ratelimit-input-tokens-limit", "40000")
        .header("anthropic-ratelimit-input-tokens-remaining", "300")
        .header("anthropic-ratelimit-input-tokens-reset", soon);
    a.always(few);
    gateway.ask("claude-sonnet-4-5").await.assert_ok();
    gateway.ask("claude-sonnet-4-5").await.assert_ok();
    assert_eq!((a.calls(), b.calls()), (2, 0), "a small one still fits");
    let long = "words ".repeat(1000);
    let body = serde_json::json!({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": long}]});
    assert_eq!(gateway.chat(body).await.assert_ok().content(), "Hello from b");
}

#[tokio::test]
async fn nonsense_in_the_headers_of_limits_changes_nothing() {
    let (gateway, [a, b]) = stage(&[]).await;
    let junk = Script::json(200, &Dialect::OpenAi.whole("Hello"))
        .header("x-ratelimit-remaining-requests", "-1")
        .header("x-ratelimit-reset-requests", "soon")
        .header("x-ratelimit-remaining-tokens", "0")
        .header("x-ratelimit-reset-tokens", "NaN");
    a.always(junk);
    for _ in 0..3 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    assert_eq!((a.calls(), b.calls()), (3, 0));
}
