//! A body that passes piece by piece: sound, text, files.

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use llm_protocol::ir::{ApiError, ErrorKind};
use tokio::{
    task::yield_now,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    gateway::{record::Record, relay::Deadlines, routes::stopping},
    health::{Outcome, Permit},
    upstream::{Pieces, blames_upstream, late},
};

/// One running body. Dropping it closes the upstream's connection, settles the record and gives back all it holds.
pub struct Passing {
    first: Option<Bytes>,
    rest: Box<Pieces>,
    deadlines: Deadlines,
    /// Gone once the body is over.
    open: Option<(Permit, Record)>,
    last_call: CancellationToken,
}

impl Passing {
    pub fn new(first: Option<Bytes>, rest: Box<Pieces>, deadlines: Deadlines, permit: Permit, record: Record) -> Self {
        let last_call = record.last_call();
        Self { first, rest, deadlines, open: Some((permit, record)), last_call }
    }

    /// The client's body. An error ends the client's connection, since nothing else tells a cut from an end.
    pub fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut passing| async move {
            passing.next().await.map(|piece| (piece, passing))
        }))
    }

    /// The next bytes for the client; `None` after the last.
    async fn next(&mut self) -> Option<Result<Bytes, ApiError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        self.open.as_ref()?;
        let deadline = (Instant::now() + self.deadlines.idle).min(self.deadlines.total);
        let piece = self.last_call.run_until_cancelled(timeout_at(deadline, self.rest.next())).await;
        let over = match piece {
            Some(Ok(Ok(Some(piece)))) => return Some(Ok(piece)),
            Some(Ok(Ok(None))) => Ok(()),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(_)) => Err(late()),
            None => Err(stopping()),
        };
        let (permit, mut record) = self.open.take()?;
        let Err(error) = over else {
            permit.settle(&Outcome::Success { latency: record.elapsed() });
            record.succeed();
            return None;
        };
        if self.is_upstreams_fault(&error) {
            permit.settle(&Outcome::Failure(error.message.clone()));
        }
        record.fail(&error);
        // The connection is closed at once by an error, and what was handed on before has to be written first.
        yield_now().await;
        Some(Err(error))
    }

    /// A total that the client set is no fault of the provider's, and neither is the end of this gateway.
    fn is_upstreams_fault(&self, error: &ApiError) -> bool {
        let total_is_over = error.kind == ErrorKind::Timeout && Instant::now() >= self.deadlines.total;
        blames_upstream(error) && !total_is_over && error.reason != Some("stopping")
    }
}
