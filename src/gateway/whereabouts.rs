//! Where the things are whose ids providers gave out: files, batches, containers, answers that are kept.
//!
//! Memory is asked first; the store only for an id that memory does not know, and once, within the deadline that all its
//! statements have. What a client is told of is in the store before.

use std::{
    collections::HashSet,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use llm_protocol::ir::{ApiError, ErrorKind};
use lru::LruCache;
use tokio::sync::Semaphore;

use crate::{
    app::App,
    catalog::{Caller, Provider},
    clock,
    limits::Subject,
    store::{StoreError, UpstreamObject},
};

/// Ids that memory holds.
const MOST: NonZeroUsize = NonZeroUsize::new(10_000).expect("is not zero");

/// As whom something was made, at which provider: nobody else comes by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The provider's id.
    pub provider: i64,
    /// The name of its key, where it had several.
    pub key: Option<Arc<str>>,
}

impl Place {
    /// Where the provider keeps what it makes.
    pub fn of(provider: &Provider) -> Self {
        Self { provider: provider.id, key: provider.account.as_ref().map(|account| account.name.clone()) }
    }

    /// The provider as whoever made something there sees it; `None` if that is not possible now.
    pub fn holder(&self, providers: &[Arc<Provider>]) -> Option<Arc<Provider>> {
        providers.iter().find(|known| known.id == self.provider)?.as_holder(self.key.as_deref())
    }
}

/// What memory knows: the place, by id and owner.
pub struct Whereabouts {
    known: Mutex<LruCache<(String, String), Place>>,
    /// Notes that are being written while nobody waits for them.
    writing: Arc<Semaphore>,
}

/// Notes that may be on their way to the store.
const MOST_WRITING: usize = 256;

impl Default for Whereabouts {
    fn default() -> Self {
        Self { known: Mutex::new(LruCache::new(MOST)), writing: Arc::new(Semaphore::new(MOST_WRITING)) }
    }
}

impl Whereabouts {
    fn with<T>(&self, look: impl FnOnce(&mut LruCache<(String, String), Place>) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    At(Place),
    /// It exists, for others.
    SomebodyElses,
    /// Nobody came by it through this gateway.
    Nowhere,
}

/// Whose things a caller's are. Callers without a key share theirs.
pub fn owner(caller: &Caller) -> String {
    match (caller.key_id, caller.subject) {
        (Some(id), _) => id.to_string(),
        (None, Some(Subject::Key(hash))) => hash.to_string(),
        (None, _) => "anonymous".to_owned(),
    }
}

/// Notes for good that `owner` has something of this id at a place. Fails with 503 if the store cannot.
pub async fn remember(app: &App, owner: &str, id: &str, place: &Place) -> Result<(), ApiError> {
    let key = (id.to_owned(), owner.to_owned());
    if app.whereabouts.with(|known| known.get(&key) == Some(place)) {
        return Ok(());
    }
    write(app, owner, &[id.to_owned()], place, None).await?;
    app.whereabouts.with(|known| known.put(key, place.clone()));
    Ok(())
}

async fn write(app: &App, owner: &str, ids: &[String], place: &Place, ttl: Option<Duration>) -> Result<(), ApiError> {
    let created_at = clock::now_micros();
    let expires_at = ttl.map(|ttl| clock::after(created_at, ttl));
    let object = |id: &String| UpstreamObject {
        id: id.clone(),
        owner: owner.to_owned(),
        provider_id: place.provider,
        provider_key: place.key.as_deref().map(str::to_owned),
        created_at,
        expires_at,
    };
    let objects: Vec<_> = ids.iter().map(object).collect();
    app.store.put_upstream_objects(&objects).await.map_err(unavailable)
}

/// As [`remember`], for a time and without making anybody wait: memory knows at once, the store a little later. For what is
/// made in every request, and may be lost with the process.
pub fn note(app: &Arc<App>, owner: &str, mut ids: Vec<String>, place: &Place) {
    ids.sort_unstable();
    ids.dedup();
    app.whereabouts.with(|known| {
        ids.retain(|id| known.put((id.clone(), owner.to_owned()), place.clone()).as_ref() != Some(place));
    });
    if ids.is_empty() {
        return;
    }
    let Ok(writing) = app.whereabouts.writing.clone().try_acquire_owned() else {
        tracing::warn!("Where an answer is at a provider is noted in memory only: the database does not keep up");
        return;
    };
    let (app, owner, place) = (app.clone(), owner.to_owned(), place.clone());
    let ttl = app.config.responses.upstream_ttl;
    app.tasks.clone().spawn(async move {
        // What could not be written was told of; memory knows all the same.
        let _ = write(&app, &owner, &ids, &place, Some(ttl)).await;
        drop(writing);
    });
}

/// Where what `owner` calls by this id is.
pub async fn find(app: &App, owner: &str, id: &str) -> Result<Found, ApiError> {
    let found = find_all(app, owner, &[id.to_owned()]).await?;
    Ok(found.into_iter().next().unwrap_or(Found::Nowhere))
}

/// Where each of the things is that `owner` calls by these ids.
pub async fn find_all(app: &App, owner: &str, ids: &[String]) -> Result<Vec<Found>, ApiError> {
    let key = |id: &String| (id.clone(), owner.to_owned());
    let known: Vec<Option<Place>> =
        app.whereabouts.with(|known| ids.iter().map(|id| known.get(&key(id)).cloned()).collect());
    let unknown: Vec<String> =
        ids.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(id, _)| id.clone()).collect();
    let now = clock::now_micros();
    let mut objects = app.store.upstream_objects(&unknown).await.map_err(unavailable)?;
    objects.retain(|object| object.expires_at.is_none_or(|end| end > now));
    let found = ids.iter().zip(known).map(|(id, known)| {
        let mut rows = objects.iter().filter(|object| object.id == *id);
        let own = rows.clone().find(|object| object.owner == owner).map(place);
        match known.or(own) {
            Some(place) => {
                app.whereabouts.with(|known| known.put(key(id), place.clone()));
                Found::At(place)
            }
            None if rows.next().is_some() => Found::SomebodyElses,
            None => Found::Nowhere,
        }
    });
    Ok(found.collect())
}

fn place(object: &UpstreamObject) -> Place {
    Place { provider: object.provider_id, key: object.provider_key.as_deref().map(Arc::from) }
}

/// Those of `ids` that are somebody else's and not `owner`'s too.
pub async fn others(app: &App, owner: &str, ids: &[String]) -> Result<HashSet<String>, ApiError> {
    let objects = app.store.upstream_objects(ids).await.map_err(unavailable)?;
    let (own, others): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| object.owner == owner);
    let own: HashSet<String> = own.into_iter().map(|object| object.id).collect();
    Ok(others.into_iter().map(|object| object.id).filter(|id| !own.contains(id)).collect())
}

/// What `owner` called by this id is gone.
pub async fn forget(app: &App, owner: &str, id: &str) -> Result<(), ApiError> {
    app.whereabouts.with(|known| known.pop(&(id.to_owned(), owner.to_owned())));
    app.store.delete_upstream_object(id, owner).await.map_err(unavailable)
}

fn unavailable(error: StoreError) -> ApiError {
    tracing::warn!(%error, "Where things are at providers cannot be looked up or noted");
    ApiError {
        reason: Some("database"),
        ..ApiError::new(ErrorKind::Unavailable, "where this is at a provider cannot be looked up or noted now")
    }
}
