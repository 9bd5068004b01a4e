//! How much one subject has used, and whether it may use more: a pure state machine over requests and time.

use std::time::Duration;

use super::{
    Allowance, Limit,
    window::{Millis, Window},
};

/// What one subject uses.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    requests: Window,
    tokens: Window,
    running: u32,
}

/// What an ended request has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spent {
    /// Nobody knows how many tokens: what was reserved counts.
    #[default]
    Unknown,
    /// So many tokens.
    Tokens(u64),
    /// Nothing at all: no provider was asked, so not even the request counts.
    Nothing,
}

/// How much of a limit is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    pub limit: u64,
    pub remaining: u64,
    /// Until all of it is there again, if nothing more is used.
    pub reset: Duration,
}

impl Meter {
    /// The limit that a request of so many tokens would break, and how long until it would not.
    pub fn refusal(&mut self, allowance: &Allowance, tokens: u64, now: Millis) -> Option<(Limit, Duration)> {
        if let Some(limit) = allowance.concurrent_requests
            && self.running >= limit
        {
            // Nobody knows when one ends.
            return Some((Limit::Concurrent(limit), Duration::from_secs(1)));
        }
        if let Some(limit) = allowance.requests_per_minute
            && self.requests.used(now) >= u64::from(limit)
        {
            return Some((Limit::Requests(limit), self.requests.wait(u64::from(limit).saturating_sub(1), now)));
        }
        if let Some(limit) = allowance.tokens_per_minute
            && self.tokens.used(now).saturating_add(tokens) > limit
        {
            let wait = limit.checked_sub(tokens).map_or(super::MINUTE, |most| self.tokens.wait(most, now));
            return Some((Limit::Tokens { limit, needed: tokens }, wait));
        }
        None
    }

    /// A request of so many tokens begins; returns the second in which it is noted.
    pub fn begin(&mut self, tokens: u64, now: Millis) -> u64 {
        self.running = self.running.saturating_add(1);
        self.requests.add(1, now);
        self.tokens.add(tokens, now)
    }

    /// A request ends that began in `second` and for which so many tokens were `reserved`. What was reserved too much comes back
    /// where it was taken; what was too little counts from now.
    pub fn end(&mut self, second: u64, reserved: u64, spent: Spent, now: Millis) {
        self.running = self.running.saturating_sub(1);
        match spent {
            Spent::Unknown => {}
            Spent::Tokens(tokens) if tokens > reserved => {
                self.tokens.add(tokens - reserved, now);
            }
            Spent::Tokens(tokens) => self.tokens.take_back(reserved - tokens, second, now),
            Spent::Nothing => {
                self.tokens.take_back(reserved, second, now);
                self.requests.take_back(1, second, now);
            }
        }
    }

    /// What is left of the requests and the tokens of a minute, where they are limited.
    pub fn left(&mut self, allowance: &Allowance, now: Millis) -> (Option<Left>, Option<Left>) {
        let of = |window: &mut Window, limit: u64| Left {
            limit,
            remaining: limit.saturating_sub(window.used(now)),
            reset: window.reset(now),
        };
        let requests = allowance.requests_per_minute.map(|limit| of(&mut self.requests, limit.into()));
        let tokens = allowance.tokens_per_minute.map(|limit| of(&mut self.tokens, limit));
        (requests, tokens)
    }

    /// Whether forgetting it changes nothing.
    pub fn is_idle(&mut self, now: Millis) -> bool {
        self.running == 0 && self.requests.used(now) == 0 && self.tokens.used(now) == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const ALLOWANCE: Allowance =
        Allowance { requests_per_minute: Some(5), tokens_per_minute: Some(100), concurrent_requests: Some(3) };

    proptest! {
        #[test]
        fn no_sixty_seconds_and_no_moment_hold_more_than_is_allowed(
            steps in vec((0..8_000u64, 0..60u64, 0..30_000u64, 0..60u64), 1..150),
        ) {
            let (mut meter, mut now) = (Meter::default(), 0);
            // When it began and ends, tokens reserved and spent, the second it is noted in.
            let mut running: Vec<(Millis, Millis, u64, u64, u64)> = Vec::new();
            let mut spends: Vec<(Millis, u64)> = Vec::new();
            let mut begun: Vec<Millis> = Vec::new();
            for (pause, tokens, length, spent) in steps {
                now += pause;
                running.retain(|(began, end, reserved, spent, second)| {
                    if *end <= now {
                        let spent = (*spent).min(*reserved);
                        meter.end(*second, *reserved, Spent::Tokens(spent), now);
                        spends.push((*began, spent));
                    }
                    *end > now
                });
                if meter.refusal(&ALLOWANCE, tokens, now).is_none() {
                    let second = meter.begin(tokens, now);
                    running.push((now, now + length, tokens, spent, second));
                    begun.push(now);
                }
                let young = |at: &Millis| at + 60_000 > now;
                prop_assert!(running.len() <= 3);
                prop_assert!(begun.iter().filter(|at| young(at)).count() <= 5);
                let held: u64 = running.iter().filter(|(at, ..)| young(at)).map(|(_, _, reserved, ..)| reserved).sum();
                let used: u64 = spends.iter().filter(|(at, _)| young(at)).map(|(_, tokens)| tokens).sum();
                prop_assert!(held + used <= 100);
            }
        }
    }

    #[test]
    fn each_limit_refuses_by_its_own_name_and_says_how_long() {
        let mut meter = Meter::default();
        for _ in 0..3 {
            meter.begin(10, 500);
        }
        assert_eq!(meter.refusal(&ALLOWANCE, 0, 500), Some((Limit::Concurrent(3), Duration::from_secs(1))));
        (0..3).for_each(|_| meter.end(0, 10, Spent::Unknown, 500));
        let too_many = Limit::Tokens { limit: 100, needed: 71 };
        assert_eq!(meter.refusal(&ALLOWANCE, 71, 1_000), Some((too_many, Duration::from_secs(60))));
        assert_eq!(meter.refusal(&ALLOWANCE, 70, 1_000), None);
        for _ in 0..2 {
            meter.begin(0, 1_000);
        }
        let wait = Duration::from_secs(59);
        assert_eq!(
            meter.refusal(&Allowance { concurrent_requests: None, ..ALLOWANCE }, 0, 2_000),
            Some((Limit::Requests(5), wait))
        );
    }

    #[test]
    fn what_was_spent_settles_what_was_reserved() {
        for (spent, requests, tokens) in
            [(Spent::Unknown, 4, 60), (Spent::Tokens(10), 4, 90), (Spent::Tokens(55), 4, 45), (Spent::Nothing, 5, 100)]
        {
            let mut meter = Meter::default();
            let second = meter.begin(40, 0);
            meter.end(second, 40, spent, 5_000);
            let (left_requests, left_tokens) = meter.left(&ALLOWANCE, 5_000);
            let remaining = [left_requests, left_tokens].map(|left| left.unwrap().remaining);
            assert_eq!(remaining, [requests, tokens], "{spent:?}");
        }
    }

    #[test]
    fn what_was_too_little_counts_from_when_it_is_known() {
        let mut meter = Meter::default();
        let second = meter.begin(40, 0);
        meter.end(second, 40, Spent::Tokens(90), 50_000);
        assert_eq!(meter.left(&ALLOWANCE, 61_000).1.unwrap().remaining, 50);
        assert!(!meter.is_idle(110_999) && meter.is_idle(111_000));
    }
}
