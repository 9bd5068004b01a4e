//! Which models there are, in the shape that the client's protocol has for it.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, Query, State, rejection::PathRejection},
    http::{Response, Uri, request::Parts},
    response::IntoResponse,
    routing::get,
};
use llm_protocol::{
    ProtocolId,
    ir::{ApiError, ErrorKind},
};
use serde::de::DeserializeOwned;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{identify, segment};
use crate::{
    app::App,
    catalog::{Caller, Endpoint},
    gateway::{
        admission::{self, Refused},
        auth,
        models::{self, anthropic, gemini, openai},
    },
    http::{dialect::protocol, error::Failure},
    limits::{Class, Estimate},
};

/// Where else the list is.
const ALIASES: [&str; 4] = ["/models", "/openai/v1/models", "/v1beta/models", "/v1beta1/models"];

pub fn router() -> OpenApiRouter<Arc<App>> {
    let documented = OpenApiRouter::new().routes(routes!(list_models)).routes(routes!(get_model));
    ALIASES.into_iter().fold(documented, |router, alias| {
        router.route(alias, get(list_models)).route(&format!("{alias}/{{*id}}"), get(get_model))
    })
}

/// List models
///
/// Every model that can be asked for: configured ones by name, each provider's own as `PROVIDER:model`. A request with an
/// `anthropic-version` is answered in Anthropic's shape (`limit`, `after_id`, `before_id`), one with an `x-goog-api-key`, a
/// `key` or below `/v1beta` in Google's (`pageSize`, `pageToken`).
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "client",
    responses((status = 200, body = openai::ModelList)),
    security(("api_key" = []))
)]
pub(crate) async fn list_models(State(app): State<Arc<App>>, parts: Parts) -> Response<Body> {
    look(&app, &parts, |caller, protocol| {
        let entries = models::list(&app.catalog(), caller);
        Ok(match protocol {
            ProtocolId::Anthropic => {
                Json(anthropic::List::page(entries, &page(&parts.uri)?).map_err(ApiError::from)?).into_response()
            }
            ProtocolId::Gemini => {
                Json(gemini::List::page(entries, &page(&parts.uri)?).map_err(ApiError::from)?).into_response()
            }
            _ => Json(openai::ModelList::from(entries)).into_response(),
        })
    })
    .await
}

/// One model
///
/// The rest of the path is the id, since ids may hold `:` and `/`. The shape is that of the list.
#[utoipa::path(
    get,
    path = "/v1/models/{*id}",
    tag = "client",
    params(("id" = String, Path, description = "As in the list, or any name that a request may use")),
    responses((status = 200, body = openai::ModelObject), (status = 404, description = "No provider serves it")),
    security(("api_key" = []))
)]
pub(crate) async fn get_model(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
    parts: Parts,
) -> Response<Body> {
    look(&app, &parts, |caller, protocol| {
        let entry = models::find(&app.catalog(), caller, &segment(id)?)?;
        Ok(match protocol {
            ProtocolId::Anthropic => Json(anthropic::Model::from(entry)).into_response(),
            ProtocolId::Gemini => Json(gemini::Model::from(entry)).into_response(),
            _ => Json(openai::ModelObject::from(entry)).into_response(),
        })
    })
    .await
}

/// Answers a lookup, in the client's protocol, where its key and its limits allow it.
async fn look(
    app: &App,
    parts: &Parts,
    answer: impl FnOnce(&Caller, ProtocolId) -> Result<Response<Body>, Failure>,
) -> Response<Body> {
    let (protocol, address) = (protocol(&parts.uri, &parts.headers), auth::address(app, parts));
    let admitted = async {
        let caller = identify(app, parts, address).await?;
        caller.permit(Endpoint::Models, address)?;
        let admission = admission::admit(app, &caller, address, Class::Lookup, Estimate::default).await?;
        Ok::<_, Box<Refused>>((caller, admission))
    };
    let (mut response, standing) = match admitted.await {
        Ok((caller, admission)) => (answer(&caller, protocol).into_response(), admission.standing()),
        Err(refused) => (Failure(refused.error).into_response(), refused.standing),
    };
    admission::tell(&standing, protocol, response.headers_mut());
    response
}

fn page<P: DeserializeOwned>(uri: &Uri) -> Result<P, ApiError> {
    let unreadable = |_| ApiError::new(ErrorKind::InvalidRequest, "the query of this request cannot be read");
    Query::try_from_uri(uri).map(|Query(page)| page).map_err(unreadable)
}
