//! The gateways that share the database.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{admin::Operator, app::App, clock, cluster as nodes, http::error::Failure, store};

/// Who shares the database, and whether all agree.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cluster {
    /// The epoch of the configuration in the database: one more after every change. A node at the same epoch has all changes
    /// in force.
    pub epoch: i64,
    /// Those that live, the longest running first.
    pub nodes: Vec<NodeView>,
}

/// One gateway.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Node)]
pub struct NodeView {
    /// Another one after every start.
    pub id: String,
    /// Where it listens.
    #[schema(example = "0.0.0.0:8000")]
    pub address: String,
    pub hostname: String,
    #[schema(example = "0.1.0")]
    pub version: String,
    /// Of the configuration that it has in force.
    pub epoch: i64,
    pub started_at: String,
    /// When it last said that it lives, by its own clock.
    pub last_seen: String,
    /// Whether it is the one that answers.
    pub this: bool,
}

/// Cluster
///
/// The gateways on the same database, and which configuration each has in force. One that has ended is not listed, one that
/// was killed not for long.
#[utoipa::path(
    get,
    path = "/cluster",
    tag = "admin",
    responses((status = 200, body = Cluster)),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn cluster(_: Operator, State(app): State<Arc<App>>) -> Result<Json<Cluster>, Failure> {
    let nodes = nodes::nodes(&app.store).await?;
    let view = |node: store::Node| {
        let this = node.id == app.node.id;
        NodeView {
            this,
            // What this one has in force by now, it need not look up.
            epoch: if this { app.epoch() } else { node.epoch },
            id: node.id,
            address: node.address,
            hostname: node.hostname,
            version: node.version,
            started_at: clock::rfc3339(node.started_at),
            last_seen: clock::rfc3339(node.seen_at),
        }
    };
    Ok(Json(Cluster { epoch: app.store.epoch().await?, nodes: nodes.into_iter().map(view).collect() }))
}
