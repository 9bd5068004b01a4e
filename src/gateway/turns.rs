//! Whose turn is it: how attempts go round the targets of a plan.
//!
//! Everybody is asked once before anybody is asked again, for another provider is the quickest remedy. Then those whose
//! failure may pass are asked again, after the wait they asked for or a random one that grows (full jitter: AWS
//! Architecture Blog, "Exponential Backoff And Jitter"), as often as their retries allow.

use std::time::Duration;

use llm_protocol::ir::ApiError;
use tokio::time::Instant;

use crate::{
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

/// One target and what is left to it.
#[derive(Debug)]
pub struct Slot {
    pub target: Target,
    tried: u32,
    left: u32,
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
            let not_before = match admission(&target) {
                Admission::Resting(until) => Some(until),
                // The last resort is asked at once: a request cannot wait for an ejection to end.
                Admission::Yes | Admission::Ejected(_) => None,
            };
            Slot { tried: 0, left: attempts(&target).max(1), not_before, target }
        });
        Self { slots: slots.collect(), backoff }
    }

    /// Who is next, if anybody can be asked before `deadline`.
    pub fn next(&self, now: Instant, deadline: Instant) -> Turn {
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

    pub fn slot(&self, at: usize) -> &Slot {
        &self.slots[at]
    }

    /// Whether nobody but this slot's target can still be asked.
    pub fn is_last(&self, at: usize) -> bool {
        self.slots.iter().enumerate().all(|(other, slot)| other == at || slot.left == 0)
    }

    /// This target cannot be asked after all.
    pub fn skip(&mut self, at: usize) {
        self.slots[at].left = 0;
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
    /// Whether the target was asked before.
    pub fn is_retry(&self) -> bool {
        self.tried > 0
    }
}
