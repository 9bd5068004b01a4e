//! The data plane: what happens to a client's request between its arrival and its last byte.

mod asked;
pub mod attempt;
mod auth;
mod models;
mod prepare;
mod record;
mod relay;
mod routes;
pub mod stream;
mod turns;

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Response, header},
};
use bytes::Bytes;
use llm_protocol::{
    Inbound, Served,
    ir::{ApiError, ErrorKind, Losses},
    splice::Members,
};
use tokio::time::{Instant, sleep_until};

use self::{
    asked::Asked,
    attempt::Answer,
    prepare::{Prepared, Source, Translated},
    record::{Manners, Record},
    relay::{Deadlines, Relay, Writer},
    turns::{Backoff, Turn, Turns},
};
use crate::{
    app::App,
    catalog::Caller,
    fidelity::Fidelity,
    health::{Outcome, Permit, RetryPermit},
    limits::Subject,
    routing::{self, Target},
    upstream::{Verdict, blames_upstream, verdict},
};

pub use routes::router;

/// No rest that a provider asks for lasts longer.
const LONGEST_REST: Duration = Duration::from_secs(60);

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
}

impl Call {
    /// A call whose body says everything.
    pub fn of(inbound: &'static dyn Inbound) -> Self {
        Self { inbound, model: None, stream: None, array: false }
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
    let plain = routing::split(&catalog, &asked.wish.model).1;
    if !caller.may_use(&asked.wish.model) && !caller.may_use(plain) {
        return Err(ApiError::new(
            ErrorKind::Forbidden,
            format!("this API key may not use the model `{}`", asked.wish.model),
        ));
    }
    admit(app, caller)?;

    let groups = routing::candidates(&catalog, &asked.wish)?;
    let plan = routing::order(groups, |target| target.provider.health.admission(), &mut rand::rng());
    let fidelity = Fidelity::in_force(asked.fidelity, caller.fidelity, app.config.routing.fidelity);
    let forwarded = forwarded(call.inbound, headers);
    let mut source = Source::new(call.inbound, &asked, &members, &body, &app.models, forwarded, fidelity);
    let won = drive(app, &asked, plan, &mut source, record).await?;
    Ok(answer(app, call.inbound, &asked, won, record))
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

/// Counts the request against the caller's limit.
fn admit(app: &App, caller: &Caller) -> Result<(), ApiError> {
    let limits = &app.config.limits;
    match caller.subject {
        Some(subject) if limits.enabled => {
            app.limits.admit(subject, limits.requests_per_minute).map_err(|wait| ApiError {
                retry_after: Some(wait),
                ..ApiError::new(
                    ErrorKind::RateLimited,
                    format!("rate limit of {} requests a minute reached", limits.requests_per_minute),
                )
            })
        }
        _ => Ok(()),
    }
}

/// A target that answers.
struct Won {
    target: Target,
    prepared: Prepared,
    answer: Answer,
    permit: Permit,
    /// For the whole request.
    deadline: Instant,
}

/// Asks one target after the other until one answers, nobody is left, or time is up.
async fn drive(
    app: &App,
    asked: &Asked,
    plan: Vec<Target>,
    source: &mut Source<'_>,
    record: &mut Record,
) -> Result<Won, ApiError> {
    let routing = &app.config.routing;
    let began = record.began();
    let deadline = began + asked.timeout.map_or(routing.max_timeout, |timeout| timeout.min(routing.max_timeout));
    let most = routing.max_retry_count;
    let mut turns = Turns::new(
        plan,
        |target| target.provider.health.admission(),
        |target| 1 + asked.retries.unwrap_or(target.provider.max_retries).min(most),
        Backoff { base: routing.backoff_base, max: routing.backoff_max },
    );
    let mut failures = Failures::default();
    loop {
        let at = match turns.next(Instant::now(), deadline) {
            Turn::Now(at) => at,
            Turn::At(at, when) => {
                sleep_until(when).await;
                at
            }
            Turn::Over => return Err(failures.verdict(Instant::now() >= deadline)),
        };
        let (target, retry) = (turns.slot(at).target.clone(), turns.slot(at).is_retry());
        let prepared = match source.prepare(&target) {
            Ok(prepared) => prepared,
            Err(unsaid) if unsaid.error.kind == ErrorKind::Internal => return Err(unsaid.error),
            Err(unsaid) => {
                // What this target cannot be told another may understand.
                record.refused(&unsaid);
                failures.unsaid.get_or_insert(unsaid.error);
                turns.skip(at);
                continue;
            }
        };
        let Some((permit, _retrying)) = leave(&target, retry, turns.is_last(at)) else {
            turns.skip(at);
            continue;
        };
        let (until, own) = attempt_deadline(asked, &target, deadline, turns.is_last(at));
        let sent = match within_rate(app, &target) {
            Ok(()) => {
                record.attempt(&target, prepared.outgoing.outbound.id());
                attempt::send(&app.upstream, &target.provider, &prepared.outgoing, asked.stream, routing, until).await
            }
            Err(error) => Err(error),
        };
        match sent {
            Ok(answer) => {
                let deadline = total(asked, routing.stream_max_duration, began, deadline);
                return Ok(Won { target, prepared, answer, permit, deadline });
            }
            Err(error) => {
                let error = target.provider.conceal(error);
                blame(&target, permit, &error, own);
                let provider = &target.provider.name;
                tracing::debug!(%provider, %error, reason = error.reason, "An attempt at {provider} failed");
                if verdict(&error) == Verdict::GiveUp {
                    return Err(error);
                }
                turns.failed(at, &error, Instant::now(), rand::random());
                failures.upstream.push(error);
            }
        }
    }
}

/// Leave to ask a target now: from its health, and to ask it again from its budget of retries, for as long as the
/// attempt runs. A provider that is left out is asked all the same where nobody else is left.
fn leave(target: &Target, retry: bool, last: bool) -> Option<(Permit, Option<RetryPermit>)> {
    let health = &target.provider.health;
    let permit = health.admit(retry || last)?;
    if retry {
        return Some((permit, Some(health.retries.take()?)));
    }
    health.retries.earn();
    Some((permit, None))
}

/// When a stream must be over: by the client's own word, else after the longest time any may take.
fn total(asked: &Asked, longest: Duration, began: Instant, deadline: Instant) -> Instant {
    if asked.stream && asked.timeout.is_none() { began + longest } else { deadline }
}

/// When an attempt must have answered (a stream: with its first content), and whether the provider's own limit is over
/// by then. While others are left nobody gets more than its own limit; the last one gets all the time the client gives.
fn attempt_deadline(asked: &Asked, target: &Target, deadline: Instant, last: bool) -> (Instant, bool) {
    let own = Instant::now() + target.provider.timeout;
    let until = if asked.timeout.is_some() && last { deadline } else { own.min(deadline) };
    (until, own <= until)
}

/// Counts an attempt against the provider's own limit.
fn within_rate(app: &App, target: &Target) -> Result<(), ApiError> {
    let Some(limit) = target.provider.rate_limit else { return Ok(()) };
    app.limits.admit(Subject::Provider(target.provider.id), limit).map_err(|wait| ApiError {
        retry_after: Some(wait),
        ..ApiError::new(ErrorKind::RateLimited, format!("provider `{}` is at its rate limit", target.provider.name))
    })
}

/// Tells the provider's health what it must know of a failed attempt. `own` says that a passed deadline was the
/// provider's limit: a client that waits only briefly says nothing about the provider.
fn blame(target: &Target, permit: Permit, error: &ApiError, own: bool) {
    if let Some(wait) = error.retry_after {
        target.provider.health.rest(wait.min(LONGEST_REST));
    }
    match error.kind {
        ErrorKind::UpstreamAuth | ErrorKind::QuotaExceeded => permit.settle(&Outcome::Refusal(error.message.clone())),
        ErrorKind::Timeout if !own => drop(permit),
        _ if blames_upstream(error) => permit.settle(&Outcome::Failure(error.message.clone())),
        // It answered: the request was wrong, not the provider.
        _ if verdict(error) == Verdict::GiveUp => permit.settle(&Outcome::Success { latency: Duration::ZERO }),
        _ => drop(permit),
    }
}

/// Why nobody answered.
#[derive(Default)]
struct Failures {
    upstream: Vec<ApiError>,
    /// Why a target could not be asked at all.
    unsaid: Option<ApiError>,
}

impl Failures {
    /// The error that tells the client most: the last real failure; "too often" only if everybody said so.
    fn verdict(mut self, late: bool) -> ApiError {
        let limited = |error: &ApiError| error.kind == ErrorKind::RateLimited;
        if !self.upstream.is_empty() && self.upstream.iter().all(limited) {
            let wait = self.upstream.iter().filter_map(|error| error.retry_after).min();
            let last = self.upstream.pop().expect("checked to hold one");
            return ApiError { retry_after: wait.or(last.retry_after), ..last };
        }
        let telling = |error: &ApiError| !limited(error) && error.kind != ErrorKind::NotFound;
        let at = self.upstream.iter().rposition(telling).or(self.upstream.len().checked_sub(1));
        match (at, self.unsaid) {
            (Some(at), _) => self.upstream.swap_remove(at),
            (None, Some(unsaid)) => unsaid,
            (None, None) if late => crate::upstream::late(),
            (None, None) => ApiError {
                retry_after: Some(Duration::from_secs(1)),
                ..ApiError::new(ErrorKind::Unavailable, "no provider can serve the request now")
            },
        }
    }
}

fn answer(app: &App, inbound: &'static dyn Inbound, asked: &Asked, won: Won, record: &mut Record) -> Response<Body> {
    let Won { target, prepared, answer, permit, deadline } = won;
    let mut headers = served_headers(&target, record.attempts(), &prepared.losses);
    record.lost(&prepared.losses);
    let body = match answer {
        Answer::Whole { body, mut response } => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(usage) = response.usage {
                record.used(usage);
            }
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
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
            record.first_content();
            let routing = &app.config.routing;
            let deadlines = Deadlines {
                idle: asked.timeout.unwrap_or(routing.stream_idle_timeout),
                total: deadline,
                keep_alive: (routing.keep_alive_interval, inbound.keep_alive(&envelope)),
            };
            let writer = match prepared.translated {
                None => Writer::Same(inbound.passthrough(&envelope)),
                Some(Translated { request, custom }) => Writer::Other(inbound.encoder(&request, envelope), custom),
            };
            Relay::new(*upstream, writer, deadlines, target.provider, permit, record.hand_over()).into_body()
        }
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
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

/// A value that cannot stand in a header is left out rather than changed.
fn tell(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
