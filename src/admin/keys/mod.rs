//! Keys that clients call with.

pub mod changes;
mod input;
mod view;

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use secrecy::{ExposeSecret, SecretString};

pub use self::{
    changes::{Filter, Rotation},
    input::KeyInput,
    view::{KeyStatus, KeyView, NewKey},
};
use super::{
    Operator,
    error::no_such,
    input::{Body, Id, Params},
    providers::put_in_force,
};
use crate::{app::App, http::error::Failure, secret::KeyHash, store::ApiKey};

impl NewKey {
    /// A key and the text that it has just got, unless the operator knows it.
    pub fn of(text: Option<&SecretString>, row: &ApiKey) -> Self {
        Self { key: text.map(|text| text.expose_secret().to_owned()), view: KeyView::from(row) }
    }
}

/// List keys
///
/// Those made here, newest first, dead ones too. Keys from the configuration are not among them.
#[utoipa::path(
    get,
    path = "/keys",
    tag = "admin",
    params(
        ("owner" = Option<String>, Query, description = "Exactly"),
        ("tag" = Option<String>, Query, description = "One of its tags, exactly"),
        ("enabled" = Option<bool>, Query),
        ("q" = Option<String>, Query, description = "Text in name, owner, tags or mask, whatever its case"),
    ),
    responses((status = 200, body = Vec<KeyView>)),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn list(
    _: Operator,
    State(app): State<Arc<App>>,
    params: Params,
) -> Result<Json<Vec<KeyView>>, Failure> {
    let filter = Filter {
        owner: params.text("owner"),
        tag: params.text("tag"),
        enabled: params.flag("enabled")?,
        text: params.text("q"),
    };
    app.journal.settle().await;
    let keys = app.store.keys().await?;
    Ok(Json(keys.iter().filter(|key| filter.admits(key)).map(KeyView::from).collect()))
}

/// One key
#[utoipa::path(
    get,
    path = "/keys/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    responses((status = 200, body = KeyView), (status = 404, description = "There is no such key")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn get(_: Operator, State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<KeyView>, Failure> {
    app.journal.settle().await;
    let row = app.store.key(id).await?.ok_or_else(|| no_such("key", id))?;
    Ok(Json(KeyView::from(&row)))
}

/// Create a key
///
/// The answer holds the key: it is shown this once, and only its hash is kept. A `key` that the operator brings is not repeated.
#[utoipa::path(
    post,
    path = "/keys",
    tag = "admin",
    request_body = KeyInput,
    responses((status = 201, body = NewKey), (status = 400, description = "A field is wrong; the message says which")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn create(
    _: Operator,
    State(app): State<Arc<App>>,
    Body(input): Body<KeyInput>,
) -> Result<(StatusCode, Json<NewKey>), Failure> {
    let catalog = app.catalog();
    let reserved = |hash: &KeyHash| app.admin_key == *hash || catalog.caller(hash).is_some();
    let (text, row) = changes::create(&app.store, &app.config.journal, &input, reserved).await?;
    put_in_force(&app).await?;
    Ok((StatusCode::CREATED, Json(NewKey::of(text.as_ref(), &row))))
}

/// Change a key
///
/// What is left out stays; `null` clears. It is in force when the answer comes; running requests finish as they began. A key
/// that was revoked stays so.
#[utoipa::path(
    patch,
    path = "/keys/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    request_body = KeyInput,
    responses(
        (status = 200, body = KeyView),
        (status = 400, description = "A field is wrong; the message says which"),
        (status = 404, description = "There is no such key"),
    ),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn update(
    _: Operator,
    State(app): State<Arc<App>>,
    Id(id): Id,
    Body(input): Body<KeyInput>,
) -> Result<Json<KeyView>, Failure> {
    let row = changes::change(&app.store, &app.config.journal, id, &input).await?;
    put_in_force(&app).await?;
    Ok(Json(KeyView::from(&row)))
}

/// Change a key
///
/// The same as `PATCH`: what is left out stays.
#[utoipa::path(
    put,
    path = "/keys/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    request_body = KeyInput,
    responses((status = 200, body = KeyView)),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn replace(
    operator: Operator,
    app: State<Arc<App>>,
    id: Id,
    input: Body<KeyInput>,
) -> Result<Json<KeyView>, Failure> {
    update(operator, app, id, input).await
}

/// Rotate a key
///
/// It gets another text, shown this once. The one it had is good for `overlap` seconds more; the one before that ends at once.
#[utoipa::path(
    post,
    path = "/keys/{id}/rotate",
    tag = "admin",
    params(("id" = i64, Path)),
    request_body = Rotation,
    responses(
        (status = 200, body = NewKey),
        (status = 400, description = "`overlap` is out of range"),
        (status = 404, description = "There is no such key"),
        (status = 409, description = "The key is revoked"),
    ),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn rotate(
    _: Operator,
    State(app): State<Arc<App>>,
    Id(id): Id,
    Body(rotation): Body<Rotation>,
) -> Result<Json<NewKey>, Failure> {
    let (text, row) = changes::rotate(&app.store, id, &rotation).await?;
    put_in_force(&app).await?;
    Ok(Json(NewKey::of(Some(&text), &row)))
}

/// Revoke a key
///
/// For good, and at once; requests that are running finish. The key stays in the list.
#[utoipa::path(
    post,
    path = "/keys/{id}/revoke",
    tag = "admin",
    params(("id" = i64, Path)),
    responses((status = 200, body = KeyView), (status = 404, description = "There is no such key")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn revoke(_: Operator, State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<KeyView>, Failure> {
    let row = changes::revoke(&app.store, id).await?;
    put_in_force(&app).await?;
    Ok(Json(KeyView::from(&row)))
}

/// Delete a key
///
/// It is good for nothing at once, and gone from the list; what its requests left in the log stays.
#[utoipa::path(
    delete,
    path = "/keys/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    responses((status = 204, description = "Deleted"), (status = 404, description = "There is no such key")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn delete(_: Operator, State(app): State<Arc<App>>, Id(id): Id) -> Result<StatusCode, Failure> {
    changes::delete(&app.store, id).await?;
    put_in_force(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}
