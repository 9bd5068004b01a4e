//! Looking up names: one thread a name, however many wait for it.
//!
//! The system's resolver blocks a thread for as long as a name server is silent, and cannot be called back. Were each request
//! to look for itself, those that wait for one silent server would take all threads there are, and every other name would wait
//! behind them.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, ToSocketAddrs},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::Name;
use tokio::{sync::watch, task::spawn_blocking};
use tower::Service;

/// A name of which nobody says an address.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the name could not be looked up: {0}")]
pub(super) struct Unknown(Arc<str>);

type Found = Result<Vec<SocketAddr>, Unknown>;

/// What looks up names. Clones share what is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookups(Arc<Mutex<Running>>);

/// By name, where what is found will be told.
type Running = HashMap<Box<str>, watch::Receiver<Option<Found>>>;

impl Lookups {
    /// The addresses of a name, with port 0. The caller sets the deadline: a silent server is waited for by nobody for longer
    /// than he likes, and by one thread.
    pub(super) async fn look_up(&self, name: &str) -> Found {
        let mut told = self.join(name, ask);
        match told.wait_for(Option::is_some).await {
            Ok(found) => found.clone().expect("it was waited for"),
            // The runtime that began it is being shut down.
            Err(_) => Err(Unknown("nobody looks any more".into())),
        }
    }

    /// Waits for the lookup of a name that is under way, or begins it.
    fn join(
        &self,
        name: &str,
        ask: impl FnOnce(&str) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> watch::Receiver<Option<Found>> {
        let mut running = self.running();
        if let Some(told) = running.get(name) {
            return told.clone();
        }
        let (tell, told) = watch::channel(None);
        running.insert(name.into(), told.clone());
        let lookup = Lookup { name: name.into(), of: self.clone() };
        spawn_blocking(move || {
            let found = ask(&lookup.name).map_err(|error| Unknown(error.to_string().into()));
            // Whoever comes from now on looks anew.
            drop(lookup);
            tell.send_replace(Some(found));
        });
        told
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask(name: &str) -> io::Result<Vec<SocketAddr>> {
    Ok((name, 0).to_socket_addrs()?.collect())
}

/// One lookup that runs.
struct Lookup {
    name: Box<str>,
    of: Lookups,
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.of.running().remove(&self.name);
    }
}

impl Service<Name> for Lookups {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Unknown;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unknown>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unknown>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let lookups = self.clone();
        Box::pin(async move { Ok(lookups.look_up(name.as_str()).await?.into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use super::*;

    #[tokio::test]
    async fn all_who_wait_for_a_name_wait_for_one_lookup_and_the_next_looks_anew() {
        let (lookups, asked) = (Lookups::default(), Arc::new(AtomicUsize::new(0)));
        let address: SocketAddr = ([192, 0, 2, 1], 0).into();
        for round in 1..=2 {
            let (go, wait) = mpsc::channel::<()>();
            let count = asked.clone();
            lookups.join("name.invalid", move |_| {
                count.fetch_add(1, Ordering::SeqCst);
                wait.recv().ok();
                Ok(vec![address])
            });
            // These join it: were they to look for themselves, they would find that there is no such name.
            let waiting: Vec<_> = (0..100).map(|_| lookups.look_up("name.invalid")).collect();
            let waiting = futures_util::future::join_all(waiting);
            let (found, ()) = tokio::join!(waiting, async { drop(go) });
            assert!(found.iter().all(|found| found.as_ref().is_ok_and(|found| *found == [address])), "{found:?}");
            assert!(lookups.running().is_empty());
            assert_eq!(asked.load(Ordering::SeqCst), round);
        }
        assert!(lookups.look_up("name.invalid").await.is_err(), "the name itself is unknown");
    }

    #[tokio::test]
    async fn an_address_is_its_own() {
        let found = Lookups::default().look_up("127.0.0.1").await.unwrap();
        assert_eq!(found, [([127, 0, 0, 1], 0).into()]);
    }
}
