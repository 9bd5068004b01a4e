//! As whom a provider is asked: which of its keys a request goes with, and what becomes of a key that is refused.

use std::{sync::Arc, time::Duration};

use hyper::http::HeaderMap;
use rand::{Rng, RngExt};
use secrecy::SecretString;
use tokio::time::Instant;

use super::{Provider, keyring::NamedKey};
use crate::{
    clock,
    health::{Admission, KeyHealth, Learned, Outcome, Permit},
    secret::KeyHash,
    upstream::reported,
};

/// One of a provider's several keys, beside its text.
#[derive(Clone, Debug)]
pub struct Account {
    /// What logs call it.
    pub name: Arc<str>,
    /// Share of the requests; 0 is used only when no other can be.
    pub weight: u32,
    pub health: Arc<KeyHealth>,
}

impl Provider {
    /// The same provider with several keys. The first of them is used where no request chooses one; with one or none it is
    /// as any other provider.
    pub(crate) fn with_keys(mut self, keys: Vec<NamedKey>) -> Self {
        let hash = |key: &SecretString| KeyHash::of(secrecy::ExposeSecret::expose_secret(key));
        if let [_, _, ..] = keys[..] {
            let account = |NamedKey { name, key, weight, .. }: NamedKey| {
                let account = Account { name: name.into(), weight, health: self.health.key(hash(&key)) };
                Arc::new(Self { key: Some(key), account: Some(account), ..self.clone() })
            };
            self.accounts = keys.into_iter().map(account).collect();
            self.key = self.accounts.first().and_then(|first| first.key.clone());
        } else {
            self.key = keys.into_iter().next().map(|only| only.key);
        }
        self
    }

    /// What logs call the key that is used, where the provider has several.
    pub fn key_name(&self) -> Option<&str> {
        self.account.as_ref().map(|account| &*account.name)
    }

    /// The provider as the key of this name sees it, the first one where a thing is older than the others. `None` if it has no
    /// such key, or that is switched off.
    pub fn as_holder(self: &Arc<Self>, key: Option<&str>) -> Option<Arc<Self>> {
        match key {
            _ if self.accounts.is_empty() => Some(self.clone()),
            None => self.accounts.first().cloned(),
            Some(name) => self.accounts.iter().find(|account| account.key_name() == Some(name)).cloned(),
        }
    }

    /// Whether it may be asked now: as it is, and with the best of its keys.
    pub fn admission(&self) -> Admission {
        let keys = self.accounts.iter().map(|account| account.key_admission()).min();
        self.health.admission().max(keys.unwrap_or_else(|| self.key_admission()))
    }

    /// The same for a request of so many tokens to one of its models, as far as its limits are known.
    pub fn admission_of(&self, model: &str, tokens: u64) -> Admission {
        let now = Instant::now();
        let keys = self.accounts.iter().map(|account| account.key_admission_of(model, tokens, now)).min();
        self.health.admission().max(keys.unwrap_or_else(|| self.key_admission_of(model, tokens, now)))
    }

    fn key_admission_of(&self, model: &str, tokens: u64, now: Instant) -> Admission {
        let spent = self.limits().spent_until(model, tokens, now).map_or(Admission::Yes, Admission::Spent);
        self.key_admission().max(spent)
    }

    /// What is known of the limits of the key that is used.
    fn limits(&self) -> &Learned {
        self.account.as_ref().map_or(&self.health.limits, |account| &account.health.limits)
    }

    /// An answer for one of its models came with these headers.
    pub fn learn(&self, model: &str, headers: &HeaderMap) {
        if let Some(told) = reported(headers, clock::now_micros()) {
            self.limits().learn(model, &told, Instant::now());
        }
    }

    /// A request of so many tokens is about to be sent.
    pub fn take(&self, model: &str, tokens: u64) {
        self.limits().take(model, tokens, Instant::now());
    }

    fn key_admission(&self) -> Admission {
        self.account.as_ref().map_or(Admission::Yes, |account| account.health.admission())
    }

    /// The provider as the key sees it that is to be used next: by weighted chance one of those that may be used, else the one
    /// that may be soonest. The request has so many tokens, for this of its models.
    pub fn choose_key(self: &Arc<Self>, model: &str, tokens: u64, chance: &mut impl Rng) -> Arc<Self> {
        if self.accounts.is_empty() {
            return self.clone();
        }
        let now = Instant::now();
        let admission = |account: &Arc<Self>| account.key_admission_of(model, tokens, now);
        let standing = || self.accounts.iter().map(|account| (admission(account), account));
        let ready = standing().filter(|(admission, _)| *admission == Admission::Yes).map(|(_, account)| account);
        let best = || standing().min_by_key(|(admission, _)| *admission).map(|(_, account)| account);
        drawn(ready, chance).or_else(best).unwrap_or(self).clone()
    }

    /// Takes leave to ask with the key that was chosen; `force` as in [`crate::health::ProviderHealth::admit`].
    pub fn admit(&self, force: bool) -> Option<Permit> {
        let permit = self.health.admit(force)?;
        Some(match &self.account {
            Some(account) => permit.with(account.health.admit()),
            None => permit,
        })
    }

    /// The provider asked to be left alone for a while: the key if it is one of several, since limits hold for accounts.
    pub fn rest(&self, wait: Duration) {
        match &self.account {
            Some(account) => account.health.rest(Instant::now() + wait),
            None => self.health.rest(wait),
        }
    }

    /// The provider refused the key, or its quota is spent. The key is set aside; `whole`, the provider with all its keys, is
    /// left out only where none is left.
    pub fn refused(&self, whole: &Self, permit: Permit, why: &str) {
        let Some(account) = &self.account else {
            permit.settle(&Outcome::Refusal(why.to_owned()));
            return;
        };
        if permit.refuse_key(why) {
            let (key, provider) = (&account.name, &self.name);
            tracing::warn!(%provider, %key, "The key {key} of {provider} is set aside, since it was refused: {why}");
        }
        let set_aside = |account: &Arc<Self>| matches!(account.key_admission(), Admission::Ejected(_));
        if !whole.accounts.is_empty() && whole.accounts.iter().all(set_aside) {
            self.health.note(&Outcome::Refusal(why.to_owned()));
        }
    }

    /// Whether another key than the one that has just failed may be used at once.
    pub fn has_ready_key(&self) -> bool {
        self.accounts.iter().any(|account| account.key_admission() == Admission::Yes)
    }
}

/// One of these by weighted chance, in one pass; of those that weigh nothing any, if there are no others.
fn drawn<'a>(accounts: impl Iterator<Item = &'a Arc<Provider>>, chance: &mut impl Rng) -> Option<&'a Arc<Provider>> {
    let (mut total, mut drawn) = (0, None);
    for account in accounts {
        let weight = account.account.as_ref().map_or(0, |account| u64::from(account.weight));
        total += weight;
        if drawn.is_none() || (weight > 0 && chance.random_range(0..total) < weight) {
            drawn = Some(account);
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::routing::tests::target;

    /// A provider with keys `a`, `b`, … of these weights.
    fn provider(weights: &[u32]) -> Arc<Provider> {
        let provider = Provider::clone(&target(1, 100, 100).provider);
        let key = |(at, weight): (usize, &u32)| {
            let name = char::from(b'a' + at as u8).to_string();
            NamedKey { key: format!("sk-{name}").into(), name, weight: *weight, enabled: true }
        };
        Arc::new(provider.with_keys(weights.iter().enumerate().map(key).collect()))
    }

    fn chosen(provider: &Arc<Provider>, chance: &mut StdRng) -> String {
        provider.choose_key("m", 1, chance).key_name().unwrap_or_default().to_owned()
    }

    fn shares(provider: &Arc<Provider>) -> [f64; 3] {
        let mut chance = StdRng::seed_from_u64(1);
        let chosen: Vec<String> = (0..20_000).map(|_| chosen(provider, &mut chance)).collect();
        ["a", "b", "c"].map(|name| chosen.iter().filter(|key| *key == name).count() as f64 / 20_000.0)
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_used_by_their_weights_and_those_that_weigh_nothing_only_when_no_other_can_be() {
        let provider = provider(&[0, 30, 10]);
        let [a, b, c] = shares(&provider);
        assert!(a == 0.0 && (b - 0.75).abs() < 0.02 && (c - 0.25).abs() < 0.02, "{a} {b} {c}");
        provider.accounts[1..].iter().for_each(|account| account.rest(Duration::from_secs(9)));
        assert_eq!(shares(&provider), [1.0, 0.0, 0.0]);
        assert_eq!(provider.admission(), Admission::Yes);
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_rests_while_all_its_keys_do_and_is_asked_with_the_first_to_be_free() {
        let provider = provider(&[1, 1]);
        let now = Instant::now();
        for (account, seconds) in provider.accounts.iter().zip([9, 4]) {
            account.rest(Duration::from_secs(seconds));
        }
        assert_eq!(provider.admission(), Admission::Resting(now + Duration::from_secs(4)));
        assert_eq!(chosen(&provider, &mut StdRng::seed_from_u64(1)), "b");
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_is_left_out_only_when_the_last_of_its_keys_was_refused() {
        let provider = provider(&[1, 1]);
        let refuse = |at: usize| {
            let account = &provider.accounts[at];
            account.refused(&provider, account.admit(true).unwrap(), "no such key");
        };
        refuse(0);
        assert_eq!((provider.admission(), provider.has_ready_key()), (Admission::Yes, true));
        assert_eq!(chosen(&provider, &mut StdRng::seed_from_u64(1)), "b");
        refuse(1);
        assert!(matches!(provider.health.admission(), Admission::Ejected(_)));
        assert!(!provider.has_ready_key());
    }

    #[test]
    fn what_sticks_to_a_key_is_found_by_its_name() {
        let provider = provider(&[1, 1]);
        let holder = |key| provider.as_holder(key).map(|holder| holder.key_name().map(str::to_owned));
        assert_eq!(holder(Some("b")), Some(Some("b".into())));
        assert_eq!(holder(None), Some(Some("a".into())), "it is from the time of one key");
        assert_eq!(holder(Some("gone")), None);
    }
}
