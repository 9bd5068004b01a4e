//! Models: the names that clients ask for, and what they cost.

mod input;
mod view;

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use llm_protocol::ir::ApiError;

use self::{input::ModelInput, view::ModelView};
use super::{
    Operator,
    error::{invalid, no_such, taken},
    input::{Body, Id},
    providers::put_in_force,
};
use crate::{
    app::App,
    clock,
    http::error::Failure,
    store::{Model, Noun},
};

/// List models
///
/// Configured models by name. What providers serve beside them is in `/v1/models`.
#[utoipa::path(
    get,
    path = "/models",
    tag = "admin",
    responses((status = 200, body = Vec<ModelView>)),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn list(_: Operator, State(app): State<Arc<App>>) -> Result<Json<Vec<ModelView>>, Failure> {
    Ok(Json(app.store.models().await?.iter().map(ModelView::from).collect()))
}

/// Create a model
///
/// Needs `name`. Until a provider is associated with it, nobody serves it.
#[utoipa::path(
    post,
    path = "/models",
    tag = "admin",
    request_body = ModelInput,
    responses(
        (status = 201, body = ModelView),
        (status = 400, description = "A field is wrong, or a name is taken; the message says which"),
    ),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn create(
    _: Operator,
    State(app): State<Arc<App>>,
    Body(input): Body<ModelInput>,
) -> Result<(StatusCode, Json<ModelView>), Failure> {
    let mut row = Model::with_defaults(0, clock::now_micros());
    input.apply(&mut row)?;
    names_are_free(&app, &row).await?;
    row.id = app.store.new_id(Noun::Model).await?;
    let inserted = app.store.insert_model(&row).await;
    inserted.map_err(|error| taken(error, "name", || format!("a model named `{}` exists already", row.name)))?;
    put_in_force(&app).await?;
    Ok((StatusCode::CREATED, Json(ModelView::from(&row))))
}

/// One model
#[utoipa::path(
    get,
    path = "/models/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    responses((status = 200, body = ModelView), (status = 404, description = "There is no such model")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn get(_: Operator, State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<ModelView>, Failure> {
    let row = app.store.model(id).await?.ok_or_else(|| no_such("model", id))?;
    Ok(Json(ModelView::from(&row)))
}

/// Change a model
///
/// What is left out stays; `null` clears.
#[utoipa::path(
    patch,
    path = "/models/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    request_body = ModelInput,
    responses(
        (status = 200, body = ModelView),
        (status = 400, description = "A field is wrong, or a name is taken; the message says which"),
        (status = 404, description = "There is no such model"),
    ),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn update(
    _: Operator,
    State(app): State<Arc<App>>,
    Id(id): Id,
    Body(input): Body<ModelInput>,
) -> Result<Json<ModelView>, Failure> {
    Ok(Json(change(&app, id, &input).await?))
}

/// Change a model
///
/// The same as `PATCH`: what is left out stays.
#[utoipa::path(
    put,
    path = "/models/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    request_body = ModelInput,
    responses((status = 200, body = ModelView)),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn replace(
    _: Operator,
    State(app): State<Arc<App>>,
    Id(id): Id,
    Body(input): Body<ModelInput>,
) -> Result<Json<ModelView>, Failure> {
    Ok(Json(change(&app, id, &input).await?))
}

async fn change(app: &App, id: i64, input: &ModelInput) -> Result<ModelView, Failure> {
    let mut wanted = app.store.model(id).await?.ok_or_else(|| no_such("model", id))?;
    input.apply(&mut wanted)?;
    names_are_free(app, &wanted).await?;
    let edited = app.store.edit_model(id, |row| input.apply(row).map_err(Failure::from)).await?;
    let row = edited.ok_or_else(|| no_such("model", id))?;
    put_in_force(app).await?;
    Ok(ModelView::from(&row))
}

/// Delete a model
///
/// Who serves it goes with it; its log rows stay.
#[utoipa::path(
    delete,
    path = "/models/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    responses((status = 204, description = "Deleted"), (status = 404, description = "There is no such model")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn delete(_: Operator, State(app): State<Arc<App>>, Id(id): Id) -> Result<StatusCode, Failure> {
    if !app.store.delete_model(id).await? {
        return Err(no_such("model", id));
    }
    put_in_force(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A name or alias stands for one model.
async fn names_are_free(app: &App, wanted: &Model) -> Result<(), Failure> {
    let others = app.store.models().await?;
    Ok(names_differ(wanted, others.iter().filter(|other| other.id != wanted.id))?)
}

fn names_differ<'a>(wanted: &Model, others: impl Iterator<Item = &'a Model>) -> Result<(), ApiError> {
    for other in others {
        let taken = |name: &String| *name == other.name || other.aliases.contains(name);
        if taken(&wanted.name) {
            return Err(invalid("name", format!("model `{}` goes by the name `{}` already", other.name, wanted.name)));
        }
        if let Some(alias) = wanted.aliases.iter().find(|alias| taken(alias)) {
            return Err(invalid("aliases", format!("model `{}` goes by the name `{alias}` already", other.name)));
        }
    }
    Ok(())
}
