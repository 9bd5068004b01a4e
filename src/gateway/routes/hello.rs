//! What clients ask to find out whether anybody is there.

use std::sync::Arc;

use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;

use crate::{app::App, http::status::health};

/// Claude Code warms its connection up with `HEAD /api/hello`; others look at the root of their base URL.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().route("/", get(health)).route("/api/hello", get(health))
}
