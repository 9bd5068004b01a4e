//! What differs between kinds of provider beyond data: where a call goes, what its body must say besides, how its stream is
//! framed, and how it proves who asks.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::http::{HeaderMap, HeaderValue, Request, header};
use llm_protocol::{
    Outbound,
    ir::{ApiError, Losses},
};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    catalog::Provider,
    upstream::{Client, Framing},
};

/// One way to reach providers. What is said of nothing else holds for all but the few that sign or have paths of their own.
pub trait Vendor: std::fmt::Debug + Sync {
    /// The address of the generating call.
    fn generate(&self, provider: &Provider, outbound: &dyn Outbound, model: &str, stream: bool) -> String {
        format!("{}{}", provider.base_url, outbound.endpoint(model, stream))
    }

    /// The address of any other call of OpenAI's API, such as `/embeddings`, for a model where it names one.
    fn operation(&self, provider: &Provider, path: &str, _model: Option<&str>) -> String {
        format!("{}{path}", provider.base_url)
    }

    /// Makes an encoded request of the generating call fit: fields and headers that only this vendor wants. What it cannot be
    /// told goes into `losses`.
    fn adapt(&self, _call: &Call<'_>, _headers: &mut HeaderMap, body: Bytes, _losses: &mut Losses) -> Bytes {
        body
    }

    /// How a stream comes.
    fn framing(&self, _outbound: &dyn Outbound) -> Framing {
        Framing::Sse
    }

    /// Writes the headers that a key alone makes, and those that the API demands with them.
    fn authenticate(&self, _key: Option<&SecretString>, _headers: &mut HeaderMap) {}

    /// Proves who asks where that takes more than [`Vendor::authenticate`]: a signature over the whole request, or a token that
    /// has to be fetched. `None` where nothing is to be done.
    fn authorize<'a>(
        &'a self,
        _provider: &'a Provider,
        _client: &'a Client,
        _request: &'a mut Request<Full<Bytes>>,
    ) -> Option<BoxFuture<'a, Result<(), ApiError>>> {
        None
    }
}

/// The generating call that a body is for.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub provider: &'a Provider,
    pub outbound: &'a dyn Outbound,
    /// The provider's own name for it.
    pub model: &'a str,
    pub stream: bool,
}

/// A key in a header, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `Authorization: Bearer`.
    Bearer,
    /// `x-api-key`, and the API version that goes with it.
    Anthropic,
    /// `x-goog-api-key`: a header, since a key in a URL ends up in logs.
    Google,
}

impl Vendor for Key {
    fn authenticate(&self, key: Option<&SecretString>, headers: &mut HeaderMap) {
        if *self == Self::Anthropic {
            headers.entry("anthropic-version").or_insert(HeaderValue::from_static("2023-06-01"));
        }
        let Some(key) = key else { return };
        let (name, value) = match self {
            Self::Bearer => (header::AUTHORIZATION, format!("Bearer {}", key.expose_secret())),
            Self::Anthropic => (header::HeaderName::from_static("x-api-key"), key.expose_secret().to_owned()),
            Self::Google => (header::HeaderName::from_static("x-goog-api-key"), key.expose_secret().to_owned()),
        };
        // A key that cannot stand in a header was refused when it was configured.
        if let Ok(mut value) = HeaderValue::from_str(&value) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_marked_as_sensitive_and_goes_where_the_kind_wants_it() {
        let mut headers = HeaderMap::new();
        Key::Anthropic.authenticate(Some(&SecretString::from("k")), &mut headers);
        assert_eq!(headers["x-api-key"], "k");
        assert!(headers["x-api-key"].is_sensitive());
        assert!(headers.contains_key("anthropic-version"));
    }
}
