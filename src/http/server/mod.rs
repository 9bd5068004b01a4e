//! Accepts client connections and serves them, so that no client can hold what it does not use.
//!
//! Every phase of a connection has an end: the head of a request and the wait between requests have deadlines, a client
//! that does not take its answer is dropped, and a client that goes away (FIN or RST, half-close included) takes its
//! request with it at once, whatever the request is waiting for. Stopping has a deadline too.

mod connection;
mod deadline;
mod drain;
mod head;
mod io;
mod phase;
mod threads;

use std::{
    io::Result,
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use axum::{body::Body, extract::Request, http::Response};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{connection::Connections, drain::Drain};
pub use self::{
    connection::{AmbiguousLength, Upgraded},
    drain::DrainReport,
    threads::Threads,
};
use crate::config::ServerConfig;

/// What a request gets to tell its client that it was cut off, and a connection to be gone.
const LAST_WORDS: Duration = Duration::from_millis(400);

/// Bytes the kernel may hold for a client beyond what the client has room for.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 32 * 1024;

/// Answers requests.
pub trait Handler: Clone + Send + Sync + 'static {
    fn handle(&self, request: Request) -> impl Future<Output = Response<Body>> + Send;
}

/// Listens where the configuration says.
pub async fn bind(config: &ServerConfig) -> Result<TcpListener> {
    TcpListener::bind((config.host.trim_matches(['[', ']']), config.port)).await
}

/// Serves connections on `threads` until `shutdown`, then lets running requests finish within the grace period. What runs even then
/// is warned by `last_call`, so that it may end with an error rather than without a word, and is dropped soon after.
pub async fn serve(
    listener: TcpListener,
    handler: impl Handler,
    config: &ServerConfig,
    threads: &Threads,
    shutdown: CancellationToken,
    last_call: CancellationToken,
) -> DrainReport {
    let slots = Arc::new(Semaphore::new(config.max_connections.min(Semaphore::MAX_PERMITS)));
    let drain = Arc::new(Drain::new(shutdown.clone(), last_call.clone()));
    let connections = Arc::new(Connections::new(config, handler, drain.clone()));
    let tasks = TaskTracker::new();
    for thread in threads.in_turns() {
        let (stream, peer, slot) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        prepare(&stream, config);
        let connections = connections.clone();
        let serving = async move {
            match tokio::net::TcpStream::from_std(stream) {
                Ok(stream) => connections.serve(stream, peer).await,
                Err(error) => tracing::warn!(%error, "A client could not be served"),
            }
            drop(slot);
        };
        tasks.spawn_on(serving, thread);
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(config.shutdown_grace, tasks.wait()).await.is_err() {
        last_call.cancel();
        if tokio::time::timeout(LAST_WORDS, tasks.wait()).await.is_ok() {
            return drain.report();
        }
        drain.end.cancel();
        // The tasks only have to be polled once more; a stuck one must not keep the process from ending.
        let _ = tokio::time::timeout(LAST_WORDS, tasks.wait()).await;
    }
    drain.report()
}

/// The next connection, once there is room for it. Clients beyond the limit wait in the kernel's queue.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
    let (mut pause, mut told) = (Duration::from_millis(20), false);
    loop {
        let accepted = listener.accept().await;
        // Whoever serves it listens for it.
        match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Ok((stream, peer)) => return (stream, peer, slot),
            Err(error) if is_of_one_client(&error) => {}
            Err(error) => {
                // Mostly "too many open files". It lasts until some connection ends, and asking at once would spin.
                if !told {
                    tracing::warn!(%error, "Cannot accept connections now, trying again until it works");
                    told = true;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}

/// The client gave up before it was accepted: no reason to wait for the next one.
fn is_of_one_client(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Socket options. A failure means that the client is gone already, which the connection finds out itself.
fn prepare(stream: &TcpStream, config: &ServerConfig) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    let outcome = socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&keepalive));
    #[cfg(target_os = "linux")]
    let outcome = outcome
        // A peer that vanished without a word, while bytes to it are under way, is noticed by the kernel alone.
        .and_then(|()| socket.set_tcp_user_timeout(Some(config.write_stall_timeout)))
        // Otherwise megabytes wait in the kernel, and a slow reader's progress shows only when a third of them are gone.
        .and_then(|()| socket.set_tcp_notsent_lowat(UNSENT));
    if let Err(error) = outcome {
        tracing::debug!(%error, "A client left while it was being accepted");
    }
}
