//! How many tokens a request would take: asked of the provider that would serve it, where that one counts, and else
//! estimated here. A client that asks wants to know quickly, so nothing is tried twice.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Response, header},
};
use bytes::Bytes;
use llm_protocol::{
    ProtocolId, estimate,
    ir::{ApiError, ErrorKind},
    splice::Members,
};

use super::{
    Call,
    asked::Asked,
    attempt, auth,
    drive::{Exchange, Patience, Until, Won, drive},
    forwarded, plan,
    prepare::{Source, Unsaid},
    record::{Manners, Record},
    tell_attempts,
};
use crate::{
    app::App, catalog::Caller, fidelity::Fidelity, health::Outcome, providers::Outgoing, routing::Target,
    upstream::read_whole,
};

/// An estimate is at hand, so that no provider is waited for any longer.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A number of tokens, and where it came from.
#[derive(Debug)]
pub struct Counted {
    pub tokens: u64,
    /// Nobody counted: it is this gateway's guess.
    pub estimated: bool,
    /// Who was asked.
    headers: HeaderMap,
}

impl Counted {
    /// The answer whose body, which is JSON, tells the number in the client's protocol.
    pub fn into_response(self, body: String) -> Response<Body> {
        let mut response = Response::new(Body::from(body));
        *response.headers_mut() = self.headers;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.estimated {
            headers.insert(HeaderName::from_static("x-orchestrator-estimate"), HeaderValue::from_static("true"));
        }
        response
    }
}

/// Counts the tokens of the request in `body`, which is routed as a generating one is.
pub async fn count(
    app: &App,
    call: &Call,
    caller: &Caller,
    headers: &HeaderMap,
    body: Bytes,
    record: &mut Record,
) -> Result<Counted, ApiError> {
    let members = Members::read(&body)?;
    let asked = Asked::read(call, &members, headers)?;
    record.asked(&asked.wish.model, false, Manners::default());
    call.inbound.validate_count(&members)?;
    let catalog = app.catalog();
    auth::allow(&catalog, caller, &asked.wish.model)?;
    let groups = auth::candidates(&catalog, caller, &asked.wish)?;
    let mut plan = plan::plan(app, groups, 0, false);
    let forwarded = forwarded(call.inbound, headers);
    let source = Source::new(call.inbound, &asked, &members, &body, &app.models, forwarded, Fidelity::Lenient);
    let mut counter = Counter { source, translated: false };
    let first = plan.first().is_some_and(|target| counter.source.counts(target));
    plan.retain(|target| first && counter.source.counts(target));
    let patience = Patience {
        timeout: Some(asked.timeout.map_or(LONGEST_WAIT, |timeout| timeout.min(LONGEST_WAIT))),
        retries: Some(0),
        stream: false,
    };
    let told = if plan.is_empty() { None } else { Some(drive(app, patience, plan, &mut counter, record).await) };
    let (tokens, estimated) = match told {
        Some(Ok(Won { reply, permit, .. })) => {
            permit.settle(&Outcome::Success { latency: record.elapsed() });
            (reply, false)
        }
        Some(Err(error)) if !counter.forgives(&error) => return Err(error),
        Some(Err(_)) | None => (estimate::tokens(&*counter.source.canonical()?), true),
    };
    let mut headers = HeaderMap::new();
    if let Some((provider, model)) = record.asked_last() {
        tell_attempts(&mut headers, provider, model, record.attempts());
    }
    record.succeed();
    Ok(Counted { tokens, estimated, headers })
}

/// Asks for a count.
struct Counter<'a> {
    source: Source<'a>,
    /// Whether the last request was put into another protocol's words.
    translated: bool,
}

impl Counter<'_> {
    /// Whether an estimate is a better answer than the error: not where the client's own request is wrong. A 404 that does not
    /// speak of the model means that the server does not know the call. What is said against a translated request may be that
    /// this very model is not counted there.
    fn forgives(&self, error: &ApiError) -> bool {
        match error.kind {
            ErrorKind::Internal => false,
            ErrorKind::NotFound => error.code.as_deref() != Some("model_not_found"),
            kind => kind.status() == 429 || kind.status() >= 500 || self.translated && kind.status() == 400,
        }
    }
}

impl Exchange for Counter<'_> {
    type Prepared = Outgoing;
    type Reply = u64;

    fn protocol(outgoing: &Outgoing) -> Option<ProtocolId> {
        Some(outgoing.outbound.id())
    }

    fn headers(outgoing: &mut Outgoing) -> &mut HeaderMap {
        &mut outgoing.headers
    }

    fn prepare(&mut self, target: &Target) -> Result<Outgoing, Unsaid> {
        let unable = || ApiError::new(ErrorKind::NotFound, "this provider counts no tokens");
        let outgoing = self.source.prepare_count(target)?.ok_or_else(unable)?;
        self.translated = outgoing.outbound.id() != self.source.inbound.id();
        Ok(outgoing)
    }

    /// Servers that answer well may count badly, or not at all, and limit counts apart.
    fn tells_of_health(&self) -> bool {
        false
    }

    async fn send(&self, app: &App, target: &Target, outgoing: &Outgoing, until: Until) -> Result<u64, ApiError> {
        let deadline = until.answered;
        let (head, body) = attempt::accepted(&app.upstream, target.asked(), outgoing, deadline).await?;
        let body = read_whole(body, &head.headers, app.config.routing.max_response_bytes, deadline).await?;
        match outgoing.outbound.counting() {
            Some(counting) => counting.decode(&body),
            None => Err(ApiError::new(ErrorKind::Internal, "an answer came to a call that does not exist")),
        }
    }
}
