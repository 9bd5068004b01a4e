//! The request log as a file, for other programs: as many rows as there are, a few of them in memory.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, Response, header},
};
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value};

use super::logs::{Filters, LogView, filter};
use crate::{
    admin::{Operator, error::invalid, input::Params},
    app::App,
    http::error::Failure,
    store::{LogFilter, LogPlace, LogRow, StoreError},
};

/// Rows that are in memory at a time.
const BATCH: i64 = 1000;

/// The columns of a CSV file.
const COLUMNS: [&str; 37] = [
    "id",
    "request_id",
    "created_at",
    "provider_id",
    "provider_name",
    "provider_type",
    "provider_key",
    "model",
    "upstream_model",
    "endpoint",
    "method",
    "status_code",
    "stream",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "extra_tokens",
    "server_tool_requests",
    "cost",
    "latency_ms",
    "ttft_ms",
    "attempts",
    "error_code",
    "error_message",
    "dropped",
    "approximated",
    "protocol",
    "upstream_protocol",
    "key_id",
    "key_name",
    "ip_address",
    "user_agent",
    "cache_status",
    "saved_cost",
];

#[derive(Clone, Copy)]
enum Format {
    Csv,
    JsonLines,
}

/// Export of the request log
///
/// All rows that the filters of `GET /admin/logs` let through, newest first. A file that ends before its time ends with a
/// broken connection, never as if it were whole. In CSV, a text that a spreadsheet would take for a formula begins with `'`.
#[utoipa::path(
    get,
    path = "/logs/export",
    tag = "admin",
    params(
        ("format" = Option<String>, Query, description = "`csv` or `jsonl`; `csv` by default"),
        Filters,
    ),
    responses(
        (status = 200, content((String = "text/csv"), (String = "application/jsonl"))),
    ),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn export(
    _: Operator,
    State(app): State<Arc<App>>,
    params: Params,
) -> Result<Response<Body>, Failure> {
    let format = match params.text("format").as_deref() {
        None | Some("csv") => Format::Csv,
        Some("jsonl") => Format::JsonLines,
        Some(other) => return Err(invalid("format", format!("`format` must be csv or jsonl, not `{other}`")).into()),
    };
    let filter = filter(&params)?;
    app.journal.settle().await;
    // The first rows before the answer begins: where the database is away, there should be none.
    let first = app.store.logs_after(&filter, None, BATCH).await?;
    let head = stream::iter([Ok::<_, StoreError>(format.head())]);
    let rows = stream::try_unfold(Some(first), move |rows| {
        let (app, filter) = (app.clone(), filter.clone());
        async move {
            let Some(rows) = rows else { return Ok(None) };
            let next = match rows.last().map(LogRow::place) {
                Some(place) if is_full(&rows) => Some(following(&app, &filter, place).await?),
                _ => None,
            };
            Ok(Some((format.text(rows), next)))
        }
    });
    let mut response = Response::new(Body::from_stream(head.chain(rows)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(format.disposition()));
    Ok(response)
}

fn is_full(rows: &[LogRow]) -> bool {
    i64::try_from(rows.len()).is_ok_and(|rows| rows == BATCH)
}

async fn following(app: &App, filter: &LogFilter, place: LogPlace) -> Result<Vec<LogRow>, StoreError> {
    let rows = app.store.logs_after(filter, Some(place), BATCH).await;
    rows.inspect_err(|error| tracing::warn!(%error, "An export of the request log broke off: {error}"))
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::JsonLines => "application/jsonl",
        }
    }

    fn disposition(self) -> &'static str {
        match self {
            Self::Csv => "attachment; filename=\"request-log.csv\"",
            Self::JsonLines => "attachment; filename=\"request-log.jsonl\"",
        }
    }

    fn head(self) -> Bytes {
        match self {
            Self::Csv => csv(|writer| writer.write_record(COLUMNS)),
            Self::JsonLines => Bytes::new(),
        }
    }

    fn text(self, rows: Vec<LogRow>) -> Bytes {
        let rows = rows.into_iter().map(LogView::from);
        match self {
            Self::Csv => csv(|writer| {
                rows.map(members).try_for_each(|row| writer.write_record(COLUMNS.map(|name| cell(row.get(name)))))
            }),
            Self::JsonLines => {
                rows.fold(String::new(), |text, row| text + &Value::Object(members(row)).to_string() + "\n").into()
            }
        }
    }
}

fn members(row: LogView) -> Map<String, Value> {
    match serde_json::to_value(row) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

fn csv(write: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> csv::Result<()>) -> Bytes {
    let mut writer = csv::Writer::from_writer(Vec::new());
    write(&mut writer).expect("rows of one length are written to memory");
    writer.into_inner().expect("memory can be flushed").into()
}

/// A value as text. Spreadsheets run what begins like a formula, and clients choose some of these texts.
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        Some(other) => return other.to_string(),
    };
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_row_has_a_column() {
        let mut fields: Vec<String> = members(LogRow::default().into()).into_iter().map(|(name, _)| name).collect();
        let mut columns = COLUMNS.map(str::to_owned).to_vec();
        fields.sort();
        columns.sort();
        assert_eq!(fields, columns);
    }

    #[test]
    fn a_cell_is_never_a_formula_and_never_two_cells() {
        let row = LogRow {
            user_agent: Some("=HYPERLINK(\"http://evil\")".into()),
            error_message: Some("a, b\n\"c\"".into()),
            model: Some("@SUM(1)".into()),
            latency_ms: -5,
            dropped: Some("seed,top_k".into()),
            ..LogRow::default()
        };
        let text = Format::Csv.text(vec![row]);
        let text = std::str::from_utf8(&text).unwrap();
        for part in
            ["\"'=HYPERLINK(\"\"http://evil\"\")\"", "\"a, b\n\"\"c\"\"\"", ",'@SUM(1),", ",-5,", ",\"seed,top_k\","]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
