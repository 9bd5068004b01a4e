//! stub
use axum::{body::Body, http::HeaderMap};
use bytes::Bytes;
use llm_protocol::ir::ApiError;
pub async fn read_body(_h: &HeaderMap, _b: Body, _l: usize, _t: std::time::Duration) -> Result<Bytes, ApiError> {
    Ok(Bytes::new())
}
