//! OpenAI's Responses.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{
        Path, Request, State,
        rejection::PathRejection,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderValue, Response, StatusCode, header, request::Parts},
    response::IntoResponse,
    routing::{get, post},
};
use llm_protocol::{
    ir::{ApiError, ErrorKind},
    json::Json,
    openai_responses::OpenAiResponses,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    super::{Call, admission::Refused, auth},
    call, count, identify, segment,
};
use crate::{
    app::App,
    catalog::Endpoint,
    gateway::responses::{Create, Kept, Session},
    http::{error::respond, middleware::RequestId, server::Upgraded},
};

pub fn router() -> OpenApiRouter<Arc<App>> {
    let documented = OpenApiRouter::new()
        .routes(routes!(responses))
        .routes(routes!(input_tokens))
        .routes(routes!(response, delete_response))
        .routes(routes!(input_items))
        .routes(routes!(cancel))
        .route("/v1/responses", get(socket));
    ALIASES.into_iter().fold(documented, |router, alias| {
        router
            .route(alias, post(responses).get(socket))
            .route(&format!("{alias}/input_tokens"), post(input_tokens))
            .route(&format!("{alias}/{{id}}"), get(response).delete(delete_response))
            .route(&format!("{alias}/{{id}}/input_items"), get(input_items))
            .route(&format!("{alias}/{{id}}/cancel"), post(cancel))
    })
}

/// Where clients look that add no `/v1`, and Azure's.
const ALIASES: [&str; 3] = ["/responses", "/openai/responses", "/openai/v1/responses"];

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
    call(&app, Create::default(), request).await
}

/// Count a response's input tokens
///
/// As the provider that would answer counts them, or, where that one does not, as estimated here. An estimate is marked by the
/// header `X-Orchestrator-Estimate: true`.
#[utoipa::path(
    post,
    path = "/v1/responses/input_tokens",
    tag = "client",
    request_body(content = serde_json::Value, description = "OpenAI's request body"),
    responses((status = 200, description = "`input_tokens`", body = serde_json::Value)),
    security(("api_key" = []))
)]
pub(crate) async fn input_tokens(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let tell =
        |tokens| Json::object([("object", Json::from("response.input_tokens")), ("input_tokens", Json::from(tokens))]);
    count(&app, Call::of(&OpenAiResponses), request, tell).await
}

/// Documents a call about an answer and handles it.
macro_rules! kept {
    ($(#[doc = $line:literal])+ $name:ident, $method:ident, $path:literal, $part:expr) => {
        $(#[doc = $line])+
        #[utoipa::path(
            $method,
            path = $path,
            tag = "client",
            params(("id" = String, Path, description = "The response's")),
            responses((status = 200, description = "Done"), (status = 404, description = "There is none")),
            security(("api_key" = []))
        )]
        pub(crate) async fn $name(
            State(app): State<Arc<App>>,
            id: Result<Path<String>, PathRejection>,
            request: Request,
        ) -> Response<Body> {
            match segment(id) {
                Ok(id) => call(&app, Kept { id, part: $part }, request).await,
                Err(failure) => failure.into_response(),
            }
        }
    };
}

kept! {
    /// One response
    ///
    /// From the provider that gave it, or from here, where it was translated.
    response, get, "/v1/responses/{id}", None
}
kept! {
    /// Delete a response
    delete_response, delete, "/v1/responses/{id}", None
}
kept! {
    /// What a response answers
    input_items, get, "/v1/responses/{id}/input_items", Some("input_items")
}
kept! {
    /// Cancel a response in the background
    cancel, post, "/v1/responses/{id}/cancel", Some("cancel")
}

/// Responses over a WebSocket. The key is checked before it is opened.
async fn socket(
    State(app): State<Arc<App>>,
    Extension(id): Extension<RequestId>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Response<Body> {
    let parts = request.into_parts().0;
    let (Ok(upgrade), Some(upgraded)) = (upgrade, parts.extensions.get::<Upgraded>().cloned()) else {
        return neither(&id);
    };
    if let Err(refused) = opening(&app, &parts).await {
        return respond(&OpenAiResponses, &refused.error, &id);
    }
    let most = app.config.server.max_body_bytes;
    let session = Session { app, parts, upgraded };
    upgrade.max_message_size(most).max_frame_size(most).on_upgrade(|socket| session.serve(socket))
}

/// Whether the client may open one. What it then asks for is counted request by request.
async fn opening(app: &App, parts: &Parts) -> Result<(), Box<Refused>> {
    let address = auth::address(app, parts);
    let caller = identify(app, parts, address).await?;
    Ok(caller.permit(Endpoint::Responses, address)?)
}

/// Clients that ask for a WebSocket in vain fall back to POST at once on this status, and on no other.
fn neither(id: &RequestId) -> Response<Body> {
    let message = "send a POST, or open a WebSocket";
    let mut response = respond(&OpenAiResponses, &ApiError::new(ErrorKind::MethodNotAllowed, message), id);
    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response
}
