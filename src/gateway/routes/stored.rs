//! Files and batches.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::Response,
    response::IntoResponse,
    routing::{MethodRouter, get, post},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{PREFIXES, call, segment};
use crate::{
    app::App,
    gateway::operations::{Noun, Stored},
};

/// Documents a call about what is stored and handles it.
macro_rules! stored {
    ($(#[doc = $line:literal])+ $name:ident, $method:ident, $path:literal, $noun:ident) => {
        $(#[doc = $line])+
        #[utoipa::path($method, path = $path, tag = "client", responses((status = 200, description = "The provider's answer")), security(("api_key" = [])))]
        pub(crate) async fn $name(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
            call(&app, Stored { noun: Noun::$noun, id: None, part: None }, request).await
        }
    };
    ($(#[doc = $line:literal])+ $name:ident, $method:ident, $path:literal, $noun:ident, $part:expr) => {
        $(#[doc = $line])+
        #[utoipa::path(
            $method,
            path = $path,
            tag = "client",
            params(("id" = String, Path, description = "As the provider gave it")),
            responses((status = 200, description = "The provider's answer"), (status = 404, description = "There is none")),
            security(("api_key" = []))
        )]
        pub(crate) async fn $name(
            State(app): State<Arc<App>>,
            id: Result<Path<String>, PathRejection>,
            request: Request,
        ) -> Response<Body> {
            match segment(id) {
                Ok(id) => call(&app, Stored { noun: Noun::$noun, id: Some(id), part: $part }, request).await,
                Err(failure) => failure.into_response(),
            }
        }
    };
}

stored! {
    /// List files
    ///
    /// Those at one provider: the one that `?provider=` or `X-Orchestrator-Provider` names, else the first. What is known to be
    /// another key's is left out.
    list_files, get, "/v1/files", File
}
stored! {
    /// Upload a file
    ///
    /// To the provider that the form field `provider` names, the query or the header; else to the first.
    upload_file, post, "/v1/files", File
}
stored! {
    /// One file
    get_file, get, "/v1/files/{id}", File, None
}
stored! {
    /// Delete a file
    delete_file, delete, "/v1/files/{id}", File, None
}
stored! {
    /// A file's content
    get_file_content, get, "/v1/files/{id}/content", File, Some("content")
}
stored! {
    /// List batches
    list_batches, get, "/v1/batches", Batch
}
stored! {
    /// Start a batch
    ///
    /// At the provider that holds its input file.
    start_batch, post, "/v1/batches", Batch
}
stored! {
    /// One batch
    get_batch, get, "/v1/batches/{id}", Batch, None
}
stored! {
    /// Cancel a batch
    cancel_batch, post, "/v1/batches/{id}/cancel", Batch, Some("cancel")
}

pub fn router() -> OpenApiRouter<Arc<App>> {
    let documented = OpenApiRouter::new()
        .routes(routes!(list_files, upload_file))
        .routes(routes!(get_file, delete_file))
        .routes(routes!(get_file_content))
        .routes(routes!(list_batches, start_batch))
        .routes(routes!(get_batch))
        .routes(routes!(cancel_batch));
    PREFIXES.into_iter().fold(documented, |router, prefix| {
        paths().into_iter().fold(router, |router, (path, methods)| router.route(&format!("{prefix}{path}"), methods))
    })
}

fn paths() -> [(&'static str, MethodRouter<Arc<App>>); 6] {
    [
        ("/files", get(list_files).post(upload_file)),
        ("/files/{id}", get(get_file).delete(delete_file)),
        ("/files/{id}/content", get(get_file_content)),
        ("/batches", get(list_batches).post(start_batch)),
        ("/batches/{id}", get(get_batch)),
        ("/batches/{id}/cancel", post(cancel_batch)),
    ]
}
