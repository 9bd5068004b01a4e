//! What a provider itself lists.

use std::{collections::HashMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{find, usable};
use crate::{
    admin::{Operator, input::Id},
    app::App,
    health::probe,
    http::error::Failure,
};

/// What a provider says it has.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProviderModels {
    pub provider_id: i64,
    pub provider_name: String,
    pub total: usize,
    pub models: Vec<ProviderModel>,
}

/// One model that a provider says it has.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProviderModel {
    /// The provider's name for it.
    #[schema(example = "gpt-4o-2024-11-20")]
    pub id: String,
    /// The configured models that are served by it.
    pub configured_as: Vec<String>,
}

/// List a provider's models
///
/// Asks the provider now. Its own errors come back as they would to a client: 502 if it refuses the key or cannot be
/// reached.
#[utoipa::path(
    get,
    path = "/providers/{id}/models",
    tag = "admin",
    params(("id" = i64, Path)),
    responses(
        (status = 200, body = ProviderModels),
        (status = 404, description = "There is no such provider"),
        (status = 502, description = "The provider did not say"),
    ),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn list_models(
    _: Operator,
    State(app): State<Arc<App>>,
    Id(id): Id,
) -> Result<Json<ProviderModels>, Failure> {
    let row = find(&app, id).await?;
    let listed = probe::list_models(&app, &usable(&app, &row)?).await?;
    let snapshot = app.store.snapshot().await?;
    let names: HashMap<i64, &String> = snapshot.models.iter().map(|model| (model.id, &model.name)).collect();
    let configured_as = |id: &str| {
        let serving =
            snapshot.model_providers.iter().filter(|one| one.provider_id == row.id && one.upstream_name == id);
        serving.filter_map(|one| names.get(&one.model_id).map(|name| (*name).clone())).collect()
    };
    let models: Vec<_> = listed.into_iter().map(|id| ProviderModel { configured_as: configured_as(&id), id }).collect();
    Ok(Json(ProviderModels { provider_id: row.id, provider_name: row.name.clone(), total: models.len(), models }))
}
