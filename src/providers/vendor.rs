//! What differs between kinds of provider beyond data: where a call goes, what its body must say besides, how its stream is
//! framed, and how it proves who asks.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::http::{HeaderMap, HeaderValue, Request, header, header::HeaderName};
use llm_protocol::{
    Outbound,
    ir::{ApiError, Losses},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    catalog::Provider,
    upstream::{Client, Framing},
};

/// One way to reach providers. What is said of nothing else holds for all but the few that sign or have paths of their own.
pub trait Vendor: std::fmt::Debug + Sync {
    /// Where it is, if that follows from the options. `None` leaves it to the kind.
    fn address(&self, _options: &Options) -> Option<String> {
        None
    }

    /// Whether a key may be a JSON object of credentials.
    fn takes_credentials(&self) -> bool {
        false
    }

    /// Checks what an operator set. The error is the field and what is wrong with it.
    fn check(&self, _options: &Options, _key: Option<&SecretString>) -> Result<(), Fault> {
        Ok(())
    }

    /// Whether the list of models that it gives is the whole of what it serves.
    fn lists_all(&self) -> bool {
        true
    }

    /// The address of the generating call.
    fn generate(&self, provider: &Provider, outbound: &dyn Outbound, model: &str, stream: bool) -> String {
        [provider.base_url.as_str(), &outbound.endpoint(model, stream)].concat()
    }

    /// The address of the call that counts tokens; `None` where there is none.
    fn count(&self, provider: &Provider, outbound: &dyn Outbound, model: &str) -> Option<String> {
        Some(format!("{}{}", provider.base_url, outbound.counting()?.endpoint(model)))
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

    /// As [`Vendor::adapt`], of the call that counts tokens. What cannot be said there is not counted.
    fn adapt_count(&self, _call: &Call<'_>, _headers: &mut HeaderMap, body: Bytes) -> Bytes {
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

    /// The provider refused the proof: whatever of it is kept is not used again.
    fn refused(&self, _provider: &Provider) {}
}

/// An operator's settings that are no secrets, by name.
pub type Options = serde_json::Map<String, serde_json::Value>;

/// A field of a provider and what is wrong with it, in a sentence that names it.
pub type Fault = (&'static str, String);

/// Refuses options that are none of `known`, and those that are no text.
pub fn only_texts(options: &Options, known: &[&str]) -> Result<(), Fault> {
    for (name, value) in options {
        if !known.contains(&name.as_str()) {
            return Err(("options", format!("`options` may hold {}, not `{name}`", known.join(", "))));
        }
        if !value.as_str().is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(("options", format!("`options.{name}` must be a string of visible ASCII characters")));
        }
    }
    Ok(())
}

/// An option that is text.
pub fn text<'a>(options: &'a Options, name: &str) -> Option<&'a str> {
    options.get(name)?.as_str()
}

/// `text` as one segment of a path, percent-encoded where need be.
pub fn segment(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');
    utf8_percent_encode(text, KEPT).to_string()
}

/// Puts a secret into a header, in the place of whatever stands there.
pub fn set_secret(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // A key that cannot stand in a header was refused when it was configured.
    if let Ok(mut value) = HeaderValue::from_str(value) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

/// Puts a token into `Authorization`.
pub fn set_bearer(headers: &mut HeaderMap, token: &SecretString) {
    set_secret(headers, header::AUTHORIZATION, &format!("Bearer {}", token.expose_secret()));
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

/// Where Google's APIs want a key: a header, since a key in a URL ends up in logs.
pub const GOOGLE_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// A key in a header, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `Authorization: Bearer`.
    Bearer,
    /// `x-api-key`, and the API version that goes with it.
    Anthropic,
    /// [`GOOGLE_KEY`].
    Google,
}

impl Vendor for Key {
    fn authenticate(&self, key: Option<&SecretString>, headers: &mut HeaderMap) {
        if *self == Self::Anthropic {
            headers.entry("anthropic-version").or_insert(HeaderValue::from_static("2023-06-01"));
        }
        let Some(key) = key else { return };
        match self {
            Self::Bearer => set_bearer(headers, key),
            Self::Anthropic => set_secret(headers, HeaderName::from_static("x-api-key"), key.expose_secret()),
            Self::Google => set_secret(headers, GOOGLE_KEY, key.expose_secret()),
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
