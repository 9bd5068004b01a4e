//! One encoded request, addressed to one provider.

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use llm_protocol::{
    Outbound,
    ir::{ApiError, ErrorKind, Losses},
};

use super::Call;
use crate::{catalog::Provider, upstream::Framing};

/// A call that is no generating one, such as that for embeddings.
pub struct Operation<'a> {
    pub provider: &'a Provider,
    pub method: Method,
    /// Below the base URL, without a query.
    pub path: &'a str,
    pub query: Option<&'a str>,
    /// The provider's own name for it, where one is meant.
    pub model: Option<&'a str>,
    pub content_type: Option<HeaderValue>,
    pub body: Bytes,
}

/// What is sent to a provider, however often.
pub struct Outgoing {
    pub outbound: &'static dyn Outbound,
    pub framing: Framing,
    /// What the vendor could not be told, beside what its protocol could not say.
    pub losses: Losses,
    method: Method,
    uri: Uri,
    /// All but those that prove who asks at the moment of sending.
    pub headers: HeaderMap,
    body: Bytes,
}

impl Outgoing {
    /// Addresses `body`, which is encoded for the call's protocol and model. `forwarded` are headers of the client's that mean
    /// something to the provider. Fails with 400 if the model cannot stand in a URL.
    pub fn new(
        call: &Call<'_>,
        outbound: &'static dyn Outbound,
        body: Bytes,
        forwarded: HeaderMap,
    ) -> Result<Self, ApiError> {
        let vendor = call.provider.kind.vendor;
        let uri = address(&vendor.generate(call.provider, outbound, call.model, call.stream))?;
        let mut headers = headers(call, forwarded);
        let mut losses = Losses::default();
        let body = call.provider.fields.add_to(body);
        let body = vendor.adapt(call, &mut headers, body, &mut losses);
        Ok(Self { outbound, framing: vendor.framing(outbound), losses, method: Method::POST, uri, headers, body })
    }

    /// Addresses `body`, which asks for a number of tokens. `None` if the provider does not count; else as [`Outgoing::new`].
    pub fn count(
        call: &Call<'_>,
        outbound: &'static dyn Outbound,
        body: Bytes,
        forwarded: HeaderMap,
    ) -> Result<Option<Self>, ApiError> {
        let vendor = call.provider.kind.vendor;
        let Some(url) = vendor.count(call.provider, outbound, call.model) else { return Ok(None) };
        let (uri, mut headers, losses) = (address(&url)?, headers(call, forwarded), Losses::default());
        let body = vendor.adapt_count(call, &mut headers, body);
        let framing = vendor.framing(outbound);
        Ok(Some(Self { outbound, framing, losses, method: Method::POST, uri, headers, body }))
    }

    /// Addresses any other call of an API; `outbound` reads its errors. Fails with 400 if the model cannot stand in a URL.
    pub fn operation(call: Operation<'_>, outbound: &'static dyn Outbound) -> Result<Self, ApiError> {
        let mut url = call.provider.kind.vendor.operation(call.provider, call.path, call.model);
        if let Some(query) = call.query {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(query);
        }
        let mut headers = HeaderMap::new();
        if let Some(kind) = call.content_type {
            headers.insert(header::CONTENT_TYPE, kind);
        }
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        introduce(call.provider, &mut headers);
        Ok(Self {
            outbound,
            framing: Framing::Sse,
            losses: Losses::default(),
            method: call.method,
            uri: address(&url)?,
            headers,
            body: call.body,
        })
    }

    pub fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

fn address(url: &str) -> Result<Uri, ApiError> {
    url.parse().map_err(|_| ApiError::new(ErrorKind::InvalidRequest, "`model` cannot stand in a URL"))
}

/// The headers of a call in one of the protocols: the client's that mean something to the provider, and how to answer.
fn headers(call: &Call<'_>, forwarded: HeaderMap) -> HeaderMap {
    let mut headers = forwarded;
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = if call.stream { "text/event-stream" } else { "application/json" };
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    introduce(call.provider, &mut headers);
    headers
}

/// Who asks, as whom, and how the answer may be packed.
fn introduce(provider: &Provider, headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
        .insert(header::USER_AGENT, HeaderValue::from_static(concat!("llm-orchestrator/", env!("CARGO_PKG_VERSION"))));
    provider.kind.vendor.authenticate(provider.key.as_ref(), headers);
}
