//! The health of providers, database and cache.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::{Operator, providers::KeyStanding},
    app::App,
    catalog::{self, Account},
    clock,
    health::{State as HealthState, View},
    http::error::Failure,
    store::Provider,
};

/// The health of everything.
#[derive(Debug, Serialize, ToSchema)]
pub struct SystemHealth {
    /// `healthy`: every enabled provider is; `degraded`: some are; `unhealthy`: none is, or there is none.
    #[schema(example = "healthy")]
    pub status: &'static str,
    pub timestamp: String,
    /// Enabled ones, in the order in which they are preferred.
    pub providers: Vec<ProviderHealthView>,
    /// `healthy` or `unhealthy`.
    #[schema(example = "healthy")]
    pub database_status: &'static str,
    /// Of Redis: `healthy`; `unhealthy`, while limits hold for each gateway alone and nothing is found in a cache there. Without
    /// Redis: `healthy` where answers are kept in memory, else `disabled`.
    #[schema(example = "disabled")]
    pub cache_status: &'static str,
}

/// One provider's health.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProviderHealth)]
pub struct ProviderHealthView {
    pub provider_id: i64,
    #[schema(example = "openai-primary")]
    pub provider_name: String,
    /// Whether requests are sent to it.
    pub is_healthy: bool,
    /// `healthy`; `degraded`: still asked, but it failed lately; `unhealthy`: left out.
    #[schema(example = "healthy")]
    pub state: &'static str,
    /// A moving average; `null` before the first answer.
    #[schema(example = 123.45)]
    pub response_time_ms: Option<f64>,
    pub consecutive_failures: u32,
    /// 0..=100, of the last half minute's requests; 100 without any.
    #[schema(example = 99.5)]
    pub success_rate: f64,
    pub last_check: Option<String>,
    pub last_error: Option<String>,
    /// Its keys, where it has several.
    pub keys: Vec<KeyHealthView>,
}

/// The health of one of a provider's several keys.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyHealth)]
pub struct KeyHealthView {
    #[schema(example = "team-a")]
    pub name: String,
    #[serde(flatten)]
    pub standing: KeyStanding,
}

/// System health
#[utoipa::path(
    get,
    path = "/health",
    tag = "admin",
    responses((status = 200, body = SystemHealth)),
    security(("admin_key" = []), ("admin_key_header" = []))
)]
pub(crate) async fn health(_: Operator, State(app): State<Arc<App>>) -> Result<Json<SystemHealth>, Failure> {
    let rows = app.store.providers().await;
    let database_status = if rows.is_ok() { "healthy" } else { "unhealthy" };
    let providers: Vec<_> = match rows {
        Ok(rows) => rows.iter().filter(|row| row.enabled).map(|row| of_row(&app, row)).collect(),
        // The data plane goes on with what it knows, and so does this.
        Err(_) => app.catalog().providers.iter().map(|provider| of_provider(provider)).collect(),
    };
    Ok(Json(SystemHealth {
        status: overall(&providers),
        timestamp: clock::rfc3339(clock::now_micros()),
        providers,
        database_status,
        cache_status: match &app.shared {
            None if is_cache_used(&app) => "healthy",
            None => "disabled",
            Some(shared) if shared.is_healthy() => "healthy",
            Some(_) => "unhealthy",
        },
    }))
}

/// Whether anybody has the cache on.
fn is_cache_used(app: &App) -> bool {
    app.cache.is_on(None) || app.catalog().callers.values().any(|caller| app.cache.is_on(caller.cache))
}

fn overall(providers: &[ProviderHealthView]) -> &'static str {
    let healthy = providers.iter().filter(|provider| provider.is_healthy).count();
    match healthy {
        0 => "unhealthy",
        all if all == providers.len() => "healthy",
        _ => "degraded",
    }
}

fn of_row(app: &App, row: &Provider) -> ProviderHealthView {
    match catalog::provider(row, false, &app.master_key, &app.health) {
        Ok(provider) => of_provider(&provider),
        Err(why) => ProviderHealthView {
            provider_id: row.id,
            provider_name: row.name.clone(),
            is_healthy: false,
            state: HealthState::Unhealthy.as_str(),
            response_time_ms: None,
            consecutive_failures: 0,
            success_rate: 0.0,
            last_check: None,
            last_error: Some(format!("cannot be used: {why}")),
            keys: Vec::new(),
        },
    }
}

fn of_provider(provider: &catalog::Provider) -> ProviderHealthView {
    let View { state, response_time_ms, consecutive_failures, success_rate, last_check, last_error, .. } =
        provider.health.view();
    let accounts = provider.accounts.iter().filter_map(|account| account.account.as_ref());
    let key = |account: &Account| KeyHealthView { name: account.name.to_string(), standing: KeyStanding::of(account) };
    ProviderHealthView {
        provider_id: provider.id,
        provider_name: provider.name.to_string(),
        is_healthy: state != HealthState::Unhealthy,
        state: state.as_str(),
        response_time_ms: response_time_ms.map(hundredths),
        consecutive_failures,
        success_rate: success_rate.map_or(100.0, hundredths),
        last_check: last_check.map(clock::rfc3339),
        last_error,
        keys: accounts.map(key).collect(),
    }
}

/// Two digits behind the point: more would pretend.
pub(super) fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_as_healthy_as_its_providers() {
        let provider = |is_healthy| ProviderHealthView {
            provider_id: 1,
            provider_name: String::new(),
            is_healthy,
            state: "",
            response_time_ms: None,
            consecutive_failures: 0,
            success_rate: 0.0,
            last_check: None,
            last_error: None,
            keys: Vec::new(),
        };
        assert_eq!(overall(&[]), "unhealthy");
        assert_eq!(overall(&[provider(true), provider(true)]), "healthy");
        assert_eq!(overall(&[provider(true), provider(false)]), "degraded");
        assert_eq!(overall(&[provider(false)]), "unhealthy");
    }
}
