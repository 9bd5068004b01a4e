//! Refuses requests that do not say, or say twice, whom they are for or where they end.
//!
//! A proxy in front and this server could otherwise disagree about it; the connection is closed, since its next bytes
//! cannot be trusted either.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Response, Version, header},
};
use llm_protocol::ir::{ApiError, ErrorKind};

use super::RequestId;
use crate::http::{dialect::dialect, error::respond, server::AmbiguousLength};

/// The answer to a request that does not name its host once and its length in one way.
pub fn refusal(request: &Request) -> Option<Response<Body>> {
    let fault = fault(request)?;
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let mut response =
        respond(dialect(request.uri(), request.headers()), &ApiError::new(ErrorKind::InvalidRequest, fault), &id);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Some(response)
}

fn fault(request: &Request) -> Option<&'static str> {
    if request.extensions().get::<AmbiguousLength>().is_some() {
        return Some("the request has both a Content-Length and a Transfer-Encoding");
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        (Some(_), Some(_)) => return Some("the request has more than one Host header"),
        (None, _) if request.version() < Version::HTTP_11 => return None,
        (None, _) => return Some("the request has no Host header"),
    };
    match request.uri().authority() {
        Some(authority) if !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => {
            Some("the Host header and the request line name different hosts")
        }
        _ => None,
    }
}
