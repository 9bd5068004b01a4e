//! A line for every request at level debug. The data plane writes its own, richer one at level info.

use axum::{
    body::Body,
    extract::Request,
    http::{Method, Response},
};
use tokio::time::Instant;

use super::RequestId;

/// A request whose line is to be written when its answer's head is ready.
pub struct AccessLog {
    began: Instant,
    id: RequestId,
    method: Method,
    path: String,
}

impl AccessLog {
    /// `None` where nobody would read it.
    pub fn begin(request: &Request) -> Option<Self> {
        tracing::enabled!(tracing::Level::DEBUG).then(|| Self {
            began: Instant::now(),
            id: request.extensions().get::<RequestId>().cloned().unwrap_or_default(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
        })
    }

    pub fn write(&self, response: &Response<Body>) {
        let Self { began, id, method, path } = self;
        let (status, took) = (response.status().as_u16(), began.elapsed().as_millis() as u64);
        tracing::debug!(request_id = %id, status, took_ms = took, "{method} {path:?} {status} {took} ms");
    }
}
