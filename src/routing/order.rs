//! In which order targets are tried: strict tiers of priority, a policy within a tier, health before all.

use std::{cmp::Reverse, collections::HashSet, iter};

use rand::Rng;

use super::{Groups, Policy, Target};
use crate::health::Admission;

/// So many that may be asked are enough for any request. Where hundreds serve a model, putting all of them in order would take
/// longer than everything else that is done for it.
const ENOUGH: usize = 16;

/// Puts groups of targets into one order, each target once.
///
/// Who may be asked now comes first, group by group, up to [`ENOUGH`]; then who has nothing left of its limits; then who asked
/// for a rest, the shortest first. Of those that are left out the least bad one alone follows, so that even then somebody is
/// asked; where there is nobody else as many as are enough, since any of them may be well again.
pub fn order(
    groups: Groups,
    admission: impl Fn(&Target) -> Admission,
    policy: Policy<'_>,
    chance: &mut impl Rng,
) -> Vec<Target> {
    let mut ordered: Vec<Target> = Vec::new();
    let mut seen = HashSet::new();
    let (mut spent, mut resting, mut ejected) = (Vec::new(), Vec::new(), Vec::new());
    let mut tiers = groups.into_iter().flat_map(tiers);
    while ordered.len() < ENOUGH
        && let Some(mut tier) = tiers.next()
    {
        while ordered.len() < ENOUGH && !tier.is_empty() {
            let target = tier.swap_remove(policy.choose(&tier, chance));
            if !seen.insert((target.provider.id, target.model.clone())) {
                continue;
            }
            match admission(&target) {
                Admission::Yes => ordered.push(target),
                Admission::Spent(until) => spent.push((until, target)),
                Admission::Resting(until) => resting.push((until, target)),
                Admission::Ejected(until) => ejected.push((until, target)),
            }
        }
    }
    // Stable sorts: between equals the order of preference stays.
    spent.sort_by_key(|(until, _)| *until);
    resting.sort_by_key(|(until, _)| *until);
    ejected.sort_by_key(|(until, _)| *until);
    ordered.extend(spent.into_iter().chain(resting).map(|(_, target)| target));
    let last_resorts = if ordered.is_empty() { ENOUGH } else { 1 };
    ordered.extend(ejected.into_iter().take(last_resorts).map(|(_, target)| target));
    ordered
}

/// One group by its tiers, the highest priority first; who weighs nothing comes last of all, one after the other.
fn tiers(group: Vec<Target>) -> impl Iterator<Item = Vec<Target>> {
    let (mut weighty, mut weightless): (Vec<_>, Vec<_>) = group.into_iter().partition(|target| target.weight > 0);
    let by_priority = |target: &Target| Reverse(target.provider.priority);
    weighty.sort_by_key(by_priority);
    weightless.sort_by_key(by_priority);
    let mut weighty = weighty.into_iter().peekable();
    let next_tier = move || {
        let first = weighty.next()?;
        let priority = first.provider.priority;
        let equals = iter::from_fn(|| weighty.next_if(|target| target.provider.priority == priority));
        Some(iter::once(first).chain(equals).collect())
    };
    iter::from_fn(next_tier).chain(weightless.into_iter().map(|target| vec![target]))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::{SeedableRng, rngs::StdRng};
    use tokio::time::Instant;

    use super::{super::tests::target, *};

    fn ids(ordered: &[Target]) -> Vec<i64> {
        ordered.iter().map(|target| target.provider.id).collect()
    }

    fn all_well(_: &Target) -> Admission {
        Admission::Yes
    }

    #[test]
    fn tiers_are_strict_and_who_weighs_nothing_comes_last_of_its_group() {
        let mut chance = StdRng::seed_from_u64(1);
        for _ in 0..200 {
            let group = vec![target(1, 50, 100), target(2, 900, 0), target(3, 100, 1), target(4, 100, 1000)];
            let ordered = ids(&order(
                vec![group, vec![target(5, 1000, 1), target(1, 50, 100)]],
                all_well,
                Policy::Weighted,
                &mut chance,
            ));
            assert_eq!((ordered.len(), &ordered[2..]), (5, &[1, 2, 5][..]));
        }
    }

    #[test]
    fn of_very_many_enough_are_chosen_and_who_cannot_be_asked_does_not_count() {
        let mut chance = StdRng::seed_from_u64(4);
        let group = |first| (first..first + 500).map(|id| target(id, 100, 1)).collect();
        let now = Instant::now();
        let admission = |target: &Target| match target.provider.id {
            0..490 => Admission::Ejected(now + Duration::from_secs(target.provider.id as u64)),
            _ => Admission::Yes,
        };
        let ordered = ids(&order(vec![group(0), group(500)], admission, Policy::Weighted, &mut chance));
        assert_eq!(ordered.len(), ENOUGH + 1);
        let [first, second, last] = [&ordered[..10], &ordered[10..ENOUGH], &ordered[ENOUGH..]];
        assert!(first.iter().all(|id| (490..500).contains(id)), "{first:?}");
        assert!(second.iter().all(|id| *id >= 500), "{second:?}");
        assert_eq!(last, [0], "the least bad one");
    }

    #[test]
    fn within_a_tier_the_first_place_is_shared_by_weight() {
        let mut chance = StdRng::seed_from_u64(2);
        let mut first = [0_u32; 3];
        for _ in 0..20_000 {
            let group = vec![target(0, 100, 70), target(1, 100, 20), target(2, 100, 10)];
            first[ids(&order(vec![group], all_well, Policy::Weighted, &mut chance))[0] as usize] += 1;
        }
        for (count, share) in first.into_iter().zip([0.7, 0.2, 0.1]) {
            assert!((f64::from(count) / 20_000.0 - share).abs() < 0.015, "{first:?}");
        }
    }

    #[test]
    fn who_has_nothing_left_or_rests_comes_after_who_may_be_asked_and_of_the_ejected_the_least_bad_alone() {
        let (mut chance, now) = (StdRng::seed_from_u64(3), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        let admission = |target: &Target| match target.provider.id {
            1 => Admission::Ejected(later(9)),
            2 => Admission::Ejected(later(3)),
            3 => Admission::Resting(later(5)),
            4 => Admission::Resting(later(1)),
            6 => Admission::Spent(later(8)),
            _ => Admission::Yes,
        };
        let group = (1..=6).map(|id| target(id, 100, 1)).collect();
        assert_eq!(ids(&order(vec![group], admission, Policy::Weighted, &mut chance)), [5, 6, 4, 3, 2]);
        let nobody_else = (1..=2).map(|id| target(id, 100, 1)).collect();
        assert_eq!(ids(&order(vec![nobody_else], admission, Policy::Weighted, &mut chance)), [2, 1]);
    }
}
