//! Whether the gateway lives, whether it can serve, and which it is.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{admin::Scraper, app::App, health};

/// That the process lives.
#[derive(Serialize, ToSchema)]
pub struct Alive {
    #[schema(example = "healthy")]
    status: &'static str,
    #[schema(example = "llm-orchestrator")]
    service: &'static str,
}

const ALIVE: Alive = Alive { status: "healthy", service: "llm-orchestrator" };

/// Liveness
///
/// Touches nothing outside the process: a database that is down is no reason to restart the gateway.
#[utoipa::path(get, path = "/health", tag = "status", responses((status = 200, body = Alive)))]
pub(crate) async fn health() -> Json<Alive> {
    Json(ALIVE)
}

/// Liveness
#[utoipa::path(get, path = "/healthz", tag = "status", responses((status = 200, body = Alive)))]
pub(crate) async fn healthz() -> Json<Alive> {
    Json(ALIVE)
}

/// Whether a request could be served now.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    ready: bool,
    /// Why not.
    reasons: Vec<&'static str>,
    /// What is wrong although requests can be served.
    degraded: Vec<&'static str>,
}

/// Readiness
///
/// 200 when a request could be served now, else 503 with the reasons.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "status",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness))
)]
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, Json<Readiness>) {
    let catalog = app.catalog();
    let mut reasons = Vec::new();
    if app.stopping.is_cancelled() {
        reasons.push("the gateway is stopping");
    }
    if catalog.providers.is_empty() {
        reasons.push("there is no enabled provider");
    } else if catalog.providers.iter().all(|provider| provider.health.view().state == health::State::Unhealthy) {
        reasons.push("no provider is healthy");
    }
    let mut degraded = Vec::new();
    if app.is_cut_off() {
        degraded.push("the database is not available: the configuration cannot be changed, and log rows wait");
    }
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: reasons.is_empty(), reasons, degraded }))
}

/// What is counted
///
/// In OpenMetrics text, for Prometheus. Needs the admin key or `metrics.token`, unless `metrics.public` is set.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "status",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn metrics(_: Scraper, State(app): State<Arc<App>>) -> ([(HeaderName, &'static str); 1], String) {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.render(&app))
}

/// Which build this is.
#[derive(Serialize, ToSchema)]
pub struct Version {
    /// As in the changelog.
    version: &'static str,
    /// `unknown` where it was built outside a checkout.
    git_commit: &'static str,
    /// RFC 3339, in UTC.
    build_date: &'static str,
}

/// Version
#[utoipa::path(get, path = "/version", tag = "status", responses((status = 200, body = Version)))]
pub(crate) async fn version() -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION"),
        git_commit: env!("BUILD_COMMIT"),
        build_date: env!("BUILD_DATE"),
    })
}
