//! The spans of one request.

use hyper::http::{HeaderMap, HeaderValue};
use llm_protocol::ir::ApiError;
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator,
    trace::{Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{SdkTracer, Span},
};

use super::names;
use crate::{routing::Target, store::LogRow};

/// A request that is traced. Dropping it ends its spans.
pub struct RequestTrace {
    tracer: SdkTracer,
    propagate: bool,
    /// Ends before the server's, whoever ends them.
    attempt: Option<Span>,
    server: Span,
}

/// What an attempt is about.
pub struct Asked<'a> {
    pub target: &'a Target,
    /// The client's path.
    pub endpoint: &'a str,
    /// Attempts before this one.
    pub before: i64,
}

impl RequestTrace {
    pub(super) fn begin(tracer: SdkTracer, propagate: bool, method: &str, path: &str, headers: &HeaderMap) -> Self {
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let attributes =
            [KeyValue::new("http.request.method", method.to_owned()), KeyValue::new("url.path", path.to_owned())];
        let name =
            names::operation(path).map_or_else(|| method.to_owned(), |operation| format!("{method} {operation}"));
        let server = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_attributes(attributes)
            .start_with_context(&tracer, &parent);
        Self { tracer, propagate, attempt: None, server }
    }

    /// An attempt begins.
    pub fn attempt(&mut self, asked: &Asked<'_>) {
        let Target { provider, model, .. } = asked.target;
        let vendor = names::vendor(provider.kind.name);
        let operation = names::operation(asked.endpoint);
        let mut attributes = vec![
            KeyValue::new("gen_ai.provider.name", vendor),
            KeyValue::new("llm_orchestrator.provider", provider.name.to_string()),
        ];
        attributes.extend(operation.map(|operation| KeyValue::new("gen_ai.operation.name", operation)));
        if !model.is_empty() {
            attributes.push(KeyValue::new("gen_ai.request.model", model.clone()));
        }
        if asked.before > 0 {
            attributes.push(KeyValue::new("http.request.resend_count", asked.before));
        }
        let name = format!("{} {}", operation.unwrap_or("request"), if model.is_empty() { vendor } else { model });
        let parent = Context::new().with_remote_span_context(self.server.span_context().clone());
        let span = self.tracer.build_with_context(
            SpanBuilder::from_name(name).with_kind(SpanKind::Client).with_attributes(attributes),
            &parent,
        );
        self.attempt = Some(span);
    }

    /// The attempt has failed before its client got anything.
    pub fn attempt_failed(&mut self, error: &ApiError) {
        let Some(mut span) = self.attempt.take() else { return };
        if let Some(status) = error.upstream_status {
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        }
        fail(&mut span, error.reason.unwrap_or(error.kind.code()));
        span.end();
    }

    /// The request has ended as its row says.
    pub fn end(mut self, row: &LogRow) {
        if let Some(mut span) = self.attempt.take() {
            span.set_attributes(usage(row));
            if let Some(code) = &row.error_code {
                fail(&mut span, code);
            }
            span.end();
        }
        let server = &mut self.server;
        server.set_attribute(KeyValue::new("http.response.status_code", row.status_code));
        server.set_attribute(KeyValue::new("llm_orchestrator.request_id", row.request_id.clone()));
        server.set_attribute(KeyValue::new("llm_orchestrator.attempts", row.attempts));
        server.set_attributes(row.key_name.clone().map(|name| KeyValue::new("llm_orchestrator.key", name)));
        server.set_attributes(row.ttft_ms.map(|wait| KeyValue::new("llm_orchestrator.ttft_ms", wait)));
        match &row.error_code {
            Some(code) if row.status_code >= 500 => fail(server, code),
            Some(code) => server.set_attribute(KeyValue::new("error.type", code.clone())),
            None => {}
        }
    }

    /// The `traceparent` of the answer.
    pub fn traceparent(&self) -> Option<HeaderValue> {
        traceparent(self.server.span_context())
    }

    /// The `traceparent` of the attempt that runs, where providers are to be told.
    pub fn upstream_traceparent(&self) -> Option<HeaderValue> {
        let span = self.attempt.as_ref().filter(|_| self.propagate)?;
        traceparent(span.span_context())
    }
}

/// As W3C's "Trace Context" writes it, version 00.
fn traceparent(context: &SpanContext) -> Option<HeaderValue> {
    let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags().to_u8());
    HeaderValue::try_from(format!("00-{trace}-{span}-{flags:02x}")).ok()
}

fn fail(span: &mut Span, code: &str) {
    span.set_attribute(KeyValue::new("error.type", code.to_owned()));
    span.set_status(Status::error(code.to_owned()));
}

fn usage(row: &LogRow) -> impl Iterator<Item = KeyValue> {
    let counts = [
        ("gen_ai.usage.input_tokens", row.prompt_tokens),
        ("gen_ai.usage.output_tokens", row.completion_tokens),
        ("gen_ai.usage.cache_read.input_tokens", row.cached_tokens),
        ("gen_ai.usage.cache_creation.input_tokens", row.cache_write_tokens),
        ("gen_ai.usage.reasoning.output_tokens", row.reasoning_tokens),
    ];
    counts.into_iter().filter_map(|(name, count)| Some(KeyValue::new(name, count?)))
}
