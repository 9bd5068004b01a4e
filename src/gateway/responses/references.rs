//! Items of former answers that a request names instead of sending them.

use std::collections::{HashMap, HashSet};

use llm_protocol::{
    ProtocolId,
    ir::{ApiError, ErrorKind},
    openai_responses::answer_of,
    splice::Members,
};
use memchr::memmem;

use super::{Latest, archive, conversations::split, keep::id};
use crate::{
    app::App,
    gateway::{
        held::{Held, Holder},
        whereabouts::{self, Found},
    },
};

/// Items that a request may name.
const MOST: usize = 1000;

/// What came of a list of items, and who can be told of it.
pub struct Resolved {
    /// The list with other items in it; `None` if it stays as it is.
    pub input: Option<String>,
    /// `None` if nothing in it has to be known to the provider.
    pub held: Option<Held>,
}

/// Puts what is kept here in the place of the references to it in `input`, a JSON array of items. What is kept at a provider
/// stays named. Fails with 404 for what is somebody else's.
pub async fn resolve(app: &App, owner: &str, latest: Option<&Latest>, input: &str) -> Result<Resolved, ApiError> {
    if memmem::find(input.as_bytes(), b"\"item_reference\"").is_none() {
        return Ok(Resolved { input: None, held: None });
    }
    let list = split(input);
    let named: Vec<Option<String>> = list.iter().map(|item| reference(item.get())).collect();
    let ids: HashSet<&String> = named.iter().flatten().collect();
    if ids.len() > MOST {
        return Err(ApiError {
            param: Some("input".to_owned()),
            ..ApiError::new(ErrorKind::InvalidRequest, format!("`input` names more than {MOST} items"))
        });
    }
    let known = kept_here(app, owner, latest, &ids).await?;
    let elsewhere: Vec<String> = ids.into_iter().filter(|id| !known.contains_key(*id)).cloned().collect();
    let held = holder(app, owner, &elsewhere).await?;
    let items = list.iter().zip(&named).map(|(item, named)| {
        let own = named.as_ref().and_then(|id| known.get(id));
        own.map_or(item.get(), String::as_str)
    });
    let changed = || format!("[{}]", items.collect::<Vec<_>>().join(","));
    Ok(Resolved { input: (!known.is_empty()).then(changed), held })
}

/// The id that an item names, if it is a reference.
fn reference(item: &str) -> Option<String> {
    let members = Members::read(item.as_bytes()).ok()?;
    members.string("type").filter(|kind| kind == "item_reference")?;
    members.string("id").map(|id| id.into_owned())
}

/// Those of these items that are kept here, by their ids.
async fn kept_here(
    app: &App,
    owner: &str,
    latest: Option<&Latest>,
    ids: &HashSet<&String>,
) -> Result<HashMap<String, String>, ApiError> {
    let answers: HashSet<String> = ids.iter().filter_map(|id| answer_of(id)).collect();
    let recent = answers.iter().filter_map(|id| Some((id.clone(), latest?.get(id)?)));
    let mut conversations: HashMap<_, _> = recent.collect();
    let others = answers.into_iter().filter(|id| !conversations.contains_key(id)).collect();
    conversations.extend(archive::find_all(app, owner, others).await?);
    let items = conversations.values().flat_map(|conversation| split(&conversation.output));
    Ok(items.filter_map(|item| Some((id(item.get())?, item.get().to_owned()))).collect())
}

/// Who can be told of items that are not kept here: the provider that keeps them; where nobody knows it, whoever speaks the
/// protocol.
async fn holder(app: &App, owner: &str, ids: &[String]) -> Result<Option<Held>, ApiError> {
    let mut held: Option<Held> = None;
    for (id, found) in ids.iter().zip(whereabouts::find_all(app, owner, ids).await?) {
        let by = match found {
            Found::At(place) => Holder::At(place),
            Found::Nowhere => Holder::Speakers(ProtocolId::OpenAiResponses),
            Found::SomebodyElses => return Err(gone(id)),
        };
        match held.as_ref().map(|held| &held.by) {
            Some(Holder::At(_)) if by == Holder::Speakers(ProtocolId::OpenAiResponses) => {}
            Some(known @ Holder::At(_)) if by != *known => return Err(gone(id)),
            _ => held = Some(Held { by, gone: gone(id) }),
        }
    }
    Ok(held)
}

/// What OpenAI says of an item that it does not know.
fn gone(id: &str) -> ApiError {
    let message = format!(
        "Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try again with `store` set to \
         true, or remove this item from your input."
    );
    ApiError { param: Some("input".to_owned()), ..ApiError::new(ErrorKind::NotFound, message) }
}
