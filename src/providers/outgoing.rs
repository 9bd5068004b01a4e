//! One encoded request, addressed to one provider.

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use llm_protocol::{
    Counting, Outbound,
    ir::{ApiError, ErrorKind, Losses},
};

use super::Call;
use crate::upstream::Framing;

/// What is sent to a provider, however often.
pub struct Outgoing {
    pub outbound: &'static dyn Outbound,
    pub framing: Framing,
    /// What the vendor could not be told, beside what its protocol could not say.
    pub losses: Losses,
    uri: Uri,
    headers: HeaderMap,
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
        Ok(Self { outbound, framing: vendor.framing(outbound), losses, uri, headers, body })
    }

    /// Addresses `body`, which asks for a number of tokens. `None` if the provider does not count; else as [`Outgoing::new`].
    pub fn count(
        call: &Call<'_>,
        outbound: &'static dyn Outbound,
        counting: &dyn Counting,
        body: Bytes,
        forwarded: HeaderMap,
    ) -> Result<Option<Self>, ApiError> {
        let vendor = call.provider.kind.vendor;
        let Some(url) = vendor.count(call.provider, counting, call.model) else { return Ok(None) };
        let (uri, headers) = (address(&url)?, headers(call, forwarded));
        let losses = Losses::default();
        Ok(Some(Self { outbound, framing: vendor.framing(outbound), losses, uri, headers, body }))
    }

    pub fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

fn address(url: &str) -> Result<Uri, ApiError> {
    url.parse().map_err(|_| ApiError::new(ErrorKind::InvalidRequest, "`model` cannot stand in a URL"))
}

/// The headers of every call: the client's that mean something to the provider, the proof of who asks, and how to answer.
fn headers(call: &Call<'_>, forwarded: HeaderMap) -> HeaderMap {
    let mut headers = forwarded;
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = if call.stream { "text/event-stream" } else { "application/json" };
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
        .insert(header::USER_AGENT, HeaderValue::from_static(concat!("llm-orchestrator/", env!("CARGO_PKG_VERSION"))));
    call.provider.kind.vendor.authenticate(call.provider.key.as_ref(), &mut headers);
    headers
}
