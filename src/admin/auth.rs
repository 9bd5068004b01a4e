//! Who operates: a handler that takes an [`Operator`] is authorised, and cannot forget to be.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use llm_protocol::ir::{ApiError, ErrorKind};
use secrecy::ExposeSecret;

use crate::{app::App, http::error::Failure, secret::KeyHash};

/// Proof that a request came with the admin key.
#[derive(Clone, Copy, Debug)]
pub struct Operator(());

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        authorise(&parts.headers, &app.admin_key).map_err(Failure)
    }
}

/// Proof that a request may read what is counted: it came with the admin key or with the token for this alone, or
/// everybody may.
#[derive(Clone, Copy, Debug)]
pub struct Scraper(());

impl FromRequestParts<Arc<App>> for Scraper {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let config = &app.config.metrics;
        let token = config.token.as_ref().map(|token| KeyHash::of(token.expose_secret()));
        let presented = bearer(&parts.headers).map(KeyHash::of);
        if config.public || (token.is_some() && token == presented) {
            return Ok(Self(()));
        }
        authorise(&parts.headers, &app.admin_key).map(|_| Self(())).map_err(Failure)
    }
}

fn authorise(headers: &HeaderMap, admin_key: &KeyHash) -> Result<Operator, ApiError> {
    let mut presented = [bearer(headers), text(headers, "x-admin-key")].into_iter().flatten().peekable();
    if presented.peek().is_none() {
        return Err(ApiError::new(ErrorKind::Unauthorized, "missing admin key"));
    }
    // Hashes are compared, in a time that does not depend on them.
    if presented.any(|key| KeyHash::of(key) == *admin_key) {
        Ok(Operator(()))
    } else {
        Err(ApiError::new(ErrorKind::Forbidden, "this is not the admin key"))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, header::AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(headers: &[(&'static str, &'static str)]) -> u16 {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        authorise(&headers, &KeyHash::of("right")).map_or_else(|error| error.status(), |_| 200)
    }

    #[test]
    fn the_admin_key_is_taken_from_either_header() {
        assert_eq!(status(&[("authorization", "Bearer right")]), 200);
        assert_eq!(status(&[("authorization", "bearer  right")]), 200);
        assert_eq!(status(&[("x-admin-key", "right")]), 200);
        assert_eq!(status(&[("authorization", "Bearer sk-a-clients"), ("x-admin-key", "right")]), 200);
    }

    #[test]
    fn a_missing_key_is_told_from_a_wrong_one() {
        for headers in
            [&[][..], &[("authorization", "Basic right")], &[("authorization", "Bearer ")], &[("x-admin-key", "")]]
        {
            assert_eq!(status(headers), 401, "{headers:?}");
        }
        for headers in
            [[("authorization", "Bearer wrong")], [("x-admin-key", "wrong")], [("authorization", "Bearer Right")]]
        {
            assert_eq!(status(&headers), 403, "{headers:?}");
        }
    }
}
