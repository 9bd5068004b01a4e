//! Who serves a model, looked for once a name.

use std::sync::{Arc, PoisonError, RwLock};

use foldhash::HashMap;

use super::Provider;

/// So many names are remembered. Clients choose them, so there has to be an end; who sends more pays for the search.
const MOST: usize = 4096;

/// Those who serve a model, in the order of the catalog.
pub type Servers = Arc<[Arc<Provider>]>;

/// What was found in one catalog.
#[derive(Debug, Default)]
pub struct Serving(RwLock<HashMap<Box<str>, Servers>>);

impl Serving {
    /// Who is remembered, or else whom `find` finds. That nobody serves a model is not remembered.
    pub fn get<'p>(&self, model: &str, find: impl FnOnce() -> Vec<&'p Arc<Provider>>) -> Servers {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(model) {
            return known.clone();
        }
        let found: Servers = find().into_iter().cloned().collect();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !found.is_empty() && known.len() < MOST {
            known.insert(model.into(), found.clone());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::tests::target;

    #[test]
    fn a_name_is_looked_for_until_somebody_serves_it_and_then_no_more() {
        let (serving, provider) = (Serving::default(), target(7, 1, 1).provider);
        assert!(serving.get("m", Vec::new).is_empty());
        assert_eq!(serving.get("m", || vec![&provider])[0].id, 7);
        assert_eq!(serving.get("m", || unreachable!("it is remembered")).len(), 1);
    }
}
