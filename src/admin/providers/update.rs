//! Changing a provider.

use std::sync::Arc;

use axum::{Json, extract::State};

use super::{find, input::ProviderInput, put_in_force, view::ProviderView};
use crate::{
    admin::{
        Operator,
        error::{no_such, taken},
        input::{Body, Id},
    },
    app::App,
    health::probe,
    http::error::Failure,
    store::Provider,
};

/// Change a provider
///
/// What is left out stays; `null` clears. It is in force when the answer comes; running requests finish as they began.
#[utoipa::path(
    patch,
    path = "/providers/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    request_body = ProviderInput,
    responses(
        (status = 200, body = ProviderView),
        (status = 400, description = "A field is wrong, or the name is taken; the message says which"),
        (status = 404, description = "There is no such provider"),
    ),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn update(
    _: Operator,
    State(app): State<Arc<App>>,
    Id(id): Id,
    Body(input): Body<ProviderInput>,
) -> Result<Json<ProviderView>, Failure> {
    Ok(Json(change(&app, id, &input).await?))
}

/// Change a provider
///
/// The same as `PATCH`: what is left out stays.
#[utoipa::path(
    put,
    path = "/providers/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    request_body = ProviderInput,
    responses((status = 200, body = ProviderView)),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn replace(
    _: Operator,
    State(app): State<Arc<App>>,
    Id(id): Id,
    Body(input): Body<ProviderInput>,
) -> Result<Json<ProviderView>, Failure> {
    Ok(Json(change(&app, id, &input).await?))
}

async fn change(app: &Arc<App>, id: i64, input: &ProviderInput) -> Result<ProviderView, Failure> {
    let edited = app.store.edit_provider(id, |row| input.apply(row, &app.master_key).map_err(Edit::Refused)).await;
    let row = match edited {
        Ok(row) => row.ok_or_else(|| no_such("provider", id))?,
        Err(Edit::Refused(error)) => return Err(error.into()),
        Err(Edit::Failed(error)) => {
            return Err(taken(error, "name", || "a provider of this name exists already".into()));
        }
    };
    if input.moves() {
        return moved(app, &row).await;
    }
    if input.rekeys() {
        // A key that was refused may have become good, and with it a provider that was left out.
        app.health.retain(|other| other != row.id);
    }
    put_in_force(app).await?;
    Ok(ProviderView::of(app, &row))
}

/// What was known about a provider at another address, or under another key, is forgotten; it is asked anew.
async fn moved(app: &Arc<App>, row: &Provider) -> Result<ProviderView, Failure> {
    app.store.forget_learnt(row.id).await?;
    app.health.retain(|other| other != row.id);
    put_in_force(app).await?;
    probe::introduce(app, row.id).await;
    Ok(ProviderView::of(app, &find(app, row.id).await?))
}

/// Why an edit did not happen.
enum Edit {
    Refused(llm_protocol::ir::ApiError),
    Failed(crate::store::StoreError),
}

impl From<crate::store::StoreError> for Edit {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Failed(error)
    }
}
