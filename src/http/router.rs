//! Every path there is, and the document that describes them.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{Html, Response},
    routing::get,
};
use llm_protocol::ir::{ApiError, ErrorKind};
use tower::ServiceExt;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

use super::{document::add_errors, error::Failure, middleware::Around, server::Handler, status};
use crate::{admin, app::App, gateway};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "LLM Orchestrator",
        description = "One address in front of every large-language-model provider.",
        license(name = "MIT")
    ),
    modifiers(&Keys),
    tags(
        (name = "client", description = "What applications call"),
        (name = "admin", description = "What operators call"),
        (name = "status", description = "What supervisors call")
    )
)]
struct Document;

/// The two kinds of key.
struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = || SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("api_key", bearer());
        components.add_security_scheme("admin_key", bearer());
        let header = |name: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name)));
        components.add_security_scheme("api_key_header", header("X-API-Key"));
        components.add_security_scheme("admin_key_header", header("X-Admin-Key"));
    }
}

fn routes() -> (Router<Arc<App>>, utoipa::openapi::OpenApi) {
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(status::health))
        .routes(routes!(status::healthz))
        .routes(routes!(status::readyz))
        .routes(routes!(status::version))
        .routes(routes!(status::metrics))
        .merge(gateway::router())
        .nest("/admin", admin::router())
        .split_for_parts();
    // "The rest of the path" is the router's own notation.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    add_errors(&mut document);
    (router, document)
}

/// The document, generated from the routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().1
}

/// All routes, over one running gateway, within the middleware.
pub fn handler(app: Arc<App>) -> impl Handler {
    let (router, document) = routes();
    let (aliases, _) = OpenApiRouter::new().nest("/api/admin", admin::router()).split_for_parts();
    let router = router
        .merge(aliases)
        .merge(SwaggerUi::new("/docs/assets").url("/openapi.json", document))
        .route("/docs", get(docs))
        .route("/docs/", get(docs))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app.clone());
    Around::new(Routes { app: app.clone(), router }, &app.config.server)
}

#[derive(Clone)]
struct Routes {
    app: Arc<App>,
    router: Router,
}

impl Handler for Routes {
    async fn handle(&self, request: Request) -> Response<Body> {
        match gateway::direct(&request) {
            Some(call) => gateway::generate(&self.app, call, request).await,
            None => match self.router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
        }
    }
}

/// The page that shows the document. All it needs is in the binary, so that it works without a network.
async fn docs() -> Html<&'static str> {
    Html(include_str!("docs.html"))
}

async fn nothing_here() -> Failure {
    ApiError::new(ErrorKind::NotFound, "there is nothing at this path; /docs lists what there is").into()
}

async fn wrong_method() -> Failure {
    ApiError::new(ErrorKind::MethodNotAllowed, "this path does not take this method; /docs lists what it takes").into()
}
