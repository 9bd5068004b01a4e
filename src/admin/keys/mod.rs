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
    input::{Body, Id, checked_name},
    providers::put_in_force,
};
use crate::{
    app::App,
    clock,
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
    /// Refuse what a translation would drop, instead of dropping it and saying so.
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
            strict: row.strict,
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

/// What a new key is for.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyInput {
    /// Required: whose it is, or what for.
    #[schema(example = "team-a")]
    name: Option<String>,
    strict: Option<bool>,
    /// Patterns with `*`, such as `gpt-*`.
    allowed_models: Option<Vec<String>>,
    /// RFC 3339.
    #[schema(example = "2027-01-01T00:00:00Z")]
    expires_at: Option<String>,
}

impl KeyInput {
    fn apply(self, row: &mut ApiKey) -> Result<(), ApiError> {
        row.name = self.name.unwrap_or_default();
        checked_name("name", &row.name)?;
        row.strict = self.strict.unwrap_or(false);
        row.allowed_models = self.allowed_models;
        row.expires_at = match self.expires_at.filter(|text| !text.trim().is_empty()) {
            None => None,
            Some(text) => {
                let expected = || format!("`expires_at` must be a time such as 2027-01-31T08:00:00Z, not `{text}`");
                let at = clock::parse(&text).ok_or_else(|| invalid("expires_at", expected()))?;
                if at <= row.created_at {
                    return Err(invalid("expires_at", format!("`expires_at` must lie ahead; {text} is past")));
                }
                Some(at)
            }
        };
        Ok(())
    }
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
        strict: false,
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
