//! What makes OpenAI's Responses more than a call: an answer can be referred to after it was given.
//!
//! An answer of a provider that speaks this protocol stays there, and what refers to it goes there. What was translated is
//! kept here, as far as the configuration allows, and put in front of what is said next, so that anybody can answer that.

mod conversations;
mod keep;
mod kept;
mod prewarm;
mod socket;

use std::sync::{Arc, Mutex, PoisonError};

use axum::{body::Body, http::Response};
use bytes::Bytes;
use llm_protocol::{
    Inbound,
    ir::{ApiError, ErrorKind, Malformed},
    json::Json,
    openai_responses::OpenAiResponses,
    splice::{Edit, Members},
};

pub use self::{conversations::Conversations, kept::Kept, socket::Session};
use self::{
    conversations::{Conversation, items, join},
    keep::Keep,
};
use super::{
    Arrival, Call, Origin, Work, admission, handle,
    record::Record,
    whereabouts::{self, Found, owner},
};
use crate::{
    app::App,
    catalog::Endpoint,
    limits::{Class, Estimate},
};

/// The last answer on a connection, for the next request on it.
#[derive(Default)]
pub struct Latest(Mutex<Option<(String, Arc<Conversation>)>>);

impl Latest {
    fn get(&self, id: &str) -> Option<Arc<Conversation>> {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().filter(|(known, _)| known == id).map(|(_, conversation)| conversation.clone())
    }

    fn set(&self, id: &str, conversation: Conversation) {
        let latest = Some((id.to_owned(), Arc::new(conversation)));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = latest;
    }
}

/// A request for a response.
#[derive(Default)]
pub struct Create {
    /// What the connection remembers, where it does.
    pub latest: Option<Arc<Latest>>,
    /// Only what may be gone on from is wanted, and no answer.
    pub prewarm: bool,
}

/// What a request goes on from.
enum Past {
    Nothing,
    Here(Arc<Conversation>),
    /// At the provider of this id.
    At(i64),
}

impl Work for Create {
    fn endpoint(&self) -> Endpoint {
        Endpoint::Responses
    }

    fn inbound(&self) -> &'static dyn Inbound {
        &OpenAiResponses
    }

    fn class(&self) -> Class {
        if self.prewarm { Class::Lookup } else { Class::Work }
    }

    fn estimate(&self, app: &App, body: &Bytes) -> Estimate {
        admission::estimate_of(app, &OpenAiResponses, body)
    }

    async fn run(self, app: &Arc<App>, arrival: Arrival, record: &mut Record) -> Result<Response<Body>, ApiError> {
        let Arrival { caller, headers, body, .. } = arrival;
        let members = Members::read(&body)?;
        OpenAiResponses.validate(&members)?;
        let owner = owner(&caller);
        let store = members.get("store") != Some("false");
        let mut call = Call::of(&OpenAiResponses);
        let mut input = items(members.get("input"));
        let mut continued = None;
        match self.past(app, &owner, &members).await? {
            Past::Nothing => {}
            Past::At(provider) => call.held_by = Some(provider),
            Past::Here(past) => {
                input = join(&[&past.input, &past.output, &input]);
                call.echo
                    .extend(members.string("previous_response_id").map(|id| ("previous_response_id", (*id).into())));
                let edits = [Edit::remove("previous_response_id"), Edit::set("input", input.clone())];
                continued = Some(members.edit(&edits).into());
            }
        }
        if store && !app.conversations.are_kept() {
            call.echo.push(("store", Json::from(false)));
        }
        let body = continued.unwrap_or(body.clone());
        let response = if self.prewarm {
            prewarm::answer(app, &call, &caller, &headers, &body, record)?
        } else {
            handle(app, &call, &caller, &headers, body, record).await?
        };
        let Some(origin) = response.extensions().get::<Origin>().copied() else { return Ok(response) };
        Ok(Keep { app: app.clone(), owner, input, store, latest: self.latest, origin }.watch(response).await)
    }
}

impl Create {
    async fn past(&self, app: &App, owner: &str, members: &Members<'_>) -> Result<Past, ApiError> {
        if members.get("previous_response_id").is_none() {
            return Ok(Past::Nothing);
        }
        let wrong = || Malformed::new("previous_response_id", "`previous_response_id` must be a string");
        let id = members.string("previous_response_id").ok_or_else(wrong)?;
        let here = self.latest.as_ref().and_then(|latest| latest.get(&id));
        if let Some(conversation) = here.or_else(|| app.conversations.get(owner, &id)) {
            return Ok(Past::Here(conversation));
        }
        match whereabouts::find(app, owner, &id).await? {
            Found::At(provider) => Ok(Past::At(provider)),
            Found::SomebodyElses | Found::Nowhere => Err(gone(&id)),
        }
    }
}

/// The answer that a request goes on from is at a provider that cannot be asked any more, so that nobody has it.
pub(super) fn gone(id: &str) -> ApiError {
    not_found(format!("Previous response with id '{id}' not found."))
}

fn not_found(message: String) -> ApiError {
    ApiError {
        code: Some("previous_response_not_found".to_owned()),
        param: Some("previous_response_id".to_owned()),
        ..ApiError::new(ErrorKind::InvalidRequest, message)
    }
}
