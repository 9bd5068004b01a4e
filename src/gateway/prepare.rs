//! A client's request in the words of one target.

use axum::http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use bytes::Bytes;
use http_body_util::Full;
use llm_protocol::{
    Inbound, Outbound, Target as Aim,
    ir::{ApiError, CustomCalls, ErrorKind, Losses, Request as Canonical},
    models::Models,
    outbound,
    splice::{Edit, Members},
};

use crate::{gateway::asked::Asked, routing::Target};

/// What is sent to a target, however often.
pub struct Prepared {
    pub outbound: &'static dyn Outbound,
    /// Client and target speak the same protocol, so that bytes pass.
    pub same: bool,
    /// What the target's protocol could not say.
    pub losses: Losses,
    /// Free-text tools that the target was told of as functions.
    pub custom: Option<CustomCalls>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// A request, and its canonical form once somebody needs it.
pub struct Source<'a> {
    pub inbound: &'static dyn Inbound,
    pub asked: &'a Asked,
    pub members: &'a Members<'a>,
    pub body: &'a Bytes,
    pub models: &'a Models,
    /// Refuse rather than lose.
    pub strict: bool,
    canonical: Option<Canonical>,
}

impl<'a> Source<'a> {
    pub fn new(
        inbound: &'static dyn Inbound,
        asked: &'a Asked,
        members: &'a Members<'a>,
        body: &'a Bytes,
        models: &'a Models,
        strict: bool,
    ) -> Self {
        Self { inbound, asked, members, body, models, strict, canonical: None }
    }

    /// Writes the request for one target. Fails with 400 if the target cannot be told all that matters.
    pub fn prepare(&mut self, target: &Target) -> Result<Prepared, ApiError> {
        let outbound = outbound(target.provider.protocol)
            .ok_or_else(|| ApiError::new(ErrorKind::Internal, "the provider's protocol is not spoken here"))?;
        let mut rules = self.models.rules(target.provider.protocol, &target.model);
        if let Some(limit) = target.configured.as_ref().and_then(|model| model.max_output_tokens) {
            rules.max_output_tokens = Some(limit);
        }
        let aim = Aim { model: &target.model, rules: &rules };
        let same = outbound.id() == self.inbound.id();
        let (mut losses, mut custom) = (Losses::default(), None);
        let body = if same {
            let mut edits: Vec<Edit> = self.asked.removals.clone();
            edits.extend(outbound.adapt_request(self.members, aim));
            if edits.is_empty() { self.body.clone() } else { self.members.edit(&edits).into() }
        } else {
            let canonical = self.canonical()?;
            let body = outbound.encode_request(canonical, aim, &mut losses);
            custom = CustomCalls::of(canonical);
            self.judge(&losses, &target.provider.name)?;
            body.into()
        };
        let uri = format!("{}{}", target.provider.base_url, outbound.endpoint(&target.model, self.asked.stream))
            .parse()
            .map_err(|_| ApiError::new(ErrorKind::InvalidRequest, "`model` cannot stand in a URL"))?;
        Ok(Prepared { outbound, same, losses, custom, uri, headers: headers(target, self.asked.stream), body })
    }

    fn canonical(&mut self) -> Result<&Canonical, ApiError> {
        match &mut self.canonical {
            Some(known) => Ok(known),
            none => Ok(none.insert(self.inbound.decode_request(self.body)?)),
        }
    }

    fn judge(&self, losses: &Losses, provider: &str) -> Result<(), ApiError> {
        let refused: Vec<String> = losses.refusals().map(|(path, why)| format!("`{path}` ({why})")).collect();
        let (first, message) = if !refused.is_empty() {
            let named = refused.join(", ");
            (losses.refusals().next().map(|(path, _)| path), format!("provider `{provider}` cannot take {named}"))
        } else if self.strict && !losses.is_empty() {
            let named = losses.paths();
            let first = losses.iter().next().map(|loss| loss.path.as_str());
            (first, format!("strict: provider `{provider}` cannot take {named} as asked"))
        } else {
            return Ok(());
        };
        Err(ApiError { param: first.map(str::to_owned), ..ApiError::new(ErrorKind::InvalidRequest, message) })
    }
}

fn headers(target: &Target, stream: bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = if stream { "text/event-stream" } else { "application/json" };
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
        .insert(header::USER_AGENT, HeaderValue::from_static(concat!("llm-orchestrator/", env!("CARGO_PKG_VERSION"))));
    target.provider.kind.authenticate(target.provider.key.as_ref(), &mut headers);
    headers
}

impl Prepared {
    pub fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}
