//! The end of all connections: who is told what, and what came of it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio_util::sync::CancellationToken;

/// What happened to the connections that were open when the server was told to stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections without a running request, closed at once.
    pub idle: usize,
    /// Connections whose request came to its end.
    pub finished: usize,
    /// Connections whose request was still running when the grace period was over.
    pub dropped: usize,
}

/// The two signals, and the counts.
#[derive(Debug)]
pub struct Drain {
    /// No further requests.
    pub stop: CancellationToken,
    /// The grace period is over.
    pub last_call: CancellationToken,
    /// Drop what still runs.
    pub end: CancellationToken,
    pub idle: AtomicUsize,
    pub finished: AtomicUsize,
    pub dropped: AtomicUsize,
}

impl Drain {
    pub fn new(stop: CancellationToken, last_call: CancellationToken) -> Self {
        Self {
            stop,
            last_call,
            end: CancellationToken::new(),
            idle: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
        }
    }

    pub fn report(&self) -> DrainReport {
        DrainReport {
            idle: self.idle.load(Relaxed),
            finished: self.finished.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
        }
    }
}
