//! How the gateway and its providers are doing.

mod cluster;
mod export;
mod health;
mod logs;
mod stats;

use axum::http::StatusCode;

pub(super) use self::{
    cluster::{__path_cluster, cluster},
    export::{__path_export, export},
    health::{__path_health, health},
    logs::{__path_log, __path_logs, log, logs},
    stats::{__path_stats, stats},
};
use super::Operator;

/// Check the admin key
#[utoipa::path(
    get,
    path = "/verify",
    tag = "admin",
    responses(
        (status = 204, description = "It is the admin key"),
        (status = 401, description = "There is no key"),
        (status = 403, description = "It is another key"),
    ),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(super) async fn verify(_: Operator) -> StatusCode {
    StatusCode::NO_CONTENT
}
