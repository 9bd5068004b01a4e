//! Which one of several equally preferred targets is first.

mod least_latency;
mod weighted;

use rand::Rng;

use super::Target;

/// How to choose within a tier.
#[derive(Clone, Copy)]
pub enum Policy<'a> {
    /// By weighted chance.
    Weighted,
    /// Who begins to answer soonest, by what one more request costs at each.
    LeastLatency(&'a dyn Fn(&Target) -> f64),
}

impl Policy<'_> {
    /// The index of the one that is first. There must be one.
    pub(super) fn choose(self, tier: &[Target], chance: &mut impl Rng) -> usize {
        match (self, tier.len()) {
            (_, 0 | 1) => 0,
            (Self::Weighted, _) => weighted::choose(tier, chance),
            (Self::LeastLatency(cost), _) => least_latency::choose(tier, cost, chance),
        }
    }
}
