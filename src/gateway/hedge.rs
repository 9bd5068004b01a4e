//! Hedged requests: where the first provider takes longer than the model usually does, a second one is asked too, and the first
//! answer counts. The other one is broken off; both are paid for.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use llm_protocol::{ProtocolId, ir::ApiError, splice::Members};
use tokio::time::{Instant, timeout_at};

use super::{
    TRACEPARENT,
    drive::{Attempt, Exchange, Until, pace, within_rate},
    record::Record,
    turns::Turns,
};
use crate::{
    app::App,
    catalog::Provider,
    health::{Admission, Pace},
    routing::Target,
    upstream::{Verdict, verdict},
};

/// How many second requests the first ones have earned.
#[derive(Debug, Default)]
pub struct Earned(AtomicU32);

/// One second request, in what [`Earned`] counts: hundredths of a percent.
const ONE: u32 = 10_000;
/// Second requests that can be saved up.
const SAVED: u32 = 10 * ONE;

impl Earned {
    fn earn(&self, percent: f64) {
        let earned = (percent * 100.0) as u32;
        let more = |known: u32| Some(known.saturating_add(earned).min(SAVED));
        let _known = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |known| known.checked_sub(ONE)).is_ok()
    }
}

/// A second target, ready to be asked.
pub struct Second<E: Exchange> {
    after: Duration,
    at: usize,
    whole: Arc<Provider>,
    target: Target,
    prepared: E::Prepared,
    /// For the whole request, and for a stream of its answer.
    deadline: Instant,
    over: Instant,
    pace: Option<Arc<Pace>>,
}

/// How the attempts that ran at once ended: who failed, in that order, and who answered.
pub struct Ended<E: Exchange> {
    pub failed: Vec<(Attempt<E>, ApiError)>,
    pub won: Option<(Attempt<E>, E::Reply)>,
}

impl<E: Exchange> Ended<E> {
    /// Of one attempt alone.
    pub fn of(attempt: Attempt<E>, sent: Result<E::Reply, ApiError>) -> Self {
        match sent {
            Ok(reply) => Self { failed: Vec::new(), won: Some((attempt, reply)) },
            Err(error) => Self { failed: vec![(attempt, error)], won: None },
        }
    }
}

/// Whether a request may reach two providers: nothing is kept of it, and nothing runs for it.
pub fn is_free_of_effects(inbound: ProtocolId, members: &Members<'_>) -> bool {
    let stored = match members.get("store") {
        None | Some("null") => inbound == ProtocolId::OpenAiResponses,
        Some(store) => store != "false",
    };
    !stored && !["container", "thread", "background"].iter().any(|field| members.contains(field))
}

/// The second target, where one may be asked: the model's pace is known, and another provider can serve.
pub fn arm<E: Exchange>(
    app: &App,
    first: &Attempt<E>,
    stream: bool,
    turns: &Turns,
    deadline: Instant,
    exchange: &mut E,
) -> Option<Second<E>> {
    let config = &app.config.hedging;
    if !config.enabled || turns.slot(first.at).is_retry() || !exchange.may_be_doubled() {
        return None;
    }
    app.hedges.earn(config.max_extra_percent);
    let after = first.pace.as_ref()?.latencies.percentile(config.percentile)?;
    let at = turns.spare(first.at, Instant::now())?;
    let target = turns.slot(at).as_next_key_sees_it(exchange.tokens());
    if target.admission(exchange.tokens()) != Admission::Yes {
        return None;
    }
    let prepared = exchange.prepare(&target).ok()?;
    let (whole, over) = (turns.slot(at).target.provider.clone(), first.until.over);
    let pace = pace(app, &target, stream);
    Some(Second { after, at, whole, target, prepared, deadline, over, pace })
}

/// Makes the first attempt, and the second one too where the first takes long.
pub async fn race<E: Exchange>(
    app: &App,
    exchange: &E,
    first: Attempt<E>,
    second: Second<E>,
    record: &mut Record,
) -> Ended<E> {
    let mut begun = None;
    let (one, other) = {
        let mut one = pin!(first.send(app, exchange));
        match timeout_at(second.at_most(first.until.answered), &mut one).await {
            Ok(sent) => (Some(sent), None),
            Err(_) => {
                begun = second.begin(app, exchange, record).await;
                match &begun {
                    Some(begun) => both(one, pin!(begun.send(app, exchange))).await,
                    None => (Some(one.await), None),
                }
            }
        }
    };
    if let Some(second) = &begun {
        let outcome = match &other {
            Some(Ok(_)) => "won",
            Some(Err(_)) => "failed",
            None => "lost",
        };
        record.hedge_ended(&second.target, E::protocol(&second.prepared), outcome);
    }
    let mut ended = Ended { failed: Vec::new(), won: None };
    for (attempt, sent) in [(Some(first), one), (begun, other)] {
        match (attempt, sent) {
            (Some(attempt), Some(Ok(reply))) => ended.won = Some((attempt, reply)),
            (Some(attempt), Some(Err(error))) => ended.failed.push((attempt, error)),
            (Some(attempt), None) => record.broken_off(&attempt.target),
            (None, _) => {}
        }
    }
    ended
}

/// What came of an attempt; `None` where it was broken off.
type Sent<R> = Option<Result<R, ApiError>>;

/// What came of two attempts, of which one may have been broken off: once one has answered, or the request itself is at fault.
async fn both<R>(
    mut one: Pin<&mut impl Future<Output = Result<R, ApiError>>>,
    mut other: Pin<&mut impl Future<Output = Result<R, ApiError>>>,
) -> (Sent<R>, Sent<R>) {
    let decides = |sent: &Sent<R>| match sent {
        Some(Ok(_)) => true,
        Some(Err(error)) => verdict(error) == Verdict::GiveUp,
        None => false,
    };
    let (mut first, mut second) = (None, None);
    while !decides(&first) && !decides(&second) && (first.is_none() || second.is_none()) {
        tokio::select! {
            biased;
            sent = &mut one, if first.is_none() => first = Some(sent),
            sent = &mut other, if second.is_none() => second = Some(sent),
        }
    }
    (first, second)
}

impl<E: Exchange> Second<E> {
    /// When it is time for it, or too late.
    fn at_most(&self, until: Instant) -> Instant {
        (Instant::now() + self.after).min(until)
    }

    /// Begins the attempt, if the provider's health, its budget of retries, its own limit and what was earned let it.
    async fn begin(self, app: &App, exchange: &E, record: &mut Record) -> Option<Attempt<E>> {
        let Self { at, whole, target, mut prepared, .. } = self;
        let permit = target.provider.admit(false)?;
        let retrying = target.provider.health.retries.take()?;
        if !app.hedges.take() || within_rate(app, &target).await.is_err() {
            return None;
        }
        record.hedged(&target);
        E::meter(&prepared).into_iter().for_each(|meter| record.metered(&target, meter));
        target.provider.take(&target.model, exchange.tokens());
        if let Some(traceparent) = record.upstream_traceparent() {
            E::headers(&mut prepared).insert(TRACEPARENT, traceparent);
        }
        let answered = (Instant::now() + target.provider.timeout).min(self.deadline);
        let until = Until { answered, over: self.over };
        let (own, pace) = (answered < self.deadline, self.pace);
        Some(Attempt { at, whole, target, prepared, permit, retrying: Some(retrying), until, own, pace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_requests_are_earned_by_first_ones_and_few_are_saved_up() {
        let earned = Earned::default();
        assert!(!earned.take());
        (0..20).for_each(|_| earned.earn(5.0));
        assert!(earned.take() && !earned.take());
        (0..100_000).for_each(|_| earned.earn(5.0));
        assert_eq!((0..100).filter(|_| earned.take()).count(), 10);
    }

    #[test]
    fn what_a_provider_keeps_or_runs_is_asked_for_once() {
        let free = |inbound, body: &str| is_free_of_effects(inbound, &Members::read(body.as_bytes()).unwrap());
        for (inbound, body, expected) in [
            (ProtocolId::OpenAiChat, r#"{"model":"m"}"#, true),
            (ProtocolId::OpenAiChat, r#"{"store":true}"#, false),
            (ProtocolId::OpenAiResponses, r#"{"model":"m"}"#, false),
            (ProtocolId::OpenAiResponses, r#"{"store":false}"#, true),
            (ProtocolId::Anthropic, r#"{"container":"c"}"#, false),
            (ProtocolId::Anthropic, r#"{"model":"m"}"#, true),
        ] {
            assert_eq!(free(inbound, body), expected, "{body}");
        }
    }
}
