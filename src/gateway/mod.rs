//! The data plane: what happens to a client's request between its arrival and its last byte.

mod admission;
mod asked;
pub mod attempt;
mod auth;
mod blame;
mod cached;
mod count;
mod drive;
mod hedge;
mod held;
mod models;
mod operations;
mod plan;
mod prepare;
mod record;
mod relay;
pub mod responses;
mod routes;
mod spent;
pub mod stream;
mod together;
mod told;
mod transcript;
mod turns;
mod watch;
pub mod whereabouts;

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri, header},
};
use bytes::Bytes;
use llm_protocol::{
    Inbound, ProtocolId, Served,
    ir::{ApiError, FinishReason, Losses, Output},
    json::Json,
    splice::Members,
};
use tokio::time::Instant;

use self::{
    asked::Asked,
    attempt::{Answer, Reading, Reply},
    cached::{Look, Question, is_whole},
    drive::{Exchange, Until, Won, drive},
    held::Held,
    prepare::{Prepared, Source, Translated, Unsaid},
    record::{Manners, Record},
    relay::{Deadlines, Relay, Writer},
    spent::Meter,
};
use crate::{
    app::App,
    catalog::{Caller, Endpoint},
    fidelity::Fidelity,
    health::Outcome,
    limits::{Class, Estimate},
    routing::Target,
};

pub use hedge::Earned;
pub use routes::{direct, generate, router};

/// How a generating call came in: what its path says, whose protocol it speaks.
#[derive(Clone)]
pub struct Call {
    pub inbound: &'static dyn Inbound,
    /// The model, where the path names it.
    pub model: Option<String>,
    /// Whether a stream is wanted, where the path says so.
    pub stream: Option<bool>,
    /// As in [`llm_protocol::Envelope::array`].
    pub array: bool,
    /// What it goes on from, where only some providers hold that.
    pub held: Option<Held>,
    /// What an answer that is written here repeats of the request otherwise than its body has it.
    pub echo: Vec<(&'static str, Json)>,
}

/// Carries which trace a request belongs to, in and out.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Who gave an answer, as an extension of it.
#[derive(Clone, Debug)]
pub struct Origin {
    pub place: whereabouts::Place,
    /// The answer was put into the client's protocol here.
    pub translated: bool,
}

impl Call {
    /// A call whose body says everything.
    pub fn of(inbound: &'static dyn Inbound) -> Self {
        Self { inbound, model: None, stream: None, array: false, held: None, echo: Vec::new() }
    }
}

/// What has come with a request, from a caller who may call.
pub struct Arrival {
    pub caller: Arc<Caller>,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What a client's call is about.
trait Work: Send {
    /// What a key must be for to call it.
    fn endpoint(&self) -> Endpoint;

    /// The protocol in whose words the client is told of errors.
    fn inbound(&self) -> &'static dyn Inbound;

    /// What sort of request it is, to limits.
    fn class(&self) -> Class {
        Class::Work
    }

    /// Tokens that it will probably take.
    fn estimate(&self, _app: &App, _body: &Bytes) -> Estimate {
        Estimate::default()
    }

    /// Does it, to an answer or the error that is one.
    fn run(
        self,
        app: &Arc<App>,
        arrival: Arrival,
        record: &mut Record,
    ) -> impl Future<Output = Result<Response<Body>, ApiError>> + Send;
}

impl Work for Call {
    fn endpoint(&self) -> Endpoint {
        Endpoint::generating(self.inbound.id())
    }

    fn inbound(&self) -> &'static dyn Inbound {
        self.inbound
    }

    fn estimate(&self, app: &App, body: &Bytes) -> Estimate {
        admission::estimate_of(app, self.inbound, body)
    }

    async fn run(self, app: &Arc<App>, arrival: Arrival, record: &mut Record) -> Result<Response<Body>, ApiError> {
        handle(app, &self, &arrival.caller, &arrival.headers, arrival.body, record).await
    }
}

/// The life of a request, from a caller who may call to an answer or the error that is one.
pub async fn handle(
    app: &Arc<App>,
    call: &Call,
    caller: &Caller,
    headers: &HeaderMap,
    body: Bytes,
    record: &mut Record,
) -> Result<Response<Body>, ApiError> {
    let members = Members::read(&body)?;
    let asked = Asked::read(call, &members, headers)?;
    let manners = Manners {
        include_usage: members.get("stream_options").is_some_and(asks_for_usage),
        legacy_functions: members.get("functions").is_some() && members.get("tools").is_none(),
        array: call.array,
    };
    record.asked(&asked.wish.model, asked.stream, manners);
    call.inbound.validate(&members)?;
    let catalog = app.catalog();
    auth::allow(&catalog, caller, &asked.wish.model)?;

    let protocol = call.inbound.id();
    let named = held::named(app, caller, protocol, &members, &body).await?;
    let mut groups = auth::candidates(&catalog, caller, &asked.wish)?;
    if let Some(held) = call.held.as_ref().or(named.as_ref()) {
        groups = held.among(groups)?;
    }
    let fidelity = Fidelity::in_force(asked.fidelity, caller.fidelity, app.config.routing.fidelity);
    let forwarded = forwarded(call.inbound, headers);
    let question = Question {
        inbound: call.inbound,
        operation: "",
        asked: &asked,
        members: &members,
        caller,
        groups: &groups,
        fidelity,
        forwarded: &forwarded,
        array: call.array,
    };
    let may_be_kept = || named.is_none() && is_whole(call, &members, &body);
    let keeping = match cached::look(app, &question, may_be_kept, headers, record).await? {
        Look::Known(response) => return Ok(response),
        Look::Unknown(keeping) => keeping,
    };
    let plan = plan::plan(app, groups, admission::by_length(&body), asked.stream);
    let mut source = Source::new(call.inbound, &asked, &members, &body, &app.models, forwarded, fidelity);
    // Boxed once, rather than moved with each of the futures around it.
    let won = Box::pin(drive(app, asked.patience(), plan, &mut source, record)).await?;
    let response = keeping.of(app, answer(app, call.inbound, &asked, won, record)).await;
    Ok(held::note(app, caller, protocol, &members, response).await)
}

impl Exchange for Source<'_> {
    type Prepared = Prepared;
    type Reply = Reply;

    fn prepare(&mut self, target: &Target) -> Result<Prepared, Unsaid> {
        Source::prepare(self, target)
    }

    fn protocol(prepared: &Prepared) -> Option<ProtocolId> {
        Some(prepared.outgoing.outbound.id())
    }

    fn headers(prepared: &mut Prepared) -> &mut HeaderMap {
        &mut prepared.outgoing.headers
    }

    fn meter(prepared: &Prepared) -> Option<&Meter> {
        prepared.assembled.as_ref()
    }

    fn tokens(&self) -> u64 {
        admission::by_length(self.body)
    }

    fn may_be_doubled(&self) -> bool {
        hedge::is_free_of_effects(self.inbound.id(), self.members)
    }

    async fn send(&self, app: &App, target: &Target, prepared: &Prepared, until: Until) -> Result<Reply, ApiError> {
        let (outgoing, limits) = (&prepared.outgoing, &app.config.routing);
        let reading = match &prepared.assembled {
            None if !self.asked.stream && prepared.translated.is_none() => Reading::Passed,
            None => Reading::of(self.asked.stream),
            Some(meter) => Reading::Assembled {
                body: prepared.translated.is_none().then(|| outgoing.outbound.assembler()).flatten(),
                idle: idle(app, self.asked),
                end: until.over,
                meter,
            },
        };
        attempt::send(&app.upstream, target.asked(), outgoing, reading, limits, until.answered).await
    }
}

/// The client's headers that pass to an upstream of the same protocol.
fn forwarded(inbound: &dyn Inbound, headers: &HeaderMap) -> HeaderMap {
    let mut forwarded = HeaderMap::new();
    for name in inbound.forwarded_headers() {
        for value in headers.get_all(*name) {
            forwarded.append(HeaderName::from_static(name), value.clone());
        }
    }
    forwarded
}

/// Whether `stream_options` asks for the usage.
fn asks_for_usage(options: &str) -> bool {
    Members::read(options.as_bytes()).is_ok_and(|options| options.get("include_usage") == Some("true"))
}

fn answer(
    app: &App,
    inbound: &'static dyn Inbound,
    asked: &Asked,
    won: Won<Source<'_>>,
    record: &mut Record,
) -> Response<Body> {
    let Won { target, prepared, reply, permit, deadline } = won;
    let mut headers = served_headers(&target, record.attempts(), &prepared.losses);
    told::pass_on(&reply.headers, prepared.translated.is_none(), &mut headers);
    record.lost(&prepared.losses);
    let origin = Origin { place: whereabouts::Place::of(&target.provider), translated: prepared.translated.is_some() };
    let body = match reply.answer {
        Answer::Whole { body, mut response } => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(usage) = &response.usage {
                record.used(usage.clone());
            }
            record.finished(finish(&response));
            let served = Served { provider: target.provider.name.to_string(), latency_ms: record.elapsed_ms() };
            let body = match &prepared.translated {
                None => inbound.sign_response(body, &served),
                Some(Translated { request, custom }) => {
                    if let Some(custom) = custom {
                        custom.response(&mut response);
                    }
                    inbound.encode_response(request, &response, &record.envelope(), &served).into()
                }
            };
            permit.settle(&Outcome::Success { latency: record.elapsed() });
            record.succeed();
            Body::from(body)
        }
        Answer::Stream(upstream) => {
            let envelope = record.envelope();
            let kind = if envelope.array { "application/json" } else { "text/event-stream" };
            stream_headers(kind, &mut headers);
            record.first_content();
            let deadlines = deadlines(app, asked, deadline, inbound.keep_alive(&envelope));
            let writer = match prepared.translated {
                None => Writer::Same(inbound.passthrough(&envelope)),
                Some(Translated { request, custom }) => Writer::Other(inbound.encoder(&request, envelope), custom),
            };
            Relay::new(*upstream, writer, deadlines, target.provider, permit, record.hand_over()).into_body()
        }
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response.extensions_mut().insert(origin);
    response
}

/// Why an answer ended: of several candidates that one counts which was cut short.
fn finish(answer: &llm_protocol::ir::Response) -> FinishReason {
    let mut reasons = answer.outputs.iter().map(Output::reason);
    reasons.find(|reason| !reason.is_complete()).unwrap_or(FinishReason::Stop)
}

/// The headers of a stream of this type.
fn stream_headers(kind: &'static str, headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

/// The deadlines of a stream that must be over at `total`.
fn deadlines(app: &App, asked: &Asked, total: Instant, keep_alive: &'static [u8]) -> Deadlines {
    Deadlines { idle: idle(app, asked), total, keep_alive: (app.config.routing.keep_alive_interval, keep_alive) }
}

/// How long a stream may say nothing.
fn idle(app: &App, asked: &Asked) -> Duration {
    asked.timeout.unwrap_or(app.config.routing.stream_idle_timeout)
}

/// Who answered, after how many attempts, and what could not be said.
fn served_headers(target: &Target, attempts: i64, losses: &Losses) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    tell_attempts(&mut headers, &target.provider.name, &target.model, attempts);
    let receipts =
        [("x-orchestrator-dropped", losses.left_out()), ("x-orchestrator-approximated", losses.approximations())];
    for (name, paths) in receipts.iter().filter(|(_, paths)| !paths.is_empty()) {
        tell(&mut headers, name, paths);
    }
    headers
}

/// Who was asked last, and how often anybody was.
fn tell_attempts(headers: &mut HeaderMap, provider: &str, model: &str, attempts: i64) {
    tell(headers, "x-orchestrator-provider", provider);
    tell(headers, "x-orchestrator-model", model);
    headers.insert(HeaderName::from_static("x-orchestrator-attempts"), attempts.into());
}

/// A value that cannot stand in a header is left out rather than changed, and so is one that says nothing.
fn tell(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value)
        && !value.is_empty()
    {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod simulation;
