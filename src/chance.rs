//! Chance: the one place that it comes from, so that a test can have the same luck twice.

use rand::RngExt;

/// Where lots are drawn.
#[cfg(not(test))]
pub fn lots() -> impl rand::Rng {
    rand::rng()
}

/// A number in 0..1.
pub fn share() -> f64 {
    lots().random()
}

#[cfg(test)]
pub use self::repeated::{Luck, lots};

#[cfg(test)]
mod repeated {
    use std::{cell::RefCell, convert::Infallible};

    use rand::{Rng, SeedableRng, TryRng, rngs::StdRng};

    thread_local! {
        static LUCK: RefCell<Option<StdRng>> = const { RefCell::new(None) };
    }

    /// What this thread's chance follows from, for as long as it lives.
    pub struct Luck(());

    impl Luck {
        pub fn of(seed: u64) -> Self {
            LUCK.set(Some(StdRng::seed_from_u64(seed)));
            Self(())
        }
    }

    impl Drop for Luck {
        fn drop(&mut self) {
            LUCK.set(None);
        }
    }

    /// Draws from this thread's luck, where it has one.
    pub struct Lots;

    pub fn lots() -> Lots {
        Lots
    }

    fn with<T>(draw: impl FnOnce(&mut dyn Rng) -> T) -> Result<T, Infallible> {
        Ok(LUCK.with_borrow_mut(|luck| match luck {
            Some(luck) => draw(luck),
            None => draw(&mut rand::rng()),
        }))
    }

    impl TryRng for Lots {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            with(|chance| chance.next_u32())
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            with(|chance| chance.next_u64())
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            with(|chance| chance.fill_bytes(bytes))
        }
    }
}
