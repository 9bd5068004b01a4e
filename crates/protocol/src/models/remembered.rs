//! What was found out about a name, so that it is looked for once.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::ModelRules;

/// So many names are remembered. Clients choose them, so there has to be an end; who sends more pays for the search.
const MOST: usize = 4096;

/// Rules by the name of the model.
type ByModel = HashMap<Box<str>, Arc<ModelRules>>;

/// Rules by kind of provider and name of the model.
#[derive(Debug, Default)]
pub(super) struct Remembered(RwLock<HashMap<Box<str>, ByModel>>);

impl Remembered {
    /// What is remembered, or else what `find` finds.
    pub(super) fn get(&self, kind: &str, model: &str, find: impl FnOnce() -> Arc<ModelRules>) -> Arc<ModelRules> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(rules) = known.get(kind).and_then(|models| models.get(model)) {
            return rules.clone();
        }
        drop(known);
        let rules = find();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.values().map(HashMap::len).sum::<usize>() < MOST {
            known.entry(kind.into()).or_default().insert(model.into(), rules.clone());
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(max_temperature: f64) -> Arc<ModelRules> {
        Arc::new(ModelRules { max_temperature, ..ModelRules::default() })
    }

    #[test]
    fn a_name_is_looked_for_once_at_each_kind_of_provider() {
        let remembered = Remembered::default();
        assert_eq!(remembered.get("a", "m", || rules(1.0)).max_temperature, 1.0);
        assert_eq!(remembered.get("b", "m", || rules(2.0)).max_temperature, 2.0);
        assert_eq!(remembered.get("a", "m", || unreachable!("it is remembered")).max_temperature, 1.0);
    }

    #[test]
    fn names_without_end_are_found_without_being_remembered() {
        let remembered = Remembered::default();
        for number in 0..MOST + 10 {
            remembered.get("a", &number.to_string(), || rules(1.0));
        }
        assert_eq!(remembered.0.read().unwrap()["a"].len(), MOST);
        assert_eq!(remembered.get("a", &MOST.to_string(), || rules(3.0)).max_temperature, 3.0);
    }
}
