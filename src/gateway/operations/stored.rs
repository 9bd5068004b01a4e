//! What stays at a provider: files, batches, answers. A request about one goes where it is; nothing of it can be tried elsewhere.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, Response, Uri, header},
};
use bytes::Bytes;
use llm_protocol::{
    Inbound,
    ir::{ApiError, ErrorKind},
    json::Json,
    openai_chat::OpenAiChat,
    splice::Members,
};

use super::{
    Expects, answer,
    exchange::{Answer, Reply, Request, speaks_openai},
    payload::Payload,
};
use crate::{
    app::App,
    catalog::{Caller, Catalog, Endpoint, Provider, forbidden},
    fidelity::Fidelity,
    gateway::{
        Arrival, Call, Work,
        asked::Asked,
        auth,
        drive::{Patience, drive},
        record::Record,
        whereabouts::{self, Found, Place, owner},
    },
    routing::Target,
};

/// What is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    File,
    Batch,
    Response,
}

/// A call about what is stored, or to store something.
pub struct Stored {
    pub noun: Noun,
    pub id: Option<String>,
    /// What of the thing is asked for, such as its `content`.
    pub part: Option<&'static str>,
}

/// The parameters of a query that are this gateway's own, or a key.
const OWN_PARAMETERS: [&str; 3] = ["provider", "key", "api-version"];

/// Longest id.
const LONGEST_ID: usize = 200;

impl Work for Stored {
    fn endpoint(&self) -> Endpoint {
        match self.noun {
            Noun::File => Endpoint::Files,
            Noun::Batch => Endpoint::Batches,
            Noun::Response => Endpoint::Responses,
        }
    }

    fn inbound(&self) -> &'static dyn Inbound {
        &OpenAiChat
    }

    async fn run(self, app: &Arc<App>, arrival: Arrival, record: &mut Record) -> Result<Response<Body>, ApiError> {
        if self.id.as_deref().is_some_and(|id| !is_sane(id)) {
            return Err(self.missing());
        }
        let payload = Payload::read(&arrival.headers, &arrival.body)?;
        let asked = asked(&payload, &arrival)?;
        let caller = &arrival.caller;
        self.permit(caller, &arrival.method)?;
        let owner = owner(caller);
        let provider = self.provider(app, &payload, &asked, caller).await?;
        let path = self.path();
        let mut request = Request {
            method: arrival.method.clone(),
            path: &path,
            query: query(&arrival.uri),
            // An answer passes unread: its tokens were counted when it was made.
            expects: if self.part == Some("content") || self.noun == Noun::Response {
                Expects::File
            } else {
                Expects::Json
            },
            asked: &asked,
            payload: &payload,
            content_type: arrival.headers.get(header::CONTENT_TYPE).cloned(),
            body: &arrival.body,
            fidelity: Fidelity::default(),
        };
        let target = Target { weight: provider.weight, provider, model: String::new(), configured: None };
        // What makes something must not make it twice.
        let retries = if arrival.method == Method::POST { Some(0) } else { asked.retries };
        let patience = Patience { retries, stream: request.expects == Expects::File, ..asked.patience() };
        let mut won = drive(app, patience, vec![target], &mut request, record).await?;
        let place = Place::of(&won.target.provider);
        self.note(app, &owner, &arrival.method, &place, &mut won.reply).await?;
        Ok(answer(app, &asked, won, record))
    }
}

impl Stored {
    fn path(&self) -> String {
        let noun = match self.noun {
            Noun::File => "/files",
            Noun::Batch => "/batches",
            Noun::Response => "/responses",
        };
        let id = self.id.iter().map(String::as_str);
        [noun].into_iter().chain(id).chain(self.part).collect::<Vec<_>>().join("/")
    }

    /// A batch can hold requests for any model, so a key that is for some models cannot start one.
    fn permit(&self, caller: &Caller, method: &Method) -> Result<(), ApiError> {
        if self.noun == Noun::Batch && method == Method::POST && caller.allowed_models.is_some() {
            let message = "this API key is for some models only, so it may not use batches";
            return Err(forbidden(message));
        }
        Ok(())
    }

    /// Where the request has to go: where the thing is that it names, else where the client says, else to the first provider
    /// that could have it.
    async fn provider(
        &self,
        app: &App,
        payload: &Payload<'_>,
        asked: &Asked,
        caller: &Caller,
    ) -> Result<Arc<Provider>, ApiError> {
        let named = self.id.clone().or_else(|| payload.text("input_file_id")).filter(|id| is_sane(id));
        let catalog = app.catalog();
        let found = match &named {
            Some(id) => whereabouts::find(app, &owner(caller), id).await?,
            None => Found::Nowhere,
        };
        match found {
            Found::At(place) => {
                let holder = place.holder(&catalog.providers).ok_or_else(|| {
                    ApiError::new(
                        ErrorKind::Unavailable,
                        "the provider that holds this, or its key, is switched off or gone",
                    )
                })?;
                if caller.may_ask(&holder) { Ok(holder) } else { Err(auth::foreign(&holder.name)) }
            }
            Found::SomebodyElses => Err(self.missing()),
            Found::Nowhere if self.noun == Noun::Response => Err(self.missing()),
            Found::Nowhere => chosen(&catalog, caller, asked.wish.provider.as_deref()),
        }
    }

    fn missing(&self) -> ApiError {
        let id = self.id.as_deref().unwrap_or_default();
        let message = match self.noun {
            Noun::File => format!("there is no file `{id}`"),
            Noun::Batch => format!("there is no batch `{id}`"),
            Noun::Response => format!("Response with id '{id}' not found."),
        };
        ApiError::new(ErrorKind::NotFound, message)
    }

    /// Notes whose is what the answer tells of, before the client learns of it, and leaves out what is somebody else's.
    async fn note(
        &self,
        app: &App,
        owner: &str,
        method: &Method,
        place: &Place,
        reply: &mut Reply,
    ) -> Result<(), ApiError> {
        if let (Noun::Response, Some(id), &Method::DELETE) = (self.noun, &self.id, method) {
            return whereabouts::forget(app, owner, id).await;
        }
        let Answer::Whole { body, .. } = &mut reply.answer else { return Ok(()) };
        match (&self.id, method) {
            (Some(id), &Method::DELETE) => whereabouts::forget(app, owner, id).await,
            (None, &Method::GET) => {
                *body = only_own(app, owner, body).await?;
                Ok(())
            }
            (None, _) => remember(app, owner, body, place).await,
            // What a batch has made belongs to whom the batch does.
            (Some(id), _) => match whereabouts::find(app, owner, id).await? {
                Found::At(_) => remember(app, owner, body, place).await,
                Found::SomebodyElses | Found::Nowhere => Ok(()),
            },
        }
    }
}

/// Notes where all is that an answer names.
async fn remember(app: &App, owner: &str, body: &Bytes, place: &Place) -> Result<(), ApiError> {
    let Ok(members) = Members::read(body) else { return Ok(()) };
    for field in ["id", "output_file_id", "error_file_id"] {
        if let Some(id) = members.string(field).filter(|id| is_sane(id)) {
            whereabouts::remember(app, owner, &id, place).await?;
        }
    }
    Ok(())
}

/// A list without what is known to be somebody else's: one account at a provider serves all callers.
async fn only_own(app: &App, owner: &str, body: &Bytes) -> Result<Bytes, ApiError> {
    let Ok(mut list) = Json::parse(body) else { return Ok(body.clone()) };
    let Some(Json::Array(items)) = list.get_mut("data") else { return Ok(body.clone()) };
    let ids: Vec<String> = items.iter().filter_map(|item| Some(item.get("id")?.as_str()?.to_owned())).collect();
    let foreign = whereabouts::others(app, owner, &ids).await?;
    if foreign.is_empty() {
        return Ok(body.clone());
    }
    items.retain(|item| item.get("id").and_then(Json::as_str).is_none_or(|id| !foreign.contains(id)));
    Ok(list.to_string().into())
}

fn asked(payload: &Payload<'_>, arrival: &Arrival) -> Result<Asked, ApiError> {
    let call = Call::of(&OpenAiChat);
    let read = |members: &Members<'_>| Asked::about(String::new(), &call, members, &arrival.headers);
    let mut asked = payload.read_own(read)?;
    if asked.wish.provider.is_none() {
        asked.wish.provider = parameter(arrival.uri.query().unwrap_or_default(), "provider").map(str::to_owned);
    }
    Ok(asked)
}

/// The first provider that the client may mean, of those that its key is for.
fn chosen(catalog: &Catalog, caller: &Caller, selector: Option<&str>) -> Result<Arc<Provider>, ApiError> {
    let invalid = |message: String| ApiError {
        param: Some("provider".into()),
        ..ApiError::new(ErrorKind::InvalidRequest, message)
    };
    if let Some(selector) = selector.filter(|selector| !catalog.knows(selector)) {
        return Err(invalid(format!("`provider`: there is no provider of the name or type `{selector}`")));
    }
    let meant = selector.map_or_else(|| catalog.providers.iter().collect(), |selector| catalog.select(selector));
    let able: Vec<_> = meant.into_iter().filter(|provider| speaks_openai(provider)).collect();
    match (able.iter().find(|provider| caller.may_ask(provider)), able.first(), selector) {
        (Some(provider), ..) => Ok(Arc::clone(provider)),
        (None, Some(foreign), _) => Err(auth::foreign(selector.unwrap_or(&foreign.name))),
        (None, None, Some(selector)) => {
            Err(invalid(format!("provider `{selector}` has neither files nor batches, or is switched off")))
        }
        (None, None, None) => {
            let message = "no provider speaks OpenAI's API, which files and batches belong to";
            Err(ApiError::new(ErrorKind::NotFound, message))
        }
    }
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).filter(|value| !value.is_empty())
}

/// The client's query without what is this gateway's own.
fn query(uri: &Uri) -> Option<String> {
    let own = |pair: &&str| OWN_PARAMETERS.contains(&pair.split('=').next().unwrap_or_default());
    let pairs: Vec<&str> = uri.query()?.split('&').filter(|pair| !own(pair)).collect();
    Some(pairs.join("&")).filter(|query| !query.is_empty())
}

/// Ids end up in URLs, so they may hold only what means nothing there.
fn is_sane(id: &str) -> bool {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    id.len() <= LONGEST_ID && id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.bytes().all(harmless)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_lead_elsewhere_are_none() {
        for id in ["file-abc123", "batch_1", "A.b"] {
            assert!(is_sane(id), "{id}");
        }
        for id in ["", "..", ".a", "a/b", "a?b", "a%2f", "a b", &"x".repeat(LONGEST_ID + 1)] {
            assert!(!is_sane(id), "{id}");
        }
    }

    #[test]
    fn the_gateways_own_parameters_and_keys_stay_here() {
        let left = |uri: &'static str| query(&Uri::from_static(uri));
        assert_eq!(left("/v1/files?purpose=batch&provider=a&limit=2&key=k").as_deref(), Some("purpose=batch&limit=2"));
        assert_eq!(left("/v1/files?provider=a"), None);
        assert_eq!(left("/v1/files"), None);
        assert_eq!(parameter("a=1&provider=b", "provider"), Some("b"));
    }
}
