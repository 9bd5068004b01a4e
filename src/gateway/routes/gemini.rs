//! Google's Gemini API. The model and what is asked of it stand in the path, behind the last colon of which is the verb.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawPathParams, Request, State},
    http::Response,
    routing::post,
};
use llm_protocol::{
    gemini::Gemini,
    ir::{ApiError, ErrorKind},
    json::Json,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{super::Call, call, count};
use crate::{
    app::App,
    gateway::operations,
    http::{error::respond, middleware::RequestId},
};

/// The same below every address that Google's clients use: of the Developer API in its two versions, without a version, and
/// of Vertex with and without a project.
const ALIASES: [&str; 7] = [
    "/v1/models/{*id}",
    "/v1beta1/models/{*id}",
    "/models/{*id}",
    "/v1/publishers/google/models/{*id}",
    "/v1beta1/publishers/google/models/{*id}",
    "/v1/projects/{project}/locations/{location}/publishers/google/models/{*id}",
    "/v1beta1/projects/{project}/locations/{location}/publishers/google/models/{*id}",
];

pub fn router() -> OpenApiRouter<Arc<App>> {
    let router = OpenApiRouter::new().routes(routes!(generate));
    ALIASES.into_iter().fold(router, |router, path| router.route(path, post(generate)))
}

/// Generate content
///
/// Google's Gemini API in front of every provider. The path ends with the model, a colon and a verb: `generateContent`;
/// `streamGenerateContent`, which answers with one JSON array unless `alt=sse` asks for server-sent events; `countTokens`, whose
/// answer is an estimate where the header `X-Orchestrator-Estimate` says so; or `embedContent` and `batchEmbedContents`, which
/// providers of OpenAI's embeddings are asked for too: texts only.
#[utoipa::path(
    post,
    path = "/v1beta/models/{*id}",
    tag = "client",
    params(
        ("id" = String, Path, description = "Such as `gemini-3-flash:generateContent`"),
        ("alt" = Option<String>, Query, description = "`sse`: a stream comes as server-sent events"),
    ),
    request_body(content = serde_json::Value, description = "Google's request body, with the orchestration fields"),
    responses(
        (status = 200, description = "The answer", body = serde_json::Value),
        (status = 400, description = "The body is invalid; the message names the field"),
        (status = 401, description = "The API key is missing or wrong"),
        (status = 404, description = "No provider serves the model, or there is no such verb"),
        (status = 429, description = "A rate limit; `RetryInfo` says how long to wait"),
        (status = 502, description = "The provider failed"),
        (status = 503, description = "Nobody can serve the request now"),
        (status = 504, description = "A deadline passed"),
    ),
    security(("api_key" = []))
)]
pub(crate) async fn generate(State(app): State<Arc<App>>, path: RawPathParams, request: Request) -> Response<Body> {
    let asked = path.iter().find(|(name, _)| *name == "id").and_then(|(_, rest)| rest.rsplit_once(':'));
    let sse = request.uri().query().is_some_and(asks_for_events);
    let Some((model, verb)) = asked else { return no_such_verb(&request) };
    let model = Some(model.strip_prefix("models/").unwrap_or(model).to_owned());
    let operation = |operation| operations::Call { operation, model: model.clone() };
    let asked =
        |stream| Call { model: model.clone(), stream: Some(stream), array: stream && !sse, ..Call::of(&Gemini) };
    match verb {
        "generateContent" => call(&app, asked(false), request).await,
        "streamGenerateContent" => call(&app, asked(true), request).await,
        "countTokens" => count(&app, asked(false), request, total).await,
        "embedContent" => call(&app, operation(&operations::EMBED_CONTENT), request).await,
        "batchEmbedContents" => call(&app, operation(&operations::BATCH_EMBED_CONTENTS), request).await,
        _ => no_such_verb(&request),
    }
}

/// The answer to `countTokens`.
fn total(tokens: u64) -> Json {
    Json::object([("totalTokens", Json::from(tokens))])
}

/// Whether a query asks for server-sent events, in either spelling of the parameter.
fn asks_for_events(query: &str) -> bool {
    query.split('&').any(|pair| matches!(pair, "alt=sse" | "$alt=sse" | "%24alt=sse"))
}

fn no_such_verb(request: &Request) -> Response<Body> {
    let request_id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let message = "the path must end with a model, a colon and generateContent, streamGenerateContent, countTokens, \
                   embedContent or batchEmbedContents";
    respond(&Gemini, &ApiError::new(ErrorKind::NotFound, message), &request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_comes_as_events_where_the_query_says_so() {
        assert!(asks_for_events("alt=sse") && asks_for_events("key=x&%24alt=sse"));
        assert!(!asks_for_events("alt=json") && !asks_for_events("salt=sse"));
    }
}
