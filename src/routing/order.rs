//! In which order targets are tried: strict tiers of priority, weighted chance within a tier, health before all.

use rand::{Rng, RngExt};

use super::{Groups, Target};
use crate::health::Admission;

/// Puts groups of targets into one order, each target once.
///
/// Who may be asked now comes first, group by group; then who asked for a rest, the shortest first. Of those that are
/// left out the least bad one alone follows, so that even then somebody is asked.
pub fn order(groups: Groups, admission: impl Fn(&Target) -> Admission, chance: &mut impl Rng) -> Vec<Target> {
    let mut ordered: Vec<Target> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let (mut resting, mut ejected) = (Vec::new(), Vec::new());
    for group in groups {
        for target in shuffled(group, chance) {
            if !seen.insert((target.provider.id, target.model.clone())) {
                continue;
            }
            match admission(&target) {
                Admission::Yes => ordered.push(target),
                Admission::Resting(until) => resting.push((until, target)),
                Admission::Ejected(until) => ejected.push((until, target)),
            }
        }
    }
    // Stable sorts: between equals the order of preference stays.
    resting.sort_by_key(|(until, _)| *until);
    ejected.sort_by_key(|(until, _)| *until);
    ordered.extend(resting.into_iter().chain(ejected.into_iter().take(1)).map(|(_, target)| target));
    ordered
}

/// One group by tier, each tier drawn by weight without replacement; who weighs nothing comes last of all.
fn shuffled(group: Vec<Target>, chance: &mut impl Rng) -> Vec<Target> {
    let (mut weighty, mut weightless): (Vec<_>, Vec<_>) = group.into_iter().partition(|target| target.weight > 0);
    weighty.sort_by_key(|target| std::cmp::Reverse(target.provider.priority));
    weightless.sort_by_key(|target| std::cmp::Reverse(target.provider.priority));
    let mut ordered = Vec::with_capacity(weighty.len() + weightless.len());
    while let Some(first) = weighty.first() {
        let priority = first.provider.priority;
        let tier = weighty.iter().take_while(|target| target.provider.priority == priority).count();
        ordered.push(weighty.remove(draw(&weighty[..tier], chance)));
    }
    ordered.extend(weightless);
    ordered
}

/// The index of one target, drawn by weight.
fn draw(tier: &[Target], chance: &mut impl Rng) -> usize {
    if tier.len() == 1 {
        return 0;
    }
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
