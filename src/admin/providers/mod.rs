//! Providers: accounts with vendors.

mod create;
mod examine;
mod import;
mod input;
mod keys;
mod models;
mod sealed;
mod test;
mod update;
mod view;

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};

use self::view::ProviderView;
pub(super) use self::{
    create::{__path_create, create},
    examine::{__path_examine, examine},
    import::{__path_import_models, import_models},
    keys::KeyStanding,
    models::{__path_list_models, list_models},
    test::{__path_test, test},
    update::{__path_replace, __path_update, replace, update},
};
use super::{
    Operator,
    error::no_such,
    input::{Id, Params},
};
use crate::{
    app::App,
    catalog,
    http::error::Failure,
    store::{Provider, StoreError},
};

/// List providers
///
/// In the order in which they are preferred: by priority, highest first, then by id.
#[utoipa::path(
    get,
    path = "/providers",
    tag = "admin",
    params(("enabled_only" = Option<bool>, Query, description = "Leave out those that are switched off")),
    responses((status = 200, body = Vec<ProviderView>)),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn list(
    _: Operator,
    State(app): State<Arc<App>>,
    params: Params,
) -> Result<Json<Vec<ProviderView>>, Failure> {
    let enabled_only = params.flag("enabled_only")?.unwrap_or(false);
    let rows = app.store.providers().await?;
    let shown = rows.iter().filter(|row| row.enabled || !enabled_only);
    Ok(Json(shown.map(|row| ProviderView::of(&app, row)).collect()))
}

/// One provider
#[utoipa::path(
    get,
    path = "/providers/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    responses((status = 200, body = ProviderView), (status = 404, description = "There is no such provider")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn get(_: Operator, State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<ProviderView>, Failure> {
    let row = find(&app, id).await?;
    Ok(Json(ProviderView::of(&app, &row)))
}

/// Delete a provider
///
/// Running requests finish. Its part in models goes with it; its log rows stay.
#[utoipa::path(
    delete,
    path = "/providers/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    responses((status = 204, description = "Deleted"), (status = 404, description = "There is no such provider")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn delete(_: Operator, State(app): State<Arc<App>>, Id(id): Id) -> Result<StatusCode, Failure> {
    if !app.store.delete_provider(id).await? {
        return Err(no_such("provider", id));
    }
    put_in_force(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(app: &App, id: i64) -> Result<Provider, Failure> {
    app.store.provider(id).await?.ok_or_else(|| no_such("provider", id))
}

/// Makes the data plane see a change that was just stored.
pub(super) async fn put_in_force(app: &App) -> Result<(), Failure> {
    app.reload().await.map_err(|error: StoreError| {
        tracing::error!(%error, "A change was stored and is not in force yet: {error}");
        let message = "the change is stored, but will be in force only once the database is available again";
        llm_protocol::ir::ApiError::new(llm_protocol::ir::ErrorKind::Unavailable, message).into()
    })
}

/// The provider as the data plane would use it, switched on or not.
fn usable(app: &App, row: &Provider) -> Result<catalog::Provider, Failure> {
    catalog::provider(row, false, &app.master_key, &app.health)
        .map_err(|why| super::error::invalid("id", format!("provider `{}` cannot be used: {why}", row.name)).into())
}
