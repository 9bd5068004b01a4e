//! stub
pub fn router() -> utoipa_axum::router::OpenApiRouter<std::sync::Arc<crate::app::App>> {
    utoipa_axum::router::OpenApiRouter::new()
}
