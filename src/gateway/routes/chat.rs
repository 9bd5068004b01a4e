//! OpenAI's Chat Completions.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::Response,
    response::IntoResponse,
    routing::post,
};
use llm_protocol::openai_chat::OpenAiChat;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{super::Call, PREFIXES, WITH_MODEL, call, segment};
use crate::app::App;

pub fn router() -> OpenApiRouter<Arc<App>> {
    let at = |prefix: &str| format!("{prefix}/chat/completions");
    let documented = OpenApiRouter::new().routes(routes!(chat_completions));
    let router =
        PREFIXES.into_iter().fold(documented, |router, prefix| router.route(&at(prefix), post(chat_completions)));
    WITH_MODEL.into_iter().fold(router, |router, prefix| router.route(&at(prefix), post(chat_completions_of_model)))
}

/// Chat completion
///
/// OpenAI's Chat Completions API in front of every provider. Beside OpenAI's fields the body may hold `provider`,
/// `fallback_providers`, `timeout` and `retry_count`. With `stream: true` the answer is a stream of server-sent events.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    tag = "client",
    request_body(content = serde_json::Value, description = "OpenAI's request body, with the orchestration fields"),
    responses(
        (status = 200, description = "The answer, with `provider` and `latency_ms`", body = serde_json::Value),
        (status = 400, description = "The body is invalid; the message names the field"),
        (status = 401, description = "The API key is missing or wrong"),
        (status = 404, description = "No provider serves the model"),
        (status = 429, description = "A rate limit; `Retry-After` says how long to wait"),
        (status = 502, description = "The provider failed"),
        (status = 503, description = "Nobody can serve the request now"),
        (status = 504, description = "A deadline passed"),
    ),
    security(("api_key" = []))
)]
pub(crate) async fn chat_completions(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    call(&app, Call::of(&OpenAiChat), request).await
}

async fn chat_completions_of_model(
    State(app): State<Arc<App>>,
    model: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response<Body> {
    match segment(model) {
        Ok(model) => call(&app, Call { model: Some(model), ..Call::of(&OpenAiChat) }, request).await,
        Err(failure) => failure.into_response(),
    }
}
