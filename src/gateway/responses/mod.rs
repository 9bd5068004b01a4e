//! What makes OpenAI's Responses more than a call: an answer can be referred to after it was given.
//!
//! An answer of a provider that speaks this protocol stays there, and what refers to it, or to an item of it, goes there. What
//! was translated is kept here, as far as the configuration allows, and put in front of what is said next, so that anybody can
//! answer that. What nobody here knows is for a provider of this protocol to judge.

mod archive;
mod conversations;
mod keep;
mod kept;
mod prewarm;
mod references;
mod socket;

use std::sync::{Arc, Mutex, PoisonError};

use axum::{body::Body, http::Response};
use bytes::Bytes;
use llm_protocol::{
    Inbound, ProtocolId,
    ir::{ApiError, ErrorKind, Malformed},
    json::Json,
    openai_responses::OpenAiResponses,
    splice::{Edit, Members},
};

pub use self::{archive::sweep, conversations::Conversations, kept::Kept, socket::Session};
use self::{
    conversations::{Conversation, items, join},
    keep::Keep,
    references::Resolved,
};
use super::{
    Arrival, Call, Origin, Work, admission, handle,
    held::{Held, Holder},
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

    fn set(&self, id: &str, conversation: Arc<Conversation>) {
        let latest = Some((id.to_owned(), conversation));
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
    Elsewhere(Held),
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
        let brought = items(members.get("input"));
        let Resolved { mut input, held } = references::resolve(app, &owner, self.latest.as_deref(), &brought).await?;
        call.held = held;
        let mut edits = Vec::new();
        match self.past(app, &owner, &members).await? {
            Past::Nothing => {}
            Past::Elsewhere(held) => call.held = Some(held),
            Past::Here(past) => {
                let more = input.as_deref().unwrap_or(&brought);
                input = Some(join(&[&past.input, &past.output, more]));
                call.echo
                    .extend(members.string("previous_response_id").map(|id| ("previous_response_id", (*id).into())));
                edits.push(Edit::remove("previous_response_id"));
            }
        }
        edits.extend(input.clone().map(|input| Edit::set("input", input)));
        let input = input.unwrap_or(brought);
        if store && !app.conversations.are_kept() {
            call.echo.push(("store", Json::from(false)));
        }
        let body = if edits.is_empty() { body.clone() } else { members.edit(&edits).into() };
        let response = if self.prewarm {
            prewarm::answer(app, &call, &caller, &headers, &body, record)?
        } else {
            handle(app, &call, &caller, &headers, body, record).await?
        };
        let Some(origin) = response.extensions().get::<Origin>().cloned() else { return Ok(response) };
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
        let here = match here {
            Some(conversation) => Some(conversation),
            None => archive::find(app, owner, &id).await?,
        };
        if let Some(conversation) = here {
            return Ok(Past::Here(conversation));
        }
        let by = match whereabouts::find(app, owner, &id).await? {
            Found::At(place) => Holder::At(place),
            Found::Nowhere => Holder::Speakers(ProtocolId::OpenAiResponses),
            Found::SomebodyElses => return Err(gone(&id)),
        };
        Ok(Past::Elsewhere(Held { by, gone: gone(&id) }))
    }
}

/// What OpenAI says of an answer that it does not know.
fn gone(id: &str) -> ApiError {
    ApiError {
        code: Some("previous_response_not_found".to_owned()),
        param: Some("previous_response_id".to_owned()),
        ..ApiError::new(ErrorKind::InvalidRequest, format!("Previous response with id '{id}' not found."))
    }
}
