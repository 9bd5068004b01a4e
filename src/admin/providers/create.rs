//! Creating a provider.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};

use super::{find, input::ProviderInput, put_in_force, view::ProviderView};
use crate::{
    admin::{Operator, error::taken, input::Body},
    app::App,
    clock,
    health::probe,
    http::error::Failure,
    store::{Noun, Provider},
};

/// Create a provider
///
/// Needs `name` and `type`. It is in force when the answer comes; its list of models is fetched, for which the answer waits two seconds at most.
#[utoipa::path(
    post,
    path = "/providers",
    tag = "admin",
    request_body = ProviderInput,
    responses(
        (status = 201, body = ProviderView),
        (status = 400, description = "A field is wrong, or the name is taken; the message says which"),
    ),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn create(
    _: Operator,
    State(app): State<Arc<App>>,
    Body(input): Body<ProviderInput>,
) -> Result<(StatusCode, Json<ProviderView>), Failure> {
    // Checked once before an id is spent on it.
    input.apply(&mut Provider::with_defaults(0, 0), &app.master_key)?;
    let mut row = Provider::with_defaults(app.store.new_id(Noun::Provider).await?, clock::now_micros());
    input.apply(&mut row, &app.master_key)?;
    let inserted = app.store.insert_provider(&row).await;
    inserted.map_err(|error| taken(error, "name", || format!("a provider named `{}` exists already", row.name)))?;
    put_in_force(&app).await?;
    probe::introduce(&app, row.id).await;
    Ok((StatusCode::CREATED, Json(ProviderView::of(&app, &find(&app, row.id).await?))))
}
