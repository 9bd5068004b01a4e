//! Anthropic's Messages API.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::Response,
    routing::post,
};
use llm_protocol::{anthropic::Anthropic, json::Json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{super::Call, call, count};
use crate::app::App;

pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(messages))
        .routes(routes!(count_tokens))
        .route("/messages", post(messages))
        .route("/messages/count_tokens", post(count_tokens))
}

/// Message
///
/// Anthropic's Messages API in front of every provider. The headers `X-Orchestrator-Provider`, `-Fallback`, `-Timeout` and
/// `-Retries` say what a chat request says in fields. With `stream: true` the answer is a stream of server-sent events.
#[utoipa::path(
    post,
    path = "/v1/messages",
    tag = "client",
    request_body(content = serde_json::Value, description = "Anthropic's request body"),
    responses(
        (status = 200, description = "The answer", body = serde_json::Value),
        (status = 400, description = "The body is invalid; the message names the field"),
        (status = 401, description = "The API key is missing or wrong"),
        (status = 404, description = "No provider serves the model"),
        (status = 429, description = "A rate limit; `Retry-After` says how long to wait"),
        (status = 502, description = "The provider failed"),
        (status = 503, description = "Nobody can serve the request now"),
        (status = 504, description = "A deadline passed"),
        (status = 529, description = "The provider is overloaded"),
    ),
    security(("api_key" = []))
)]
pub(crate) async fn messages(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    call(&app, Call::of(&Anthropic), request).await
}

/// Count tokens
///
/// How many tokens a message's prompt takes: as the provider that would answer it counts, or, where that one does not, as
/// estimated here. An estimate is marked by the header `X-Orchestrator-Estimate: true`.
#[utoipa::path(
    post,
    path = "/v1/messages/count_tokens",
    tag = "client",
    request_body(content = serde_json::Value, description = "Anthropic's request body, without `max_tokens`"),
    responses(
        (status = 200, description = "`input_tokens`", body = serde_json::Value),
        (status = 400, description = "The body is invalid; the message names the field"),
        (status = 401, description = "The API key is missing or wrong"),
        (status = 404, description = "No provider serves the model"),
    ),
    security(("api_key" = []))
)]
pub(crate) async fn count_tokens(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    count(&app, Call::of(&Anthropic), request, |tokens| Json::object([("input_tokens", Json::from(tokens))])).await
}
