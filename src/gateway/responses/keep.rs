//! Reads an answer on its way to the client, so that it can be referred to afterwards.

use std::{mem, sync::Arc};

use axum::{
    body::{Body, BodyDataStream, to_bytes},
    http::Response,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use llm_protocol::{
    splice::Members,
    sse::{Frame, Framer},
};

use super::{Conversation, Latest};
use crate::{
    app::App,
    gateway::{Origin, attempt::content_type, whereabouts},
};

/// What there is to keep of one answer.
pub struct Keep {
    pub app: Arc<App>,
    pub owner: String,
    /// All that was said before the answer, as a JSON array of items.
    pub input: String,
    /// The client does not forbid it.
    pub store: bool,
    pub latest: Option<Arc<Latest>>,
    pub origin: Origin,
}

impl Keep {
    /// The same answer, which is known here before the client has got it.
    pub async fn watch(mut self, mut response: Response<Body>) -> Response<Body> {
        if !self.has_provider() && !self.wants_conversation() {
            return response;
        }
        let body = mem::take(response.body_mut());
        *response.body_mut() = if content_type(response.headers()).starts_with("text/event-stream") {
            Watched { keep: self, body: body.into_data_stream(), framer: Some(Framer::new(usize::MAX)) }.into_body()
        } else {
            // It is in memory already.
            let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
            if let Ok(text) = std::str::from_utf8(&bytes) {
                self.begun(text);
                self.ended(text);
            }
            Body::from(bytes)
        };
        response
    }

    /// Whether the provider keeps the answer.
    fn has_provider(&self) -> bool {
        self.store && !self.origin.translated
    }

    /// Whether the conversation has to be kept here.
    fn wants_conversation(&self) -> bool {
        self.latest.is_some() || self.store && self.origin.translated && self.app.conversations.are_kept()
    }

    fn begun(&self, response: &str) {
        if let Some(id) = id(response).filter(|_| self.has_provider()) {
            whereabouts::note(&self.app, &self.owner, &id, self.origin.provider_id);
        }
    }

    fn ended(&mut self, response: &str) {
        let (Some(id), true) = (id(response), self.wants_conversation()) else { return };
        let conversation = || Conversation {
            response: response.to_owned(),
            output: member(response, "output").unwrap_or("[]").to_owned(),
            input: self.input.clone(),
        };
        if self.store && self.origin.translated {
            self.app.conversations.keep(&self.owner, &id, conversation());
        }
        if let Some(latest) = self.latest.as_ref().filter(|_| !self.has_provider()) {
            latest.set(&id, conversation());
        }
    }

    /// Reads an event; whether a later one matters too.
    fn see(&mut self, frame: &Frame) -> bool {
        let data = frame.data.as_deref().and_then(|data| std::str::from_utf8(data).ok());
        let response = || data.and_then(|data| member(data, "response"));
        match frame.event.as_deref() {
            Some(b"response.created") => {
                response().into_iter().for_each(|response| self.begun(response));
                self.wants_conversation()
            }
            Some(b"response.completed" | b"response.incomplete") => {
                response().into_iter().for_each(|response| self.ended(response));
                false
            }
            _ => true,
        }
    }
}

/// A member of an object in JSON.
fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    Members::read(object.as_bytes()).ok()?.get(key)
}

fn id(response: &str) -> Option<String> {
    let id = Members::read(response.as_bytes()).ok()?.string("id")?;
    Some(id.into_owned()).filter(|id| !id.is_empty())
}

/// A stream that is being read.
struct Watched {
    keep: Keep,
    body: BodyDataStream,
    /// `None` once nothing more matters.
    framer: Option<Framer>,
}

impl Watched {
    fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut watched| async move {
            let piece = watched.body.next().await?;
            if let Ok(piece) = &piece {
                watched.see(piece);
            }
            Some((piece, watched))
        }))
    }

    fn see(&mut self, piece: &Bytes) {
        let Some(framer) = &mut self.framer else { return };
        framer.push(piece);
        while let Ok(Some(frame)) = framer.next_frame() {
            if !self.keep.see(&frame) {
                self.framer = None;
                return;
            }
        }
    }
}
