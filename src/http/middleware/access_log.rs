//! A line for every request at level debug. The data plane writes its own, richer one at level info.

use axum::{body::Body, extract::Request, http::Response, middleware::Next};
use tokio::time::Instant;

use super::RequestId;

/// Logs the request when its answer's head is ready.
pub async fn write(request: Request, next: Next) -> Response<Body> {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return next.run(request).await;
    }
    let began = Instant::now();
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), began.elapsed().as_millis() as u64);
    tracing::debug!(request_id = %id, status, took_ms = took, "{method} {path:?} {status} {took} ms");
    response
}
