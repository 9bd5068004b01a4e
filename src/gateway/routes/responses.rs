//! OpenAI's Responses.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Response, StatusCode, header},
    routing::{get, post},
};
use llm_protocol::{
    ir::{ApiError, ErrorKind},
    openai_responses::OpenAiResponses,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{super::Call, PREFIXES, call};
use crate::{
    app::App,
    http::{error::respond, middleware::RequestId},
};

pub fn router() -> OpenApiRouter<Arc<App>> {
    let documented = OpenApiRouter::new().routes(routes!(responses)).route("/v1/responses", get(only_post));
    PREFIXES
        .into_iter()
        .fold(documented, |router, prefix| router.route(&format!("{prefix}/responses"), post(responses).get(only_post)))
}

/// Response
///
/// OpenAI's Responses API in front of every provider. Beside OpenAI's fields the body may hold `provider`,
/// `fallback_providers`, `timeout` and `retry_count`. With `stream: true` the answer is a stream of server-sent events.
#[utoipa::path(
    post,
    path = "/v1/responses",
    tag = "client",
    request_body(content = serde_json::Value, description = "OpenAI's request body, with the orchestration fields"),
    responses(
        (status = 200, description = "The response", body = serde_json::Value),
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
pub(crate) async fn responses(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    call(&app, Call::of(&OpenAiResponses), request).await
}

/// Clients that ask for a WebSocket first fall back to POST at once on this status, and on no other.
async fn only_post(Extension(id): Extension<RequestId>) -> Response<Body> {
    let message = "no WebSocket is spoken here: send a POST";
    let mut response = respond(&OpenAiResponses, &ApiError::new(ErrorKind::MethodNotAllowed, message), &id);
    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response
}
