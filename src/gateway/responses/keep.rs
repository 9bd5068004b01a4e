//! Keeps an answer that passes by, so that it can be referred to afterwards.

use std::sync::Arc;

use axum::{body::Body, http::Response};
use llm_protocol::{splice::Members, sse::Frame};

use super::{Conversation, Latest, archive, conversations::split};
use crate::{
    app::App,
    gateway::{
        Origin,
        watch::{self, Reader},
        whereabouts,
    },
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
    pub async fn watch(self, response: Response<Body>) -> Response<Body> {
        if self.has_provider() || self.wants_conversation() { watch::watch(response, self).await } else { response }
    }

    /// Whether the provider keeps the answer.
    fn has_provider(&self) -> bool {
        self.store && !self.origin.translated
    }

    /// Whether the conversation has to be kept here.
    fn wants_conversation(&self) -> bool {
        self.latest.is_some() || self.store && self.origin.translated && self.app.conversations.are_kept()
    }

    /// Notes the answer's own id: a client may refer to an answer that has not ended, or never does.
    fn begun(&self, response: &str) {
        if let Some(id) = id(response).filter(|_| self.has_provider()) {
            whereabouts::note(&self.app, &self.owner, vec![id], &self.origin.place);
        }
    }

    async fn ended(&self, response: &str) {
        if self.has_provider() {
            let output = member(response, "output").unwrap_or_default();
            let items = split(output).into_iter().filter_map(|item| id(item.get())).collect();
            whereabouts::note(&self.app, &self.owner, items, &self.origin.place);
            return;
        }
        let (Some(id), true) = (id(response), self.wants_conversation()) else { return };
        let conversation = Arc::new(Conversation::new(response.to_owned(), self.input.clone()));
        if let Some(latest) = &self.latest {
            latest.set(&id, conversation.clone());
        }
        if self.store && self.origin.translated {
            archive::keep(&self.app, &self.owner, &id, conversation).await;
        }
    }
}

impl Reader for Keep {
    async fn whole(&mut self, response: &str) {
        self.begun(response);
        self.ended(response).await;
    }

    async fn event(&mut self, event: &Frame) -> bool {
        let data = event.data.as_deref().and_then(|data| std::str::from_utf8(data).ok());
        let response = || data.and_then(|data| member(data, "response"));
        match event.event.as_deref() {
            Some(b"response.created") => {
                response().into_iter().for_each(|response| self.begun(response));
                true
            }
            Some(b"response.completed" | b"response.incomplete") => {
                if let Some(response) = response() {
                    self.ended(response).await;
                }
                false
            }
            _ => true,
        }
    }
}

/// A member of an object in JSON.
pub fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    Members::read(object.as_bytes()).ok()?.get(key)
}

/// The `id` of an object in JSON.
pub fn id(object: &str) -> Option<String> {
    let id = Members::read(object.as_bytes()).ok()?.string("id")?;
    Some(id.into_owned()).filter(|id| !id.is_empty())
}
