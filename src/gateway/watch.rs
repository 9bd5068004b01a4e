//! Reads an answer on its way to the client.

use std::mem;

use axum::{
    body::{Body, BodyDataStream, to_bytes},
    http::Response,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use llm_protocol::sse::{Frame, Framer};

use super::attempt::content_type;

/// Who reads an answer. What it reads waits for it, so it must not take long.
pub trait Reader: Send + 'static {
    /// A whole answer.
    fn whole(&mut self, answer: &str) -> impl Future<Output = ()> + Send;

    /// An event of a stream; whether a later one matters too.
    fn event(&mut self, event: &Frame) -> impl Future<Output = bool> + Send;
}

/// The same answer, each piece of which `reader` has read before the client has got it.
pub async fn watch(mut response: Response<Body>, mut reader: impl Reader) -> Response<Body> {
    let body = mem::take(response.body_mut());
    *response.body_mut() = if content_type(response.headers()).starts_with("text/event-stream") {
        Watched { reader, body: body.into_data_stream(), framer: Some(Framer::new(usize::MAX)) }.into_body()
    } else {
        // It is in memory already.
        let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
        if let Ok(answer) = std::str::from_utf8(&bytes) {
            reader.whole(answer).await;
        }
        Body::from(bytes)
    };
    response
}

/// A stream that is being read.
struct Watched<R> {
    reader: R,
    body: BodyDataStream,
    /// `None` once nothing more matters.
    framer: Option<Framer>,
}

impl<R: Reader> Watched<R> {
    fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut watched| async move {
            let piece = watched.body.next().await?;
            if let Ok(piece) = &piece {
                watched.read(piece).await;
            }
            Some((piece, watched))
        }))
    }

    async fn read(&mut self, piece: &Bytes) {
        let Some(framer) = &mut self.framer else { return };
        framer.push(piece);
        while let Ok(Some(frame)) = framer.next_frame() {
            if !self.reader.event(&frame).await {
                self.framer = None;
                return;
            }
        }
    }
}
