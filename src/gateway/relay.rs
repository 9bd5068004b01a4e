//! From the upstream's stream to the client's: what was held back first, then every event as it comes, then an end in
//! the client's own protocol, whatever happened upstream.

use std::{convert::Infallible, mem, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use llm_protocol::{
    Passthrough, Served, StreamEncoder,
    ir::{ApiError, CustomCalls, ErrorKind, Event},
};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    record::Record,
    routes::stopping,
    stream::{Step, Upstream},
};
use crate::{
    catalog::Provider,
    health::{Outcome, Permit},
    http::error::context,
    upstream::{blames_upstream, stalled},
};

/// The deadlines of a stream that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Between two pieces of it.
    pub idle: Duration,
    /// For the whole.
    pub total: Instant,
    /// When so long nothing else was sent, this is, so that nobody in between takes the connection for dead.
    pub keep_alive: (Duration, &'static [u8]),
}

/// Events that have come together go to the client together, until they are so many bytes: each write of its own costs more
/// than all else that is done for an event.
const PIECE: usize = 16 * 1024;

/// How frames become the client's bytes.
pub enum Writer {
    /// Both sides speak the same protocol.
    Same(Box<dyn Passthrough>),
    /// The free-text tools among the calls are told apart on the way.
    Other(Box<dyn StreamEncoder>, Option<CustomCalls>),
}

/// One running stream. Dropping it closes the upstream's connection, settles the record and gives back all it holds.
pub struct Relay {
    upstream: Upstream,
    writer: Writer,
    deadlines: Deadlines,
    /// Written, and not taken by the client's connection yet.
    ready: Vec<u8>,
    over: bool,
    /// When the upstream last sent something, and when the client last got something.
    heard: Instant,
    told: Instant,
    provider: Arc<Provider>,
    permit: Option<Permit>,
    last_call: CancellationToken,
    record: Record,
}

impl Relay {
    pub fn new(
        upstream: Upstream,
        writer: Writer,
        deadlines: Deadlines,
        provider: Arc<Provider>,
        permit: Permit,
        record: Record,
    ) -> Self {
        Self {
            upstream,
            writer,
            deadlines,
            ready: Vec::new(),
            over: false,
            heard: Instant::now(),
            told: Instant::now(),
            provider,
            permit: Some(permit),
            last_call: record.last_call(),
            record,
        }
    }

    /// The client's body.
    pub fn into_body(self) -> Body {
        // Boxed, since it is handed on with every piece.
        Body::from_stream(stream::unfold(Box::new(self), |mut relay| async move {
            relay.next().await.map(|piece| (Ok::<_, Infallible>(piece), relay))
        }))
    }

    /// The next bytes for the client; `None` after the last.
    async fn next(&mut self) -> Option<Bytes> {
        while self.ready.is_empty() {
            if self.over {
                return None;
            }
            self.wait().await;
        }
        while !self.over
            && self.ready.len() < PIECE
            && let Some(step) = self.upstream.next().now_or_never()
        {
            self.take(step);
        }
        self.told = Instant::now();
        Some(mem::take(&mut self.ready).into())
    }

    /// Waits for the upstream, or for what has to be done without it.
    async fn wait(&mut self) {
        let deadline = (self.heard + self.deadlines.idle).min(self.deadlines.total);
        let keep_alive = self.told + self.deadlines.keep_alive.0;
        let step = timeout_at(deadline.min(keep_alive), self.upstream.next());
        match self.last_call.run_until_cancelled(step).await {
            Some(Ok(step)) => {
                self.heard = Instant::now();
                self.take(step);
            }
            Some(Err(_)) if keep_alive < deadline => self.ready.extend_from_slice(self.deadlines.keep_alive.1),
            Some(Err(_)) => self.fail(stalled()),
            None => {
                // Nobody upstream is to blame.
                self.permit = None;
                self.fail(stopping());
            }
        }
    }

    fn take(&mut self, step: Result<Option<Step>, ApiError>) {
        match step {
            Ok(Some(step)) => self.forward(step),
            Ok(None) => self.end(),
            Err(error) => self.fail(error),
        }
    }

    fn forward(&mut self, step: Step) {
        for event in &step.events {
            self.record.observe(event);
        }
        match (&mut self.writer, step) {
            (Writer::Same(_), Step { error: Some(error), .. }) if error.reason != Some("malformed") => self.fail(error),
            (Writer::Same(writer), Step { frame: Some(frame), .. }) => {
                // A frame that only our observer cannot read is the client's to judge.
                let mut out = Vec::with_capacity(1);
                writer.push(frame, &mut out);
                join(out, &mut self.ready);
            }
            (Writer::Same(_), _) => {}
            (Writer::Other(writer, custom), step) => {
                for event in tell_apart(custom, step.events) {
                    writer.push(&event, &mut self.ready);
                }
                if let Some(error) = step.error {
                    self.fail(error);
                }
            }
        }
    }

    fn end(&mut self) {
        self.over = true;
        let served = Served { provider: self.provider.name.to_string(), latency_ms: self.record.elapsed_ms() };
        match &mut self.writer {
            Writer::Same(writer) => {
                let mut out = Vec::new();
                writer.end(&served, &mut out);
                join(out, &mut self.ready);
            }
            Writer::Other(writer, _) => writer.end(&served, &mut self.ready),
        }
        if let Some(permit) = self.permit.take() {
            permit.settle(&Outcome::Success { latency: self.record.elapsed() });
        }
        self.record.succeed();
    }

    fn fail(&mut self, error: ApiError) {
        self.over = true;
        let error = self.provider.conceal(error);
        let told = context(self.record.request_id());
        match &mut self.writer {
            Writer::Same(writer) => {
                let mut out = Vec::new();
                writer.fail(&error, &told, &mut out);
                join(out, &mut self.ready);
            }
            Writer::Other(writer, _) => writer.fail(&error, &told, &mut self.ready),
        }
        // A total that the client set is no fault of the provider's.
        let blamed =
            blames_upstream(&error) && (error.kind != ErrorKind::Timeout || Instant::now() < self.deadlines.total);
        if let Some(permit) = self.permit.take().filter(|_| blamed) {
            permit.settle(&Outcome::Failure(error.message.clone()));
        }
        self.record.fail(&error);
    }
}

fn join(pieces: Vec<Bytes>, out: &mut Vec<u8>) {
    pieces.iter().for_each(|piece| out.extend_from_slice(piece));
}

fn tell_apart(custom: &mut Option<CustomCalls>, events: Vec<Event>) -> Vec<Event> {
    let Some(custom) = custom else { return events };
    let mut told = Vec::with_capacity(events.len() + 1);
    events.into_iter().for_each(|event| custom.event(event, &mut told));
    told
}
