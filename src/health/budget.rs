//! How often one provider may be asked again: retries are at most a fifth of its requests, and three at once always.
//!
//! Without a budget every client's request becomes several at the very moment a provider cannot cope with one.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU32, Ordering},
};

/// Retries earned by one request.
const EARNED: f64 = 0.2;
/// Retries that can be saved up.
const SAVED: f64 = 20.0;
/// Retries that may run at once whatever was earned.
const FLOOR: u32 = 3;

#[derive(Clone, Debug, Default)]
pub struct RetryBudget {
    earned: Arc<Mutex<f64>>,
    running: Arc<AtomicU32>,
}

impl RetryBudget {
    /// A first attempt was made.
    pub fn earn(&self) {
        let mut earned = self.earned.lock().unwrap_or_else(PoisonError::into_inner);
        *earned = (*earned + EARNED).min(SAVED);
    }

    /// Takes leave to retry, for as long as the permit lives.
    pub fn take(&self) -> Option<RetryPermit> {
        if self.running.load(Ordering::Relaxed) >= FLOOR {
            let mut earned = self.earned.lock().unwrap_or_else(PoisonError::into_inner);
            if *earned < 1.0 {
                return None;
            }
            *earned -= 1.0;
        }
        self.running.fetch_add(1, Ordering::Relaxed);
        Some(RetryPermit(self.running.clone()))
    }
}

/// One running retry.
#[derive(Debug)]
pub struct RetryPermit(Arc<AtomicU32>);

impl Drop for RetryPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn besides_three_at_a_time_retries_are_at_most_a_fifth_of_what_was_asked_first(
            steps in vec((0..3_u8, any::<prop::sample::Index>()), 1..400),
        ) {
            let (budget, mut running) = (RetryBudget::default(), Vec::new());
            let (mut first, mut extra) = (0_u32, 0_u32);
            for (action, which) in steps {
                match action {
                    0 => {
                        budget.earn();
                        first += 1;
                    }
                    1 => {
                        let is_free = running.len() < 3;
                        let permit = budget.take();
                        prop_assert!(permit.is_some() || !is_free, "three may always run");
                        extra += u32::from(permit.is_some() && !is_free);
                        running.extend(permit);
                    }
                    _ if running.is_empty() => {}
                    _ => drop(running.swap_remove(which.index(running.len()))),
                }
                prop_assert!(f64::from(extra) <= f64::from(first) * EARNED + 1e-6, "{} for {}", extra, first);
            }
        }
    }

    #[test]
    fn three_may_run_at_once_and_more_must_have_been_earned() {
        let budget = RetryBudget::default();
        let running: Vec<_> = (0..3).map(|_| budget.take().unwrap()).collect();
        assert!(budget.take().is_none());
        (0..5).for_each(|_| budget.earn());
        let fourth = budget.take();
        assert!(fourth.is_some() && budget.take().is_none());
        drop(running);
        assert!(budget.take().is_some());
    }
}
