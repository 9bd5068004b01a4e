//! When a provider is left out, and when it is let in again: a pure state machine over outcomes and time.
//!
//! ```text
//! admitting ──(too many failures)──► ejected ──(time is up)──► probing ──(success)──► admitting
//!                                       ▲                          │
//!                                       └──(failure: twice as long)┘
//! ```

use std::time::Duration;

use tokio::time::Instant;

use super::Outcome;

/// When to eject, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Failures in a row that eject.
    pub max_errors: u32,
    /// The first ejection's length; each further one is twice as long.
    pub ejection_base: Duration,
    /// The longest ejection.
    pub ejection_max: Duration,
}

/// Outcomes count for so long, in [`BUCKETS`] steps.
const WINDOW: Duration = Duration::from_secs(30);
const BUCKETS: usize = 6;
/// A share of failures ejects only if at least so many requests ended in the window.
const ENOUGH: u32 = 20;

/// A provider's state as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Healthy,
    /// Still asked, but it failed lately, or is on probation.
    Degraded,
    /// Left out.
    Unhealthy,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// Whether a provider may be asked, or a key be used. Of two the lesser one is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Admission {
    Yes,
    /// It has nothing left of its own limits until then, so that others are better; nothing stands against asking it.
    Spent(Instant),
    /// It asked for a rest, which ends then.
    Resting(Instant),
    /// It is left out until then.
    Ejected(Instant),
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Admitting,
    Ejected {
        until: Instant,
    },
    /// One request at a time is let through; `busy` while it runs.
    Probing {
        busy: bool,
    },
}

#[derive(Debug)]
pub struct Breaker {
    policy: Policy,
    phase: Phase,
    resting_until: Option<Instant>,
    consecutive: u32,
    /// When it was last left out.
    ejected_at: Option<Instant>,
    /// Ejections since the last success.
    ejections: u32,
    /// Ejections in all.
    pub(super) ejected: u64,
    window: Window,
}

impl Breaker {
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            phase: Phase::Admitting,
            resting_until: None,
            consecutive: 0,
            ejected_at: None,
            ejections: 0,
            ejected: 0,
            window: Window::default(),
        }
    }

    pub fn admission(&self, now: Instant) -> Admission {
        match (self.phase, self.resting_until) {
            (Phase::Ejected { until }, _) if until > now => Admission::Ejected(until),
            (Phase::Probing { busy: true }, _) => Admission::Ejected(now),
            (_, Some(until)) if until > now => Admission::Resting(until),
            _ => Admission::Yes,
        }
    }

    /// Takes leave to ask; `Some(true)` is leave to probe. `force` asks a provider that is left out, as a last resort.
    pub fn admit(&mut self, now: Instant, force: bool) -> Option<bool> {
        match self.phase {
            Phase::Admitting => Some(false),
            Phase::Ejected { until } if until <= now => {
                self.phase = Phase::Probing { busy: true };
                Some(true)
            }
            Phase::Probing { busy: false } => {
                self.phase = Phase::Probing { busy: true };
                Some(true)
            }
            Phase::Ejected { .. } | Phase::Probing { busy: true } => force.then_some(false),
        }
    }

    /// A probe ended without telling anything.
    pub fn release_probe(&mut self) {
        if let Phase::Probing { busy } = &mut self.phase {
            *busy = false;
        }
    }

    pub fn rest(&mut self, until: Instant) {
        self.resting_until = Some(self.resting_until.map_or(until, |known| known.max(until)));
    }

    /// It is left out elsewhere until then. Who is on probation here finds out here.
    pub fn follow(&mut self, until: Instant) {
        match &mut self.phase {
            Phase::Admitting => self.phase = Phase::Ejected { until },
            Phase::Ejected { until: known } => *known = until.max(*known),
            Phase::Probing { .. } => {}
        }
    }

    /// How an attempt ended that `began` then. What began before it was last left out tells nothing new: streams that end well
    /// long after a provider broke down must not bring it back, nor late timeouts keep it away.
    ///
    /// `chance` in 0..1 spreads the ends of ejections, so that many gateways do not probe at once.
    pub fn on(&mut self, outcome: &Outcome, began: Instant, now: Instant, chance: f64) {
        if !self.is_news(began) {
            return;
        }
        match outcome {
            Outcome::Success { .. } => {
                self.window.add(now, true);
                self.consecutive = 0;
                self.ejections = 0;
                if !matches!(self.phase, Phase::Admitting) {
                    self.phase = Phase::Admitting;
                    self.window = Window::default();
                }
            }
            Outcome::Failure(_) => {
                self.window.add(now, false);
                self.consecutive = self.consecutive.saturating_add(1);
                let (ok, failed) = self.window.sum(now);
                let too_many = self.consecutive >= self.policy.max_errors
                    || (ok + failed >= ENOUGH && failed * 2 >= ok + failed)
                    || matches!(self.phase, Phase::Probing { .. });
                if too_many {
                    self.eject(now, chance);
                }
            }
            Outcome::Refusal(_) => {
                self.window.add(now, false);
                self.consecutive = self.consecutive.saturating_add(1);
                self.eject(now, chance);
            }
        }
    }

    fn is_news(&self, began: Instant) -> bool {
        self.ejected_at.is_none_or(|at| began >= at)
    }

    /// Who is asked although it is left out does not lengthen that by failing again.
    fn eject(&mut self, now: Instant, chance: f64) {
        if matches!(self.phase, Phase::Ejected { until } if until > now) {
            return;
        }
        let doubled = self.policy.ejection_base.saturating_mul(1 << self.ejections.min(16));
        let length = doubled.min(self.policy.ejection_max);
        self.ejections += 1;
        self.ejected += 1;
        self.ejected_at = Some(now);
        self.phase = Phase::Ejected { until: now + length.mul_f64(0.9 + 0.2 * chance) };
    }

    pub fn state(&self, now: Instant) -> State {
        match self.phase {
            Phase::Ejected { .. } => State::Unhealthy,
            Phase::Probing { .. } => State::Degraded,
            Phase::Admitting if self.consecutive > 0 || self.window.sum(now).1 * 5 > self.window.sum(now).0 => {
                State::Degraded
            }
            Phase::Admitting => State::Healthy,
        }
    }

    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive
    }

    /// Of the outcomes in the window, 0..=100.
    pub fn success_rate(&self, now: Instant) -> Option<f64> {
        let (ok, failed) = self.window.sum(now);
        (ok + failed > 0).then(|| f64::from(ok) * 100.0 / f64::from(ok + failed))
    }
}

/// Counts of outcomes in the last [`WINDOW`].
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began: Option<Instant>,
    /// Steps since `began` when a bucket was last written, with what ended well and badly in it.
    buckets: [(u64, u32, u32); BUCKETS],
}

impl Window {
    fn step(&self, now: Instant) -> u64 {
        let elapsed = self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        (elapsed.as_nanos() / (WINDOW / BUCKETS as u32).as_nanos()) as u64
    }

    fn add(&mut self, now: Instant, ok: bool) {
        self.began.get_or_insert(now);
        let step = self.step(now);
        let bucket = &mut self.buckets[(step % BUCKETS as u64) as usize];
        if bucket.0 != step {
            *bucket = (step, 0, 0);
        }
        if ok { bucket.1 += 1 } else { bucket.2 += 1 }
    }

    fn sum(&self, now: Instant) -> (u32, u32) {
        let step = self.step(now);
        let recent = self.buckets.iter().filter(|bucket| bucket.0 + BUCKETS as u64 > step);
        recent.fold((0, 0), |sum, bucket| (sum.0 + bucket.1, sum.1 + bucket.2))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const BASE: Duration = Duration::from_secs(5);

    fn breaker() -> Breaker {
        Breaker::new(Policy { max_errors: 3, ejection_base: BASE, ejection_max: Duration::from_secs(20) })
    }

    fn fail(breaker: &mut Breaker, now: Instant) {
        breaker.on(&Outcome::Failure("x".into()), now, now, 0.5);
    }

    fn succeed(breaker: &mut Breaker, now: Instant) {
        breaker.on(&Outcome::Success { latency: Duration::ZERO }, now, now, 0.5);
    }

    #[test]
    fn ejects_after_so_many_failures_in_a_row_and_not_before() {
        let (mut breaker, now) = (breaker(), Instant::now());
        fail(&mut breaker, now);
        fail(&mut breaker, now);
        assert_eq!((breaker.state(now), breaker.admission(now)), (State::Degraded, Admission::Yes));
        succeed(&mut breaker, now);
        fail(&mut breaker, now);
        fail(&mut breaker, now);
        assert_eq!(breaker.admission(now), Admission::Yes);
        fail(&mut breaker, now);
        assert_eq!((breaker.state(now), breaker.admission(now)), (State::Unhealthy, Admission::Ejected(now + BASE)));
    }

    #[test]
    fn half_of_many_failing_ejects_without_a_row_of_failures() {
        let (mut breaker, now) = (breaker(), Instant::now());
        for _ in 0..10 {
            succeed(&mut breaker, now);
            fail(&mut breaker, now);
        }
        assert_eq!(breaker.state(now), State::Unhealthy);
    }

    #[test]
    fn one_request_at_a_time_probes_and_its_success_lets_all_in() {
        let (mut breaker, now) = (breaker(), Instant::now());
        (0..3).for_each(|_| fail(&mut breaker, now));
        let later = now + BASE;
        assert_eq!(
            (breaker.admit(now, false), breaker.admit(later, false), breaker.admit(later, false)),
            (None, Some(true), None)
        );
        breaker.release_probe();
        assert_eq!(breaker.admit(later, false), Some(true));
        succeed(&mut breaker, later);
        assert_eq!((breaker.admit(later, false), breaker.state(later)), (Some(false), State::Healthy));
    }

    #[test]
    fn a_probe_that_fails_doubles_the_wait_up_to_a_cap() {
        let (mut breaker, mut now) = (breaker(), Instant::now());
        (0..3).for_each(|_| fail(&mut breaker, now));
        for expected in [10, 20, 20] {
            let Admission::Ejected(until) = breaker.admission(now) else { panic!("not ejected") };
            now = until;
            breaker.admit(now, false);
            fail(&mut breaker, now);
            assert_eq!(breaker.admission(now), Admission::Ejected(now + Duration::from_secs(expected)));
        }
    }

    #[test]
    fn what_began_before_an_ejection_neither_ends_it_nor_leads_to_the_next() {
        let (mut breaker, began) = (breaker(), Instant::now());
        let now = began + Duration::from_secs(1);
        (0..3).for_each(|_| fail(&mut breaker, now));
        let (success, failure) = (Outcome::Success { latency: Duration::ZERO }, Outcome::Failure("late".into()));
        breaker.on(&success, began, now, 0.5);
        assert_eq!(breaker.admission(now), Admission::Ejected(now + BASE));
        let later = now + BASE;
        (0..9).for_each(|_| breaker.on(&failure, began, later, 0.5));
        assert_eq!((breaker.admission(later), breaker.admit(later, false)), (Admission::Yes, Some(true)));
        succeed(&mut breaker, later);
        (0..9).for_each(|_| breaker.on(&failure, began, later, 0.5));
        assert_eq!(breaker.state(later), State::Healthy);
    }

    #[test]
    fn late_failures_do_not_lengthen_an_ejection_and_a_last_resort_is_let_through() {
        let (mut breaker, now) = (breaker(), Instant::now());
        (0..9).for_each(|_| fail(&mut breaker, now));
        assert_eq!(breaker.admission(now), Admission::Ejected(now + BASE));
        assert_eq!(breaker.admit(now, true), Some(false));
    }

    #[test]
    fn a_shorter_rest_never_shortens_a_longer_one() {
        let (mut breaker, now) = (breaker(), Instant::now());
        breaker.rest(now + BASE);
        breaker.rest(now + Duration::from_secs(1));
        assert_eq!(breaker.admission(now), Admission::Resting(now + BASE));
        assert_eq!(breaker.admission(now + BASE), Admission::Yes);
    }

    #[test]
    fn an_ejection_elsewhere_is_followed_and_ends_by_a_probe_here() {
        let (mut breaker, now) = (breaker(), Instant::now());
        breaker.follow(now + BASE);
        breaker.follow(now + Duration::from_secs(1));
        assert_eq!(breaker.admission(now), Admission::Ejected(now + BASE));
        let later = now + BASE;
        assert_eq!(breaker.admit(later, false), Some(true));
        breaker.follow(later + BASE);
        succeed(&mut breaker, later);
        assert_eq!((breaker.admission(later), breaker.state(later)), (Admission::Yes, State::Healthy));
    }

    proptest! {
        #[test]
        fn whatever_happens_one_at_a_time_probes_and_nobody_is_left_out_for_longer_than_the_longest_ejection(
            steps in vec((0..8_000_u64, 0..4_u8, 0.0..1.0_f64, any::<bool>()), 1..200),
        ) {
            let (mut breaker, mut now) = (breaker(), Instant::now());
            let longest = Duration::from_secs(20).mul_f64(1.1);
            // When each attempt began that runs, and whether it probes.
            let mut running: Vec<(Instant, bool)> = Vec::new();
            for (pause, action, chance, force) in steps {
                now += Duration::from_millis(pause);
                match (action, running.is_empty()) {
                    (0, _) | (_, true) => running.extend(breaker.admit(now, force).map(|probing| (now, probing))),
                    (action, false) => {
                        let (began, probing) = running.swap_remove((chance * running.len() as f64) as usize);
                        match action {
                            1 => breaker.on(&Outcome::Success { latency: Duration::ZERO }, began, now, chance),
                            2 => breaker.on(&Outcome::Failure(String::new()), began, now, chance),
                            _ if probing => breaker.release_probe(),
                            _ => {}
                        }
                    }
                }
                prop_assert!(running.iter().filter(|(began, probing)| *probing && breaker.is_news(*began)).count() <= 1);
                if let Admission::Ejected(until) = breaker.admission(now) {
                    prop_assert!(until <= now + longest);
                }
            }
            // All that ran is gone without a word, and the longest ejection is over: somebody may ask, and that is enough.
            running.iter().filter(|(_, probing)| *probing).for_each(|_| breaker.release_probe());
            now += longest;
            prop_assert_eq!(breaker.admission(now), Admission::Yes);
            prop_assert!(breaker.admit(now, false).is_some());
            succeed(&mut breaker, now);
            prop_assert_eq!((breaker.admit(now, false), breaker.state(now) == State::Unhealthy), (Some(false), false));
        }
    }

    #[test]
    fn outcomes_are_forgotten_after_the_window() {
        let (mut breaker, now) = (breaker(), Instant::now());
        fail(&mut breaker, now);
        succeed(&mut breaker, now);
        assert_eq!(breaker.success_rate(now), Some(50.0));
        assert_eq!(breaker.success_rate(now + WINDOW), None);
    }
}
