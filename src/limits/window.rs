//! What was used in the last sixty seconds, in a space that does not grow with it.
//!
//! Use is noted by the second, and a second is forgotten only when all of it is sixty seconds old: no sixty seconds ever hold more
//! than a limit, and what was used is free again at most one second late.

use std::time::Duration;

/// Milliseconds on a clock that only goes forward.
pub type Millis = u64;

/// Seconds that sixty seconds can reach into.
pub const SECONDS: u64 = 61;

#[derive(Clone, Debug)]
pub struct Window {
    /// By the second, modulo [`SECONDS`].
    used: [u64; SECONDS as usize],
    sum: u64,
    /// The latest second that was looked at.
    newest: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { used: [0; SECONDS as usize], sum: 0, newest: 0 }
    }
}

impl Window {
    /// All that is still remembered.
    pub fn used(&mut self, now: Millis) -> u64 {
        self.forget(now);
        self.sum
    }

    /// Uses so much, whatever any limit says; returns the second in which it is noted.
    pub fn add(&mut self, amount: u64, now: Millis) -> u64 {
        self.forget(now);
        let place = self.place(self.newest);
        self.used[place] = self.used[place].saturating_add(amount);
        self.sum = self.sum.saturating_add(amount);
        self.newest
    }

    /// Takes back what was used in `second`, where that is still remembered.
    pub fn take_back(&mut self, amount: u64, second: u64, now: Millis) {
        self.forget(now);
        if second + SECONDS > self.newest && second <= self.newest {
            let place = self.place(second);
            let amount = amount.min(self.used[place]);
            self.used[place] -= amount;
            self.sum -= amount;
        }
    }

    /// How long until at most `most` is remembered.
    pub fn wait(&mut self, most: u64, now: Millis) -> Duration {
        self.forget(now);
        let mut left = self.sum;
        let oldest = self.newest.saturating_sub(SECONDS - 1);
        for second in oldest..=self.newest {
            if left <= most {
                break;
            }
            left -= self.used[self.place(second)];
            if left <= most {
                return until_forgotten(second, now);
            }
        }
        Duration::ZERO
    }

    /// How long until nothing is remembered, if nothing is added.
    pub fn reset(&mut self, now: Millis) -> Duration {
        self.wait(0, now)
    }

    fn forget(&mut self, now: Millis) {
        let second = now / 1000;
        let passed = second.saturating_sub(self.newest).min(SECONDS);
        for step in 1..=passed {
            let place = self.place(self.newest + step);
            self.sum -= std::mem::take(&mut self.used[place]);
        }
        self.newest = self.newest.max(second);
    }

    fn place(&self, second: u64) -> usize {
        (second % SECONDS) as usize
    }
}

fn until_forgotten(second: u64, now: Millis) -> Duration {
    Duration::from_millis(((second + SECONDS) * 1000).saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Remembers every use by the millisecond.
    #[derive(Default)]
    struct Naive(Vec<(Millis, u64)>);

    impl Naive {
        /// What was used in the last so many milliseconds, now included.
        fn within(&self, span: Millis, now: Millis) -> u64 {
            self.0.iter().filter(|(at, _)| at + span > now).map(|(_, amount)| amount).sum()
        }
    }

    proptest! {
        #[test]
        fn it_forgets_nothing_younger_than_sixty_seconds_and_nothing_older_than_sixty_one(
            steps in vec((0..20_000u64, 0..50u64), 1..200),
        ) {
            let (mut window, mut naive, mut now) = (Window::default(), Naive::default(), 0);
            for (pause, amount) in steps {
                now += pause;
                let used = window.used(now);
                prop_assert!(used >= naive.within(60_000, now), "at {now}");
                prop_assert!(used <= naive.within(61_000, now), "at {now}");
                window.add(amount, now);
                naive.0.push((now, amount));
            }
        }

        #[test]
        fn after_the_wait_there_is_room_and_just_before_there_is_not(
            steps in vec((0..20_000u64, 1..50u64), 1..60),
            most in 0..400u64,
        ) {
            let (mut window, mut now) = (Window::default(), 0);
            for (pause, amount) in steps {
                now += pause;
                window.add(amount, now);
            }
            let wait = window.wait(most, now).as_millis() as u64;
            if wait > 0 {
                prop_assert!(window.clone().used(now + wait - 1) > most);
            }
            prop_assert!(window.used(now + wait) <= most);
        }

        #[test]
        fn what_is_taken_back_was_never_used(steps in vec((0..9_000u64, 1..50u64, 0..90_000u64), 1..60)) {
            let (mut window, mut plain, mut now) = (Window::default(), Window::default(), 0);
            let mut taken = Vec::new();
            for (pause, amount, held) in steps {
                now += pause;
                plain.add(1, now);
                window.add(1, now);
                taken.push((now + held, amount, window.add(amount, now)));
                taken.retain(|(due, amount, second)| {
                    let over = *due <= now;
                    if over {
                        window.take_back(*amount, *second, now);
                    }
                    !over
                });
            }
            for (_, amount, second) in taken {
                window.take_back(amount, second, now);
            }
            prop_assert!(window.used(now + 61_000) == 0 && window.used(now + 61_000) <= plain.used(now));
        }
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_frees_nothing() {
        let mut window = Window::default();
        window.add(5, 70_000);
        assert_eq!((window.used(70_000), window.used(1_000)), (5, 5));
        window.take_back(9, 70, 1_000);
        assert_eq!(window.used(70_000), 0);
    }
}
