//! How often one provider may be asked more than its load demands: retries, second requests and fallbacks that fail too are
//! together at most a fifth of its requests, and three at once always.
//!
//! Without a budget every client's request becomes several at the very moment a provider cannot cope with one.
//!
//! A retry pays when it begins. A fallback pays only if it fails: one that is answered is load that has moved here, and as
//! many as another provider loses at once may come.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU32, Ordering},
};

/// Extra attempts earned by one request.
const EARNED: f64 = 0.2;
/// Extra attempts that can be saved up.
const SAVED: f64 = 20.0;
/// Fallbacks that may have failed before they were earned.
const OWED: f64 = 20.0;
/// Extra attempts that may run at once whatever was earned.
const FLOOR: u32 = 3;

#[derive(Clone, Debug, Default)]
pub struct RetryBudget(Arc<Account>);

#[derive(Debug, Default)]
struct Account {
    /// What was earned, or is owed where it is below zero.
    balance: Mutex<f64>,
    running: AtomicU32,
}

impl RetryBudget {
    /// A first attempt was made.
    pub fn earn(&self) {
        self.0.pay(EARNED);
    }

    /// Takes leave to retry, for as long as the permit lives.
    pub fn take(&self) -> Option<RetryPermit> {
        if !self.has_room() {
            let mut balance = self.0.balance.lock().unwrap_or_else(PoisonError::into_inner);
            if *balance < 1.0 {
                return None;
            }
            *balance -= 1.0;
        }
        Some(self.begin(0.0))
    }

    /// Takes leave to be asked after another provider has failed.
    pub fn take_over(&self) -> Option<RetryPermit> {
        let has_room = self.has_room();
        if !has_room && *self.0.balance.lock().unwrap_or_else(PoisonError::into_inner) <= -OWED {
            return None;
        }
        self.earn();
        Some(self.begin(if has_room { EARNED } else { EARNED + 1.0 }))
    }

    fn has_room(&self) -> bool {
        self.0.running.load(Ordering::Relaxed) < FLOOR
    }

    fn begin(&self, price: f64) -> RetryPermit {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        RetryPermit { account: self.0.clone(), price }
    }
}

impl Account {
    fn pay(&self, more: f64) {
        let mut balance = self.balance.lock().unwrap_or_else(PoisonError::into_inner);
        *balance = (*balance + more).min(SAVED);
    }
}

/// One running attempt besides those that were offered.
#[derive(Debug)]
pub struct RetryPermit {
    account: Arc<Account>,
    /// Of its failure.
    price: f64,
}

impl RetryPermit {
    /// It was in vain.
    pub fn failed(self) {
        self.account.pay(-self.price);
    }
}

impl Drop for RetryPermit {
    fn drop(&mut self) {
        self.account.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn besides_three_at_a_time_extra_attempts_are_at_most_a_fifth_of_what_was_asked_for(
            steps in vec((0..5_u8, any::<prop::sample::Index>()), 1..400),
        ) {
            let budget = RetryBudget::default();
            // With each that runs, whether it is a fallback, and whether it is one of three.
            let mut running: Vec<(RetryPermit, bool, bool)> = Vec::new();
            let (mut begun, mut retried, mut failed, mut in_vain, mut most) = (0_u32, 0_u32, 0_u32, 0_u32, 0);
            for (action, which) in steps {
                let is_free = running.len() < 3;
                match action {
                    0 => {
                        budget.earn();
                        begun += 1;
                    }
                    1 | 2 => {
                        let falls_back = action == 2;
                        let permit = if falls_back { budget.take_over() } else { budget.take() };
                        prop_assert!(permit.is_some() || !is_free, "three may always run");
                        begun += u32::from(permit.is_some() && falls_back);
                        retried += u32::from(permit.is_some() && !is_free && !falls_back);
                        running.extend(permit.map(|permit| (permit, falls_back, is_free)));
                    }
                    _ if running.is_empty() => {}
                    _ => {
                        let (permit, falls_back, is_free) = running.swap_remove(which.index(running.len()));
                        if action == 3 {
                            permit.failed();
                            failed += u32::from(falls_back && !is_free);
                            in_vain += u32::from(falls_back);
                        }
                    }
                }
                most = most.max(running.len());
                prop_assert!(f64::from(retried) <= f64::from(begun) * EARNED + 1e-6, "{} for {}", retried, begun);
                // As many as run at once may fail before any of them has.
                let ahead = OWED + most as f64 * (1.0 + EARNED);
                let (extra, earned) = (f64::from(retried + failed), f64::from(begun - in_vain) * EARNED);
                prop_assert!(extra <= earned + ahead + 1e-6, "{} for {}", extra, begun - in_vain);
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

    #[test]
    fn as_many_as_another_provider_loses_may_come_until_they_fail_here_too() {
        let budget = RetryBudget::default();
        let many = || (0..200).filter_map(|_| budget.take_over()).collect::<Vec<_>>();
        for _ in 0..3 {
            let moved = many();
            assert_eq!(moved.len(), 200);
            drop(moved);
        }
        many().into_iter().for_each(RetryPermit::failed);
        assert_eq!(many().len(), 3, "no more than may always run");
        (0..1_000).for_each(|_| budget.earn());
        assert_eq!(many().len(), 200, "they are paid for");
    }
}
