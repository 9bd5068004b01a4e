//! What a provider bills beside the answer's own tokens.

use serde_json::json;

use super::stage_of;
use crate::support::{Dialect, Script, gateway::question};

#[tokio::test]
async fn summaries_advice_and_searches_are_counted_and_priced_once() {
    let (gateway, [a]) = stage_of(Dialect::Anthropic, &[]).await;
    let mut answer = Dialect::Anthropic.whole("Hello");
    let iteration = |kind: &str, model: &str, input: u64, output: u64| json!({"type": kind, "model": model, "input_tokens": input, "output_tokens": output});
    answer["usage"] = json!({
        "input_tokens": 1000, "output_tokens": 100, "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
        "iterations": [
            {"type": "compaction", "input_tokens": 5000, "output_tokens": 200},
            iteration("message", "claude-sonnet-4-5", 1000, 100),
            iteration("advisor_message", "claude-opus-4-8", 2000, 300),
        ],
    });
    a.always(Script::json(200, &answer));
    let mut body = question("claude-sonnet-4-5");
    body["max_tokens"] = json!(100);
    let reply = gateway.chat(body).await;
    assert_eq!(reply.assert_ok().json()["usage"]["total_tokens"], 1100);
    // Sonnet at $3 and $15 a million tokens, Opus at $5 and $25, a search at a cent.
    let sonnet = (1000.0 + 5000.0) * 3e-6 + (100.0 + 200.0) * 15e-6;
    let opus = 2000.0 * 5e-6 + 300.0 * 25e-6;
    let row = gateway
        .assert_row(json!({
            "prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "extra_tokens": 7500, "server_tool_requests": 3,
        }))
        .await;
    let cost = row["cost"].as_f64().expect("all of it has a price");
    assert!((cost - (sonnet + opus + 0.02)).abs() < 1e-9, "{cost}");
    let export = gateway.admin("GET", "/admin/logs/export?format=csv", json!(null)).await.text();
    let (head, line) = export.split_once('\n').expect("a head and a row");
    let at = head.split(',').position(|column| column == "extra_tokens").expect("the column is there");
    assert_eq!(line.split(',').nth(at), Some("7500"));
}
