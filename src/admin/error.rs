//! What an operator is told when something does not work.

use llm_protocol::ir::{ApiError, ErrorKind};

use crate::{http::error::Failure, store::StoreError};

/// 400: what was sent for `param` cannot be.
pub fn invalid(param: &str, message: impl Into<String>) -> ApiError {
    ApiError { param: Some(param.to_owned()), ..ApiError::new(ErrorKind::InvalidRequest, message) }
}

/// 404: there is no such thing.
pub fn no_such(noun: &str, id: impl std::fmt::Display) -> Failure {
    ApiError::new(ErrorKind::NotFound, format!("there is no {noun} {id}")).into()
}

/// 400 for a name that is taken, else what [`Failure::from`] makes of it.
pub fn taken(error: StoreError, param: &str, message: impl FnOnce() -> String) -> Failure {
    match error {
        StoreError::Duplicate => invalid(param, message()).into(),
        other => other.into(),
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::Unavailable(_) => ErrorKind::Unavailable,
            StoreError::Contended => ErrorKind::Conflict,
            StoreError::Duplicate | StoreError::DanglingReference => ErrorKind::InvalidRequest,
            _ => ErrorKind::Internal,
        };
        match kind {
            ErrorKind::Unavailable => {
                tracing::warn!(%error, "An admin request failed: {error}");
                ApiError::new(kind, "the database is not available; nothing was changed").into()
            }
            ErrorKind::Internal => {
                tracing::error!(%error, "An admin request failed: {error}");
                ApiError::new(kind, "internal error").into()
            }
            _ => ApiError::new(kind, error.to_string()).into(),
        }
    }
}
