//! Making configured models of what a provider lists.

use std::sync::Arc;

use axum::{Json, extract::State};
use llm_protocol::ir::ApiError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{find, put_in_force, usable};
use crate::{
    admin::{
        Operator,
        error::invalid,
        input::{Body, Id, checked_name},
    },
    app::App,
    health::probe,
    http::error::Failure,
};

/// Which models to import; all that the provider lists if `models` is left out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportInput {
    models: Option<Vec<Chosen>>,
}

/// A model to import, under its own name or another.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a model's id, or an object with `id` and, if you like, `name`")]
enum Chosen {
    Id(String),
    Named(Named),
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    /// The provider's name for it.
    #[schema(example = "gpt-4o-2024-11-20")]
    id: String,
    /// What clients shall ask for.
    #[schema(example = "gpt-4o-pinned")]
    name: Option<String>,
}

/// What an import did.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportResult {
    /// Models that this provider serves now and did not before.
    pub imported: usize,
    /// Those that it served already.
    pub skipped: usize,
    pub total: usize,
}

/// Import a provider's models
///
/// A model that exists already, by name or alias, gets this provider as one more that serves it; others are made. From
/// then on the provider serves its imported models and no others under a plain name.
#[utoipa::path(
    post,
    path = "/providers/{id}/models/import",
    tag = "admin",
    params(("id" = i64, Path)),
    request_body(content = Option<ImportInput>, example = json!({"models": ["gpt-4o", {"id": "gpt-4o-2024-11-20", "name": "gpt-4o-pinned"}]})),
    responses((status = 200, body = ImportResult), (status = 404, description = "There is no such provider")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn import_models(
    _: Operator,
    State(app): State<Arc<App>>,
    Id(id): Id,
    Body(input): Body<ImportInput>,
) -> Result<Json<ImportResult>, Failure> {
    let row = find(&app, id).await?;
    let wanted = match input.models {
        Some(chosen) => chosen.into_iter().map(Chosen::checked).collect::<Result<_, _>>()?,
        None => {
            let listed = probe::list_models(&app, &usable(&app, &row)?).await?;
            listed.into_iter().map(|id| (id.clone(), id)).collect::<Vec<_>>()
        }
    };
    let imported = app.store.import_models(row.id, &wanted).await?;
    put_in_force(&app).await?;
    Ok(Json(ImportResult { imported, skipped: wanted.len() - imported, total: wanted.len() }))
}

impl Chosen {
    /// The provider's name and the clients' name.
    fn checked(self) -> Result<(String, String), ApiError> {
        let (id, name) = match self {
            Self::Id(id) => (id, None),
            Self::Named(Named { id, name }) => (id, name),
        };
        let name = name.unwrap_or_else(|| id.clone());
        for text in [&id, &name] {
            checked_name("models", text).map_err(|error| invalid("models", error.message))?;
        }
        Ok((id, name))
    }
}
