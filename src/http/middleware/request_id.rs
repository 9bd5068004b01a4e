//! An id for every request, and the time it took.

use std::{fmt, ops::Deref, sync::Arc};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Response},
};
use llm_protocol::Inbound;
use rand::RngExt;
use tokio::time::Instant;
use uuid::Builder;

use crate::{
    chance, clock,
    http::{dialect::dialect, error::complete},
};

/// Carries the id, in and out.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Carries it out once more: where Anthropic's clients look for it.
const SHORT_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Milliseconds until the answer's head was ready.
const PROCESS_TIME: HeaderName = HeaderName::from_static("x-process-time");

/// Longest id a client may choose.
const LONGEST: usize = 128;

/// The id of a request: the client's own if it is sane, else a new one. An extension of every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestId {
    text: Arc<str>,
    /// By the client, who may choose the same one twice.
    chosen: bool,
}

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        let chosen = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_sane(id));
        chosen.map_or_else(Self::fresh, |id| Self { text: Arc::from(id), chosen: true })
    }

    /// An id that no request has had.
    pub fn fresh() -> Self {
        let millis = (clock::now_micros() / 1000).unsigned_abs();
        let id = Builder::from_unix_timestamp_millis(millis, &chance::lots().random()).into_uuid();
        let mut text = *b"req_00000000000000000000000000000000";
        id.simple().encode_lower(&mut text[4..]);
        Self { text: String::from_utf8_lossy(&text).into(), chosen: false }
    }

    /// The same text for whoever keeps it.
    pub fn shared(&self) -> Arc<str> {
        self.text.clone()
    }

    /// What ids that are made here may be made of: this id, or a new one where a client chose this one. What is kept under
    /// them is then nobody's to overwrite.
    pub fn unchosen(&self) -> Self {
        if self.chosen { Self::fresh() } else { self.clone() }
    }
}

impl Deref for RequestId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The id ends up in logs and headers, so a client may use only what is harmless there.
fn is_sane(id: &str) -> bool {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(harmless)
}

/// A request's id, and when it came.
pub struct Stamp {
    id: RequestId,
    began: Instant,
    inbound: &'static dyn Inbound,
}

impl Stamp {
    /// Gives the request its id.
    pub fn put_on(request: &mut Request) -> Self {
        let id = RequestId::of(request.headers());
        request.extensions_mut().insert(id.clone());
        Self { id, began: Instant::now(), inbound: dialect(request.uri(), request.headers()) }
    }

    /// Writes the id on the answer, and the time taken.
    pub fn show(&self, response: &mut Response<Body>) {
        complete(response, self.inbound, &self.id);
        let tenths = self.began.elapsed().as_micros() / 100;
        let took = [itoa::Buffer::new().format(tenths / 10), ".", itoa::Buffer::new().format(tenths % 10)].concat();
        let value = |text: &str| HeaderValue::from_str(text).expect("an id or a number has only visible ASCII");
        let (id, took) = (value(&self.id), value(&took));
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id.clone());
        headers.insert(SHORT_REQUEST_ID, id);
        headers.insert(PROCESS_TIME, took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_of_an_id_that_a_client_chose() {
        let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static("req_1"))]);
        let chosen = RequestId::of(&headers);
        assert_ne!(chosen.unchosen().to_string(), "req_1");
        let fresh = RequestId::of(&HeaderMap::new());
        assert_eq!(fresh.unchosen(), fresh);
    }

    #[test]
    fn a_clients_id_is_kept_only_if_it_is_sane() {
        let id = |text: &str| {
            let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            RequestId::of(&HeaderMap::from_iter([(REQUEST_ID, value)])).to_string()
        };
        assert_eq!(id("trace:7f.a_b-c"), "trace:7f.a_b-c");
        for odd in ["", "two words", "quote\"", "\u{e9}", &"x".repeat(129)] {
            assert!(id(odd).starts_with("req_"), "{odd}");
        }
        assert_eq!(id(&"x".repeat(128)).len(), 128);
    }
}
