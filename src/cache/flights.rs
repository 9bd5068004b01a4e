//! Equal requests that come together: one asks a provider, the others wait for its answer.

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{Entry, Key};

/// How the request that asks has ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// With an answer for all.
    Answered(Arc<Entry>),
    /// With an answer that is for nobody else.
    Unfit,
    /// Without one: it failed, or its client left. Somebody else may ask.
    Left,
}

/// The requests that ask, by what they ask.
#[derive(Default)]
pub struct Flights(Mutex<HashMap<Key, watch::Receiver<Option<Ending>>>>);

/// What a request does that has come.
pub enum Role {
    Lead(Lead),
    Follow(Follower),
}

/// The one that asks. Dropped without a word, it has left.
pub struct Lead {
    flights: Arc<Flights>,
    key: Key,
    ending: watch::Sender<Option<Ending>>,
    landed: bool,
}

/// One that waits.
pub struct Follower(watch::Receiver<Option<Ending>>);

impl Flights {
    /// Takes the lead, or follows who has it.
    pub fn join(self: &Arc<Self>, key: &Key) -> Role {
        match self.under_way().entry(key.clone()) {
            hash_map::Entry::Occupied(known) => Role::Follow(Follower(known.get().clone())),
            hash_map::Entry::Vacant(free) => {
                let (ending, watched) = watch::channel(None);
                free.insert(watched);
                Role::Lead(Lead { flights: self.clone(), key: key.clone(), ending, landed: false })
            }
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Option<Ending>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// Tells all who wait. An answer must be where others find it by then: who comes later does not wait for this one.
    pub fn land(mut self, ending: Ending) {
        self.tell(ending);
    }

    fn tell(&mut self, ending: Ending) {
        self.landed = true;
        self.flights.under_way().remove(&self.key);
        self.ending.send_replace(Some(ending));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.landed {
            self.tell(Ending::Left);
        }
    }
}

impl Follower {
    /// Waits for the one that asks.
    pub async fn ending(mut self) -> Ending {
        let ending = self.0.wait_for(Option::is_some).await;
        ending.ok().and_then(|ending| ending.clone()).unwrap_or(Ending::Left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Digest;

    fn key() -> Key {
        Key { digest: Digest::of(b"question"), key_id: None, model: "m".to_owned() }
    }

    fn lead(flights: &Arc<Flights>) -> Lead {
        match flights.join(&key()) {
            Role::Lead(lead) => lead,
            Role::Follow(_) => panic!("somebody else has the lead"),
        }
    }

    fn follow(flights: &Arc<Flights>) -> Follower {
        match flights.join(&key()) {
            Role::Lead(_) => panic!("nobody has the lead"),
            Role::Follow(follower) => follower,
        }
    }

    #[tokio::test]
    async fn all_who_wait_learn_how_it_ended_and_who_comes_later_asks() {
        let flights = Arc::new(Flights::default());
        let first = lead(&flights);
        let (one, other) = (follow(&flights), follow(&flights));
        first.land(Ending::Unfit);
        assert_eq!((one.ending().await, other.ending().await), (Ending::Unfit, Ending::Unfit));
        drop(lead(&flights));
    }

    #[tokio::test]
    async fn of_those_who_wait_for_one_that_left_exactly_one_takes_the_lead() {
        let flights = Arc::new(Flights::default());
        let first = lead(&flights);
        let waiting: Vec<_> = (0..5).map(|_| follow(&flights)).collect();
        drop(first);
        let mut leads = Vec::new();
        for follower in waiting {
            assert_eq!(follower.ending().await, Ending::Left);
            if let Role::Lead(lead) = flights.join(&key()) {
                leads.push(lead);
            }
        }
        assert_eq!(leads.len(), 1);
    }
}
