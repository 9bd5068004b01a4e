//! Keys that clients call with.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use llm_protocol::ir::ApiError;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Operator,
    error::{invalid, no_such},
    input::{Body, Change, Id, checked_name},
    providers::put_in_force,
};
use crate::{
    app::App,
    clock,
    fidelity::Fidelity,
    http::error::Failure,
    secret::{self, KeyHash},
    store::{ApiKey, Noun},
};

/// A client's key, without its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct KeyView {
    pub id: i64,
    /// Whose it is, or what for.
    #[schema(example = "team-a")]
    pub name: String,
    /// A mask of the key.
    #[schema(example = "sk-…a1b2")]
    pub masked: String,
    /// Whether it opens anything now.
    pub live: bool,
    pub enabled: bool,
    /// How much of its requests may be lost in translation; `null` leaves it to the configuration.
    pub fidelity: Option<Fidelity>,
    /// Whether `fidelity` is `strict`.
    pub strict: bool,
    /// Patterns with `*` of the models that it may use; `null` is all.
    pub allowed_models: Option<Vec<String>>,
    pub expires_at: Option<String>,
    pub created_at: String,
    pub revoked_at: Option<String>,
}

impl From<&ApiKey> for KeyView {
    fn from(row: &ApiKey) -> Self {
        Self {
            id: row.id,
            name: row.name.clone(),
            masked: row.prefix.clone(),
            live: row.is_live(clock::now_micros()),
            enabled: row.enabled,
            fidelity: row.fidelity,
            strict: row.fidelity == Some(Fidelity::Strict),
            allowed_models: row.allowed_models.clone(),
            expires_at: row.expires_at.map(clock::rfc3339),
            created_at: clock::rfc3339(row.created_at),
            revoked_at: row.revoked_at.map(clock::rfc3339),
        }
    }
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
pub struct CreatedKey {
    /// The key itself: shown now and never again.
    #[schema(example = "sk-...")]
    key: String,
    #[serde(flatten)]
    view: KeyView,
}

/// What a key is for. What is left out stays; `null` clears a field, or puts its default back. A new key needs a `name`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyInput {
    /// Whose it is, or what for.
    #[schema(value_type = Option<String>, example = "team-a")]
    #[serde(default)]
    name: Change<String>,
    /// Whether it opens anything.
    #[schema(value_type = Option<bool>, default = true)]
    #[serde(default)]
    enabled: Change<bool>,
    /// How much of its requests may be lost in translation. A request may say otherwise, unless this is `strict`.
    #[schema(value_type = Option<Fidelity>)]
    #[serde(default)]
    fidelity: Change<Fidelity>,
    /// `true` is `fidelity: strict`, `false` is no policy of its own. Not together with `fidelity`.
    #[schema(value_type = Option<bool>)]
    #[serde(default)]
    strict: Change<bool>,
    /// Patterns with `*`, such as `gpt-*`; `null` is all models.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    allowed_models: Change<Vec<String>>,
    /// RFC 3339; `null` is never.
    #[schema(value_type = Option<String>, example = "2027-01-01T00:00:00Z")]
    #[serde(default)]
    expires_at: Change<String>,
}

impl KeyInput {
    /// Makes `row` what the operator wants, or says what stands against it.
    fn apply(&self, row: &mut ApiKey) -> Result<(), ApiError> {
        self.name.or_default(&mut row.name, String::new());
        checked_name("name", &row.name)?;
        self.enabled.or_default(&mut row.enabled, true);
        if self.fidelity != Change::Keep && self.strict != Change::Keep {
            return Err(invalid("strict", "`strict` and `fidelity` say the same: give one of them"));
        }
        self.fidelity.or_none(&mut row.fidelity);
        match self.strict {
            Change::Set(true) => row.fidelity = Some(Fidelity::Strict),
            // Another policy than the one that it speaks of stays.
            Change::Set(false) | Change::Clear => {
                row.fidelity = row.fidelity.filter(|known| *known != Fidelity::Strict)
            }
            Change::Keep => {}
        }
        self.allowed_models.or_none(&mut row.allowed_models);
        match self.expires_at.trimmed() {
            Change::Keep => {}
            Change::Clear => row.expires_at = None,
            Change::Set(text) => row.expires_at = Some(ahead(&text)?),
        }
        Ok(())
    }
}

/// A time that is still to come.
fn ahead(text: &str) -> Result<i64, ApiError> {
    let expected = || format!("`expires_at` must be a time such as 2027-01-31T08:00:00Z, not `{text}`");
    let at = clock::parse(text).ok_or_else(|| invalid("expires_at", expected()))?;
    if at <= clock::now_micros() {
        return Err(invalid("expires_at", format!("`expires_at` must lie ahead; {text} is past")));
    }
    Ok(at)
}

/// List keys
///
/// Those made here, newest first, dead ones too. Keys from the configuration are not among them.
#[utoipa::path(
    get,
    path = "/keys",
    tag = "admin",
    responses((status = 200, body = Vec<KeyView>)),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn list(_: Operator, State(app): State<Arc<App>>) -> Result<Json<Vec<KeyView>>, Failure> {
    Ok(Json(app.store.keys().await?.iter().map(KeyView::from).collect()))
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
    let row = app.store.key(id).await?.ok_or_else(|| no_such("key", id))?;
    Ok(Json(KeyView::from(&row)))
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
    let edited = app.store.edit_key(id, |row| input.apply(row).map_err(Failure::from)).await?;
    let row = edited.ok_or_else(|| no_such("key", id))?;
    put_in_force(&app).await?;
    Ok(Json(KeyView::from(&row)))
}

/// Create a key
///
/// The answer holds the key: it is shown this once, and only its hash is kept.
#[utoipa::path(
    post,
    path = "/keys",
    tag = "admin",
    request_body = KeyInput,
    responses((status = 201, body = CreatedKey), (status = 400, description = "A field is wrong; the message says which")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn create(
    _: Operator,
    State(app): State<Arc<App>>,
    Body(input): Body<KeyInput>,
) -> Result<(StatusCode, Json<CreatedKey>), Failure> {
    let key = secret::generate("sk-");
    let key = key.expose_secret();
    let mut row = ApiKey {
        id: 0,
        name: String::new(),
        prefix: secret::mask(key),
        hash: KeyHash::of(key),
        enabled: true,
        fidelity: None,
        allowed_models: None,
        expires_at: None,
        created_at: clock::now_micros(),
        revoked_at: None,
    };
    input.apply(&mut row)?;
    row.id = app.store.new_id(Noun::ApiKey).await?;
    app.store.insert_key(&row).await?;
    put_in_force(&app).await?;
    Ok((StatusCode::CREATED, Json(CreatedKey { key: key.to_owned(), view: KeyView::from(&row) })))
}

/// Revoke a key
///
/// For good, and at once; requests that are running finish. The key stays in the list.
#[utoipa::path(
    delete,
    path = "/keys/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    responses((status = 204, description = "Revoked"), (status = 404, description = "There is no such key")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn revoke(_: Operator, State(app): State<Arc<App>>, Id(id): Id) -> Result<StatusCode, Failure> {
    if !app.store.revoke_key(id, clock::now_micros()).await? {
        return Err(no_such("key", id));
    }
    put_in_force(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}
