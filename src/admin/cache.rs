//! The cache of answers.

use std::sync::Arc;

use axum::{Json, extract::State};
use llm_protocol::ir::{ApiError, ErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Operator, input::Params};
use crate::{app::App, cache::Filter, http::error::Failure};

/// What was forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub struct Forgotten {
    /// How many answers that were.
    #[schema(example = 128)]
    pub removed: u64,
}

/// Forget cached answers
///
/// All, or those that every filter lets through. Answers in memory are forgotten by the gateway that is asked, answers in Redis by
/// all. What is under way at the gateway that is asked is not kept either.
#[utoipa::path(
    delete,
    path = "/cache",
    tag = "admin",
    params(
        ("model" = Option<String>, Query, description = "As clients name it"),
        ("key_id" = Option<i64>, Query, description = "Of a key that was created here"),
    ),
    responses(
        (status = 200, body = Forgotten),
        (status = 503, description = "Redis did not answer in time: there may be answers left"),
    ),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn forget(
    _: Operator,
    State(app): State<Arc<App>>,
    params: Params,
) -> Result<Json<Forgotten>, Failure> {
    let filter = Filter { model: params.text("model"), key_id: params.integer("key_id", 0..=i64::MAX)? };
    let unreachable =
        || ApiError::new(ErrorKind::Unavailable, "Redis did not answer in time; there may be answers left");
    Ok(Json(Forgotten { removed: app.cache.forget(&filter).await.ok_or_else(unreachable)? }))
}
