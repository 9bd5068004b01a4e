//! Failover: one target is asked after the other, until one answers.

use std::time::Duration;

use axum::http::HeaderMap;
use llm_protocol::{
    ProtocolId,
    ir::{ApiError, ErrorKind},
};
use tokio::time::{Instant, sleep_until};

use super::{
    TRACEPARENT, admission,
    prepare::Unsaid,
    record::Record,
    turns::{Backoff, Turn, Turns},
};
use crate::{
    app::App,
    health::{Outcome, Permit, RetryPermit},
    routing::Target,
    upstream::{Verdict, blames_upstream, verdict},
};

/// No rest that a provider asks for lasts longer.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// What a client is asked to wait where no provider says how long.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// A request as failover sees it: what is sent to a target, and how much of the answer has to be there before it counts.
pub trait Exchange: Send + Sync {
    type Prepared: Send + Sync;
    type Reply: Send;

    /// Writes the request for one target. Fails with 400 if the target cannot be told all that matters.
    fn prepare(&mut self, target: &Target) -> Result<Self::Prepared, Unsaid>;

    /// The protocol that it was written in, where the call is one that several have.
    fn protocol(_: &Self::Prepared) -> Option<ProtocolId> {
        None
    }

    /// What it is sent with.
    fn headers(prepared: &mut Self::Prepared) -> &mut HeaderMap;

    /// Whether a failure tells something of the provider's health.
    fn tells_of_health(&self) -> bool {
        true
    }

    /// Sends it and reads what has to be there before `deadline`. Whatever fails until then can be tried elsewhere.
    fn send(
        &self,
        app: &App,
        target: &Target,
        prepared: &Self::Prepared,
        deadline: Instant,
    ) -> impl Future<Output = Result<Self::Reply, ApiError>> + Send;
}

/// How long and how often a client lets providers be asked.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the whole request.
    pub timeout: Option<Duration>,
    /// Further attempts per provider.
    pub retries: Option<u32>,
    pub stream: bool,
}

/// A target that answers.
pub struct Won<E: Exchange> {
    pub target: Target,
    pub prepared: E::Prepared,
    pub reply: E::Reply,
    pub permit: Permit,
    /// For the whole request.
    pub deadline: Instant,
}

/// Asks one target after the other until one answers, nobody is left, or time is up.
pub async fn drive<E: Exchange>(
    app: &App,
    asked: Patience,
    plan: Vec<Target>,
    exchange: &mut E,
    record: &mut Record,
) -> Result<Won<E>, ApiError> {
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
        let mut prepared = match exchange.prepare(&target) {
            Ok(prepared) => prepared,
            Err(unsaid) if unsaid.error.kind == ErrorKind::Internal => return Err(*unsaid.error),
            Err(unsaid) => {
                // What this target cannot be told another may understand.
                record.refused(&unsaid);
                failures.unsaid.get_or_insert(*unsaid.error);
                turns.skip(at);
                continue;
            }
        };
        let Some((permit, _retrying)) = leave(&target, retry, turns.is_last(at)) else {
            turns.skip(at);
            continue;
        };
        let (until, own) = attempt_deadline(asked.timeout, &target, deadline, turns.is_last(at));
        let sent = match within_rate(app, &target).await {
            Ok(()) => {
                record.attempt(&target, E::protocol(&prepared), retry);
                if let Some(traceparent) = record.upstream_traceparent() {
                    E::headers(&mut prepared).insert(TRACEPARENT, traceparent);
                }
                exchange.send(app, &target, &prepared, until).await
            }
            Err(error) => Err(error),
        };
        match sent {
            Ok(reply) => {
                let deadline = total(asked, routing.stream_max_duration, began, deadline);
                return Ok(Won { target, prepared, reply, permit, deadline });
            }
            Err(error) => {
                let error = target.provider.conceal(error);
                record.attempt_failed(&error);
                if exchange.tells_of_health() {
                    blame(&target, permit, &error, own);
                }
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
fn total(asked: Patience, longest: Duration, began: Instant, deadline: Instant) -> Instant {
    if asked.stream && asked.timeout.is_none() { began + longest } else { deadline }
}

/// When an attempt must have answered (a stream: with its first content), and whether the provider's own limit is over
/// by then. While others are left nobody gets more than its own limit; the last one gets all the time the client gives.
fn attempt_deadline(timeout: Option<Duration>, target: &Target, deadline: Instant, last: bool) -> (Instant, bool) {
    let own = Instant::now() + target.provider.timeout;
    let until = if timeout.is_some() && last { deadline } else { own.min(deadline) };
    (until, own <= until)
}

/// Counts an attempt against the provider's own limit.
async fn within_rate(app: &App, target: &Target) -> Result<(), ApiError> {
    match target.provider.rate_limit {
        Some(limit) => admission::admit_attempt(app, &target.provider, limit).await,
        None => Ok(()),
    }
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
    /// The error that tells the client most: the last real failure; "too often" only if everybody said so. It asks the client
    /// to wait until the first of those who failed may be free again.
    fn verdict(mut self, late: bool) -> ApiError {
        let telling = |error: &ApiError| !matches!(error.kind, ErrorKind::RateLimited | ErrorKind::NotFound);
        let at = self.upstream.iter().rposition(telling).or(self.upstream.len().checked_sub(1));
        let passing = self.upstream.iter().filter(|error| verdict(error) == Verdict::Again);
        let soonest = passing.map(|error| error.retry_after.unwrap_or(SHORT_WAIT)).min();
        match (at, self.unsaid) {
            (Some(at), _) => {
                let error = self.upstream.swap_remove(at);
                ApiError { retry_after: soonest.or((error.status() >= 500).then_some(SHORT_WAIT)), ..error }
            }
            (None, Some(unsaid)) => unsaid,
            (None, None) if late => crate::upstream::late(),
            (None, None) => ApiError {
                retry_after: Some(SHORT_WAIT),
                ..ApiError::new(ErrorKind::Unavailable, "no provider can serve the request now")
            },
        }
    }
}
