//! Failover: one target is asked after the other, until one answers.

use std::{sync::Arc, time::Duration};

use axum::http::HeaderMap;
use llm_protocol::{
    ProtocolId,
    ir::{ApiError, ErrorKind},
};
use tokio::time::{Instant, sleep_until};

use super::{
    TRACEPARENT, admission,
    blame::{blame, is_of_key, leave_alone},
    hedge::{self, Ended},
    prepare::Unsaid,
    record::Record,
    spent::Meter,
    together::others_first,
    turns::{Backoff, Turn, Turns},
};
use crate::{
    app::App,
    catalog::Provider,
    chance,
    config::Choice,
    health::{Pace, Permit, RetryPermit},
    routing::Target,
    upstream::{Verdict, verdict},
};

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

    /// Where its tokens are counted until the answer is there, if that matters.
    fn meter(_: &Self::Prepared) -> Option<&Meter> {
        None
    }

    /// Tokens that it probably takes of a provider's limits, roughly.
    fn tokens(&self) -> u64 {
        0
    }

    /// Whether two providers may be asked at once: nothing is kept of it, and nothing runs for it.
    fn may_be_doubled(&self) -> bool {
        false
    }

    /// Whether a failure tells something of the provider's health.
    fn tells_of_health(&self) -> bool {
        true
    }

    /// Sends it and reads what has to be there. Whatever fails until then can be tried elsewhere.
    fn send(
        &self,
        app: &App,
        target: &Target,
        prepared: &Self::Prepared,
        until: Until,
    ) -> impl Future<Output = Result<Self::Reply, ApiError>> + Send;
}

/// By when an attempt must have come how far.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    /// What has to be there: a whole answer, or a stream's first content.
    pub answered: Instant,
    /// The last of a stream.
    pub over: Instant,
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
        |target| target.provider.admission(),
        |target| 1 + asked.retries.unwrap_or(target.provider.max_retries).min(most),
        Backoff { base: routing.backoff_base, max: routing.backoff_max },
    );
    let (mut failures, mut was_asked) = (Failures::default(), false);
    loop {
        let at = match turns.next(Instant::now(), deadline) {
            Turn::Now(at) => at,
            Turn::At(at, when) => {
                sleep_until(when).await;
                at
            }
            Turn::Over => {
                let now = Instant::now();
                let rest = turns.soonest().map(|at| at.saturating_duration_since(now));
                return Err(failures.verdict(rest, now >= deadline));
            }
        };
        let (whole, retry) = (turns.slot(at).target.provider.clone(), turns.slot(at).is_retry());
        let target = turns.slot(at).as_next_key_sees_it(exchange.tokens());
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
        let last = turns.is_last(at);
        // Of several last resorts all but one are asked beside what was offered, as retries are.
        let why = match retry || (turns.slot(at).is_last_resort() && !last) {
            true => Why::Beside,
            false if was_asked => Why::Instead,
            false => Why::First,
        };
        let Some((permit, retrying)) = leave(&target, why, last) else {
            turns.skip(at);
            continue;
        };
        let (answered, own) = attempt_deadline(asked.timeout, &target, deadline, last);
        let until = Until { answered, over: total(asked, routing.stream_max_duration, began, deadline) };
        if let Err(error) = within_rate(app, &target).await {
            record.attempt_failed(None, &error);
            leave_alone(&target.provider, &error);
            turns.failed(at, &error, Instant::now(), chance::share());
            failures.upstream.push(error);
            continue;
        }
        was_asked = true;
        record.attempt(&target, E::protocol(&prepared), retry);
        E::meter(&prepared).into_iter().for_each(|meter| record.metered(&target, meter));
        target.provider.take(&target.model, exchange.tokens());
        if let Some(traceparent) = record.upstream_traceparent() {
            E::headers(&mut prepared).insert(TRACEPARENT, traceparent);
        }
        let pace = pace(app, &target, asked.stream).filter(|_| exchange.tells_of_health());
        let attempt = Attempt { at, whole, target, prepared, permit, retrying, until, own, pace };
        let ended = match hedge::arm(app, &attempt, asked.stream, &turns, deadline, exchange) {
            // Boxed, since all requests would have to carry the place about that few need.
            Some(second) => Box::pin(hedge::race(app, exchange, attempt, second, record)).await,
            None => {
                let sent = attempt.send(app, exchange).await;
                Ended::of(attempt, sent)
            }
        };
        for (attempt, error) in ended.failed {
            let error = attempt.failed(error, exchange.tells_of_health(), &mut turns, record);
            if verdict(&error) == Verdict::GiveUp && ended.won.is_none() {
                return Err(error);
            }
            failures.upstream.push(error);
        }
        if let Some((Attempt { target, prepared, permit, until, .. }, reply)) = ended.won {
            let deadline = if asked.stream { until.over } else { deadline };
            return Ok(Won { target, prepared, reply, permit, deadline });
        }
    }
}

/// One try at one target, which holds all that it takes for as long as it runs.
pub struct Attempt<E: Exchange> {
    /// Whose turn it is.
    pub at: usize,
    /// The provider with all its keys.
    pub whole: Arc<Provider>,
    pub target: Target,
    pub prepared: E::Prepared,
    pub permit: Permit,
    /// Leave to be asked besides, or instead of another.
    pub retrying: Option<RetryPermit>,
    /// When it must have answered, and whether the provider's own limit is over by then.
    pub until: Until,
    pub own: bool,
    /// Where the time is noted that it takes, if that matters to anybody.
    pub pace: Option<Arc<Pace>>,
}

impl<E: Exchange> Attempt<E> {
    pub async fn send(&self, app: &App, exchange: &E) -> Result<E::Reply, ApiError> {
        let waiting = self.pace.as_ref().map(Pace::begin);
        others_first(app).await;
        let sent = exchange.send(app, &self.target, &self.prepared, self.until).await;
        let telling = sent.as_ref().map_or_else(|error| error.kind == ErrorKind::Timeout, |_| true);
        if let Some(waiting) = waiting.filter(|_| telling) {
            waiting.answered();
        }
        sent
    }

    /// Says to whom it matters that it failed, and gives the error as it may be told.
    fn failed(self, error: ApiError, tells_of_health: bool, turns: &mut Turns, record: &mut Record) -> ApiError {
        let Self { at, whole, target, permit, retrying, until, own, .. } = self;
        let error = target.provider.conceal(error);
        if let Some(retrying) = retrying.filter(|_| verdict(&error) != Verdict::GiveUp) {
            retrying.failed();
        }
        record.attempt_failed(Some(&target), &error);
        if tells_of_health {
            blame(&target.provider, &whole, permit, &error, own && Instant::now() < until.over);
        }
        let provider = &target.provider.name;
        tracing::debug!(%provider, %error, reason = error.reason, "An attempt at {provider} failed");
        if !(is_of_key(&error) && whole.has_ready_key() && turns.with_another_key(at)) {
            turns.failed(at, &error, Instant::now(), chance::share());
        }
        error
    }
}

/// Where the time that a target takes is noted: nowhere, if nobody goes by it.
pub fn pace(app: &App, target: &Target, stream: bool) -> Option<Arc<Pace>> {
    let matters = app.config.hedging.enabled || app.config.routing.policy == Choice::LeastLatency;
    (matters && !target.model.is_empty()).then(|| target.provider.health.paces.of(&target.model, stream))
}

/// Why a target is asked.
#[derive(Clone, Copy, Debug)]
enum Why {
    First,
    /// Others have failed.
    Instead,
    /// Besides what it is offered: it is asked again, or is left out while others can be asked.
    Beside,
}

/// Leave to ask a target now: from its health, and from its budget to ask it more than once for all that it is offered, for as
/// long as the attempt runs. A provider that is left out is asked all the same where nobody else is left.
fn leave(target: &Target, why: Why, last: bool) -> Option<(Permit, Option<RetryPermit>)> {
    let health = &target.provider.health;
    let permit = target.provider.admit(matches!(why, Why::Beside) || last)?;
    let retrying = match why {
        Why::First => {
            health.retries.earn();
            None
        }
        Why::Instead => Some(health.retries.take_over()?),
        Why::Beside => Some(health.retries.take()?),
    };
    Some((permit, retrying))
}

/// When a stream must be over: by the client's own word, else after the longest time any may take.
fn total(asked: Patience, longest: Duration, began: Instant, deadline: Instant) -> Instant {
    if asked.timeout.is_none() { began + longest } else { deadline }
}

/// When an attempt must have answered (a stream: with its first content), and whether the provider's own limit is over
/// by then. While others are left nobody gets more than its own limit; the last one gets all the time the client gives.
fn attempt_deadline(timeout: Option<Duration>, target: &Target, deadline: Instant, last: bool) -> (Instant, bool) {
    let own = Instant::now() + target.provider.timeout;
    let until = if timeout.is_some() && last { deadline } else { own.min(deadline) };
    (until, own <= until)
}

/// Counts an attempt against the provider's own limit.
pub async fn within_rate(app: &App, target: &Target) -> Result<(), ApiError> {
    match target.provider.rate_limit {
        Some(limit) => Box::pin(admission::admit_attempt(app, &target.provider, limit)).await,
        None => Ok(()),
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
    /// to wait until the first of those who failed may be free again. `rest` is what is left of the shortest rest that a
    /// provider has asked for.
    fn verdict(mut self, rest: Option<Duration>, late: bool) -> ApiError {
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
            (None, None) if rest.is_some() => ApiError {
                retry_after: rest,
                ..ApiError::new(ErrorKind::RateLimited, "every provider that serves this has asked for a rest")
            },
            (None, None) => ApiError {
                retry_after: Some(SHORT_WAIT),
                ..ApiError::new(ErrorKind::Unavailable, "no provider can serve the request now")
            },
        }
    }
}
