//! Which pages of other origins may call the API from a browser.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

/// Headers that a page may read besides the few that browsers always show.
const EXPOSED: [HeaderName; 16] = [
    header::RETRY_AFTER,
    HeaderName::from_static("retry-after-ms"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-process-time"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-orchestrator-provider"),
    HeaderName::from_static("x-orchestrator-model"),
    HeaderName::from_static("x-orchestrator-attempts"),
    HeaderName::from_static("x-orchestrator-dropped"),
    HeaderName::from_static("x-orchestrator-approximated"),
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// The layer for these origins; none if no origin is allowed. Keys travel in headers, never in cookies, so credentials
/// in the browser's sense stay off.
pub fn layer(origins: &[String]) -> Option<CorsLayer> {
    let origins = match origins {
        [] => return None,
        origins if origins.iter().any(|origin| origin == "*") => AllowOrigin::from(Any),
        origins => AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
    };
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
        .max_age(Duration::from_secs(600));
    Some(layer)
}
