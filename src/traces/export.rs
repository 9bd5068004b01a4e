//! The way of spans to the collector: the exporter's thread hands a request to the runtime and waits for it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};

use crate::upstream::{Client, late, read_whole};

/// What a collector answers is short; more is not read.
const ANSWER_LIMIT: usize = 1 << 20;

/// Sends over the gateway's own client.
#[derive(Debug)]
pub struct Sender {
    client: Client,
    timeout: Duration,
    runtime: Handle,
    /// The last delivery failed. Only a change is logged: a collector may be away for days.
    failing: AtomicBool,
}

impl Sender {
    /// Must be called within the runtime.
    pub fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout, runtime: Handle::current(), failing: AtomicBool::new(false) }
    }

    fn tell(&self, outcome: &Result<Response<Bytes>, HttpError>) {
        let problem = match outcome {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered with status {}", answer.status().as_u16())),
            Err(error) => Some(error.to_string()),
        };
        let failed = self.failing.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(problem) if !failed => tracing::warn!("Traces cannot be delivered to the collector: {problem}"),
            None if failed => tracing::info!("Traces are delivered to the collector again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, deadline) = (self.client.clone(), Instant::now() + self.timeout);
        let sending = self.runtime.spawn(async move {
            let sent = timeout_at(deadline, client.send(request.map(Full::new))).await.map_err(|_| late())??;
            let (head, body) = sent.into_parts();
            let body = read_whole(body, &head.headers, ANSWER_LIMIT, deadline).await?;
            Ok::<_, HttpError>(Response::from_parts(head, body))
        });
        let outcome = match sending.await {
            Ok(outcome) => outcome,
            Err(ended) => Err(ended.into()),
        };
        self.tell(&outcome);
        outcome
    }
}
