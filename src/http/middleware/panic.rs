//! Turns a handler's panic into an answer that tells nothing of it.

use std::panic::AssertUnwindSafe;

use axum::{body::Body, http::Response, response::IntoResponse};
use futures_util::FutureExt;
use llm_protocol::ir::{ApiError, ErrorKind};

use crate::http::error::Failure;

/// What `answering` answers, or that it failed. The panic itself is logged where all panics are.
pub async fn caught(answering: impl Future<Output = Response<Body>>) -> Response<Body> {
    // What a panic may have left half done belonged to the request, or recovers from it by itself.
    let outcome = AssertUnwindSafe(answering).catch_unwind().await;
    outcome
        .unwrap_or_else(|_| Failure(ApiError::new(ErrorKind::Internal, "an internal error occurred")).into_response())
}
