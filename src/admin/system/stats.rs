//! Totals over the request log.

use std::sync::Arc;

use axum::{Json, extract::State};
use llm_protocol::ir::ApiError;
use serde::Serialize;
use utoipa::ToSchema;

use super::{health::hundredths, logs::dollars};
use crate::{
    admin::{Operator, error::invalid, input::Params},
    app::App,
    clock,
    http::error::Failure,
    store::{self, Grouping, Share, Tally},
};

/// What happened in the last hours.
#[derive(Debug, Serialize, ToSchema)]
pub struct SystemStats {
    /// How many hours this covers.
    #[schema(example = 24)]
    pub hours: i64,
    #[serde(flatten)]
    pub totals: Totals,
    /// How long clients waited for the first token, in milliseconds.
    pub ttft_ms: Percentiles,
    /// Log rows since the start that could not be written and are missing here.
    pub dropped_log_rows: u64,
    /// Those with traffic, the busiest first.
    pub providers: Vec<ProviderStats>,
    /// Hours with traffic, the oldest first; the first one is counted from the time that `hours` goes back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_hour: Option<Vec<HourStats>>,
    /// Models under their providers' own names, the busiest hundred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_model: Option<Vec<ModelStats>>,
    /// API keys, the busiest hundred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_key: Option<Vec<KeyStats>>,
    pub timestamp: String,
}

/// Sums over some requests.
#[derive(Debug, Serialize, ToSchema)]
pub struct Totals {
    pub total_requests: i64,
    /// The client got a complete answer.
    pub successful_requests: i64,
    pub failed_requests: i64,
    /// 0..=100; 0 without requests.
    #[schema(example = 99.5)]
    pub success_rate: f64,
    #[schema(example = 234.56)]
    pub avg_response_time_ms: f64,
    /// How long whole requests took, in milliseconds.
    pub response_time_ms: Percentiles,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub total_tokens: i64,
    /// Prompt tokens that were read from a cache.
    pub cached_tokens: i64,
    /// US dollars; requests of unknown cost add nothing.
    #[schema(example = 20.0)]
    pub total_cost: f64,
    /// Requests that the cache of answers answered.
    pub cache_hits: i64,
    /// Requests that it might have answered, and did not.
    pub cache_misses: i64,
    /// Hits among the two, 0..=100; 0 without any.
    #[schema(example = 40.0)]
    pub cache_hit_rate: f64,
    /// US dollars that the hits would have cost.
    #[schema(example = 8.0)]
    pub saved_cost: f64,
}

/// One provider's share.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProviderStats {
    pub provider_id: i64,
    #[schema(example = "openai-primary")]
    pub provider_name: String,
    #[serde(flatten)]
    pub totals: Totals,
}

/// One hour's share.
#[derive(Debug, Serialize, ToSchema)]
pub struct HourStats {
    /// When it began.
    #[schema(example = "2026-01-31T08:00:00Z")]
    pub hour: String,
    #[serde(flatten)]
    pub totals: Totals,
}

/// One model's share.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelStats {
    #[schema(example = "gpt-5.4-mini")]
    pub model: String,
    #[serde(flatten)]
    pub totals: Totals,
}

/// One API key's share.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyStats {
    /// `null` for keys of the configuration.
    pub key_id: Option<i64>,
    #[schema(example = "mobile-app")]
    pub key_name: String,
    #[serde(flatten)]
    pub totals: Totals,
}

/// Values that half, 95 % and 99 % of the requests stay at or below.
#[derive(Debug, Serialize, ToSchema)]
pub struct Percentiles {
    pub p50: Option<i64>,
    pub p95: Option<i64>,
    pub p99: Option<i64>,
}

/// Statistics
#[utoipa::path(
    get,
    path = "/stats",
    tag = "admin",
    params(
        ("hours" = Option<i64>, Query, description = "How far back, 1 to 168; 24 by default", minimum = 1, maximum = 168),
        ("group_by" = Option<String>, Query, description = "What to break it down by: `hour`, `model`, `key`, or several, separated by commas; by `provider` it always is"),
    ),
    responses((status = 200, body = SystemStats)),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn stats(
    _: Operator,
    State(app): State<Arc<App>>,
    params: Params,
) -> Result<Json<SystemStats>, Failure> {
    let hours = params.integer("hours", 1..=168)?.unwrap_or(24);
    let wanted = groupings(&params)?;
    let now = clock::now_micros();
    let from = now - hours * HOUR;
    app.journal.settle().await;
    let stats = app.store.stats(from).await?;
    let breakdown = async |by| {
        if !wanted.contains(&by) {
            return Ok(None);
        }
        app.store.breakdown(from, by).await.map(Some)
    };
    let hour = |share: Share| HourStats {
        hour: clock::rfc3339(share.id.unwrap_or_default() * HOUR),
        totals: Totals::of(&share.tally, share.latency_ms),
    };
    let model = |share: Share| ModelStats {
        totals: Totals::of(&share.tally, share.latency_ms),
        model: share.name.unwrap_or_default(),
    };
    let key = |share: Share| KeyStats {
        key_id: share.id,
        totals: Totals::of(&share.tally, share.latency_ms),
        key_name: share.name.unwrap_or_default(),
    };
    let provider = |share: &store::ProviderStats| ProviderStats {
        provider_id: share.provider_id,
        provider_name: share.provider_name.clone(),
        totals: Totals::of(&share.tally, share.latency_ms),
    };
    Ok(Json(SystemStats {
        hours,
        totals: Totals::of(&stats.total, stats.latency_ms),
        ttft_ms: stats.ttft_ms.into(),
        dropped_log_rows: app.journal.dropped(),
        providers: stats.providers.iter().map(provider).collect(),
        by_hour: breakdown(Grouping::Hour).await?.map(|shares| shares.into_iter().map(hour).collect()),
        by_model: breakdown(Grouping::Model).await?.map(|shares| shares.into_iter().map(model).collect()),
        by_key: breakdown(Grouping::Key).await?.map(|shares| shares.into_iter().map(key).collect()),
        timestamp: clock::rfc3339(now),
    }))
}

/// Microseconds.
const HOUR: i64 = 3_600_000_000;

/// What `group_by` asks for.
fn groupings(params: &Params) -> Result<Vec<Grouping>, ApiError> {
    let text = params.text("group_by").unwrap_or_default();
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let grouping = |word| match word {
        "hour" => Ok(Some(Grouping::Hour)),
        "model" => Ok(Some(Grouping::Model)),
        "key" => Ok(Some(Grouping::Key)),
        // Always there.
        "provider" => Ok(None),
        _ => {
            let message = format!("`group_by` must be of `hour`, `provider`, `model` and `key`, not `{word}`");
            Err(invalid("group_by", message))
        }
    };
    words.map(grouping).filter_map(Result::transpose).collect()
}

impl Totals {
    fn of(tally: &Tally, latency: store::Percentiles) -> Self {
        let share = |amount: i64, of: i64| if of == 0 { 0.0 } else { amount as f64 / of as f64 };
        let of_all = |amount: i64| share(amount, tally.requests);
        let looked = tally.cache_hits + tally.cache_misses;
        Self {
            total_requests: tally.requests,
            successful_requests: tally.succeeded,
            failed_requests: tally.requests - tally.succeeded,
            success_rate: hundredths(of_all(tally.succeeded) * 100.0),
            avg_response_time_ms: hundredths(of_all(tally.latency_ms)),
            response_time_ms: latency.into(),
            prompt_tokens: tally.prompt_tokens,
            completion_tokens: tally.completion_tokens,
            total_tokens: tally.total_tokens,
            cached_tokens: tally.cached_tokens,
            total_cost: dollars(tally.cost),
            cache_hits: tally.cache_hits,
            cache_misses: tally.cache_misses,
            cache_hit_rate: hundredths(share(tally.cache_hits, looked) * 100.0),
            saved_cost: dollars(tally.saved_cost),
        }
    }
}

impl From<store::Percentiles> for Percentiles {
    fn from(store::Percentiles { p50, p95, p99 }: store::Percentiles) -> Self {
        Self { p50, p95, p99 }
    }
}
