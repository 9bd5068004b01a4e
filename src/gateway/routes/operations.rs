//! OpenAI's operations beside its generating ones.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::Response,
    response::IntoResponse,
    routing::{MethodRouter, post},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{call, segment};
use crate::{
    app::App,
    gateway::operations::{self, Call, Operation},
};

/// Documents an operation and handles it.
macro_rules! operation {
    ($(#[doc = $line:literal])+ $name:ident, $path:literal, $operation:ident, $kind:literal) => {
        $(#[doc = $line])+
        #[utoipa::path(
            post,
            path = $path,
            tag = "client",
            request_body(content = serde_json::Value, content_type = $kind, description = "OpenAI's request body"),
            responses(
                (status = 200, description = "The provider's answer"),
                (status = 400, description = "The body is invalid, or the provider has no such operation"),
                (status = 401, description = "The API key is missing or wrong"),
                (status = 404, description = "No provider serves the model"),
                (status = 502, description = "The provider failed"),
            ),
            security(("api_key" = []))
        )]
        pub(crate) async fn $name(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
            call(&app, Call { operation: &operations::$operation, model: None }, request).await
        }
    };
}

operation! {
    /// Completion
    ///
    /// OpenAI's older API: a prompt without roles. With `stream: true` the answer is a stream of server-sent events.
    completions, "/v1/completions", COMPLETIONS, "application/json"
}
operation! {
    /// Embeddings
    ///
    /// Texts as lists of numbers. A Gemini provider is asked in its own words: texts only, no tokens.
    embeddings, "/v1/embeddings", EMBEDDINGS, "application/json"
}
operation! {
    /// Make a picture
    images, "/v1/images/generations", IMAGES, "application/json"
}
operation! {
    /// Change a picture
    image_edits, "/v1/images/edits", IMAGE_EDITS, "multipart/form-data"
}
operation! {
    /// Speech
    ///
    /// The sound is passed on as it comes.
    speech, "/v1/audio/speech", SPEECH, "application/json"
}
operation! {
    /// Transcription
    transcriptions, "/v1/audio/transcriptions", TRANSCRIPTIONS, "multipart/form-data"
}
operation! {
    /// Translation of speech into English
    translations, "/v1/audio/translations", TRANSLATIONS, "multipart/form-data"
}
operation! {
    /// Moderation
    ///
    /// Without a `model` it is OpenAI's latest.
    moderations, "/v1/moderations", MODERATIONS, "application/json"
}
operation! {
    /// Rank documents by a query
    ///
    /// In the shape that Cohere, Jina and SiliconFlow share.
    rerank, "/v1/rerank", RERANK, "application/json"
}

pub fn router() -> OpenApiRouter<Arc<App>> {
    let documented = OpenApiRouter::new()
        .routes(routes!(completions))
        .routes(routes!(embeddings))
        .routes(routes!(images))
        .routes(routes!(image_edits))
        .routes(routes!(speech))
        .routes(routes!(transcriptions))
        .routes(routes!(translations))
        .routes(routes!(moderations))
        .routes(routes!(rerank));
    operations::ALL.into_iter().fold(documented, |router, operation| {
        let at = |prefix: &str| format!("{prefix}{}", operation.path());
        let router =
            super::PREFIXES.into_iter().fold(router, |router, prefix| router.route(&at(prefix), plain(operation)));
        super::WITH_MODEL.into_iter().fold(router, |router, prefix| router.route(&at(prefix), of_model(operation)))
    })
}

fn plain(operation: &'static Operation) -> MethodRouter<Arc<App>> {
    post(async move |State(app): State<Arc<App>>, request: Request| {
        call(&app, Call { operation, model: None }, request).await
    })
}

fn of_model(operation: &'static Operation) -> MethodRouter<Arc<App>> {
    post(async move |State(app): State<Arc<App>>, model: Result<Path<String>, PathRejection>, request: Request| {
        match segment(model) {
            Ok(model) => call(&app, Call { operation, model: Some(model) }, request).await,
            Err(failure) => failure.into_response(),
        }
    })
}
