//! The control plane: what operators change and look at. Unlike the data plane it waits for the database.
//!
//! To add an operation, write its handler in the folder of its noun and name it in that folder's `router`.

mod auth;
mod cache;
mod error;
mod input;
pub mod keys;
mod model_providers;
mod models;
mod providers;
mod system;

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

pub use auth::{Operator, Scraper};

/// All operations, below `/admin`.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(providers::list, providers::create))
        .routes(routes!(providers::get, providers::update, providers::replace, providers::delete))
        .routes(routes!(providers::list_models))
        .routes(routes!(providers::import_models))
        .routes(routes!(providers::test))
        .routes(routes!(providers::examine))
        .routes(routes!(models::list, models::create))
        .routes(routes!(models::get, models::update, models::replace, models::delete))
        .routes(routes!(model_providers::list, model_providers::create))
        .routes(routes!(
            model_providers::get,
            model_providers::update,
            model_providers::replace,
            model_providers::delete
        ))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::get, keys::update, keys::replace, keys::delete))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::revoke))
        .routes(routes!(system::health))
        .routes(routes!(system::stats))
        .routes(routes!(system::logs))
        .routes(routes!(system::log))
        .routes(routes!(system::export))
        .routes(routes!(system::cluster))
        .routes(routes!(system::verify))
        .routes(routes!(cache::forget))
}
