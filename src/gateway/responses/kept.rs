//! Calls about an answer that was given: read it, delete it, list what it answers, cancel it.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderValue, Method, Response, header},
};
use llm_protocol::{
    Inbound,
    ir::{ApiError, ErrorKind},
    json::Json,
    openai_responses::OpenAiResponses,
};

use super::{Conversation, archive, conversations::split};
use crate::{
    app::App,
    catalog::Endpoint,
    gateway::{
        Arrival, Work,
        operations::{Noun, Stored},
        record::Record,
        whereabouts::owner,
    },
    limits::Class,
};

/// A call about an answer.
pub struct Kept {
    pub id: String,
    /// What of it is meant, such as its `input_items`; the whole where nothing is.
    pub part: Option<&'static str>,
}

impl Work for Kept {
    fn endpoint(&self) -> Endpoint {
        Endpoint::Responses
    }

    fn inbound(&self) -> &'static dyn Inbound {
        &OpenAiResponses
    }

    fn class(&self) -> Class {
        Class::Lookup
    }

    async fn run(self, app: &Arc<App>, arrival: Arrival, record: &mut Record) -> Result<Response<Body>, ApiError> {
        let owner = owner(&arrival.caller);
        let Some(conversation) = archive::find(app, &owner, &self.id).await? else {
            let elsewhere = Stored { noun: Noun::Response, id: Some(self.id), part: self.part };
            return elsewhere.run(app, arrival, record).await;
        };
        let body = match (arrival.method, self.part) {
            (Method::DELETE, _) => {
                archive::forget(app, &owner, &self.id).await?;
                deleted(&self.id)
            }
            (_, Some("input_items")) => input_items(&conversation, arrival.uri.query().unwrap_or_default())?,
            (_, Some(_)) => {
                let message = "Cannot cancel a synchronous response.";
                return Err(ApiError::new(ErrorKind::InvalidRequest, message));
            }
            (_, None) => conversation.response.clone(),
        };
        record.succeed();
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

fn deleted(id: &str) -> String {
    let members = [("id", Json::from(id)), ("object", Json::from("response")), ("deleted", Json::from(true))];
    Json::object(members).to_string()
}

/// Items a page holds where the client does not say, and most.
const PAGE: usize = 20;
const MOST: usize = 100;

/// A page of what an answer answers. Items that came without an id get one, since pages go on from ids.
fn input_items(conversation: &Conversation, query: &str) -> Result<String, ApiError> {
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let limit = parameter("limit").map_or(Some(PAGE), |limit| limit.parse().ok());
    let limit = limit.filter(|limit| (1..=MOST).contains(limit)).ok_or_else(|| ApiError {
        param: Some("limit".to_owned()),
        ..ApiError::new(ErrorKind::InvalidRequest, "`limit` must be a whole number from 1 to 100")
    })?;
    let mut items: Vec<(String, Json)> = split(&conversation.input).into_iter().enumerate().map(identified).collect();
    // The newest first, unless the client says otherwise.
    if parameter("order") != Some("asc") {
        items.reverse();
    }
    if let Some(after) = parameter("after") {
        let passed = items.iter().position(|(id, _)| id == after).map_or(items.len(), |at| at + 1);
        items.drain(..passed);
    }
    let more = items.len() > limit;
    items.truncate(limit);
    let end = |item: Option<&(String, Json)>| item.map_or_else(Json::default, |(id, _)| Json::from(id.as_str()));
    let (first, last) = (end(items.first()), end(items.last()));
    let page = [
        ("object", Json::from("list")),
        ("data", Json::from(items.into_iter().map(|(_, item)| item).collect::<Vec<_>>())),
        ("first_id", first),
        ("last_id", last),
        ("has_more", Json::from(more)),
    ];
    Ok(Json::object(page).to_string())
}

/// An item and its id: its own, or one made of its place.
fn identified((at, item): (usize, &serde_json::value::RawValue)) -> (String, Json) {
    let mut item = Json::parse(item.get().as_bytes()).unwrap_or_default();
    let own = item.get("id").and_then(Json::as_str).map(str::to_owned);
    let id = own.unwrap_or_else(|| format!("item_{at}"));
    item.set("id", Json::from(id.as_str()));
    (id, item)
}
