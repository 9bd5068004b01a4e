//! By weighted chance.

use rand::{Rng, RngExt};

use crate::routing::Target;

/// The index of one target, drawn by weight.
pub fn choose(tier: &[Target], chance: &mut impl Rng) -> usize {
    let total: i64 = tier.iter().map(|target| target.weight).sum();
    let mut ticket = chance.random_range(0..total.max(1));
    for (at, target) in tier.iter().enumerate() {
        ticket -= target.weight;
        if ticket < 0 {
            return at;
        }
    }
    tier.len() - 1
}
