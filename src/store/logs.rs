//! The request log: one row a request.

use std::sync::Arc;

use llm_protocol::ir::Usage;
use sqlx::{Database, Encode, QueryBuilder, Type};

use super::{Store, StoreError, db, log_rows::storable, row::from_row};

/// A text that many rows have, such as a name: written down once, however many hold it.
pub type Text = Arc<str>;

/// One row of `request_log`: what became of a request. What is not known is `None`, never 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogRow {
    /// One of those that [`Store::reserve_log_ids`] gave out.
    pub id: i64,
    pub request_id: Text,
    pub created_at: i64,
    /// Who answered, or who failed last.
    pub provider_id: Option<i64>,
    pub provider_name: Option<Text>,
    pub provider_type: Option<Text>,
    /// With which of the provider's keys, where it has several.
    pub provider_key: Option<Text>,
    /// As the client named it.
    pub model: Option<Text>,
    /// As the provider knows it.
    pub upstream_model: Option<Text>,
    pub endpoint: Text,
    pub method: Text,
    pub status_code: i64,
    pub stream: bool,
    pub prompt_tokens: Option<i64>,
    pub completion_tokens: Option<i64>,
    pub total_tokens: Option<i64>,
    pub cached_tokens: Option<i64>,
    pub cache_write_tokens: Option<i64>,
    pub reasoning_tokens: Option<i64>,
    /// Taken beside the answer, and in none of the other counts.
    pub extra_tokens: Option<i64>,
    /// Searches and fetches of the provider's own tools.
    pub server_tool_requests: Option<i64>,
    /// Nano-dollars.
    pub cost: Option<i64>,
    pub latency_ms: i64,
    /// Until the first token.
    pub ttft_ms: Option<i64>,
    pub attempts: i64,
    /// `None` means that the client got a complete answer.
    pub error_code: Option<Text>,
    pub error_message: Option<Text>,
    /// Fields that translation had to leave out, comma-separated.
    pub dropped: Option<Text>,
    /// Fields that it said in a nearby form, comma-separated.
    pub approximated: Option<Text>,
    /// What the client spoke.
    pub protocol: Option<Text>,
    /// What the provider was asked in.
    pub upstream_protocol: Option<Text>,
    pub key_id: Option<i64>,
    pub key_name: Option<Text>,
    pub ip_address: Option<Text>,
    pub user_agent: Option<Text>,
    /// `hit`, `miss` or `bypass`; `None` where the cache of answers was not asked.
    pub cache_status: Option<Text>,
    /// Nano-dollars that a hit would have cost.
    pub saved_cost: Option<i64>,
}

impl LogRow {
    /// Fills in the counts.
    pub fn count(&mut self, usage: &Usage) {
        let number = |tokens: u64| Some(i64::try_from(tokens).unwrap_or(i64::MAX));
        self.prompt_tokens = number(usage.input);
        self.completion_tokens = number(usage.output);
        self.total_tokens = number(usage.total());
        self.cached_tokens = number(usage.cache_read);
        self.cache_write_tokens = number(usage.cache_write);
        self.reasoning_tokens = usage.reasoning.and_then(number);
        self.extra_tokens = number(usage.extra()).filter(|tokens| *tokens > 0);
        let requests = usage.web_searches.saturating_add(usage.web_fetches);
        self.server_tool_requests = number(requests).filter(|requests| *requests > 0);
    }
}

from_row!(LogRow, |row| Self {
    id: row.int("id")?,
    request_id: row.text("request_id")?.into(),
    created_at: row.int("created_at")?,
    provider_id: row.int_if_any("provider_id")?,
    provider_name: row.text_if_any("provider_name")?.map(Text::from),
    provider_type: row.text_if_any("provider_type")?.map(Text::from),
    provider_key: row.text_if_any("provider_key")?.map(Text::from),
    model: row.text_if_any("model")?.map(Text::from),
    upstream_model: row.text_if_any("upstream_model")?.map(Text::from),
    endpoint: row.text("endpoint")?.into(),
    method: row.text("method")?.into(),
    status_code: row.int("status_code")?,
    stream: row.flag("stream")?,
    prompt_tokens: row.int_if_any("prompt_tokens")?,
    completion_tokens: row.int_if_any("completion_tokens")?,
    total_tokens: row.int_if_any("total_tokens")?,
    cached_tokens: row.int_if_any("cached_tokens")?,
    cache_write_tokens: row.int_if_any("cache_write_tokens")?,
    reasoning_tokens: row.int_if_any("reasoning_tokens")?,
    extra_tokens: row.int_if_any("extra_tokens")?,
    server_tool_requests: row.int_if_any("server_tool_requests")?,
    cost: row.int_if_any("cost")?,
    latency_ms: row.int("latency_ms")?,
    ttft_ms: row.int_if_any("ttft_ms")?,
    attempts: row.int("attempts")?,
    error_code: row.text_if_any("error_code")?.map(Text::from),
    error_message: row.text_if_any("error_message")?.map(Text::from),
    dropped: row.text_if_any("dropped")?.map(Text::from),
    approximated: row.text_if_any("approximated")?.map(Text::from),
    protocol: row.text_if_any("protocol")?.map(Text::from),
    upstream_protocol: row.text_if_any("upstream_protocol")?.map(Text::from),
    key_id: row.int_if_any("key_id")?,
    key_name: row.text_if_any("key_name")?.map(Text::from),
    ip_address: row.text_if_any("ip_address")?.map(Text::from),
    user_agent: row.text_if_any("user_agent")?.map(Text::from),
    cache_status: row.text_if_any("cache_status")?.map(Text::from),
    saved_cost: row.int_if_any("saved_cost")?,
});

/// Which rows to list. What is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    pub status_code: Option<i64>,
    pub provider_id: Option<i64>,
    /// As the client named it.
    pub model: Option<String>,
    /// What the client spoke.
    pub protocol: Option<String>,
    /// What the provider was asked in.
    pub upstream_protocol: Option<String>,
    /// What the cache of answers had to do with it.
    pub cache_status: Option<String>,
    /// A key's name, or its id in digits.
    pub key: Option<String>,
    /// The earliest time of interest.
    pub from: Option<i64>,
    /// The first time that no longer is.
    pub to: Option<i64>,
    pub request_id: Option<String>,
    pub stream: Option<bool>,
    /// Text somewhere in names, models, errors or ids, whatever its case.
    pub text: Option<String>,
}

/// One page of the log, newest first.
#[derive(Clone, Debug)]
pub struct LogPage {
    /// How many rows the filter lets through on all pages.
    pub total: i64,
    pub rows: Vec<LogRow>,
}

/// A row's place in the log: older rows come after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlace {
    pub created_at: i64,
    pub id: i64,
}

from_row!(LogPlace, |row| Self { created_at: row.int("created_at")?, id: row.int("id")? });

impl LogRow {
    /// Where it stands in the log.
    pub fn place(&self) -> LogPlace {
        LogPlace { created_at: self.created_at, id: self.id }
    }
}

/// Where a page begins.
enum Start {
    Newest,
    /// With this row.
    At(LogPlace),
    /// With the one after this.
    After(LogPlace),
}

impl Store {
    /// As many ids as asked for, in a row, that no row of the log has; the first of them.
    pub async fn reserve_log_ids(&self, count: i64) -> Result<i64, StoreError> {
        let sql = "update counter set value = value + $1 where name = 'request_log' returning value";
        let last: i64 = db::writing!(self, pool => sqlx::query_scalar(sql).bind(count).fetch_one(pool))?;
        Ok(last - count + 1)
    }

    /// Page `page` (from 1) of the rows that `filter` lets through. Pages far from both ends take longer than
    /// [`Store::logs_after`].
    pub async fn logs(&self, filter: &LogFilter, page: i64, page_size: i64) -> Result<LogPage, StoreError> {
        let total = self.count_logs(filter).await?;
        let newer = page.saturating_sub(1).saturating_mul(page_size);
        let start = match newer {
            0 => Start::Newest,
            newer if newer >= total => return Ok(LogPage { total, rows: Vec::new() }),
            newer => match self.log_place(filter, newer, total).await? {
                Some(place) => Start::At(place),
                None => return Ok(LogPage { total, rows: Vec::new() }),
            },
        };
        Ok(LogPage { total, rows: self.logs_from(filter, start, page_size).await? })
    }

    /// The next `limit` rows that `filter` lets through after `place`, or the first ones; as fast at the log's end as at its
    /// beginning.
    pub async fn logs_after(
        &self,
        filter: &LogFilter,
        place: Option<LogPlace>,
        limit: i64,
    ) -> Result<Vec<LogRow>, StoreError> {
        self.logs_from(filter, place.map_or(Start::Newest, Start::After), limit).await
    }

    /// How many rows `filter` lets through.
    pub async fn count_logs(&self, filter: &LogFilter) -> Result<i64, StoreError> {
        db::reading!(db::REPORT, self, pool => async {
            let mut count = QueryBuilder::new("select cast(count(*) as bigint) from request_log");
            push_conditions(&mut count, filter);
            count.build_query_scalar().persistent(false).fetch_one(pool).await
        })
    }

    /// The place of the row that has `newer` others before it. Only the index is walked, and from its nearer end.
    async fn log_place(&self, filter: &LogFilter, newer: i64, total: i64) -> Result<Option<LogPlace>, StoreError> {
        let older = total - newer - 1;
        let (order, skipped) = if newer <= older { ("desc", newer) } else { ("asc", older) };
        db::reading!(db::REPORT, self, pool => async {
            let mut find = QueryBuilder::new("select created_at, id from request_log");
            push_conditions(&mut find, filter);
            find.push(format_args!(" order by created_at {order}, id {order} limit 1 offset ")).push_bind(skipped);
            find.build_query_as().persistent(false).fetch_optional(pool).await
        })
    }

    async fn logs_from(&self, filter: &LogFilter, start: Start, limit: i64) -> Result<Vec<LogRow>, StoreError> {
        db::reading!(db::REPORT, self, pool => async {
            let mut list = QueryBuilder::new("select * from request_log");
            push_conditions(&mut list, filter);
            let bound = match start {
                Start::Newest => None,
                Start::At(place) => Some((place, " <= (")),
                Start::After(place) => Some((place, " < (")),
            };
            if let Some((LogPlace { created_at, id }, compared)) = bound {
                // The first condition says nothing new, but it is the one by which partitions are left out.
                list.push(" and created_at <= ").push_bind(created_at);
                list.push(" and (created_at, id)").push(compared).push_bind(created_at);
                list.push(", ").push_bind(id).push(")");
            }
            list.push(" order by created_at desc, id desc limit ").push_bind(limit);
            list.build_query_as().persistent(false).fetch_all(pool).await
        })
    }
}

fn push_conditions<D>(query: &mut QueryBuilder<D>, filter: &LogFilter)
where
    D: Database,
    i64: for<'a> Encode<'a, D> + Type<D>,
    String: for<'a> Encode<'a, D> + Type<D>,
{
    query.push(" where 1 = 1");
    let numbers = [
        (" and status_code = ", filter.status_code),
        (" and provider_id = ", filter.provider_id),
        (" and created_at >= ", filter.from),
        (" and created_at < ", filter.to),
        (" and stream = ", filter.stream.map(i64::from)),
    ];
    for (condition, number) in numbers {
        if let Some(number) = number {
            query.push(condition).push_bind(number);
        }
    }
    let texts = [
        (" and model = ", &filter.model),
        (" and protocol = ", &filter.protocol),
        (" and upstream_protocol = ", &filter.upstream_protocol),
        (" and cache_status = ", &filter.cache_status),
        (" and request_id = ", &filter.request_id),
    ];
    for (condition, text) in texts {
        if let Some(text) = text {
            query.push(condition).push_bind(storable(text));
        }
    }
    if let Some(key) = &filter.key {
        query.push(" and (key_name = ").push_bind(storable(key));
        if let Ok(id) = key.parse::<i64>() {
            query.push(" or key_id = ").push_bind(id);
        }
        query.push(")");
    }
    if let Some(text) = &filter.text {
        let pattern = contains(&storable(text));
        query.push(" and (1 = 0");
        for column in SEARCHED {
            query.push(" or lower(").push(column).push(") like ").push_bind(pattern.clone()).push(" escape '!'");
        }
        query.push(")");
    }
}

const SEARCHED: [&str; 9] = [
    "request_id",
    "model",
    "upstream_model",
    "provider_name",
    "error_code",
    "error_message",
    "key_name",
    "ip_address",
    "user_agent",
];

/// A pattern for `like` that finds `text` anywhere and takes none of it for a wildcard.
fn contains(text: &str) -> String {
    let literal = text.to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{literal}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_takes_wildcards_literally() {
        assert_eq!(contains("50%_OFF!"), "%50!%!_off!!%");
    }
}
