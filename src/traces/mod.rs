//! Traces by OpenTelemetry: a server span for every request, and below it a client span for every attempt, with the
//! attributes of the semantic conventions for generative AI. Prompts and answers are never among them.
//!
//! Spans wait in a bounded queue for a thread that delivers them in batches. A collector that is slow or away costs
//! spans, which are counted, never requests. Without an endpoint there is none of this.

mod counted;
mod export;
mod names;
mod request;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use hyper::http::{HeaderMap, Uri};
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider},
};

pub use self::request::{Asked, RequestTrace};
use self::{
    counted::{Delivery, Ends, Queue},
    export::Sender,
};
use crate::{
    config::{TelemetryConfig, TraceShare},
    upstream::Client,
};

/// Where traces begin; off unless an endpoint is configured.
#[derive(Debug)]
pub struct Traces {
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// Providers are told of the trace too.
    propagate: bool,
    ends: Arc<Ends>,
}

impl Traces {
    /// Starts the delivery over `client`, if there is somewhere to deliver to. Must be called within the runtime.
    pub fn start(config: &TelemetryConfig, client: &Client) -> anyhow::Result<Self> {
        let Some(endpoint) = config.address() else { return Ok(Self { running: None }) };
        endpoint.parse::<Uri>().with_context(|| format!("telemetry: {endpoint:?} is not an address"))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new(client.clone(), config.timeout))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(config.timeout)
            .with_headers(config.header_pairs().map_err(|why| anyhow!(why))?.into_iter().collect())
            .build()
            .context("telemetry: the delivery of traces cannot be set up")?;
        let ends = Arc::new(Ends::default());
        let batches = BatchConfigBuilder::default().with_max_queue_size(config.queue).build();
        let delivery = Delivery { exporter, ends: ends.clone() };
        let inside = BatchSpanProcessor::builder(delivery).with_batch_config(batches).build();
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Queue { inside, room: config.queue, ends: ends.clone() })
            .with_sampler(sampler(config))
            .with_resource(resource)
            .build();
        let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
        Ok(Self { running: Some(Running { provider, tracer, propagate: config.propagate, ends }) })
    }

    /// How many spans were delivered, dropped because too many waited, and not taken by the collector; `None` if nothing is
    /// traced.
    pub fn ends(&self) -> Option<[(&'static str, u64); 3]> {
        let ends = &self.running.as_ref()?.ends;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Some([("delivered", of(&ends.delivered)), ("dropped", of(&ends.dropped)), ("failed", of(&ends.failed))])
    }

    /// Begins the trace of a request with these headers, or goes on with that of whoever sent it. `None` if nothing is traced.
    pub fn begin(&self, method: &str, path: &str, headers: &HeaderMap) -> Option<Box<RequestTrace>> {
        let running = self.running.as_ref()?;
        Some(Box::new(RequestTrace::begin(running.tracer.clone(), running.propagate, method, path, headers)))
    }

    /// Delivers what waits, within `deadline`, and ends.
    pub async fn stop(&self, deadline: Duration) {
        let Some(provider) = self.running.as_ref().map(|running| running.provider.clone()) else { return };
        let stopping = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(deadline));
        let outcome = tokio::time::timeout(deadline + Duration::from_secs(1), stopping).await;
        if !matches!(outcome, Ok(Ok(Ok(())))) {
            tracing::warn!("The last spans could not be delivered");
        }
    }
}

fn sampler(config: &TelemetryConfig) -> Sampler {
    let sampler = match config.sampler.share {
        TraceShare::All => Sampler::AlwaysOn,
        TraceShare::None => Sampler::AlwaysOff,
        TraceShare::Ratio => Sampler::TraceIdRatioBased(config.sample_ratio),
    };
    if config.sampler.parent_based { Sampler::ParentBased(Box::new(sampler)) } else { sampler }
}
