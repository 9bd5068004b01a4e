//! What a client sent and what it got, taken down for the log where that is wanted.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, ready},
};

use axum::{body::Body, http::Response};
use bytes::{Bytes, BytesMut};
use hyper::body::{Body as Pieces, Frame, SizeHint};

use crate::{
    app::App,
    catalog::Caller,
    config::LogContents,
    journal::{Content, Excerpt},
    store::LogRow,
};

/// A request that is taken down. It goes to the journal with its row when nobody writes in it any more: its record and the
/// body of its answer, which end in either order.
pub struct Transcript {
    app: Arc<App>,
    row: OnceLock<LogRow>,
    request: Excerpt,
    answer: Mutex<Answer>,
}

#[derive(Default)]
struct Answer {
    text: BytesMut,
    length: u64,
}

impl Transcript {
    /// Begins with what the client sent, if its key's requests are to be taken down.
    pub fn begin(app: &Arc<App>, caller: &Caller, body: &Bytes) -> Option<Arc<Self>> {
        if !caller.log_content || app.config.journal.content == LogContents::Never {
            return None;
        }
        let most = app.config.journal.max_content_bytes;
        // A copy, since a piece of a long body would keep the whole of it in memory.
        let text = if body.len() > most { Bytes::copy_from_slice(&body[..most]) } else { body.clone() };
        let request = Excerpt { text, length: body.len() as u64 };
        Some(Arc::new(Self { app: app.clone(), row: OnceLock::new(), request, answer: Mutex::default() }))
    }

    /// The request is over, and this is its row.
    pub fn ended(&self, row: LogRow) {
        self.row.get_or_init(|| row);
    }

    /// The same answer, taken down as it goes.
    pub fn of(self: Arc<Self>, response: Response<Body>) -> Response<Body> {
        response.map(|body| Body::new(Taken { body, transcript: self }))
    }

    fn answer(&self) -> MutexGuard<'_, Answer> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, piece: &Bytes) {
        let mut answer = self.answer();
        let room = self.app.config.journal.max_content_bytes - answer.text.len();
        answer.text.extend_from_slice(&piece[..piece.len().min(room)]);
        answer.length += piece.len() as u64;
    }
}

impl Drop for Transcript {
    fn drop(&mut self) {
        let Some(row) = self.row.take() else { return };
        let Answer { text, length } = std::mem::take(&mut *self.answer());
        let answer = Excerpt { text: text.freeze(), length };
        self.app.journal.record_with(row, Content { request: std::mem::take(&mut self.request), answer });
    }
}

/// An answer's body that is taken down.
struct Taken {
    body: Body,
    transcript: Arc<Transcript>,
}

impl Pieces for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(piece) = frame.data_ref()
        {
            self.transcript.take(piece);
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
