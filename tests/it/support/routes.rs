//! A router of a test's own, as what a server asks.

use axum::{Router, body::Body, extract::Request, http::Response};
use llm_orchestrator::http::server::Handler;
use tower::ServiceExt;

/// Answers by these routes.
#[derive(Clone)]
pub struct Routes(pub Router);

impl Handler for Routes {
    async fn handle(&self, request: Request) -> Response<Body> {
        self.0.clone().oneshot(request).await.expect("routes answer always")
    }
}
