//! Which provider serves which model, and what it can do with it.

mod input;
mod view;

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};

use self::{
    input::ModelProviderInput,
    view::{ModelProviderView, Names},
};
use super::{
    Operator,
    error::{invalid, no_such},
    input::{Body, Id, Params},
    providers::put_in_force,
};
use crate::{
    app::App,
    clock,
    http::error::Failure,
    store::{ModelProvider, Noun, StoreError},
};

/// List who serves what
#[utoipa::path(
    get,
    path = "/model-providers",
    tag = "admin",
    params(
        ("model_id" = Option<i64>, Query, description = "Only who serves this model"),
        ("provider_id" = Option<i64>, Query, description = "Only what this provider serves"),
    ),
    responses((status = 200, body = Vec<ModelProviderView>)),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn list(
    _: Operator,
    State(app): State<Arc<App>>,
    params: Params,
) -> Result<Json<Vec<ModelProviderView>>, Failure> {
    let model_id = params.integer("model_id", 0..=i64::MAX)?;
    let provider_id = params.integer("provider_id", 0..=i64::MAX)?;
    let snapshot = app.store.snapshot().await?;
    let names = Names::of(&snapshot);
    let wanted = snapshot.model_providers.iter().filter(|row| {
        model_id.is_none_or(|id| row.model_id == id) && provider_id.is_none_or(|id| row.provider_id == id)
    });
    Ok(Json(wanted.map(|row| names.view(row)).collect()))
}

/// Let a provider serve a model
///
/// Needs `model_id` and `provider_id`. From then on the provider serves the models that it is associated with, and no
/// others under a plain name.
#[utoipa::path(
    post,
    path = "/model-providers",
    tag = "admin",
    request_body = ModelProviderInput,
    responses(
        (status = 201, body = ModelProviderView),
        (status = 400, description = "A field is wrong, or there is such a row; the message says which"),
    ),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn create(
    _: Operator,
    State(app): State<Arc<App>>,
    Body(input): Body<ModelProviderInput>,
) -> Result<(StatusCode, Json<ModelProviderView>), Failure> {
    let mut row = ModelProvider::with_defaults(0, clock::now_micros());
    input.apply(&mut row)?;
    ends_exist(&app, &mut row).await?;
    row.id = app.store.new_id(Noun::ModelProvider).await?;
    app.store.insert_model_provider(&row).await.map_err(refused)?;
    put_in_force(&app).await?;
    Ok((StatusCode::CREATED, Json(shown(&app, &row).await?)))
}

/// Who serves what: one row
#[utoipa::path(
    get,
    path = "/model-providers/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    responses((status = 200, body = ModelProviderView), (status = 404, description = "There is no such row")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn get(
    _: Operator,
    State(app): State<Arc<App>>,
    Id(id): Id,
) -> Result<Json<ModelProviderView>, Failure> {
    let row = app.store.model_provider(id).await?.ok_or_else(|| no_such("model provider", id))?;
    Ok(Json(shown(&app, &row).await?))
}

/// Change how a provider serves a model
///
/// What is left out stays; `null` puts the default back.
#[utoipa::path(
    patch,
    path = "/model-providers/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    request_body = ModelProviderInput,
    responses(
        (status = 200, body = ModelProviderView),
        (status = 400, description = "A field is wrong, or there is such a row; the message says which"),
        (status = 404, description = "There is no such row"),
    ),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn update(
    _: Operator,
    State(app): State<Arc<App>>,
    Id(id): Id,
    Body(input): Body<ModelProviderInput>,
) -> Result<Json<ModelProviderView>, Failure> {
    Ok(Json(change(&app, id, &input).await?))
}

/// Change how a provider serves a model
///
/// The same as `PATCH`: what is left out stays.
#[utoipa::path(
    put,
    path = "/model-providers/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    request_body = ModelProviderInput,
    responses((status = 200, body = ModelProviderView)),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn replace(
    _: Operator,
    State(app): State<Arc<App>>,
    Id(id): Id,
    Body(input): Body<ModelProviderInput>,
) -> Result<Json<ModelProviderView>, Failure> {
    Ok(Json(change(&app, id, &input).await?))
}

async fn change(app: &App, id: i64, input: &ModelProviderInput) -> Result<ModelProviderView, Failure> {
    let mut wanted = app.store.model_provider(id).await?.ok_or_else(|| no_such("model provider", id))?;
    input.apply(&mut wanted)?;
    ends_exist(app, &mut wanted).await?;
    let edited = app.store.edit_model_provider(id, |row| {
        input.apply(row).map_err(Edit::Refused)?;
        row.upstream_name.clone_from(&wanted.upstream_name);
        Ok(())
    });
    let row = match edited.await {
        Ok(row) => row.ok_or_else(|| no_such("model provider", id))?,
        Err(Edit::Refused(error)) => return Err(error.into()),
        Err(Edit::Failed(error)) => return Err(refused(error)),
    };
    put_in_force(app).await?;
    shown(app, &row).await
}

/// No longer let a provider serve a model
#[utoipa::path(
    delete,
    path = "/model-providers/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    responses((status = 204, description = "Deleted"), (status = 404, description = "There is no such row")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn delete(_: Operator, State(app): State<Arc<App>>, Id(id): Id) -> Result<StatusCode, Failure> {
    if !app.store.delete_model_provider(id).await? {
        return Err(no_such("model provider", id));
    }
    put_in_force(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Checks that both ends exist, and calls the model by its own name where no other was given.
async fn ends_exist(app: &App, row: &mut ModelProvider) -> Result<(), Failure> {
    let Some(model) = app.store.model(row.model_id).await? else {
        return Err(invalid("model_id", format!("`model_id`: there is no model {}", row.model_id)).into());
    };
    if app.store.provider(row.provider_id).await?.is_none() {
        return Err(invalid("provider_id", format!("`provider_id`: there is no provider {}", row.provider_id)).into());
    }
    if row.upstream_name.is_empty() {
        row.upstream_name = model.name;
    }
    Ok(())
}

async fn shown(app: &App, row: &ModelProvider) -> Result<ModelProviderView, Failure> {
    Ok(Names::of(&app.store.snapshot().await?).view(row))
}

fn refused(error: StoreError) -> Failure {
    match error {
        StoreError::Duplicate => {
            invalid("upstream_name", "the provider serves this model under this name already").into()
        }
        StoreError::DanglingReference => invalid("provider_id", "the model or the provider was just deleted").into(),
        other => other.into(),
    }
}

/// Why an edit did not happen.
enum Edit {
    Refused(llm_protocol::ir::ApiError),
    Failed(StoreError),
}

impl From<StoreError> for Edit {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}
