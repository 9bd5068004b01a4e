//! Whose turn is it: how attempts go round the targets of a plan.
//!
//! Everybody is asked once before anybody is asked again, for another provider is the quickest remedy. Then those whose
//! failure may pass are asked again, after the wait they asked for or a random one that grows (full jitter: AWS
//! Architecture Blog, "Exponential Backoff And Jitter"), as often as their retries allow.

use std::time::Duration;

use llm_protocol::ir::ApiError;
use tokio::time::Instant;

use crate::{
    chance,
    health::Admission,
    routing::Target,
    upstream::{Verdict, verdict},
};

/// How long the first random wait is at most, and any.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub base: Duration,
    pub max: Duration,
}

/// Keys of one provider's that a request tries one after the other, besides the first.
const MOST_KEYS: usize = 5;

/// One target and what is left to it.
#[derive(Debug)]
pub struct Slot {
    pub target: Target,
    tried: u32,
    left: u32,
    /// Further keys of the provider's that may be tried besides.
    keys: u32,
    /// Whether the last attempt failed because of the key alone.
    rekeyed: bool,
    left_out: bool,
    not_before: Option<Instant>,
}

/// All targets of one request.
#[derive(Debug)]
pub struct Turns {
    slots: Vec<Slot>,
    backoff: Backoff,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Ask this slot's target.
    Now(usize),
    /// Ask this slot's target then.
    At(usize, Instant),
    /// Nobody is left, or nobody in time.
    Over,
}

impl Turns {
    /// `attempts` says how often a target may be asked in all.
    pub fn new(
        plan: Vec<Target>,
        admission: impl Fn(&Target) -> Admission,
        attempts: impl Fn(&Target) -> u32,
        backoff: Backoff,
    ) -> Self {
        let slots = plan.into_iter().map(|target| {
            let (not_before, left_out) = match admission(&target) {
                Admission::Resting(until) => (Some(until), false),
                // A last resort is asked at once: a request cannot wait for an ejection to end.
                Admission::Ejected(_) => (None, true),
                Admission::Yes | Admission::Spent(_) => (None, false),
            };
            let keys = target.provider.accounts.len().saturating_sub(1).min(MOST_KEYS) as u32;
            Slot { tried: 0, left: attempts(&target).max(1), keys, rekeyed: false, left_out, not_before, target }
        });
        Self { slots: slots.collect(), backoff }
    }

    /// Who is next, if anybody can be asked before `deadline`.
    pub fn next(&self, now: Instant, deadline: Instant) -> Turn {
        if now >= deadline {
            return Turn::Over;
        }
        let due = |slot: &Slot| slot.not_before.is_none_or(|at| at <= now);
        if let Some(fresh) = self.slots.iter().position(|slot| slot.tried == 0 && slot.left > 0 && due(slot)) {
            return Turn::Now(fresh);
        }
        let waiting = self.slots.iter().enumerate().filter(|(_, slot)| slot.left > 0);
        match waiting.map(|(at, slot)| (slot.not_before.unwrap_or(now).max(now), at)).min() {
            Some((at, slot)) if at <= now => Turn::Now(slot),
            Some((at, slot)) if at < deadline => Turn::At(slot, at),
            _ => Turn::Over,
        }
    }

    /// Who else has not been asked and may be now.
    pub fn spare(&self, at: usize, now: Instant) -> Option<usize> {
        let due = |slot: &Slot| slot.tried == 0 && slot.left > 0 && slot.not_before.is_none_or(|at| at <= now);
        self.slots.iter().enumerate().find(|(other, slot)| *other != at && due(slot)).map(|(other, _)| other)
    }

    pub fn slot(&self, at: usize) -> &Slot {
        &self.slots[at]
    }

    /// Whether nobody but this slot's target can still be asked.
    pub fn is_last(&self, at: usize) -> bool {
        self.slots.iter().enumerate().all(|(other, slot)| other == at || slot.left == 0)
    }

    /// When the first of those who are left can be asked, where nobody can in time.
    pub fn soonest(&self) -> Option<Instant> {
        self.slots.iter().filter(|slot| slot.left > 0).filter_map(|slot| slot.not_before).min()
    }

    /// This target cannot be asked after all.
    pub fn skip(&mut self, at: usize) {
        self.slots[at].left = 0;
    }

    /// An attempt failed because of the key that it was made with, and another one can be used: it is the same target's turn
    /// again, at once. That is no retry of the client's, as another provider is none. `false` once too many were tried.
    pub fn with_another_key(&mut self, at: usize) -> bool {
        let slot = &mut self.slots[at];
        slot.rekeyed = slot.keys > 0;
        slot.keys = slot.keys.saturating_sub(1);
        slot.not_before = slot.not_before.filter(|_| !slot.rekeyed);
        slot.rekeyed
    }

    /// An attempt failed. `chance` is in 0..1.
    pub fn failed(&mut self, at: usize, error: &ApiError, now: Instant, chance: f64) {
        let slot = &mut self.slots[at];
        slot.tried += 1;
        slot.left -= 1;
        match verdict(error) {
            Verdict::Again => {
                let most = self.backoff.base.saturating_mul(1 << (slot.tried - 1).min(16)).min(self.backoff.max);
                slot.not_before = Some(now + error.retry_after.unwrap_or_else(|| most.mul_f64(chance)));
            }
            Verdict::Elsewhere | Verdict::GiveUp => slot.left = 0,
        }
    }
}

impl Slot {
    /// Whether the target was left out when the plan was made.
    pub fn is_last_resort(&self) -> bool {
        self.left_out
    }

    /// The target as the provider's key sees it that is to be used next, by a request of so many tokens.
    pub fn as_next_key_sees_it(&self, tokens: u64) -> Target {
        self.target.with(self.target.provider.choose_key(&self.target.model, tokens, &mut chance::lots()))
    }

    /// Whether the target was asked before.
    pub fn is_retry(&self) -> bool {
        self.tried > 0 || self.rekeyed
    }
}

#[cfg(test)]
mod tests {
    use llm_protocol::ir::ErrorKind;
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::routing::tests::target;

    fn turns(count: i64, attempts: u32) -> Turns {
        let backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(4) };
        Turns::new((0..count).map(|id| target(id, 100, 100)).collect(), |_| Admission::Yes, |_| attempts, backoff)
    }

    fn error(kind: ErrorKind, wait: Option<u64>) -> ApiError {
        ApiError { retry_after: wait.map(Duration::from_secs), ..ApiError::new(kind, "") }
    }

    #[test]
    fn everybody_is_asked_once_before_anybody_is_asked_again() {
        let (mut turns, now) = (turns(2, 2), Instant::now());
        let end = now + Duration::from_secs(60);
        assert_eq!(turns.next(now, end), Turn::Now(0));
        turns.failed(0, &error(ErrorKind::Upstream, None), now, 0.0);
        assert_eq!(turns.next(now, end), Turn::Now(1));
        turns.failed(1, &error(ErrorKind::Upstream, None), now, 0.5);
        assert_eq!(turns.next(now, end), Turn::Now(0));
        turns.failed(0, &error(ErrorKind::Upstream, None), now, 0.0);
        assert_eq!(turns.next(now, end), Turn::At(1, now + Duration::from_millis(500)));
        turns.failed(1, &error(ErrorKind::Upstream, None), now, 0.0);
        assert_eq!(turns.next(now, end), Turn::Over);
    }

    proptest! {
        #[test]
        fn nobody_is_asked_too_often_too_soon_or_too_late_and_it_ends(
            count in 1..5_i64, attempts in 1..6_u32, patience in 1..90_u64,
            failures in vec((0..6_usize, option::of(0..30_u64), 0..3_000_u64, 0.0..1.0_f64), 40),
        ) {
            const KINDS: [ErrorKind; 6] = [
                ErrorKind::Upstream, ErrorKind::RateLimited, ErrorKind::Overloaded,
                ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::NotFound,
            ];
            let (mut turns, mut now) = (turns(count, attempts), Instant::now());
            let deadline = now + Duration::from_secs(patience);
            let mut asked = vec![(0_u32, now); count as usize];
            let mut failures = failures.into_iter();
            loop {
                let at = match turns.next(now, deadline) {
                    Turn::Over => break,
                    Turn::Now(at) => at,
                    Turn::At(at, when) => {
                        prop_assert!(when > now && when < deadline);
                        now = when;
                        at
                    }
                };
                let everybody = asked.iter().enumerate().all(|(other, (times, _))| other == at || *times > 0);
                prop_assert!(asked[at].0 == 0 || everybody, "somebody was not asked at all yet");
                prop_assert!(now < deadline && now >= asked[at].1);
                // Forty failures are enough for four targets of five attempts each.
                let Some((kind, wait, took, chance)) = failures.next() else { panic!("it does not end") };
                now += Duration::from_millis(took);
                asked[at] = (asked[at].0 + 1, now + Duration::from_secs(wait.unwrap_or(0)));
                prop_assert!(asked[at].0 <= attempts);
                turns.failed(at, &error(KINDS[kind], wait), now, chance);
            }
        }
    }

    #[test]
    fn a_wait_that_was_asked_for_is_kept_if_it_fits_and_refused_if_not() {
        let (mut turns, now) = (turns(1, 3), Instant::now());
        turns.failed(0, &error(ErrorKind::RateLimited, Some(10)), now, 0.0);
        let at = now + Duration::from_secs(10);
        assert_eq!(turns.next(now, now + Duration::from_secs(11)), Turn::At(0, at));
        assert_eq!(turns.next(now, now + Duration::from_secs(10)), Turn::Over);
        assert_eq!(turns.next(at, at + Duration::from_secs(1)), Turn::Now(0));
    }

    #[test]
    fn when_time_is_up_nobody_is_asked_any_more() {
        let (turns, now) = (turns(2, 3), Instant::now());
        assert_eq!((turns.next(now, now), turns.next(now + Duration::from_secs(1), now)), (Turn::Over, Turn::Over));
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again_at_the_same_provider() {
        for kind in [ErrorKind::NotFound, ErrorKind::UpstreamAuth, ErrorKind::QuotaExceeded, ErrorKind::Timeout] {
            let (mut turns, now) = (turns(1, 3), Instant::now());
            turns.failed(0, &error(kind, None), now, 0.0);
            assert_eq!(turns.next(now, now + Duration::from_secs(60)), Turn::Over, "{kind:?}");
        }
    }

    #[test]
    fn random_waits_are_as_likely_to_be_short_as_long() {
        const MANY: usize = 1_000;
        let (_luck, now) = (chance::Luck::of(18), Instant::now());
        let mut waits: Vec<f64> = (0..MANY)
            .map(|_| {
                let mut turns = turns(1, 2);
                turns.failed(0, &error(ErrorKind::Upstream, None), now, chance::share());
                match turns.next(now, now + Duration::from_secs(60)) {
                    Turn::At(0, at) => (at - now).as_secs_f64(),
                    other => panic!("{other:?}"),
                }
            })
            .collect();
        waits.sort_by(f64::total_cmp);
        let step = |at: usize| at as f64 / MANY as f64;
        let off =
            waits.iter().enumerate().map(|(at, wait)| (wait - step(at)).max(step(at + 1) - wait)).fold(0.0, f64::max);
        // Kolmogorov-Smirnov: waits that are uniform are further off once in a hundred times.
        assert!(off * (MANY as f64).sqrt() < 1.63, "{off}");
    }

    #[test]
    fn random_waits_grow_up_to_a_cap() {
        let (mut turns, now) = (turns(1, 9), Instant::now());
        for most in [1, 2, 4, 4] {
            turns.failed(0, &error(ErrorKind::Upstream, None), now, 1.0);
            assert_eq!(turns.next(now, now + Duration::from_secs(60)), Turn::At(0, now + Duration::from_secs(most)));
        }
    }
}
