//! What Prometheus is told, and that the dashboards and alerts ask for nothing else.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::support::{Gateway, Request, Script, Upstream};

const TOKEN: &str = "token-of-prometheus";

/// The value of every sample, by its name and labels as they are written.
async fn samples(gateway: &Gateway) -> HashMap<String, f64> {
    let reply = gateway.admin("GET", "/metrics", Value::Null).await;
    let text = reply.assert_ok().text();
    assert!(text.ends_with("# EOF\n"), "an exposition has an end: {text}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line} is no sample"));
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line} has no value")))
        })
        .collect()
}

/// A gateway that has counted something of every kind: `a` fails, is asked again and then left out, `b` serves instead,
/// `c` is at its limit.
async fn busy() -> Gateway {
    let gateway = Gateway::with(&[("HEALTH_CHECK_MAX_ERRORS", "3"), ("ORCHESTRATOR_CACHE_ENABLED", "true")]).await;
    let [a, b, c] = [Upstream::start("a").await, Upstream::start("b").await, Upstream::start("c").await];
    gateway.provider("c", "openai", &c, json!({"priority": 300, "rate_limit": 1, "max_retries": 0})).await;
    gateway.provider("a", "openai", &a, json!({"priority": 200, "max_retries": 1})).await;
    gateway.provider("b", "anthropic", &b, json!({"priority": 100})).await;
    gateway.ask("c:gpt-4o").await.assert_ok();
    a.always(Script::error(500, "broken"));
    let body = |more: Value| {
        let mut body = json!({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hello"}]});
        more.as_object().into_iter().flatten().for_each(|(name, value)| body[name] = value.clone());
        body
    };
    gateway.chat(body(json!({"provider": "a", "fallback_providers": ["b"]}))).await.assert_ok();
    assert_eq!(gateway.chat(body(json!({"provider": "a", "model": "gpt-4o"}))).await.status, 502);
    for stream in [false, true] {
        let elsewhere = json!({"provider": "c", "fallback_providers": ["b"], "stream": stream, "seed": 5});
        gateway.chat(body(elsewhere)).await.assert_ok();
    }
    gateway.logs(5).await;
    gateway
}

#[tokio::test]
async fn what_happens_is_counted_by_provider_model_and_key() {
    let gateway = busy().await;
    let samples = samples(&gateway).await;
    let value = |name: &str| {
        let value = samples.get(&format!("llm_orchestrator_{name}")).copied();
        value.unwrap_or_else(|| panic!("{name} is not among {:#?}", samples.keys().collect::<BTreeSet<_>>()))
    };
    let served = "provider=\"b\",model=\"claude-sonnet-4-5\"";
    assert_eq!(value(&format!("requests_total{{{served},status=\"200\",stream=\"0\"}}")), 2.0);
    assert_eq!(value(&format!("requests_total{{{served},status=\"200\",stream=\"1\"}}")), 1.0);
    assert_eq!(value("requests_total{provider=\"a\",model=\"gpt-4o\",status=\"502\",stream=\"0\"}"), 1.0);
    assert_eq!(value(&format!("request_duration_seconds_count{{{served}}}")), 3.0);
    assert_eq!(value(&format!("time_to_first_token_seconds_count{{{served}}}")), 1.0);
    assert_eq!(value(&format!("tokens_total{{{served},kind=\"input\"}}")), 33.0);
    assert_eq!(value(&format!("tokens_total{{{served},kind=\"cached\"}}")), 9.0);
    assert!(value(&format!("cost_dollars_total{{{served}}}")) > 0.0);
    assert_eq!(value("retries_total{provider=\"a\"}"), 1.0);
    assert_eq!(value("failovers_total{provider=\"b\"}"), 1.0);
    assert_eq!(value("attempt_failures_total{provider=\"a\",reason=\"server_error\"}"), 3.0);
    assert_eq!(value("provider_ejections_total{provider=\"a\"}"), 1.0);
    assert_eq!(value("provider_state{provider=\"a\",state=\"unhealthy\"}"), 1.0);
    assert_eq!(value("provider_state{provider=\"b\",state=\"healthy\"}"), 1.0);
    assert_eq!(value("limit_refusals_total{limit=\"provider\",of=\"requests\"}"), 1.0);
    assert_eq!(value("key_requests_total{key=\"API_KEYS[0]\"}"), 5.0);
    assert!(value("key_tokens_total{key=\"API_KEYS[0]\",kind=\"output\"}") > 0.0);
    assert!(value("key_cost_dollars_total{key=\"API_KEYS[0]\"}") > 0.0);
    assert_eq!(value("requests_in_flight"), 0.0);
    assert_eq!(value("log_rows_total{state=\"dropped\"}"), 0.0);
    for of_every_process in ["process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds"] {
        assert!(samples[of_every_process] > 0.0, "{of_every_process}");
    }
}

#[tokio::test]
async fn a_name_that_a_client_made_up_makes_no_series() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    gateway.provider("a", "openai", &a, json!({})).await;
    for number in 0..5 {
        gateway.ask(&format!("a:made-up-{number}")).await.assert_ok();
        gateway.ask(&format!("unknown-provider-{number}:made-up")).await;
    }
    gateway.logs(10).await;
    let samples = samples(&gateway).await;
    assert!(!samples.keys().any(|name| name.contains("made-up") || name.contains("unknown")), "{samples:#?}");
    let others = "llm_orchestrator_request_duration_seconds_count{provider=\"a\",model=\"other\"}";
    assert!(samples[others] >= 5.0, "{samples:#?}");
}

#[tokio::test]
async fn pairs_and_keys_beyond_the_bound_share_one_series() {
    let settings = [
        ("ORCHESTRATOR_METRICS_MAX_MODELS", "1"),
        ("ORCHESTRATOR_METRICS_MAX_KEYS", "1"),
        ("API_KEYS", "one,two,three"),
    ];
    let gateway = Gateway::with(&settings).await;
    let a = Upstream::start("a").await;
    gateway.provider("a", "openai", &a, json!({})).await;
    for (key, model) in [("one", "gpt-4o"), ("two", "gpt-4o-mini"), ("three", "gpt-4.1")] {
        let body = crate::support::gateway::question(model);
        gateway.send(Request::post("/v1/chat/completions", &body).bearer(key)).await.assert_ok();
    }
    gateway.logs(3).await;
    let samples = samples(&gateway).await;
    let count = |labels: &str| samples[&format!("llm_orchestrator_{labels}")];
    assert_eq!(count("request_duration_seconds_count{provider=\"a\",model=\"gpt-4o\"}"), 1.0);
    assert_eq!(count("request_duration_seconds_count{provider=\"other\",model=\"other\"}"), 2.0);
    assert_eq!(count("key_requests_total{key=\"API_KEYS[0]\"}"), 1.0);
    assert_eq!(count("key_requests_total{key=\"other\"}"), 2.0);
}

#[tokio::test]
async fn the_token_for_metrics_opens_them_and_nothing_else() {
    let gateway = Gateway::with(&[("ORCHESTRATOR_METRICS_TOKEN", TOKEN)]).await;
    gateway.send(Request::get("/metrics").bearer(TOKEN)).await.assert_ok();
    assert_eq!(gateway.send(Request::get("/metrics").bearer("another")).await.status, 403);
    assert_eq!(gateway.send(Request::get("/metrics")).await.status, 401);
    assert_eq!(gateway.send(Request::get("/admin/health").bearer(TOKEN)).await.status, 403);
    assert_eq!(gateway.send(Request::get("/v1/models").bearer(TOKEN)).await.status, 401);
}

#[tokio::test]
async fn metrics_are_public_only_where_somebody_said_so() {
    let gateway = Gateway::with(&[("ORCHESTRATOR_METRICS_PUBLIC", "true")]).await;
    gateway.send(Request::get("/metrics")).await.assert_ok();
    assert_eq!(gateway.send(Request::get("/admin/health")).await.status, 401);
}

/// Every name in `text` that begins like one of ours.
fn asked_for(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let ours = words.filter(|word| word.starts_with("llm_orchestrator_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a folder can be listed").path());
    paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

/// A gateway that has asked two providers at once, one of them with a key that it refuses, and that has neither the collector
/// nor the Redis that it was told of.
async fn doubled() -> Gateway {
    let nowhere = Upstream::nowhere().await;
    let redis = nowhere.replace("http", "redis");
    let settings = [
        ("ORCHESTRATOR_HEDGING_ENABLED", "true"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", nowhere.as_str()),
        ("REDIS_URL", redis.as_str()),
    ];
    let gateway = Gateway::with(&settings).await;
    let [a, b] = [Upstream::start("a").await, Upstream::start("b").await];
    let keys = json!([{"name": "good", "api_key": "sk-good"}, {"name": "bad", "api_key": "sk-bad"}]);
    gateway.provider("a", "openai", &a, json!({"priority": 200, "api_key": null, "api_keys": keys})).await;
    gateway.provider("b", "openai", &b, json!({})).await;
    a.next(Script::error(401, "Incorrect API key provided"));
    for reply in futures_util::future::join_all((0..60).map(|_| gateway.ask("gpt-4o"))).await {
        reply.assert_ok();
    }
    a.next(Script::silent());
    gateway.ask("gpt-4o").await.assert_ok();
    gateway
}

#[tokio::test]
async fn dashboards_and_alerts_ask_for_metrics_that_there_are() {
    let gateway = busy().await;
    let mut counted = samples(&gateway).await;
    counted.extend(samples(&doubled().await).await);
    let known: BTreeSet<String> = counted.keys().filter_map(|name| name.split('{').next()).map(str::to_owned).collect();
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let dashboards = files(&deploy.join("grafana/dashboards"), ".json");
    let mut asked = BTreeSet::new();
    for path in dashboards.iter().chain([&deploy.join("prometheus/alerts.yml")]) {
        let text = fs::read_to_string(path).expect("a file of the repository can be read");
        let names = asked_for(&text);
        assert!(names.len() >= 5, "{} asks for {names:?} only", path.display());
        asked.extend(names);
    }
    let missing: Vec<_> = asked.difference(&known).collect();
    assert!(missing.is_empty(), "nobody counts {missing:?}; there are {known:#?}");
    // What happens must be shown somewhere.
    let shown = |name: &str| {
        let base = name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count");
        asked.iter().any(|asked| asked.starts_with(base))
    };
    let quiet = ["llm_orchestrator_build_info", "llm_orchestrator_stopping"];
    let hidden: Vec<_> = known
        .iter()
        .filter(|name| name.starts_with("llm_orchestrator_") && !shown(name) && !quiet.contains(&name.as_str()))
        .collect();
    assert!(hidden.is_empty(), "no dashboard and no alert shows {hidden:?}");
}

#[test]
fn dashboards_are_whole_and_their_panels_do_not_overlap() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/dashboards");
    for path in files(&deploy, ".json") {
        let text = fs::read_to_string(&path).expect("a file of the repository can be read");
        let dashboard: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut taken = BTreeSet::new();
        for panel in dashboard["panels"].as_array().expect("a dashboard has panels") {
            let title = &panel["title"];
            assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{title} asks nothing");
            let place = |side: &str| panel["gridPos"][side].as_i64().unwrap_or_else(|| panic!("{title} has no {side}"));
            for x in place("x")..place("x") + place("w") {
                for y in place("y")..place("y") + place("h") {
                    assert!(x < 24 && taken.insert((x, y)), "{title} lies on another panel, or beside the page");
                }
            }
        }
    }
}
