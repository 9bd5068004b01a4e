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
    provider_id: row.int("provider_id")?,
    provider_name: row.text_if_any("provider_name")?.unwrap_or_default(),
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

/// The columns of [`Percentiles`], over rows that know their `place` among `places` by `value`.
macro_rules! percentiles {
    () => {
        "min(case when place * 100 >= places * 50 then value end) as p50, \
         min(case when place * 100 >= places * 95 then value end) as p95, \
         min(case when place * 100 >= places * 99 then value end) as p99"
    };
}

const TOTAL: &str = concat!("select ", tally!(), " from request_log where created_at >= $1");

const LATENCY: &str = concat!(
    "select ",
    percentiles!(),
    " from (select latency_ms as value, row_number() over (order by latency_ms) as place, count(*) over () as places \
     from request_log where created_at >= $1) as ranked"
);

const TTFT: &str = concat!(
    "select ",
    percentiles!(),
    " from (select ttft_ms as value, row_number() over (order by ttft_ms) as place, count(*) over () as places \
     from request_log where created_at >= $1 and ttft_ms is not null) as ranked"
);

const BY_PROVIDER: &str = concat!(
    "select provider_id, max(case when recency = 1 then provider_name end) as provider_name, ",
    percentiles!(),
    ", ",
    tally!(),
    " from (select request_log.*, latency_ms as value, \
     row_number() over (partition by provider_id order by latency_ms) as place, \
     row_number() over (partition by provider_id order by created_at desc, id desc) as recency, \
     count(*) over (partition by provider_id) as places \
     from request_log where created_at >= $1 and provider_id is not null) as ranked \
     group by provider_id order by count(*) desc, provider_id"
);

/// A statement for one [`Grouping`]: by which columns or terms, which of them must be known, how they are shown, in which
/// order, and how many at most.
macro_rules! breakdown {
    ($by:literal, known $known:literal, show $shown:literal, order $order:literal, most $most:literal) => {
        concat!(
            "select ",
            $shown,
            ", ",
            percentiles!(),
            ", ",
            tally!(),
            " from (select request_log.*, latency_ms as value, \
             row_number() over (partition by ",
            $by,
            " order by latency_ms) as place, count(*) over (partition by ",
            $by,
            ") as places from request_log where created_at >= $1 and ",
            $known,
            " is not null) as ranked group by ",
            $by,
            " order by ",
            $order,
            " limit ",
            $most
        )
    };
}

const BY_HOUR: &str = breakdown!(
    "created_at / 3600000000",
    known "created_at",
    show "created_at / 3600000000 as id, cast(null as text) as name",
    order "created_at / 3600000000",
    most "169"
);

const BY_MODEL: &str = breakdown!(
    "upstream_model",
    known "upstream_model",
    show "cast(null as bigint) as id, upstream_model as name",
    order "count(*) desc, upstream_model",
    most "100"
);

const BY_KEY: &str = breakdown!(
    "key_id, key_name",
    known "key_name",
    show "key_id as id, key_name as name",
    order "count(*) desc, key_name",
    most "100"
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
