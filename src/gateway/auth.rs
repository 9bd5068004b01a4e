//! Who calls, and whether they may: a key is looked up by its hash, in memory.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, header, request::Parts},
};
use llm_protocol::ir::{ApiError, ErrorKind};

use crate::{
    app::App,
    catalog::{Caller, Catalog, forbidden},
    clock,
    limits::Subject,
    network,
    routing::{self, Groups, Wish},
    secret::KeyHash,
};

/// The caller behind a request's key, wherever its protocol puts it. `Authorization: Bearer` wins over the others.
///
/// Missing, unknown, expired and revoked keys get the same answer: who tries keys learns nothing from it. Where the database
/// cannot be asked, a key that nobody here knows may be a new one: that is no fault of its holder's.
pub fn identify(app: &App, parts: &Parts, address: Option<IpAddr>) -> Result<Arc<Caller>, ApiError> {
    let presented = key(&parts.headers).or(parts.uri.query().and_then(key_in_query));
    let known = presented.and_then(|key| app.catalog().caller(&KeyHash::of(key)).cloned());
    match known {
        Some(caller) if caller.expires_at.is_none_or(|at| clock::now_micros() < at) => Ok(caller),
        None if presented.is_none() && app.config.auth.allow_anonymous => {
            Ok(Arc::new(Caller { subject: address.map(Subject::of_address), ..Caller::default() }))
        }
        None if presented.is_some() && app.is_cut_off() => {
            Err(ApiError::new(ErrorKind::Unavailable, "the key cannot be checked just now; try again later"))
        }
        _ => Err(ApiError::new(ErrorKind::Unauthorized, "missing or invalid API key")),
    }
}

/// Where a request comes from, past the proxies that are trusted.
pub fn address(app: &App, parts: &Parts) -> Option<IpAddr> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip();
    Some(network::client(peer, &parts.headers, &app.config.server.trusted_proxies))
}

/// Whether the caller may use a model by this name, with or without a provider in front of it.
pub fn may_use(catalog: &Catalog, caller: &Caller, model: &str) -> bool {
    caller.may_use(model) || caller.may_use(routing::split(catalog, model).1)
}

/// Fails if the caller's key is not for this model.
pub fn allow(catalog: &Catalog, caller: &Caller, model: &str) -> Result<(), ApiError> {
    if may_use(catalog, caller, model) {
        return Ok(());
    }
    Err(forbidden(format!("this API key may not use the model `{model}`")))
}

/// All who may serve a request of this caller: as [`routing::candidates`], of the providers that may be asked for it.
///
/// Fails with 403 where the request names only others, or others alone serve the model.
pub fn candidates(catalog: &Catalog, caller: &Caller, wish: &Wish) -> Result<Groups, ApiError> {
    let mut groups = routing::candidates(catalog, wish)?;
    if caller.allowed_providers.is_none() {
        return Ok(groups);
    }
    let first = wish.provider.as_deref().or(routing::split(catalog, &wish.model).0);
    let named = [first].into_iter().chain(wish.fallbacks.iter().map(|name| Some(name.as_str())));
    for (group, selector) in groups.iter_mut().zip(named) {
        let before = group.len();
        group.retain(|target| caller.may_ask(&target.provider));
        if let Some(selector) = selector.filter(|_| before > 0 && group.is_empty()) {
            return Err(foreign(selector));
        }
    }
    if groups.iter().all(Vec::is_empty) {
        let model = &wish.model;
        return Err(forbidden(format!("this API key may not use any provider that serves the model `{model}`")));
    }
    Ok(groups)
}

/// 403: the caller's key is not for this provider.
pub fn foreign(selector: &str) -> ApiError {
    forbidden(format!("this API key may not use the provider `{selector}`"))
}

/// The key that a request presents.
pub fn key(headers: &HeaderMap) -> Option<&str> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    match text(header::AUTHORIZATION) {
        Some(authorization) => bearer(authorization),
        None => HEADERS
            .into_iter()
            .find_map(|name| text(header::HeaderName::from_static(name)).filter(|key| !key.is_empty())),
    }
}

/// Where Anthropic's, Azure's and Google's clients put their key.
const HEADERS: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// The `key` of a query, as Google's older clients send it.
fn key_in_query(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("key=")).filter(|key| !key.is_empty())
}

/// The token of an `Authorization` header of the Bearer scheme (RFC 6750), whatever case the scheme is written in.
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(headers: &[(&'static str, &str)]) -> Option<String> {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        key(&headers).map(str::to_owned)
    }

    #[test]
    fn bearer_in_any_case_wins_over_the_other_header() {
        for scheme in ["Bearer", "bearer", "BEARER"] {
            assert_eq!(presented(&[("authorization", &format!("{scheme} k")), ("x-api-key", "x")]).unwrap(), "k");
        }
        assert_eq!(presented(&[("x-api-key", " x ")]).unwrap(), "x");
        assert_eq!(presented(&[("authorization", "Basic k"), ("x-api-key", "x")]), None);
        assert_eq!(presented(&[("authorization", "Bearer ")]), None);
        assert_eq!(presented(&[]), None);
    }
}
