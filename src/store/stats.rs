//! Totals over the request log.

use super::{Store, StoreError, db, row::from_row};

/// What happened since some time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// All requests.
    pub total: Tally,
    /// How long whole requests took.
    pub latency_ms: Percentiles,
    /// How long clients waited for the first token, where there was one.
    pub ttft_ms: Percentiles,
    /// Those with traffic, the busiest first.
    pub providers: Vec<ProviderStats>,
}

/// Sums over some requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    pub requests: i64,
    /// The client got a complete answer.
    pub succeeded: i64,
    /// The sum of what all requests took.
    pub latency_ms: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub total_tokens: i64,
    pub cached_tokens: i64,
    /// Nano-dollars; requests of unknown cost add nothing.
    pub cost: i64,
    /// Requests that the cache answered.
    pub cache_hits: i64,
    /// Requests that it might have answered.
    pub cache_misses: i64,
    /// Nano-dollars that the hits would have cost.
    pub saved_cost: i64,
}

from_row!(Tally, |row| Self {
    requests: row.int("requests")?,
    succeeded: row.int("succeeded")?,
    latency_ms: row.int("latency_ms")?,
    prompt_tokens: row.int("prompt_tokens")?,
    completion_tokens: row.int("completion_tokens")?,
    total_tokens: row.int("total_tokens")?,
    cached_tokens: row.int("cached_tokens")?,
    cost: row.int("cost")?,
    cache_hits: row.int("cache_hits")?,
    cache_misses: row.int("cache_misses")?,
    saved_cost: row.int("saved_cost")?,
});

/// A provider's share: the requests that it answered, or was the last to fail.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProviderStats {
    pub provider_id: i64,
    /// Its name in the latest of these requests.
    pub provider_name: String,
    pub tally: Tally,
    pub latency_ms: Percentiles,
}

/// What statistics can be broken down by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Hours since the epoch; the oldest comes first.
    Hour,
    /// The providers' own names of models.
    Model,
    /// API keys.
    Key,
}

/// The share of one hour, model or key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Share {
    /// The hour, or the key's id where it is in the database.
    pub id: Option<i64>,
    /// The model's or the key's name.
    pub name: Option<String>,
    pub tally: Tally,
    pub latency_ms: Percentiles,
}

from_row!(Share, |row| Self {
    id: row.int_if_any("id")?,
    name: row.text_if_any("name")?,
    tally: sqlx::FromRow::from_row(row)?,
    latency_ms: sqlx::FromRow::from_row(row)?,
});

/// Values that half, 95 % and 99 % of the requests stay at or below: exact, by nearest rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    pub p50: Option<i64>,
    pub p95: Option<i64>,
    pub p99: Option<i64>,
}

from_row!(Percentiles, |row| Self {
    p50: row.int_if_any("p50")?,
    p95: row.int_if_any("p95")?,
    p99: row.int_if_any("p99")?,
});

from_row!(ProviderStats, |row| Self {
    provider_id: row.int("id")?,
    provider_name: row.text_if_any("name")?.unwrap_or_default(),
    tally: sqlx::FromRow::from_row(row)?,
    latency_ms: sqlx::FromRow::from_row(row)?,
});

/// The columns of a [`Tally`].
macro_rules! tally {
    () => {
        "cast(count(*) as bigint) as requests, \
         cast(coalesce(sum(case when error_code is null and status_code between 200 and 299 then 1 else 0 end), 0) \
              as bigint) as succeeded, \
         cast(coalesce(sum(latency_ms), 0) as bigint) as latency_ms, \
         cast(coalesce(sum(prompt_tokens), 0) as bigint) as prompt_tokens, \
         cast(coalesce(sum(completion_tokens), 0) as bigint) as completion_tokens, \
         cast(coalesce(sum(total_tokens), 0) as bigint) as total_tokens, \
         cast(coalesce(sum(cached_tokens), 0) as bigint) as cached_tokens, \
         cast(coalesce(sum(cost), 0) as bigint) as cost, \
         cast(coalesce(sum(case when cache_status = 'hit' then 1 else 0 end), 0) as bigint) as cache_hits, \
         cast(coalesce(sum(case when cache_status = 'miss' then 1 else 0 end), 0) as bigint) as cache_misses, \
         cast(coalesce(sum(saved_cost), 0) as bigint) as saved_cost"
    };
}

/// The same, of rows that are such sums already.
macro_rules! sum_of_tallies {
    () => {
        "cast(sum(requests) as bigint) as requests, cast(sum(succeeded) as bigint) as succeeded, \
         cast(sum(latency_ms) as bigint) as latency_ms, cast(sum(prompt_tokens) as bigint) as prompt_tokens, \
         cast(sum(completion_tokens) as bigint) as completion_tokens, \
         cast(sum(total_tokens) as bigint) as total_tokens, cast(sum(cached_tokens) as bigint) as cached_tokens, \
         cast(sum(cost) as bigint) as cost, cast(sum(cache_hits) as bigint) as cache_hits, \
         cast(sum(cache_misses) as bigint) as cache_misses, cast(sum(saved_cost) as bigint) as saved_cost"
    };
}

/// The columns of [`Percentiles`], over rows each of which stands for all requests of one `value`, and knows how many of all
/// `places` there are up to it.
macro_rules! percentiles {
    () => {
        "min(case when place * 100 >= places * 50 then value end) as p50, \
         min(case when place * 100 >= places * 95 then value end) as p95, \
         min(case when place * 100 >= places * 99 then value end) as p99"
    };
}

const TOTAL: &str = concat!("select ", tally!(), " from request_log where created_at >= $1");

/// A statement for the [`Percentiles`] of a column.
macro_rules! distribution {
    ($column:literal) => {
        concat!(
            "select ",
            percentiles!(),
            " from (select value, sum(requests) over (order by value) as place, sum(requests) over () as places \
             from (select ",
            $column,
            " as value, count(*) as requests from request_log where created_at >= $1 and ",
            $column,
            " is not null group by ",
            $column,
            ") as counted) as ranked"
        )
    };
}

const LATENCY: &str = distribution!("latency_ms");
const TTFT: &str = distribution!("ttft_ms");

/// A statement for shares: what their ids and names are in a row of the log, which of the two tell them apart, how that is
/// compared, which column must be known, how their names are shown, and in which order they come, how many at most.
///
/// What is summed is not ranked, and what is ranked are the durations that there were with how often, rather than all rows of
/// the log: see `docs/decisions/0008-no-sums-beside-the-log.md`.
macro_rules! shares {
    (id $id:literal, name $name:literal, by $by:literal, on $on:literal, known $known:literal, show $shown:literal, order $order:literal) => {
        concat!(
            "select shares.*, p50, p95, p99 from (select min(id) as id, ",
            $shown,
            " as name, ",
            sum_of_tallies!(),
            " from (select counted.*, max(latest) over (partition by ",
            $by,
            ") as last from (select ",
            $id,
            " as id, ",
            $name,
            " as name, max(created_at) as latest, ",
            tally!(),
            " from request_log where created_at >= $1 and ",
            $known,
            " is not null group by 1, 2) as counted) as named group by ",
            $by,
            ") as shares join (select min(id) as of_id, max(name) as of_name, ",
            percentiles!(),
            " from (select counted.*, sum(requests) over (partition by ",
            $by,
            " order by value) as place, sum(requests) over (partition by ",
            $by,
            ") as places from (select ",
            $id,
            " as id, ",
            $name,
            " as name, latency_ms as value, count(*) as requests from request_log where created_at >= $1 and ",
            $known,
            " is not null group by 1, 2, 3) as counted) as ranked group by ",
            $by,
            ") as durations on ",
            $on,
            " order by ",
            $order
        )
    };
}

const BY_PROVIDER: &str = shares!(
    id "provider_id",
    name "provider_name",
    by "id",
    on "id = of_id",
    known "provider_id",
    show "max(case when latest = last then name end)",
    order "requests desc, id"
);

const BY_HOUR: &str = shares!(
    id "created_at / 3600000000",
    name "cast(null as text)",
    by "id",
    on "id = of_id",
    known "created_at",
    show "max(name)",
    order "id limit 169"
);

const BY_MODEL: &str = shares!(
    id "cast(null as bigint)",
    name "upstream_model",
    by "name",
    on "name = of_name",
    known "upstream_model",
    show "max(name)",
    order "requests desc, name limit 100"
);

const BY_KEY: &str = shares!(
    id "key_id",
    name "key_name",
    by "id, name",
    on "name = of_name and id is not distinct from of_id",
    known "key_name",
    show "max(name)",
    order "requests desc, name limit 100"
);

impl Store {
    /// What happened at `from` or later by hour, or by the busiest hundred models or keys.
    pub async fn breakdown(&self, from: i64, by: Grouping) -> Result<Vec<Share>, StoreError> {
        let statement = match by {
            Grouping::Hour => BY_HOUR,
            Grouping::Model => BY_MODEL,
            Grouping::Key => BY_KEY,
        };
        db::reading!(db::REPORT, self, pool => async {
            sqlx::query_as(statement).bind(from).fetch_all(pool).await
        })
    }

    /// Totals of what happened at `from` or later.
    pub async fn stats(&self, from: i64) -> Result<Stats, StoreError> {
        db::reading!(db::REPORT, self, pool => async {
            Ok::<_, sqlx::Error>(Stats {
                total: sqlx::query_as(TOTAL).bind(from).fetch_one(pool).await?,
                latency_ms: sqlx::query_as(LATENCY).bind(from).fetch_one(pool).await?,
                ttft_ms: sqlx::query_as(TTFT).bind(from).fetch_one(pool).await?,
                providers: sqlx::query_as(BY_PROVIDER).bind(from).fetch_all(pool).await?,
            })
        })
    }
}
