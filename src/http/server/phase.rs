//! What a connection is doing, shared by the parts that see a piece of it each.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};

/// One connection's state. All parts run in one task, so the order of the accesses is that of the program.
#[derive(Debug, Default)]
pub struct Phase {
    started: AtomicU64,
    running: AtomicBool,
    unread: AtomicBool,
    ambiguous: AtomicBool,
}

impl Phase {
    /// Requests whose head has come so far.
    pub fn started(&self) -> u64 {
        self.started.load(Relaxed)
    }

    /// Whether a request is being answered.
    pub fn is_running(&self) -> bool {
        self.running.load(Relaxed)
    }

    /// Whether the last request's body has not been read to its end.
    pub fn has_unread_body(&self) -> bool {
        self.unread.load(Relaxed)
    }

    /// Notes that the head being read says its body's length in two ways.
    pub fn set_ambiguous(&self) {
        self.ambiguous.store(true, Relaxed);
    }

    /// Whether the head just read was ambiguous.
    pub fn take_ambiguous(&self) -> bool {
        self.ambiguous.swap(false, Relaxed)
    }

    /// Notes that a request has come; it runs until the value is dropped.
    pub fn begin(self: &Arc<Self>, body: &Incoming) -> Running {
        self.started.fetch_add(1, Relaxed);
        self.running.store(true, Relaxed);
        self.unread.store(!body.is_end_stream(), Relaxed);
        Running(self.clone())
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Running(Arc<Phase>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.store(false, Relaxed);
    }
}

/// A request's body that notes when it has been read.
#[derive(Debug)]
pub struct RequestBody {
    pub body: Incoming,
    pub phase: Arc<Phase>,
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.phase.unread.store(false, Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body; the request runs as long as it exists.
#[derive(Debug)]
pub struct ResponseBody {
    body: Body,
    _running: Arc<Running>,
}

impl ResponseBody {
    pub fn new(body: Body, running: Arc<Running>) -> Self {
        Self { body, _running: running }
    }
}

impl hyper::body::Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
