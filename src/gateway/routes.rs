//! Which paths clients call, and what every call goes through before it is handled.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{ConnectInfo, Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, Response, header},
    routing::{get, post},
};
use llm_protocol::{
    Inbound,
    ir::{ApiError, ErrorKind},
    openai_chat::OpenAiChat,
};

use super::{
    auth, handle,
    models::{self, ModelList, ModelObject},
    record::Record,
    tell_attempts,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    clock,
    http::{
        body::read_body,
        error::{Failure, respond},
        middleware::RequestId,
    },
    store::LogRow,
};

/// The data plane's routes. Those without `/v1` are for clients that add nothing to their base URL.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(chat_completions))
        .routes(routes!(list_models))
        .routes(routes!(get_model))
        .route("/chat/completions", post(chat_completions))
        .route("/models", get(list_models))
        .route("/models/{*id}", get(get_model))
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
    call(&app, &OpenAiChat, request).await
}

/// What every generating call goes through: a record is begun, the caller is identified, the body is read.
async fn call(app: &Arc<App>, inbound: &'static dyn Inbound, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let request_id = parts.extensions.get::<RequestId>().cloned().unwrap_or_default();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let row = LogRow {
        request_id: request_id.to_string(),
        created_at: clock::now_micros(),
        endpoint: parts.uri.path().to_owned(),
        method: parts.method.to_string(),
        ip_address: peer.map(|ip| ip.to_string()),
        user_agent: text(&parts.headers, header::USER_AGENT).map(|agent| agent.chars().take(300).collect()),
        ..LogRow::default()
    };
    let mut record = Record::begin(app.clone(), row);
    let answer = async {
        let caller = auth::caller(app, &parts.headers, peer)?;
        record.called_by(&caller);
        let server = &app.config.server;
        let body = read_body(&parts.headers, body, server.max_body_bytes, server.body_timeout).await?;
        handle(app, inbound, &caller, &parts.headers, body, &mut record).await
    };
    match app.last_call.run_until_cancelled(answer).await.unwrap_or_else(|| Err(stopping())) {
        Ok(response) => response,
        Err(error) => refuse(inbound, &error, &request_id, &mut record),
    }
}

/// Why a request ended that was still running when the gateway had to.
pub(super) fn stopping() -> ApiError {
    ApiError { reason: Some("stopping"), ..ApiError::new(ErrorKind::Unavailable, "the gateway is stopping") }
}

fn refuse(inbound: &dyn Inbound, error: &ApiError, request_id: &RequestId, record: &mut Record) -> Response<Body> {
    let mut response = respond(inbound, error, request_id);
    if let Some((provider, model)) = record.asked_last() {
        let headers = response.headers_mut();
        tell_attempts(headers, provider, model, record.attempts());
        // The official SDKs would repeat what was repeated here already.
        if error.status() >= 500 {
            headers.insert("x-should-retry", header::HeaderValue::from_static("false"));
        }
    }
    record.fail(error);
    response
}

/// List models
///
/// Every model that can be asked for: configured ones by name, each provider's own as `PROVIDER:model`.
#[utoipa::path(get, path = "/v1/models", tag = "client", responses((status = 200, body = ModelList)), security(("api_key" = [])))]
pub(crate) async fn list_models(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Json<ModelList>, Failure> {
    let caller = auth::caller(&app, &headers, None)?;
    Ok(Json(models::list(&app.catalog(), &caller)))
}

/// One model
///
/// The rest of the path is the id, since ids may hold `:` and `/`.
#[utoipa::path(
    get,
    path = "/v1/models/{*id}",
    tag = "client",
    params(("id" = String, Path, description = "As in the list, or any name that a request may use")),
    responses((status = 200, body = ModelObject), (status = 404, description = "No provider serves it")),
    security(("api_key" = []))
)]
pub(crate) async fn get_model(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<ModelObject>, Failure> {
    let caller = auth::caller(&app, &headers, None)?;
    let Path(id) = id.map_err(|_| ApiError::new(ErrorKind::InvalidRequest, "the model's id must be UTF-8"))?;
    Ok(Json(models::find(&app.catalog(), &caller, &id)?))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
