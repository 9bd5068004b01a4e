//! What a collector is told of requests, and that nobody waits for it.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value as Any},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use serde_json::{Value, json};

use crate::support::{
    Gateway, PATIENCE, Script, Upstream, eventually,
    gateway::{chat, question},
};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// A collector that takes everything.
async fn collector() -> Upstream {
    let collector = Upstream::start("collector").await;
    collector.always(Script::bytes(200, "application/x-protobuf", Vec::new()));
    collector
}

/// A gateway that traces, on two providers; the first one fails.
async fn traced(collector: &Upstream, more: &[(&str, &str)]) -> (Gateway, [Upstream; 2]) {
    let (endpoint, header) = (collector.url(), "x-tenant=seven");
    let mut settings = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_HEADERS", header)];
    settings.extend(more);
    let gateway = Gateway::with(&settings).await;
    let [a, b] = [Upstream::start("a").await, Upstream::start("b").await];
    gateway.provider("a", "openai", &a, json!({"priority": 200, "max_retries": 0})).await;
    gateway.provider("b", "anthropic", &b, json!({"priority": 100})).await;
    a.always(Script::error(500, "broken"));
    (gateway, [a, b])
}

/// All spans that came before the gateway ended.
async fn spans_at_the_end(gateway: &mut Gateway, collector: &Upstream) -> Vec<Span> {
    gateway.terminate();
    assert!(gateway.exit().await.success());
    let delivered = collector.seen().into_iter().map(|seen| {
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v1/traces"));
        assert_eq!(seen.header("content-type"), Some("application/x-protobuf"));
        assert_eq!(seen.header("x-tenant"), Some("seven"));
        ExportTraceServiceRequest::decode(seen.body.as_slice()).expect("OTLP is protobuf")
    });
    let scopes = delivered.flat_map(|request| request.resource_spans).flat_map(|resource| {
        let name = attribute(&resource.resource.expect("spans have a resource").attributes, "service.name");
        assert_eq!(name, json!("llm-orchestrator"));
        resource.scope_spans
    });
    scopes.flat_map(|scope| scope.spans).collect()
}

fn attribute(attributes: &[KeyValue], name: &str) -> serde_json::Value {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::IntValue(number)) => json!(number),
        Some(other) => panic!("{name} is {other:?}"),
        None => serde_json::Value::Null,
    }
}

fn assert_attributes(span: &Span, expected: serde_json::Value) {
    for (name, value) in expected.as_object().expect("attributes have names") {
        assert_eq!(attribute(&span.attributes, name), *value, "{name} of {span:#?}");
    }
}

fn of_kind(spans: &[Span], kind: SpanKind) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind() == kind).collect()
}

#[tokio::test]
async fn a_request_is_a_span_and_so_is_each_of_its_attempts() {
    let collector = collector().await;
    let (mut gateway, [_a, b]) = traced(&collector, &[]).await;
    let body = json!({
        "model": "claude-sonnet-4-5", "provider": "a", "fallback_providers": ["b"],
        "messages": [{"role": "user", "content": "a secret question"}],
    });
    let reply = gateway.send(chat(&body).header("traceparent", PARENT)).await;
    let answered = reply.assert_ok().header("traceparent").expect("the answer says which trace it is").to_owned();
    assert_eq!(b.last().header("traceparent"), None, "providers learn nothing of the trace");
    let spans = spans_at_the_end(&mut gateway, &collector).await;
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let (servers, clients) = (of_kind(&spans, SpanKind::Server), of_kind(&spans, SpanKind::Client));
    assert_eq!((servers.len(), clients.len()), (1, 2), "{spans:#?}");
    let server = servers[0];
    assert_eq!(answered, format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", hex(&server.span_id)));
    assert_eq!(hex(&server.parent_span_id), "b7ad6b7169203331");
    assert_attributes(
        server,
        json!({"http.request.method": "POST", "url.path": "/v1/chat/completions", "http.response.status_code": 200,
               "llm_orchestrator.attempts": 2, "error.type": null}),
    );
    for client in &clients {
        assert_eq!((&client.trace_id, &client.parent_span_id), (&server.trace_id, &server.span_id));
        assert!(client.start_time_unix_nano >= server.start_time_unix_nano);
        assert!(client.end_time_unix_nano <= server.end_time_unix_nano);
    }
    let at = |name: &str| {
        let named = |span: &&&Span| attribute(&span.attributes, "llm_orchestrator.provider") == name;
        *clients.iter().find(named).unwrap_or_else(|| panic!("{name} was asked"))
    };
    assert_attributes(
        at("a"),
        json!({"gen_ai.provider.name": "openai", "gen_ai.operation.name": "chat", "error.type": "server_error",
               "http.response.status_code": 500, "gen_ai.usage.input_tokens": null}),
    );
    assert_eq!(at("a").status.as_ref().map(|status| status.code()), Some(StatusCode::Error));
    assert_eq!(at("b").name, "chat claude-sonnet-4-5");
    assert_attributes(
        at("b"),
        json!({"gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5", "error.type": null,
               "http.request.resend_count": 1, "gen_ai.usage.input_tokens": 11, "gen_ai.usage.output_tokens": 7,
               "gen_ai.usage.cache_read.input_tokens": 3}),
    );
    for told in ["a secret question", "Hello from", "sk-of-b", crate::support::API_KEY] {
        let found = collector.seen().iter().any(|seen| String::from_utf8_lossy(&seen.body).contains(told));
        assert!(!found, "{told:?} is nobody's business");
    }
}

#[tokio::test]
async fn a_streams_span_lasts_until_its_end_and_has_its_usage() {
    let collector = collector().await;
    let (mut gateway, _upstreams) = traced(&collector, &[]).await;
    gateway.ask_stream("b:claude-sonnet-4-5").await.assert_ok();
    let spans = spans_at_the_end(&mut gateway, &collector).await;
    let clients = of_kind(&spans, SpanKind::Client);
    assert_eq!(clients.len(), 1);
    assert_attributes(clients[0], json!({"gen_ai.usage.output_tokens": 7, "error.type": null}));
    let servers = of_kind(&spans, SpanKind::Server);
    assert!(attribute(&servers[0].attributes, "llm_orchestrator.ttft_ms").is_i64());
}

#[tokio::test]
async fn whoever_calls_may_decide_that_nothing_is_traced() {
    let collector = collector().await;
    let (mut gateway, _upstreams) = traced(&collector, &[]).await;
    let request = chat(&question("b:claude-sonnet-4-5")).header("traceparent", UNSAMPLED);
    let reply = gateway.send(request).await;
    let answered = reply.assert_ok().header("traceparent").expect("the trace goes on, unrecorded").to_owned();
    assert!(answered.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && answered.ends_with("-00"), "{answered}");
    assert_eq!(spans_at_the_end(&mut gateway, &collector).await.len(), 0);
}

#[tokio::test]
async fn a_provider_of_ones_own_continues_the_trace_where_that_is_wanted() {
    let collector = collector().await;
    let (gateway, [_a, b]) = traced(&collector, &[("ORCHESTRATOR_TELEMETRY_PROPAGATE", "true")]).await;
    let reply = gateway.send(chat(&question("b:claude-sonnet-4-5")).header("traceparent", PARENT)).await;
    let answered = reply.assert_ok().header("traceparent").expect("the answer has one").to_owned();
    let passed = b.last().header("traceparent").expect("the provider is told").to_owned();
    assert!(passed.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{passed}");
    assert_ne!(passed, answered, "the provider's parent is the attempt, not the request");
}

#[tokio::test]
async fn nothing_is_traced_until_somebody_says_where_to() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    gateway.provider("a", "openai", &a, json!({})).await;
    let reply = gateway.send(chat(&question("gpt-4o")).header("traceparent", PARENT)).await;
    assert_eq!(reply.assert_ok().header("traceparent"), None);
}

#[tokio::test]
async fn a_collector_that_is_away_or_hangs_costs_no_request_and_no_stop() {
    let silent = Upstream::start("collector").await;
    silent.always(Script::silent());
    for endpoint in [Upstream::nowhere().await, silent.url()] {
        let settings = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("ORCHESTRATOR_TELEMETRY_QUEUE", "4"),
            ("ORCHESTRATOR_TELEMETRY_TIMEOUT", "1"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ];
        let mut gateway = Gateway::with(&settings).await;
        let a = Upstream::start("a").await;
        gateway.provider("a", "openai", &a, json!({})).await;
        for _ in 0..20 {
            gateway.ask("gpt-4o").await.assert_ok();
        }
        gateway.tells("Traces cannot be delivered").await;
        gateway.terminate();
        let ended = tokio::time::timeout(PATIENCE, gateway.exit()).await;
        assert!(ended.expect("the process ends in time").success());
    }
}

/// How many spans had which end, by the gateway's own count.
async fn ends(gateway: &Gateway) -> [u64; 3] {
    let metrics = gateway.admin("GET", "/metrics", Value::Null).await.text();
    ["delivered", "dropped", "failed"].map(|state| {
        let name = format!("llm_orchestrator_spans_total{{state=\"{state}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().expect("a count is a number")
    })
}

#[tokio::test]
async fn every_span_is_counted_as_delivered_dropped_or_failed() {
    let (silent, collector) = (Upstream::start("collector").await, collector().await);
    silent.always(Script::silent());
    let a = Upstream::start("a").await;
    for (endpoint, room) in [(collector.url(), "2048"), (Upstream::nowhere().await, "2048"), (silent.url(), "4")] {
        let settings = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("ORCHESTRATOR_TELEMETRY_QUEUE", room),
            ("ORCHESTRATOR_TELEMETRY_TIMEOUT", "1"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ];
        let gateway = Gateway::with(&settings).await;
        gateway.provider("a", "openai", &a, json!({})).await;
        for reply in futures_util::future::join_all((0..40).map(|_| gateway.ask("gpt-4o"))).await {
            reply.assert_ok();
        }
        // Two of each request: its own, and that of its attempt.
        let [delivered, dropped, failed] = eventually("every span to have an end", async || {
            let ends = ends(&gateway).await;
            (ends.iter().sum::<u64>() == 80).then_some(ends)
        })
        .await;
        match room {
            // There is no room for more than four at a time, and nobody takes them.
            "4" => assert!(delivered == 0 && dropped > 0 && failed > 0, "{dropped} dropped, {failed} failed"),
            _ if endpoint == collector.url() => assert_eq!((delivered, dropped, failed), (80, 0, 0)),
            _ => assert_eq!((delivered, dropped, failed), (0, 0, 80)),
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_is_no_address_stops_the_start() {
    let mut gateway = Gateway::start().await;
    let told = gateway.refuses_to_start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")]);
    assert!(told.contains("telemetry.endpoint") && told.contains("http://"), "{told}");
    let told = gateway.refuses_to_start(&[("OTEL_EXPORTER_OTLP_HEADERS", "secret-without-a-name")]);
    assert!(told.contains("telemetry.headers") && !told.contains("secret-without"), "{told}");
}

#[tokio::test]
async fn the_variables_of_opentelemetry_say_where_spans_go_and_of_what() {
    let collector = collector().await;
    let (base, whole) = (collector.url(), format!("{}/elsewhere", collector.url()));
    let elsewhere =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", base.as_str()), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", whole.as_str())];
    for (nothing, value) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_SAMPLER", "always_off")] {
        let mut gateway = Gateway::with(&[elsewhere[0], elsewhere[1], (nothing, value)]).await;
        gateway.ask("gpt-4o").await;
        gateway.terminate();
        assert!(gateway.exit().await.success());
        assert_eq!(collector.calls(), 0, "{nothing}");
    }
    let mut gateway = Gateway::with(&elsewhere).await;
    gateway.ask("gpt-4o").await;
    gateway.terminate();
    assert!(gateway.exit().await.success());
    assert_eq!((collector.calls(), collector.last().path), (1, "/elsewhere".to_owned()));
}
