//! One gateway among others on the same database: what they change is put in force here, and they know of each other.
//!
//! PostgreSQL tells of changes. It is asked now and then all the same, since news may get lost, and SQLite tells nothing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::App,
    clock,
    store::{Node, Store, StoreError},
};

/// How often the store is asked whether anything has changed.
const POLL: Duration = Duration::from_millis(500);

/// How often this node says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Who has not said so for so long is taken for gone, in microseconds. Clocks of nodes may differ by the rest.
const STALE: i64 = 15_000_000;

/// How long to wait before listening again where that failed.
const LISTEN_AGAIN: Duration = Duration::from_secs(2);

/// This process as others see it, before it has read any configuration.
pub fn this_node(address: SocketAddr) -> Node {
    let now = clock::now_micros();
    Node {
        id: Uuid::now_v7().to_string(),
        address: address.to_string(),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: 0,
        started_at: now,
        seen_at: now,
    }
}

/// The nodes that live, this one among them if it could say so.
pub async fn nodes(store: &Store) -> Result<Vec<Node>, StoreError> {
    store.nodes(clock::now_micros() - STALE).await
}

/// Starts what keeps this node in step with the others, until the gateway stops.
pub fn spawn(app: &Arc<App>) {
    let changed = Arc::new(Notify::new());
    app.tasks.spawn(listen(app.store.clone(), changed.clone(), app.stopping.clone()));
    let (watched, stopping) = (Arc::downgrade(app), app.stopping.clone());
    app.tasks.spawn(async move {
        let mut said = None;
        while stopping.run_until_cancelled(timeout(POLL, changed.notified())).await.is_some() {
            let Some(app) = watched.upgrade() else { return };
            app.catch_up().await;
            say_alive(&app, &mut said).await;
        }
    });
}

/// Wakes `changed` for every change that the database tells of.
async fn listen(store: Store, changed: Arc<Notify>, stopping: CancellationToken) {
    let listening = async {
        loop {
            if let Ok(mut changes) = store.changes().await {
                while changes.next().await.is_ok() {
                    changed.notify_one();
                }
            }
            sleep(LISTEN_AGAIN).await;
        }
    };
    let _: Option<()> = stopping.run_until_cancelled(listening).await;
}

/// Tells the others that this node lives, if it is time to or there is something new to tell. `said` is what it said last,
/// and when.
async fn say_alive(app: &App, said: &mut Option<(i64, Instant)>) {
    let epoch = app.epoch();
    if said.is_some_and(|(last, at)| last == epoch && at.elapsed() < HEARTBEAT) || app.is_cut_off() {
        return;
    }
    let now = clock::now_micros();
    let node = Node { epoch, seen_at: now, ..app.node.clone() };
    match app.store.put_node(&node, now - STALE).await {
        Ok(()) => *said = Some((epoch, Instant::now())),
        Err(error) => tracing::debug!(%error, "Other nodes do not know that this one lives"),
    }
}
