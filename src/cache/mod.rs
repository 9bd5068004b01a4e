//! Answers that are given again: to the same request of the same API key, for some time, without asking a provider.
//!
//! This knows what an answer is kept under, where, for how long, and who waits for whom; what a request of HTTP means for it
//! is known in `gateway/cached.rs`.

pub mod canonical;
mod directives;
mod entry;
mod flights;
mod key;
mod memory;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use llm_protocol::ir::FinishReason;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tokio_util::task::TaskTracker;

pub use self::{
    directives::Directives,
    entry::{Entry, Head},
    key::{Digest, Ingredients, Key},
};
use self::{
    flights::{Ending, Flights, Lead, Role},
    memory::Memory,
};
use crate::{
    clock,
    config::{CacheBackend, CacheConfig},
    secret::{ContentKey, MasterKey},
    shared::Shared,
};

/// What is kept, and what is under way.
pub struct Cache {
    config: CacheConfig,
    kept: Kept,
    flights: Arc<Flights>,
    /// One for each request that may wait for another.
    seats: Semaphore,
    /// One more after everything that was forgotten on demand: what was asked before that is not kept.
    generation: AtomicU64,
}

/// Where answers are.
enum Kept {
    Here(Memory),
    Shared(Arc<Shared>, Arc<ContentKey>),
}

/// What to forget; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// As clients name it.
    pub model: Option<String>,
    /// A stored API key's id.
    pub key_id: Option<i64>,
}

impl Filter {
    fn lets_through(&self, key: &Key) -> bool {
        self.model.as_ref().is_none_or(|model| *model == key.model)
            && self.key_id.is_none_or(|id| key.key_id == Some(id))
    }
}

/// What a request does that may be answered from here.
pub enum Turn {
    Known(Arc<Entry>),
    /// It asks a provider, and its answer may be kept.
    Ask(Box<Asking>),
    /// There is nothing, and the client wants nobody to be asked.
    Absent,
    /// Its time was over before the answer that it waited for came.
    Late,
}

/// What the record of a request knows once it has ended well, and not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// In nano-dollars, where it is known.
    pub cost: Option<i64>,
    /// Why the model stopped, where a model wrote.
    pub finish: Option<FinishReason>,
}

/// The right to keep an answer. Dropped, it lets somebody else ask who waits for this one.
pub struct Asking {
    cache: Arc<Cache>,
    key: Key,
    generation: u64,
    lead: Option<Lead>,
    account: Arc<OnceLock<Account>>,
}

/// How many requests that failed another one waits for, before it asks for itself.
const FOLLOWED: usize = 2;

impl Cache {
    /// Takes no memory to speak of before an answer is kept: it is there for keys that switch it on, too.
    pub fn of(config: &CacheConfig, shared: Option<&Arc<Shared>>, master_key: &MasterKey) -> Arc<Self> {
        let kept = match (config.backend, shared) {
            (CacheBackend::Redis, Some(shared)) => Kept::Shared(shared.clone(), master_key.answers()),
            _ => Kept::Here(Memory::new(config.max_bytes)),
        };
        Arc::new(Self {
            kept,
            flights: Arc::default(),
            seats: Semaphore::new(config.max_waiting),
            generation: AtomicU64::default(),
            config: config.clone(),
        })
    }

    /// Whether it is on for a key that says this of it.
    pub fn is_on(&self, own: Option<bool>) -> bool {
        own.unwrap_or(self.config.enabled)
    }

    pub fn config(&self) -> &CacheConfig {
        &self.config
    }

    /// Finds an answer, or waits for one that is under way, or says that a provider is to be asked: not longer than until
    /// `deadline`.
    pub async fn turn(self: &Arc<Self>, key: Key, wishes: Directives, deadline: Instant) -> Turn {
        let generation = self.generation.load(Ordering::Acquire);
        let asking = |lead| Turn::Ask(Box::new(self.asking(key.clone(), generation, lead)));
        if wishes.only_if_cached {
            return self.find(&key, wishes).await.map_or(Turn::Absent, Turn::Known);
        }
        if wishes.no_cache {
            return asking(None);
        }
        let patience = (Instant::now() + self.config.max_wait).min(deadline);
        for _ in 0..FOLLOWED {
            if let Kept::Here(memory) = &self.kept
                && let Some(entry) = memory.find(&key).filter(|entry| is_good(entry, wishes))
            {
                return Turn::Known(entry);
            }
            let follower = match self.flights.join(&key) {
                // What came between the look and the lead is not asked for again.
                Role::Lead(lead) => match self.find(&key, wishes).await {
                    None => return asking(Some(lead)),
                    Some(entry) => {
                        lead.land(Ending::Answered(entry.clone()));
                        return Turn::Known(entry);
                    }
                },
                Role::Follow(follower) => follower,
            };
            let Ok(_seat) = self.seats.try_acquire() else { return asking(None) };
            match timeout_at(patience, follower.ending()).await {
                Ok(Ending::Answered(entry)) if is_good(&entry, wishes) => return Turn::Known(entry),
                Ok(Ending::Answered(_) | Ending::Left) => {}
                Err(_) if patience == deadline => return Turn::Late,
                Ok(Ending::Unfit) | Err(_) => return asking(None),
            }
        }
        match self.flights.join(&key) {
            Role::Lead(lead) => asking(Some(lead)),
            Role::Follow(_) => asking(None),
        }
    }

    fn asking(self: &Arc<Self>, key: Key, generation: u64, lead: Option<Lead>) -> Asking {
        Asking { cache: self.clone(), key, generation, lead, account: Arc::default() }
    }

    async fn find(&self, key: &Key, wishes: Directives) -> Option<Arc<Entry>> {
        let entry = match &self.kept {
            Kept::Here(memory) => memory.find(key)?,
            Kept::Shared(shared, seal) => {
                let name = name(key);
                let opened = seal.open(&name, &shared.answer(&name).await?).ok()?;
                Arc::new(Entry::read(opened)?)
            }
        };
        Some(entry).filter(|entry| is_good(entry, wishes))
    }

    async fn keep(&self, key: &Key, entry: &Arc<Entry>, generation: u64) {
        match &self.kept {
            Kept::Here(memory) => {
                memory.keep(key.clone(), entry.clone());
                if self.generation.load(Ordering::Acquire) != generation {
                    memory.drop_one(key);
                }
            }
            Kept::Shared(shared, seal) => {
                let name = name(key);
                let sealed = seal.seal(&name, entry.write());
                shared.keep_answer(&name, sealed, entry.head.ttl).await;
                if self.generation.load(Ordering::Acquire) != generation {
                    shared.forget_answers(&name).await;
                }
            }
        }
    }

    /// Forgets answers, those that are under way included; how many there were. `None` where the others cannot be told.
    pub async fn forget(&self, filter: &Filter) -> Option<u64> {
        self.generation.fetch_add(1, Ordering::AcqRel);
        match &self.kept {
            Kept::Here(memory) => Some(memory.forget(filter)),
            Kept::Shared(shared, _) => {
                let key_id = filter.key_id.map_or_else(|| "*".to_owned(), |id| id.to_string());
                let model = filter.model.as_deref().map_or_else(|| "*".to_owned(), short);
                shared.forget_answers(&format!("{key_id}:{model}:*")).await
            }
        }
    }

    /// How many answers are in this process, and how many bytes they take; `None` where they are elsewhere.
    pub fn holds(&self) -> Option<(u64, u64)> {
        match &self.kept {
            Kept::Here(memory) => Some(memory.holds()),
            Kept::Shared(..) => None,
        }
    }
}

fn is_good(entry: &Entry, wishes: Directives) -> bool {
    entry.is_good(clock::now_micros(), wishes.max_age)
}

/// What an answer is called where several gateways share it: whose it is, of which model, and what it answers.
fn name(Key { digest, key_id, model }: &Key) -> String {
    let key_id = key_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    format!("{key_id}:{}:{digest}", short(model))
}

/// A model's name, without what a pattern would take for more than a letter.
fn short(model: &str) -> String {
    Digest::of(model.as_bytes()).to_string()[..16].to_owned()
}

impl Asking {
    /// Where the record of the request puts its account.
    pub fn account(&self) -> &Arc<OnceLock<Account>> {
        &self.account
    }

    /// Whether the request has ended well.
    pub fn has_ended(&self) -> bool {
        self.account.get().is_some()
    }

    /// Most bytes of a body.
    pub fn room(&self) -> usize {
        self.cache.config.max_entry_bytes
    }

    /// Keeps an answer whose request has ended well, and gives it to all who wait for it, if it is complete: cut short by a limit
    /// or a filter it is nobody else's. Never makes its own client wait.
    pub fn keep(mut self, tasks: &TaskTracker, mut entry: Entry) {
        let Some(account) = self.account.get() else { return };
        let complete = account.finish.is_none_or(FinishReason::is_complete);
        if !complete || self.cache.generation.load(Ordering::Acquire) != self.generation {
            return self.give_up();
        }
        let ttl = self.cache.config.ttl_of(&self.key.model);
        entry.head = Head { given_at: clock::now_micros(), ttl, cost: account.cost, ..entry.head };
        let entry = Arc::new(entry);
        let keeping = async move {
            self.cache.keep(&self.key, &entry, self.generation).await;
            if let Some(lead) = self.lead.take() {
                lead.land(Ending::Answered(entry));
            }
        };
        // Memory keeps at once, and so the next request finds what the last byte of this one told of.
        let mut keeping = Box::pin(keeping);
        if (&mut keeping).now_or_never().is_none() {
            tasks.spawn(keeping);
        }
    }

    /// The answer is for its client alone; who waits for it asks for itself.
    pub fn give_up(mut self) {
        if let Some(lead) = self.lead.take() {
            lead.land(Ending::Unfit);
        }
    }
}

/// How long an answer to a model is kept at all.
pub fn is_kept(config: &CacheConfig, model: &str) -> bool {
    config.ttl_of(model) > Duration::ZERO
}
