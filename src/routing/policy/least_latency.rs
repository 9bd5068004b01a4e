//! Of two that chance picks, the one that begins to answer sooner. Comparing all would send everybody to the same one at once
//! (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing").

use rand::{Rng, seq::index};

use crate::routing::Target;

/// The index of the better of two targets.
pub fn choose(tier: &[Target], cost: impl Fn(&Target) -> f64, chance: &mut impl Rng) -> usize {
    let two = index::sample(chance, tier.len(), 2);
    let (one, other) = (two.index(0), two.index(1));
    if cost(&tier[one]) <= cost(&tier[other]) { one } else { other }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::{SeedableRng, rngs::StdRng};
    use tokio::time::{Instant, advance};

    use super::*;
    use crate::{health::Pace, routing::tests::target};

    /// How often each of three targets was chosen, where the first is asked again as soon as it has answered: every tenth of a
    /// second somebody asks, for ten minutes, and an answer takes as long as is said of its target.
    async fn shares(millis: [u64; 3]) -> [f64; 3] {
        let tier: Vec<Target> = (0..3).map(|id| target(id, 100, 100)).collect();
        let paces: [std::sync::Arc<Pace>; 3] = Default::default();
        let (mut chance, mut chosen) = (StdRng::seed_from_u64(1), [0_u32; 3]);
        let mut running: Vec<(Instant, crate::health::Waiting)> = Vec::new();
        for _ in 0..6000 {
            advance(Duration::from_millis(100)).await;
            let now = Instant::now();
            let (over, still): (Vec<_>, Vec<_>) = running.into_iter().partition(|(end, _)| *end <= now);
            over.into_iter().for_each(|(_, waiting)| waiting.answered());
            running = still;
            let at = choose(&tier, |target| paces[target.provider.id as usize].cost(now), &mut chance);
            chosen[at] += 1;
            running.push((now + Duration::from_millis(millis[at]), paces[at].begin()));
        }
        chosen.map(|count| f64::from(count) / 6000.0)
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_twenty_times_slower_gets_little_and_never_nothing() {
        let [slow, one, other] = shares([2000, 100, 100]).await;
        assert!(slow > 0.0 && slow <= 0.15, "{slow}");
        assert!(one > 0.3 && other > 0.3, "{one} {other}");
    }

    #[tokio::test(start_paused = true)]
    async fn equals_share_alike() {
        for share in shares([300; 3]).await {
            assert!((0.25..0.42).contains(&share), "{share}");
        }
    }
}
