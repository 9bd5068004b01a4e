//! Examining a provider: what it really speaks and what its models can really do.

use std::sync::Arc;

use axum::{Json, extract::State};
use llm_protocol::{ProtocolId, ir::ApiError, outbound};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{find, put_in_force, usable};
use crate::{
    admin::{
        Operator,
        error::{invalid, no_such},
        input::{Body, Id},
    },
    app::App,
    clock,
    doctor::{Report, usual_protocols},
    http::error::Failure,
};

/// What to examine.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExamineInput {
    /// The provider's name of the model to ask; one that it serves if left out.
    #[schema(example = "gpt-4o-mini")]
    model: Option<String>,
    /// The protocols to try; all that many providers speak if left out.
    #[schema(example = json!(["openai_chat", "anthropic"]))]
    protocols: Option<Vec<String>>,
}

/// What an examination found out.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExamineResult {
    pub provider_id: i64,
    pub provider_name: String,
    /// What was asked.
    pub model: String,
    /// Whether the model answered in any protocol.
    pub usable: bool,
    pub report: Report,
    /// Whether it is kept and obeyed: not if the provider was changed meanwhile.
    pub kept: bool,
}

/// Examine a provider
///
/// Sends some twenty real small requests, no more than two at once and for three minutes at most, to find out which protocols
/// it really speaks and what the model can do in each. The findings are kept until its address, key or protocols change:
/// requests that need what is known to be missing go elsewhere.
#[utoipa::path(
    post,
    path = "/providers/{id}/doctor",
    tag = "admin",
    params(("id" = i64, Path)),
    request_body = Option<ExamineInput>,
    responses(
        (status = 200, body = ExamineResult),
        (status = 400, description = "A field is wrong, or no model could be found to ask"),
        (status = 404, description = "There is no such provider"),
    ),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn examine(
    _: Operator,
    State(app): State<Arc<App>>,
    Id(id): Id,
    Body(input): Body<ExamineInput>,
) -> Result<Json<ExamineResult>, Failure> {
    let row = find(&app, id).await?;
    let provider = usable(&app, &row)?;
    let protocols = match input.protocols {
        Some(names) => protocols(&names)?,
        None => usual_protocols(&provider),
    };
    let doctor = app.doctor();
    let model = match input.model.filter(|model| !model.trim().is_empty()) {
        Some(model) => model,
        None => doctor.choose_model(&provider, app.catalog().associated_names(id)).await?,
    };
    let report = doctor.examine(&provider, &model, &protocols).await;
    let mut known =
        Report::of(app.store.provider(id).await?.ok_or_else(|| no_such("provider", id))?.capabilities.as_ref());
    known.learn(report.clone());
    let kept = app.store.put_capabilities(id, row.updated_at, &known.to_json(), clock::now_micros()).await?;
    put_in_force(&app).await?;
    Ok(Json(ExamineResult {
        provider_id: id,
        provider_name: row.name,
        model,
        usable: report.is_usable(),
        report,
        kept,
    }))
}

fn protocols(names: &[String]) -> Result<Vec<ProtocolId>, ApiError> {
    let known = |name: &String| {
        ProtocolId::parse(name)
            .filter(|id| outbound(*id).is_some())
            .ok_or_else(|| invalid("protocols", format!("`protocols`: `{name}` is not spoken here")))
    };
    names.iter().map(known).collect()
}
