//! How rows come into the request log: many with one statement.

use std::sync::LazyLock;

use sqlx::{Arguments, Database, Encode, IntoArguments, Sqlite, Type, error::BoxDynError, query::Query};

use super::{LogRow, Store, StoreError, db, logs::Text};

const COLUMNS: &str = "id, request_id, created_at, provider_id, provider_name, provider_type, \
    provider_key, model, upstream_model, endpoint, method, status_code, stream, prompt_tokens, completion_tokens, \
    total_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, extra_tokens, server_tool_requests, cost, latency_ms, \
    ttft_ms, attempts, error_code, error_message, dropped, approximated, protocol, upstream_protocol, key_id, key_name, \
    ip_address, user_agent, cache_status, saved_cost";

/// How many they are.
const WIDTH: usize = 37;

/// Rows that one statement adds: few sizes, so that each is prepared once.
const ROWS_PER_STATEMENT: [usize; 3] = [64, 8, 1];

/// These statements, written once for each database.
static SQLITE: LazyLock<[String; 3]> = LazyLock::new(|| statements(|_| "?".to_owned()));
static POSTGRES: LazyLock<[String; 3]> = LazyLock::new(|| statements(|number| format!("${number}")));

/// SQLite looks names of parameters up one by one, so there they have none.
fn statements(parameter: fn(usize) -> String) -> [String; 3] {
    let row = |at: usize| (1..=WIDTH).map(|column| parameter(at * WIDTH + column)).collect::<Vec<_>>().join(", ");
    ROWS_PER_STATEMENT.map(|rows| {
        let rows: Vec<_> = (0..rows).map(|at| format!("({})", row(at))).collect();
        format!("insert into request_log ({COLUMNS}) values {} on conflict do nothing", rows.join(", "))
    })
}

/// The longest text that a column of the log holds, in characters; what is longer says so by an ellipsis.
const LONGEST_TEXT: usize = 2000;

impl Store {
    /// Adds rows, all or none, and says how many of them were not there yet. A batch of which it is not known whether it
    /// arrived can so be added again.
    pub async fn insert_logs(&self, rows: &[LogRow]) -> Result<u64, StoreError> {
        db::transaction!(self, tx => {
            let mut added = 0;
            let mut rest = rows;
            while let Some(at) = ROWS_PER_STATEMENT.iter().position(|size| *size <= rest.len()) {
                let (rows, left) = rest.split_at(ROWS_PER_STATEMENT[at]);
                added += insertion(at, rows)?.execute(&mut *tx).await?.rows_affected();
                rest = left;
            }
            added
        })
    }
}

/// The statement that adds these rows, of which it takes so many as [`ROWS_PER_STATEMENT`] says.
fn insertion<D>(statement: usize, rows: &[LogRow]) -> Result<Query<'static, D, D::Arguments>, sqlx::Error>
where
    D: Database<Arguments: IntoArguments<D>>,
    i64: for<'a> Encode<'a, D> + Type<D>,
    Text: for<'a> Encode<'a, D> + Type<D>,
    Option<i64>: for<'a> Encode<'a, D>,
    Option<Text>: for<'a> Encode<'a, D>,
{
    let mut arguments = D::Arguments::default();
    arguments.reserve(rows.len() * WIDTH, 0);
    rows.iter().try_for_each(|row| add(row, &mut arguments)).map_err(sqlx::Error::Encode)?;
    let statements = if D::NAME == Sqlite::NAME { &SQLITE } else { &POSTGRES };
    Ok(sqlx::query_with(statements[statement].as_str(), arguments))
}

/// Adds what a row says, in the order of [`COLUMNS`].
fn add<A: Arguments>(row: &LogRow, arguments: &mut A) -> Result<(), BoxDynError>
where
    i64: for<'a> Encode<'a, A::Database> + Type<A::Database>,
    Text: for<'a> Encode<'a, A::Database> + Type<A::Database>,
    Option<i64>: for<'a> Encode<'a, A::Database>,
    Option<Text>: for<'a> Encode<'a, A::Database>,
{
    arguments.add(row.id)?;
    arguments.add(storable_text(&row.request_id))?;
    arguments.add(row.created_at)?;
    arguments.add(row.provider_id)?;
    arguments.add(row.provider_name.as_ref().map(storable_text))?;
    arguments.add(row.provider_type.as_ref().map(storable_text))?;
    arguments.add(row.provider_key.as_ref().map(storable_text))?;
    arguments.add(row.model.as_ref().map(storable_text))?;
    arguments.add(row.upstream_model.as_ref().map(storable_text))?;
    arguments.add(storable_text(&row.endpoint))?;
    arguments.add(storable_text(&row.method))?;
    arguments.add(row.status_code)?;
    arguments.add(i64::from(row.stream))?;
    arguments.add(row.prompt_tokens)?;
    arguments.add(row.completion_tokens)?;
    arguments.add(row.total_tokens)?;
    arguments.add(row.cached_tokens)?;
    arguments.add(row.cache_write_tokens)?;
    arguments.add(row.reasoning_tokens)?;
    arguments.add(row.extra_tokens)?;
    arguments.add(row.server_tool_requests)?;
    arguments.add(row.cost)?;
    arguments.add(row.latency_ms)?;
    arguments.add(row.ttft_ms)?;
    arguments.add(row.attempts)?;
    arguments.add(row.error_code.as_ref().map(storable_text))?;
    arguments.add(row.error_message.as_ref().map(storable_text))?;
    arguments.add(row.dropped.as_ref().map(storable_text))?;
    arguments.add(row.approximated.as_ref().map(storable_text))?;
    arguments.add(row.protocol.as_ref().map(storable_text))?;
    arguments.add(row.upstream_protocol.as_ref().map(storable_text))?;
    arguments.add(row.key_id)?;
    arguments.add(row.key_name.as_ref().map(storable_text))?;
    arguments.add(row.ip_address.as_ref().map(storable_text))?;
    arguments.add(row.user_agent.as_ref().map(storable_text))?;
    arguments.add(row.cache_status.as_ref().map(storable_text))?;
    arguments.add(row.saved_cost)?;
    Ok(())
}

/// The same of a text of a row, which is nearly always fit as it is.
fn storable_text(text: &Text) -> Text {
    if is_storable(text) { text.clone() } else { storable(text).into() }
}

fn is_storable(text: &str) -> bool {
    text.len() <= LONGEST_TEXT && !text.as_bytes().contains(&0)
}

/// `text` without the character that PostgreSQL cannot hold, and no longer than a log should be.
pub(super) fn storable(text: &str) -> String {
    if is_storable(text) {
        return text.to_owned();
    }
    let mut characters = text.chars().filter(|character| *character != '\0');
    let mut kept: String = characters.by_ref().take(LONGEST_TEXT).collect();
    if characters.next().is_some() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_has_its_parameter() {
        assert_eq!(COLUMNS.split(',').count(), WIDTH);
        assert_eq!(SQLITE[2].matches('?').count(), WIDTH);
    }

    #[test]
    fn text_for_the_log_is_cut_at_a_character_and_has_no_nul() {
        assert_eq!(storable("a\0b"), "ab");
        let long = storable(&"é".repeat(3000));
        assert_eq!(long.chars().count(), LONGEST_TEXT + 1);
        assert!(long.ends_with('…'));
    }
}
