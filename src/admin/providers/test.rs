//! One real small request to a provider.

use std::sync::Arc;

use axum::{Json, extract::State, http::HeaderMap};
use llm_protocol::{
    Target,
    ir::{ApiError, ErrorKind, Losses, Message, Part, Request as Canonical, Response, Role},
    outbound,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::{find, usable};
use crate::{
    admin::{
        Operator,
        error::invalid,
        input::{Body, Id},
    },
    app::App,
    catalog::Provider,
    chance,
    health::Outcome,
    http::error::Failure,
    providers::{self, Call, Outgoing},
    upstream::{blames_upstream, late, read_whole},
};

/// How to test.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestInput {
    /// The provider's name of the model to ask; one that it serves if left out.
    #[schema(example = "gpt-4o-mini")]
    model: Option<String>,
    /// The name of the key to ask with; the one whose turn it is if left out.
    #[schema(example = "team-a")]
    key: Option<String>,
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
pub struct TestResult {
    /// A complete answer came.
    pub success: bool,
    pub provider_id: i64,
    pub provider_name: String,
    /// What was asked; `null` if no model could be found to ask.
    pub model: Option<String>,
    /// The whole request.
    pub latency_ms: u64,
    /// What the model said, or what went wrong.
    pub message: String,
    /// What kind of error it was.
    pub error_code: Option<String>,
    /// The status that the provider answered with, if it was not 200.
    pub status_code: Option<u16>,
}

/// What is asked: short, and costing next to nothing even where the model thinks about it first.
const QUESTION: &str = "Reply with the word OK.";
const LONGEST_ANSWER: u64 = 256;
const RESPONSE_LIMIT: usize = 1 << 20;

/// Test a provider
///
/// Sends one real small request, whether the provider is switched on or not. The answer is 200 either way; `success` says
/// how it went.
#[utoipa::path(
    post,
    path = "/providers/{id}/test",
    tag = "admin",
    params(("id" = i64, Path)),
    request_body = Option<TestInput>,
    responses((status = 200, body = TestResult), (status = 404, description = "There is no such provider")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn test(
    _: Operator,
    State(app): State<Arc<App>>,
    Id(id): Id,
    Body(input): Body<TestInput>,
) -> Result<Json<TestResult>, Failure> {
    let row = find(&app, id).await?;
    let whole = Arc::new(usable(&app, &row)?);
    let provider = match &input.key {
        None => whole.choose_key("", 0, &mut chance::lots()),
        key => whole.as_holder(key.as_deref()).ok_or_else(|| invalid("key", "`key` names none that is switched on"))?,
    };
    let began = Instant::now();
    let deadline = began + provider.timeout;
    let (model, outcome) = match model(&app, &provider, input.model).await {
        Ok(model) => {
            let answer = ask(&app, &provider, &model, deadline).await;
            (Some(model), answer.map_err(|error| provider.conceal(error)))
        }
        Err(error) => (None, Err(error)),
    };
    note(&whole, &provider, &outcome, began);
    let (success, message, error) = match outcome {
        Ok(answer) => (true, text(&answer), None),
        Err(error) => (false, error.message.clone(), Some(error)),
    };
    Ok(Json(TestResult {
        success,
        provider_id: row.id,
        provider_name: row.name,
        model,
        latency_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        message,
        error_code: error.as_ref().map(|error| error.code.clone().unwrap_or_else(|| error.kind.code().to_owned())),
        status_code: error.and_then(|error| error.upstream_status),
    }))
}

/// The model to ask: the one named, else one that it serves.
async fn model(app: &App, provider: &Provider, named: Option<String>) -> Result<String, ApiError> {
    match named {
        Some(model) => Ok(model),
        None => app.doctor().choose_model(provider, app.catalog().associated_names(provider.id)).await,
    }
}

async fn ask(app: &App, provider: &Provider, model: &str, deadline: Instant) -> Result<Response, ApiError> {
    let outbound = outbound(provider.protocol())
        .ok_or_else(|| ApiError::new(ErrorKind::Internal, "the provider's protocol is not spoken here"))?;
    let question = Canonical {
        model: model.to_owned(),
        messages: vec![Message::new(Role::User, vec![Part::text(QUESTION)])],
        max_output_tokens: Some(LONGEST_ANSWER),
        ..Canonical::default()
    };
    let rules = app.models.rules(provider.protocol(), provider.kind.name, model);
    let body = outbound.encode_request(&question, Target { model, rules: &rules }, &mut Losses::default());
    let call = Call { provider, outbound, model, stream: false };
    let outgoing = Outgoing::new(&call, outbound, body.into(), HeaderMap::new())?;
    let request = outgoing.request();
    let answer =
        timeout_at(deadline, providers::send(&app.upstream, provider, request)).await.map_err(|_| late())??;
    let (head, body) = answer.into_parts();
    let body = read_whole(body, &head.headers, RESPONSE_LIMIT, deadline).await?;
    if head.status.is_success() {
        outbound.decode_response(&body)
    } else {
        let status = head.status.as_u16();
        Err(ApiError { upstream_status: Some(status), ..outbound.decode_error(status, &body) })
    }
}

/// A test tells as much about a provider as any other request.
fn note(whole: &Provider, provider: &Provider, outcome: &Result<Response, ApiError>, began: Instant) {
    let Some(permit) = provider.admit(true) else { return };
    match outcome {
        Ok(_) => permit.settle(&Outcome::Success { latency: began.elapsed() }),
        Err(error) if error.kind == ErrorKind::UpstreamAuth => provider.refused(whole, permit, &error.message),
        Err(error) if blames_upstream(error) => permit.settle(&Outcome::Failure(error.message.clone())),
        Err(_) => {}
    }
}

/// The beginning of what the model said.
fn text(answer: &Response) -> String {
    let parts = answer.outputs.iter().flat_map(|output| &output.parts);
    let texts = parts.filter_map(|part| match part {
        Part::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    texts.collect::<String>().trim().chars().take(200).collect()
}
