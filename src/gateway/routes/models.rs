//! Which models there are.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::HeaderMap,
    routing::get,
};
use llm_protocol::ir::{ApiError, ErrorKind};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    gateway::{
        auth,
        models::{self, ModelList, ModelObject},
    },
    http::error::Failure,
};

pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_models))
        .routes(routes!(get_model))
        .route("/models", get(list_models))
        .route("/models/{*id}", get(get_model))
}

/// List models
///
/// Every model that can be asked for: configured ones by name, each provider's own as `PROVIDER:model`.
#[utoipa::path(get, path = "/v1/models", tag = "client", responses((status = 200, body = ModelList)), security(("api_key" = [])))]
pub(crate) async fn list_models(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Json<ModelList>, Failure> {
    let caller = auth::caller(&app, &headers, None, None)?;
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
    let caller = auth::caller(&app, &headers, None, None)?;
    let Path(id) = id.map_err(|_| ApiError::new(ErrorKind::InvalidRequest, "the model's id must be UTF-8"))?;
    Ok(Json(models::find(&app.catalog(), &caller, &id)?))
}
