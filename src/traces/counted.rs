//! What becomes of spans: a queue that counts what it has no room for, and an exporter that counts what it delivers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};

/// How many spans had which end.
#[derive(Debug, Default)]
pub struct Ends {
    pub delivered: AtomicU64,
    /// The queue was full.
    pub dropped: AtomicU64,
    /// The collector did not take them.
    pub failed: AtomicU64,
    waiting: AtomicUsize,
}

/// A queue for no more spans than it has room for. The one inside has as much, and so nothing is lost there uncounted.
#[derive(Debug)]
pub struct Queue {
    pub inside: BatchSpanProcessor,
    pub room: usize,
    pub ends: Arc<Ends>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inside.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        // The one inside leaves the others out.
        if !span.span_context.is_sampled() {
            return;
        }
        if self.ends.waiting.fetch_add(1, Ordering::Relaxed) < self.room {
            self.inside.on_end(span);
        } else {
            self.ends.waiting.fetch_sub(1, Ordering::Relaxed);
            self.ends.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inside.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inside.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inside.set_resource(resource);
    }
}

/// The other end of a [`Queue`].
#[derive(Debug)]
pub struct Delivery<E> {
    pub exporter: E,
    pub ends: Arc<Ends>,
}

impl<E: SpanExporter> SpanExporter for Delivery<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        self.ends.waiting.fetch_sub(count, Ordering::Relaxed);
        let outcome = self.exporter.export(batch).await;
        let end = if outcome.is_ok() { &self.ends.delivered } else { &self.ends.failed };
        end.fetch_add(count as u64, Ordering::Relaxed);
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
