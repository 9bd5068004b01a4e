//! Turns a handler's panic into an answer that tells nothing of it.

use std::any::Any;

use axum::{body::Body, http::Response, response::IntoResponse};
use llm_protocol::ir::{ApiError, ErrorKind};
use tower_http::catch_panic::CatchPanicLayer;

use crate::http::error::Failure;

type Answer = fn(Box<dyn Any + Send>) -> Response<Body>;

/// Catches panics of everything inside. The panic itself is logged where all panics are.
pub fn layer() -> CatchPanicLayer<Answer> {
    CatchPanicLayer::custom(answer as Answer)
}

fn answer(_: Box<dyn Any + Send>) -> Response<Body> {
    Failure(ApiError::new(ErrorKind::Internal, "an internal error occurred")).into_response()
}
