//! Errors as HTTP answers, in the shape of the protocol that was asked.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use llm_protocol::{
    ErrorContext, Inbound,
    ir::{ApiError, ErrorKind},
};

use crate::clock;

/// The body and headers of `error`, in `inbound`'s shape. `request_id` is the value of the `X-Request-ID` header.
pub fn respond(inbound: &dyn Inbound, error: &ApiError, request_id: &str) -> Response<Body> {
    let body = inbound.encode_error(error, &context(request_id));
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(inbound.status(error)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(wait) = error.retry_after {
        // OpenAI's SDKs look here first.
        headers.insert(HeaderName::from_static("retry-after-ms"), whole_millis(wait).into());
    }
    match error.kind {
        ErrorKind::Unauthorized => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        ErrorKind::RateLimited | ErrorKind::QuotaExceeded | ErrorKind::Unavailable | ErrorKind::Overloaded => {
            headers.insert(header::RETRY_AFTER, error.retry_after.map_or(1, whole_seconds).into());
        }
        _ => {
            if let Some(wait) = error.retry_after {
                headers.insert(header::RETRY_AFTER, whole_seconds(wait).into());
            }
        }
    }
    response
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs_f64().ceil().clamp(1.0, 86_400.0) as u64
}

fn whole_millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX).clamp(1, 86_400_000)
}

/// What an error body tells besides the error.
pub fn context(request_id: &str) -> ErrorContext {
    ErrorContext { request_id: request_id.to_owned(), timestamp: clock::rfc3339(clock::now_micros()) }
}

/// An error of a handler outside the client protocols; becomes an answer once the request's id is known.
#[derive(Debug, Clone)]
pub struct Failure(pub ApiError);

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

/// The middleware that gives every request its id replaces this placeholder by [`respond`]: handlers need not know the id.
impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives a handler's [`Failure`], if `response` holds one, its body in `inbound`'s shape.
pub fn complete(response: &mut Response<Body>, inbound: &dyn Inbound, request_id: &str) {
    let Some(Failure(error)) = response.extensions_mut().remove::<Failure>() else { return };
    let mut completed = respond(inbound, &error, request_id);
    // What the layers in between have added, such as who may read the answer, holds for the error too; but for how long it is.
    response.headers_mut().remove(header::CONTENT_LENGTH);
    completed.headers_mut().extend(std::mem::take(response.headers_mut()));
    *response = completed;
}
