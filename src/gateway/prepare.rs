//! A client's request in the words of one target.

use std::sync::Arc;

use axum::http::HeaderMap;
use bytes::Bytes;
use llm_protocol::{
    Counting, Inbound, Outbound, ProtocolId, Target as Aim,
    ir::{ApiError, CustomCalls, ErrorKind, Losses, Malformed, Request as Canonical},
    models::{ModelRules, Models},
    outbound,
    splice::{Edit, Members},
};

use crate::{
    fidelity::Fidelity,
    gateway::{asked::Asked, spent::Meter},
    providers::{Call, Outgoing},
    routing::Target,
};

/// What is sent to a target, and what has to be known to read its answer.
pub struct Prepared {
    pub outgoing: Outgoing,
    /// `None` if client and target speak the same protocol, so that bytes pass.
    pub translated: Option<Translated>,
    /// What the target could not be told.
    pub losses: Losses,
    /// It is asked for a stream, of which the whole answer is made that the client wants. The
    /// meter counts until that is there.
    pub assembled: Option<Meter>,
}

/// Why a target cannot be asked.
pub struct Unsaid {
    pub error: Box<ApiError>,
    /// What it would have been asked in, and what it cannot be told so; `None` where something else was wrong.
    pub untold: Option<Box<(ProtocolId, Losses)>>,
}

impl From<ApiError> for Unsaid {
    fn from(error: ApiError) -> Self {
        Self { error: Box::new(error), untold: None }
    }
}

impl From<Malformed> for Unsaid {
    fn from(malformed: Malformed) -> Self {
        ApiError::from(malformed).into()
    }
}

/// A request that was put into other words.
pub struct Translated {
    pub request: Arc<Canonical>,
    /// Free-text tools that the target was told of as functions.
    pub custom: Option<CustomCalls>,
}

/// A request, and its canonical form once somebody needs it.
pub struct Source<'a> {
    pub inbound: &'static dyn Inbound,
    pub asked: &'a Asked,
    pub members: &'a Members<'a>,
    pub body: &'a Bytes,
    pub models: &'a Models,
    /// The client's headers that mean something to an upstream of the same protocol.
    pub forwarded: HeaderMap,
    pub fidelity: Fidelity,
    canonical: Option<Arc<Canonical>>,
}

impl<'a> Source<'a> {
    pub fn new(
        inbound: &'static dyn Inbound,
        asked: &'a Asked,
        members: &'a Members<'a>,
        body: &'a Bytes,
        models: &'a Models,
        forwarded: HeaderMap,
        fidelity: Fidelity,
    ) -> Self {
        Self { inbound, asked, members, body, models, forwarded, fidelity, canonical: None }
    }

    /// Writes the request for one target, in the client's own protocol if the target speaks it, else in the one that loses
    /// least. Fails with 400 if the target cannot be told all that matters.
    pub fn prepare(&mut self, target: &Target) -> Result<Prepared, Unsaid> {
        let protocols = target.provider.protocols_for(&target.model, self.asked.wish.needs);
        match protocols.iter().find(|protocol| **protocol == self.inbound.id()) {
            Some(same) => match self.rules(*same, target) {
                rules if only_elsewhere(*same, &protocols, &rules) => self.translate(&protocols, target),
                rules => self.pass(*same, target, &rules),
            },
            None => self.translate(&protocols, target),
        }
    }

    fn pass(&self, protocol: ProtocolId, target: &Target, rules: &ModelRules) -> Result<Prepared, Unsaid> {
        let outbound = spoken(protocol)?;
        let mut edits: Vec<Edit> = self.asked.removals.clone();
        edits.extend(outbound.adapt_request(self.members, Aim { model: &target.model, rules }));
        let streamed = if self.asked.stream { None } else { outbound.rather_streamed(self.members, &target.model) };
        let assembled = streamed.is_some();
        edits.extend(streamed.into_iter().flatten());
        let body = if edits.is_empty() { self.body.clone() } else { self.members.edit(&edits).into() };
        let mut losses = Losses::default();
        for field in rules.refused_fields.iter().filter(|field| self.loses(field)) {
            losses.dropped(field.as_str());
        }
        self.address((outbound, target), body, self.forwarded.clone(), assembled, losses)
    }

    /// Whether the client loses something when this field goes. Usage comes from those too who refuse to be asked for it.
    fn loses(&self, field: &str) -> bool {
        self.members.get(field).is_some() && field != "stream_options"
    }

    fn translate(&mut self, protocols: &[ProtocolId], target: &Target) -> Result<Prepared, Unsaid> {
        let request = self.canonical()?;
        let mut drafts = Vec::with_capacity(protocols.len());
        for protocol in protocols {
            let (outbound, rules) = (spoken(*protocol)?, self.rules(*protocol, target));
            if only_elsewhere(*protocol, protocols, &rules) {
                continue;
            }
            let mut losses = Losses::default();
            let body = outbound.encode_request(&request, Aim { model: &target.model, rules: &rules }, &mut losses);
            drafts.push((outbound, body, losses));
        }
        let lost = |losses: &Losses| (losses.impossible().count(), losses.refusals().count(), losses.iter().count());
        let Some((outbound, body, losses)) = drafts.into_iter().min_by_key(|(.., losses)| lost(losses)) else {
            let message = "the provider speaks no protocol that is spoken here";
            return Err(ApiError::new(ErrorKind::Internal, message).into());
        };
        let streamed = if self.asked.stream { None } else { rather_streamed(outbound, &body, &target.model) };
        let assembled = streamed.is_some();
        let body = streamed.unwrap_or(body).into();
        let prepared = self.address((outbound, target), body, HeaderMap::new(), assembled, losses)?;
        let custom = CustomCalls::of(&request);
        Ok(Prepared { translated: Some(Translated { request, custom }), ..prepared })
    }

    /// Whether the target can be asked for the number of a request's tokens.
    pub fn counts(&self, target: &Target) -> bool {
        self.counted_in(target).is_some()
    }

    /// Writes the request for the number of its tokens; `None` where the target does not count.
    pub fn prepare_count(&mut self, target: &Target) -> Result<Option<Outgoing>, ApiError> {
        let Some((outbound, counting)) = self.counted_in(target) else { return Ok(None) };
        let rules = self.rules(outbound.id(), target);
        let aim = Aim { model: &target.model, rules: &rules };
        let call = Call { provider: &target.provider, outbound, model: &target.model, stream: false };
        if outbound.id() == self.inbound.id() {
            let mut edits: Vec<Edit> = self.asked.removals.clone();
            edits.extend(counting.adapt(self.members, aim));
            let body = self.members.edit(&edits);
            return Outgoing::count(&call, outbound, body.into(), self.forwarded.clone());
        }
        // What cannot be said to the target is not counted either.
        let generating = outbound.encode_request(&*self.canonical()?, aim, &mut Losses::default());
        let body = counting.request(&generating, &target.model);
        Outgoing::count(&call, outbound, body.into(), HeaderMap::new())
    }

    /// In which of its protocols the target counts: the client's own before any other.
    fn counted_in(&self, target: &Target) -> Option<(&'static dyn Outbound, &'static dyn Counting)> {
        let mut protocols = target.provider.protocols(&target.model);
        protocols.sort_by_key(|protocol| *protocol != self.inbound.id());
        let vendor = target.provider.kind.vendor;
        protocols.into_iter().find_map(|protocol| {
            let outbound = outbound(protocol)?;
            vendor.count(&target.provider, outbound, &target.model)?;
            Some((outbound, outbound.counting()?))
        })
    }

    /// Addresses an encoded request, which may be one for a stream that is `assembled` here. Fails with 400 if too much of it was
    /// lost, here included.
    fn address(
        &self,
        (outbound, target): (&'static dyn Outbound, &Target),
        body: Bytes,
        forwarded: HeaderMap,
        assembled: bool,
        mut losses: Losses,
    ) -> Result<Prepared, Unsaid> {
        let stream = self.asked.stream || assembled;
        let assembled = assembled.then(Meter::default);
        let call = Call { provider: &target.provider, outbound, model: &target.model, stream };
        let outgoing = Outgoing::new(&call, outbound, body, forwarded)?;
        outgoing.losses.iter().for_each(|loss| losses.note(loss.clone()));
        match self.fidelity.judge(&losses, &target.provider.name) {
            Ok(()) => Ok(Prepared { outgoing, translated: None, losses, assembled }),
            Err(error) => Err(Unsaid { error: Box::new(error), untold: Some(Box::new((outbound.id(), losses))) }),
        }
    }

    fn rules(&self, protocol: ProtocolId, target: &Target) -> Arc<ModelRules> {
        let mut rules = self.models.rules(protocol, target.provider.kind.name, &target.model);
        if let Some(limit) = target.configured.as_ref().and_then(|model| model.max_output_tokens) {
            Arc::make_mut(&mut rules).max_output_tokens = Some(limit);
        }
        rules
    }

    /// The request in no protocol's words. Fails with 400 if it breaks its protocol's rules.
    pub fn canonical(&mut self) -> Result<Arc<Canonical>, ApiError> {
        if let Some(known) = &self.canonical {
            return Ok(known.clone());
        }
        let mut request = self.inbound.decode_request(self.body)?;
        request.model.clone_from(&self.asked.wish.model);
        request.stream = self.asked.stream;
        for (key, value) in &self.asked.echo {
            request.echo.iter_mut().filter(|(known, _)| known == key).for_each(|(_, said)| said.clone_from(value));
        }
        Ok(self.canonical.insert(Arc::new(request)).clone())
    }
}

/// Whether the model is served in OpenAI's newer protocol only, and the target speaks it.
fn only_elsewhere(protocol: ProtocolId, spoken: &[ProtocolId], rules: &ModelRules) -> bool {
    protocol == ProtocolId::OpenAiChat && spoken.contains(&ProtocolId::OpenAiResponses) && rules.responses_only
}

/// The same request for a stream, if its answer could take longer than the target lets a whole one take.
fn rather_streamed(outbound: &dyn Outbound, body: &[u8], model: &str) -> Option<Vec<u8>> {
    let members = Members::read(body).ok()?;
    Some(members.edit(&outbound.rather_streamed(&members, model)?))
}

fn spoken(protocol: ProtocolId) -> Result<&'static dyn Outbound, ApiError> {
    outbound(protocol).ok_or_else(|| ApiError::new(ErrorKind::Internal, "the provider's protocol is not spoken here"))
}
