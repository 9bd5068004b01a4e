//! The request log.

use std::sync::Arc;

use axum::{Json, extract::State};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use llm_protocol::ir::ApiError;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    admin::{
        Operator,
        error::{invalid, no_such},
        input::{Id, Params},
    },
    app::App,
    clock,
    http::error::Failure,
    journal::{Content, Excerpt},
    secret::CannotOpen,
    store::{LogFilter, LogPage, LogPlace, LogRow, Text},
};

/// One page of the log, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Logs {
    /// How many rows the filters let through on all pages.
    pub total: i64,
    pub page: i64,
    pub page_size: i64,
    pub logs: Vec<LogView>,
    /// What to send as `before` for the rows that come after these; `null` where these are the last.
    #[schema(example = "1767225600250000.42")]
    pub next: Option<String>,
}

/// What became of one request. What is not known is `null`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogRow)]
pub struct LogView {
    pub id: i64,
    pub request_id: String,
    pub created_at: String,
    /// Who answered, or who failed last.
    pub provider_id: Option<i64>,
    pub provider_name: Option<String>,
    pub provider_type: Option<String>,
    /// With which of the provider's keys, by its name; `null` where it has but one.
    pub provider_key: Option<String>,
    /// As the client named it.
    pub model: Option<String>,
    /// As the provider knows it.
    pub upstream_model: Option<String>,
    pub endpoint: String,
    pub method: String,
    pub status_code: i64,
    pub stream: bool,
    pub prompt_tokens: Option<i64>,
    pub completion_tokens: Option<i64>,
    pub total_tokens: Option<i64>,
    pub cached_tokens: Option<i64>,
    pub cache_write_tokens: Option<i64>,
    pub reasoning_tokens: Option<i64>,
    /// Taken beside the answer, such as for a summary of the conversation; in none of the other counts.
    pub extra_tokens: Option<i64>,
    /// Searches and fetches of the provider's own tools.
    pub server_tool_requests: Option<i64>,
    /// US dollars.
    pub cost: Option<f64>,
    pub latency_ms: i64,
    /// Until the first token.
    pub ttft_ms: Option<i64>,
    pub attempts: i64,
    /// `null` if the client got a complete answer.
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    /// Fields that translation had to leave out.
    pub dropped: Vec<String>,
    /// Fields that translation said in a weaker or nearby form.
    pub approximated: Vec<String>,
    /// What the client spoke.
    pub protocol: Option<String>,
    /// What the provider was asked in; the same where bytes passed as they were.
    pub upstream_protocol: Option<String>,
    pub key_id: Option<i64>,
    pub key_name: Option<String>,
    pub ip_address: Option<String>,
    pub user_agent: Option<String>,
    /// `hit`, `miss` or `bypass`; `null` where the cache of answers was not asked.
    pub cache_status: Option<String>,
    /// US dollars that a hit would have cost.
    pub saved_cost: Option<f64>,
}

/// Which rows of the log are wanted.
#[derive(IntoParams)]
#[expect(dead_code, reason = "only its description is used: `filter` reads the query, with errors that name the field")]
#[into_params(parameter_in = Query)]
pub struct Filters {
    pub status_code: Option<i64>,
    pub provider_id: Option<i64>,
    /// As the client named it
    pub model: Option<String>,
    /// What the client spoke, such as `anthropic`
    pub protocol: Option<String>,
    /// What the provider was asked in
    pub upstream_protocol: Option<String>,
    /// A key's name or id
    pub key: Option<String>,
    /// The earliest time, as in 2026-01-31T08:00:00Z or 2026-01-31
    pub from: Option<String>,
    /// The first time that is too late
    pub to: Option<String>,
    pub request_id: Option<String>,
    pub stream: Option<bool>,
    /// `hit`, `miss` or `bypass`
    pub cache_status: Option<String>,
    /// Text in names, models, errors, addresses or ids, whatever its case
    pub q: Option<String>,
}

/// What became of one request, and what was said in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogDetail {
    #[serde(flatten)]
    pub row: LogView,
    /// `null` where it was not logged.
    pub content: Option<ContentView>,
    /// It was logged, and cannot be read: it was sealed with another master key, or is damaged.
    pub unreadable: bool,
}

/// What was said in a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct ContentView {
    /// What the client sent.
    pub request: ExcerptView,
    /// What it got: of a stream the events as they went over the wire.
    pub answer: ExcerptView,
}

/// The beginning of a body.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExcerptView {
    /// `null` where it is no text.
    pub text: Option<String>,
    /// What is no text.
    pub base64: Option<String>,
    /// Bytes of the whole.
    pub bytes: u64,
    /// Whether there was more of it.
    pub truncated: bool,
}

impl From<Content> for ContentView {
    fn from(content: Content) -> Self {
        Self { request: content.request.into(), answer: content.answer.into() }
    }
}

impl From<Excerpt> for ExcerptView {
    fn from(Excerpt { text: bytes, length }: Excerpt) -> Self {
        let truncated = length > bytes.len() as u64;
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => Some(text),
            // The cut went through a character.
            Err(error) if truncated && error.error_len().is_none() => {
                std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        };
        let base64 = text.is_none().then(|| STANDARD.encode(&bytes));
        Self { text: text.map(str::to_owned), base64, bytes: length, truncated }
    }
}

/// Request log
///
/// Filters that are left out let everything through; several must all hold.
#[utoipa::path(
    get,
    path = "/logs",
    tag = "admin",
    params(
        ("page" = Option<i64>, Query, description = "From 1", minimum = 1),
        ("page_size" = Option<i64>, Query, description = "1 to 100; 50 by default", minimum = 1, maximum = 100),
        ("before" = Option<String>, Query, description = "`next` of the page before, instead of `page`: fast however far"),
        Filters,
    ),
    responses((status = 200, body = Logs)),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn logs(_: Operator, State(app): State<Arc<App>>, params: Params) -> Result<Json<Logs>, Failure> {
    let page = params.integer("page", 1..=i64::MAX)?.unwrap_or(1);
    let page_size = params.integer("page_size", 1..=100)?.unwrap_or(50);
    let filter = filter(&params)?;
    app.journal.settle().await;
    let found = match before(&params)? {
        None => app.store.logs(&filter, page, page_size).await?,
        Some(place) => LogPage {
            total: app.store.count_logs(&filter).await?,
            rows: app.store.logs_after(&filter, Some(place), page_size).await?,
        },
    };
    let full = i64::try_from(found.rows.len()).is_ok_and(|rows| rows == page_size);
    let next = found.rows.last().filter(|_| full).map(|row| format!("{}.{}", row.created_at, row.id));
    let logs = found.rows.into_iter().map(LogView::from).collect();
    Ok(Json(Logs { total: found.total, page, page_size, logs, next }))
}

/// One row of the request log
///
/// With what was said in its request, where the key's requests are logged so (`log_content`) and the configuration allows it.
#[utoipa::path(
    get,
    path = "/logs/{id}",
    tag = "admin",
    params(("id" = i64, Path)),
    responses((status = 200, body = LogDetail), (status = 404, description = "There is no such row")),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn log(_: Operator, State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<LogDetail>, Failure> {
    app.journal.settle().await;
    let (row, content) = app.store.log(id).await?.ok_or_else(|| no_such("row in the log", id))?;
    let (content, unreadable) = match content.map(|sealed| Content::open(&sealed, &app.master_key.log())) {
        None => (None, false),
        Some(Ok(content)) => (Some(ContentView::from(content)), false),
        Some(Err(CannotOpen)) => (None, true),
    };
    Ok(Json(LogDetail { row: row.into(), content, unreadable }))
}

/// The rows that a query asks for.
pub(super) fn filter(params: &Params) -> Result<LogFilter, ApiError> {
    Ok(LogFilter {
        status_code: params.integer("status_code", 100..=599)?,
        provider_id: params.integer("provider_id", 0..=i64::MAX)?,
        model: params.text("model"),
        protocol: params.text("protocol"),
        upstream_protocol: params.text("upstream_protocol"),
        cache_status: params.text("cache_status"),
        key: params.text("key"),
        from: params.time("from")?,
        to: params.time("to")?,
        request_id: params.text("request_id"),
        stream: params.flag("stream")?,
        text: params.text("q"),
    })
}

fn before(params: &Params) -> Result<Option<LogPlace>, ApiError> {
    let Some(text) = params.text("before") else { return Ok(None) };
    let place = text
        .split_once('.')
        .and_then(|(created_at, id)| Some(LogPlace { created_at: created_at.parse().ok()?, id: id.parse().ok()? }));
    place.map(Some).ok_or_else(|| invalid("before", format!("`before` must be the `next` of a page, not `{text}`")))
}

impl From<LogRow> for LogView {
    fn from(row: LogRow) -> Self {
        Self {
            id: row.id,
            request_id: row.request_id.to_string(),
            created_at: clock::rfc3339(row.created_at),
            provider_id: row.provider_id,
            provider_name: text(row.provider_name),
            provider_type: text(row.provider_type),
            provider_key: text(row.provider_key),
            model: text(row.model),
            upstream_model: text(row.upstream_model),
            endpoint: row.endpoint.to_string(),
            method: row.method.to_string(),
            status_code: row.status_code,
            stream: row.stream,
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            total_tokens: row.total_tokens,
            cached_tokens: row.cached_tokens,
            cache_write_tokens: row.cache_write_tokens,
            reasoning_tokens: row.reasoning_tokens,
            extra_tokens: row.extra_tokens,
            server_tool_requests: row.server_tool_requests,
            cost: row.cost.map(dollars),
            latency_ms: row.latency_ms,
            ttft_ms: row.ttft_ms,
            attempts: row.attempts,
            error_code: text(row.error_code),
            error_message: text(row.error_message),
            dropped: paths(row.dropped.as_deref()),
            approximated: paths(row.approximated.as_deref()),
            protocol: text(row.protocol),
            upstream_protocol: text(row.upstream_protocol),
            key_id: row.key_id,
            key_name: text(row.key_name),
            ip_address: text(row.ip_address),
            user_agent: text(row.user_agent),
            cache_status: text(row.cache_status),
            saved_cost: row.saved_cost.map(dollars),
        }
    }
}

fn text(shared: Option<Text>) -> Option<String> {
    shared.map(|text| text.to_string())
}

fn paths(list: Option<&str>) -> Vec<String> {
    list.into_iter().flat_map(|list| list.split(',')).map(str::to_owned).collect()
}

/// Dollars of nano-dollars.
pub(super) fn dollars(nano: i64) -> f64 {
    nano as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn view(text: &'static [u8], length: u64) -> (Option<String>, Option<String>, bool) {
        let view = ExcerptView::from(Excerpt { text: Bytes::from_static(text), length });
        (view.text, view.base64, view.truncated)
    }

    #[test]
    fn a_text_is_shown_to_its_last_whole_character_and_anything_else_in_base64() {
        assert_eq!(view("é".as_bytes(), 2), (Some("é".into()), None, false));
        assert_eq!(view(&"aé".as_bytes()[..2], 3), (Some("a".into()), None, true));
        assert_eq!(view(b"a\xff", 2), (None, Some("Yf8=".into()), false));
        assert_eq!(view(b"a\xffb", 9), (None, Some("Yf9i".into()), true));
    }
}
