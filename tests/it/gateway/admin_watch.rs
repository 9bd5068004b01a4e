//! What operators see of the traffic: logs, statistics and health.

use serde_json::{Value, json};

use super::{stage, stage_of};
use crate::support::{
    Dialect, Gateway, Script,
    gateway::{chat, question},
};

async fn page(gateway: &Gateway, query: &str) -> Value {
    gateway.admin_get(&format!("/admin/logs?{query}")).await
}

#[tokio::test]
async fn logs_come_newest_first_in_pages() {
    let (gateway, [_a]) = stage(&[]).await;
    for number in 1..=5 {
        gateway.send(chat(&question("gpt-4o")).header("X-Request-ID", &format!("r{number}"))).await.assert_ok();
        gateway.logs(number).await;
    }
    let ids = |page: &Value| -> Vec<String> {
        let rows = page["logs"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| row["request_id"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let first = page(&gateway, "page=1&page_size=2").await;
    assert_eq!((&first["total"], &first["page"], &first["page_size"]), (&json!(5), &json!(1), &json!(2)), "{first}");
    assert_eq!(ids(&first), ["r5", "r4"]);
    assert_eq!(ids(&page(&gateway, "page=3&page_size=2").await), ["r1"]);
    assert_eq!(ids(&page(&gateway, "page=9&page_size=2").await), [""; 0]);
    let default = page(&gateway, "").await;
    assert_eq!((&default["page"], &default["page_size"]), (&json!(1), &json!(50)));
    for query in ["page=0", "page_size=0", "page_size=101", "page=x"] {
        gateway.admin("GET", &format!("/admin/logs?{query}"), Value::Null).await.assert_error(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_row_has_every_documented_field() {
    let (gateway, [a]) = stage(&[]).await;
    gateway.send(chat(&question("gpt-4o")).header("User-Agent", "tests/1.0")).await.assert_ok();
    assert_eq!(a.calls(), 1);
    let row = gateway
        .assert_row(json!({
            "provider_name": "a", "model": "gpt-4o", "upstream_model": "gpt-4o", "endpoint": "/v1/chat/completions",
            "method": "POST", "status_code": 200, "stream": false, "prompt_tokens": 11, "completion_tokens": 7,
            "total_tokens": 18, "cached_tokens": 3, "reasoning_tokens": 0, "attempts": 1, "error_code": null,
            "error_message": null, "ip_address": "127.0.0.1", "user_agent": "tests/1.0",
        }))
        .await;
    for field in
        ["id", "request_id", "created_at", "provider_id", "cost", "latency_ms", "ttft_ms", "key_id", "key_name"]
    {
        assert!(row.get(field).is_some(), "{field} is missing in {row}");
    }
    let cost = row["cost"].as_f64().expect("gpt-4o has a known price");
    assert!(cost > 0.0 && cost < 0.01, "{cost}");
    assert!(!row.to_string().contains("Say hello"), "prompts are not stored");
    assert!(!row.to_string().contains(crate::support::API_KEY));
}

#[tokio::test]
async fn logs_are_found_by_each_filter() {
    let (gateway, [a, b]) = stage(&[]).await;
    let start = gateway.send(crate::support::Request::get("/healthz")).await;
    assert_eq!(start.status, 200);
    gateway.send(chat(&question("gpt-4o")).header("X-Request-ID", "plain")).await.assert_ok();
    gateway.logs(1).await;
    let mut streamed = question("gpt-4o-mini");
    streamed["stream"] = true.into();
    streamed["provider"] = "b".into();
    gateway.send(chat(&streamed).header("X-Request-ID", "streamed")).await.assert_ok();
    gateway.logs(2).await;
    a.always(Script::error(400, "A very peculiar complaint"));
    gateway.send(chat(&question("gpt-4o")).header("X-Request-ID", "refused")).await;
    assert_eq!((a.calls(), b.calls()), (2, 1));
    let rows = gateway.logs(3).await;
    let (b_id, key_id) = (&rows[1]["provider_id"], &rows[0]["key_id"]);
    let middle = rows[1]["created_at"].as_str().unwrap().replace(':', "%3A").replace('+', "%2B");
    let key_name = rows[0]["key_name"].as_str().unwrap_or_default().to_owned();
    for (query, expected) in [
        ("status_code=400".into(), vec!["refused"]),
        ("status_code=200".into(), vec!["streamed", "plain"]),
        (format!("provider_id={b_id}"), vec!["streamed"]),
        ("model=gpt-4o-mini".into(), vec!["streamed"]),
        ("request_id=plain".into(), vec!["plain"]),
        ("stream=true".into(), vec!["streamed"]),
        ("stream=false".into(), vec!["refused", "plain"]),
        ("q=peculiar".into(), vec!["refused"]),
        ("q=%25".into(), vec![]),
        (format!("from={middle}"), vec!["refused", "streamed"]),
        (format!("from={middle}&stream=false"), vec!["refused"]),
        ("from=2999-01-01T00:00:00Z".into(), vec![]),
        ("to=2020-01-01T00:00:00Z".into(), vec![]),
        ("key=nobody".into(), vec![]),
    ] {
        let found = page(&gateway, &query).await;
        let ids: Vec<&str> =
            found["logs"].as_array().unwrap().iter().filter_map(|row| row["request_id"].as_str()).collect();
        assert_eq!(ids, expected, "{query}");
        assert_eq!(found["total"], expected.len(), "{query}");
    }
    let by_key = if key_id.is_null() { key_name } else { key_id.to_string() };
    assert_eq!(page(&gateway, &format!("key={by_key}")).await["total"], 3, "key={by_key}");
    for query in ["status_code=x", "from=yesterday", "stream=maybe"] {
        gateway.admin("GET", &format!("/admin/logs?{query}"), Value::Null).await.assert_error(400, "invalid_request");
    }
}

#[tokio::test]
async fn statistics_count_what_succeeded_and_what_did_not() {
    let (gateway, [a, b]) = stage(&[]).await;
    for _ in 0..3 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    gateway.ask_stream("gpt-4o").await.assert_ok();
    a.always(Script::error(400, "No"));
    gateway.ask("gpt-4o").await;
    gateway.logs(5).await;
    assert_eq!(b.calls(), 0);
    let stats = gateway.admin_get("/admin/stats?hours=24&group_by=hour,provider,model,key").await;
    for (shares, name, value) in [("by_model", "model", "gpt-4o"), ("by_key", "key_name", "API_KEYS[0]")] {
        let rows = stats[shares].as_array().unwrap_or_else(|| panic!("{shares} of {stats}"));
        assert!(rows.iter().any(|row| row[name] == value && row["total_requests"].as_i64() >= Some(4)), "{stats}");
    }
    let hours = stats["by_hour"].as_array().unwrap();
    let of_all: i64 = hours.iter().filter_map(|row| row["total_requests"].as_i64()).sum();
    assert!(of_all == 5 && hours[0]["hour"].as_str().is_some_and(|hour| hour.ends_with(":00:00.000Z")), "{stats}");
    for (field, value) in
        [("total_requests", json!(5)), ("successful_requests", json!(4)), ("failed_requests", json!(1))]
    {
        assert_eq!(stats[field], value, "{field} of {stats}");
    }
    assert_eq!(stats["success_rate"].as_f64(), Some(80.0), "{stats}");
    assert!(stats["avg_response_time_ms"].as_f64().is_some_and(|ms| ms >= 0.0), "{stats}");
    let providers = stats["providers"].as_array().unwrap();
    assert_eq!(providers.len(), 1, "only those with traffic: {stats}");
    let provider = &providers[0];
    for (field, value) in [
        ("provider_name", json!("a")),
        ("total_requests", json!(5)),
        ("successful_requests", json!(4)),
        ("failed_requests", json!(1)),
        ("total_tokens", json!(72)),
    ] {
        assert_eq!(provider[field], value, "{field} of {provider}");
    }
    assert!(provider["total_cost"].as_f64().is_some_and(|cost| cost > 0.0), "{provider}");
    assert_eq!(provider["success_rate"].as_f64(), Some(80.0), "{provider}");
}

#[tokio::test]
async fn statistics_of_nothing_are_zero() {
    let gateway = Gateway::start().await;
    let stats = gateway.admin_get("/admin/stats").await;
    assert_eq!((&stats["total_requests"], &stats["providers"]), (&json!(0), &json!([])), "{stats}");
    assert!(stats.get("by_hour").is_none(), "what nobody asked for costs nothing: {stats}");
    let reply = gateway.admin("GET", "/admin/stats?group_by=hour,colour", Value::Null).await;
    reply.assert_error(400, "invalid_request");
    assert!(reply.message().contains("group_by") && reply.message().contains("colour"), "{}", reply.message());
    assert!(stats["success_rate"].is_number(), "{stats}");
    for hours in ["0", "169", "-1", "x"] {
        let reply = gateway.admin("GET", &format!("/admin/stats?hours={hours}"), Value::Null).await;
        reply.assert_error(400, "invalid_request");
        assert!(reply.message().contains("hours"), "{}", reply.message());
    }
    gateway.admin_get("/admin/stats?hours=168").await;
    gateway.admin_get("/admin/stats?hours=1").await;
}

#[tokio::test]
async fn health_tells_how_each_provider_fares() {
    let (gateway, [_a]) = stage(&[]).await;
    gateway.ask("gpt-4o").await.assert_ok();
    let health = gateway.admin_get("/admin/health").await;
    assert_eq!(health["status"], "healthy", "{health}");
    let row = &health["providers"][0];
    for (field, value) in [
        ("provider_name", json!("a")),
        ("is_healthy", json!(true)),
        ("state", json!("healthy")),
        ("consecutive_failures", json!(0)),
        ("last_error", json!(null)),
    ] {
        assert_eq!(row[field], value, "{field} of {row}");
    }
    assert_eq!(row["success_rate"].as_f64(), Some(100.0), "{row}");
    assert!(row["response_time_ms"].as_f64().is_some_and(|ms| ms >= 0.0), "{row}");
    for field in ["provider_id", "last_check"] {
        assert!(row.get(field).is_some(), "{field} is missing in {row}");
    }
}

#[tokio::test]
async fn tokens_are_counted_in_one_convention_for_every_protocol() {
    for dialect in Dialect::ALL {
        for stream in [false, true] {
            let (gateway, [_a]) = stage_of(dialect, &[]).await;
            let reply =
                if stream { gateway.ask_stream(dialect.model()).await } else { gateway.ask(dialect.model()).await };
            reply.assert_ok();
            let expected = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, "cached_tokens": 3});
            let row = gateway.assert_row(expected).await;
            assert_eq!(row["ttft_ms"].is_number(), stream, "{dialect:?}: {row}");
            if !stream {
                let usage = &reply.json()["usage"];
                assert_eq!(
                    (&usage["prompt_tokens"], &usage["completion_tokens"]),
                    (&json!(11), &json!(7)),
                    "{dialect:?}"
                );
            }
        }
    }
}
