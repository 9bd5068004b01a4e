//! What a request goes on from and only some providers hold: an answer, a file, a container, a thread.

use std::{collections::BTreeMap, sync::Arc};

use axum::{body::Body, http::Response};
use llm_protocol::{
    ProtocolId,
    ir::{ApiError, ErrorKind},
    splice::Members,
    sse::Frame,
};
use memchr::memmem;
use serde_json::value::RawValue;

use super::{
    Origin,
    watch::{self, Reader},
    whereabouts::{self, Found, Place, owner},
};
use crate::{
    app::App,
    catalog::Caller,
    routing::{Groups, Target},
};

/// Something that must be there where a request goes.
#[derive(Clone, Debug)]
pub struct Held {
    pub by: Holder,
    /// What the client is told if none of them can be asked.
    pub gone: ApiError,
}

/// Who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Who made it.
    At(Place),
    /// Nobody here knows: one of those who speak this protocol, if anybody.
    Speakers(ProtocolId),
}

impl Held {
    /// Those of `groups` that may hold it, as whoever came by it. Fails if there are none.
    pub fn among(&self, groups: Groups) -> Result<Groups, ApiError> {
        let holder = |target: Target| match &self.by {
            Holder::At(place) => place.holder(std::slice::from_ref(&target.provider)).map(|holder| target.with(holder)),
            Holder::Speakers(protocol) => {
                Some(target).filter(|target| target.provider.protocols(&target.model).contains(protocol))
            }
        };
        let groups: Groups = groups.into_iter().map(|group| group.into_iter().filter_map(holder).collect()).collect();
        if groups.iter().all(Vec::is_empty) { Err(self.gone.clone()) } else { Ok(groups) }
    }
}

/// The fields that hold ids.
const FILE: &str = "file_id";
const CONTAINER: &str = "container";
const THREAD: &str = "thread";

/// Ids that a request may name.
const MOST: usize = 1000;

/// Who holds what a request names by ids that a provider gave out; `None` if it names nothing that is known here. Fails with
/// 404 for what is somebody else's: one account at a provider serves all callers.
pub async fn named(
    app: &App,
    caller: &Caller,
    inbound: ProtocolId,
    members: &Members<'_>,
    body: &[u8],
) -> Result<Option<Held>, ApiError> {
    let ids = ids(inbound, members, body);
    if ids.is_empty() {
        return Ok(None);
    }
    if ids.len() > MOST {
        let message = format!("the request names more than {MOST} files");
        return Err(ApiError::new(ErrorKind::InvalidRequest, message));
    }
    let error = |kind, field: &str, message| ApiError { param: Some(field.to_owned()), ..ApiError::new(kind, message) };
    let mut held: Option<Held> = None;
    let names: Vec<String> = ids.keys().cloned().collect();
    for ((id, field), found) in ids.iter().zip(whereabouts::find_all(app, &owner(caller), &names).await?) {
        let by = match found {
            Found::At(place) => Holder::At(place),
            Found::Nowhere => continue,
            Found::SomebodyElses => return Err(error(ErrorKind::NotFound, field, format!("there is no `{id}`"))),
        };
        if held.as_ref().is_some_and(|held| held.by != by) {
            let message = format!("`{id}` is not where the other things are that the request names");
            return Err(error(ErrorKind::InvalidRequest, field, message));
        }
        let message = format!("the provider that holds `{id}` does not serve this model, or is switched off");
        held = Some(Held { by, gone: error(ErrorKind::InvalidRequest, field, message) });
    }
    Ok(held)
}

/// The ids of providers' things in a request, and the fields that name them. Only what stands where a protocol has such ids
/// counts: tools have arguments of the same names.
fn ids(inbound: ProtocolId, members: &Members<'_>, body: &[u8]) -> BTreeMap<String, &'static str> {
    let mut ids = BTreeMap::new();
    match inbound {
        ProtocolId::OpenAiChat | ProtocolId::OpenAiResponses => {
            ids.extend(files(members, body).into_iter().map(|id| (id, FILE)));
            let tools = members.get("tools").unwrap_or_default();
            ids.extend(values(tools.as_bytes(), CONTAINER).into_iter().map(|id| (id, CONTAINER)));
        }
        ProtocolId::Anthropic => {
            let files = files(members, body).into_iter().filter(|id| id.starts_with("file_"));
            ids.extend(files.map(|id| (id, FILE)));
            ids.extend(members.get(CONTAINER).and_then(name).map(|id| (id, CONTAINER)));
            ids.extend(members.get(THREAD).and_then(last_message).map(|id| (id, THREAD)));
        }
        _ => {}
    }
    ids
}

fn files(members: &Members<'_>, body: &[u8]) -> Vec<String> {
    if members.mentions(FILE) { values(body, FILE) } else { Vec::new() }
}

/// The last message of a thread that is gone on with.
fn last_message(thread: &str) -> Option<String> {
    Members::read(thread.as_bytes()).ok()?.string("previous_message_id").map(|id| id.into_owned())
}

/// The ids that are the values of this key, at any depth. A quoted key inside of a text has backslashes in it, and so is none.
fn values(json: &[u8], key: &str) -> Vec<String> {
    if json.is_empty() {
        return Vec::new();
    }
    let key = format!("\"{key}\"");
    let rest = |at| json.get(at + key.len()..).unwrap_or_default().trim_ascii_start();
    let found = memmem::find_iter(json, &key).filter_map(|at| rest(at).strip_prefix(b":"));
    let value = |rest| serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>().next()?.ok();
    found.filter_map(value).filter_map(|value| name(value.get())).collect()
}

/// An id, by itself or as an object's.
fn name(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok(),
        b'{' => Members::read(json.as_bytes()).ok()?.string("id").map(|id| id.into_owned()),
        _ => None,
    }
    .filter(|id: &String| !id.is_empty())
}

/// Notes where what an answer of Anthropic's makes is kept, as far as the request lets something be made: a container and the
/// files in it, a thread. An answer that was translated has made nothing.
pub async fn note(
    app: &Arc<App>,
    caller: &Caller,
    inbound: ProtocolId,
    members: &Members<'_>,
    response: Response<Body>,
) -> Response<Body> {
    let thread = members.get(THREAD).is_some_and(|thread| thread != "null");
    let runs_code = members.get("tools").is_some_and(|tools| tools.contains("\"code_execution"));
    match response.extensions().get::<Origin>() {
        Some(origin)
            if inbound == ProtocolId::Anthropic
                && !origin.translated
                && (thread || runs_code || members.contains(CONTAINER)) =>
        {
            let note = Note { app: app.clone(), owner: owner(caller), place: origin.place.clone(), thread };
            watch::watch(response, note).await
        }
        _ => response,
    }
}

struct Note {
    app: Arc<App>,
    owner: String,
    place: Place,
    /// Messages can be gone on from.
    thread: bool,
}

impl Note {
    fn made(&self, json: &str, message: Option<&str>) {
        let mut ids = [values(json.as_bytes(), CONTAINER), values(json.as_bytes(), FILE)].concat();
        ids.extend(message.filter(|_| self.thread).and_then(name));
        whereabouts::note(&self.app, &self.owner, ids, &self.place);
    }
}

impl Reader for Note {
    async fn whole(&mut self, answer: &str) {
        self.made(answer, Some(answer));
    }

    async fn event(&mut self, event: &Frame) -> bool {
        if let Some(data) = event.data.as_deref().and_then(|data| std::str::from_utf8(data).ok()) {
            let start = event.event.as_deref() == Some(b"message_start");
            let members = Members::read(data.as_bytes()).ok().filter(|_| start);
            self.made(data, members.as_ref().and_then(|members| members.get("message")));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(inbound: ProtocolId, body: &str) -> Vec<String> {
        ids(inbound, &Members::read(body.as_bytes()).unwrap(), body.as_bytes()).into_keys().collect()
    }

    #[test]
    fn ids_are_found_where_a_protocol_has_them() {
        let openai = r#"{"input":[{"content":[{"type":"input_file","file_id" : "file-1"},{"file_id":null}]}],
            "tools":[{"type":"code_interpreter","container":"cntr_1"},{"container":{"type":"auto"}}],
            "container":"no"}"#;
        assert_eq!(named(ProtocolId::OpenAiResponses, openai), ["cntr_1", "file-1"]);
        let anthropic = r#"{"container":{"skills":[],"id":"container_1"},
            "thread":{"type":"continue","previous_message_id":"msg_1"},
            "messages":[{"content":[{"source":{"type":"file","file_id":"file_1"}},{"input":{"file_id":"mine"}}]}]}"#;
        assert_eq!(named(ProtocolId::Anthropic, anthropic), ["container_1", "file_1", "msg_1"]);
        assert_eq!(named(ProtocolId::Anthropic, r#"{"container":"container_2"}"#), ["container_2"]);
        assert_eq!(named(ProtocolId::Gemini, anthropic), [""; 0]);
    }

    #[test]
    fn what_a_text_says_is_no_id() {
        let text = r#"{"messages":[{"content":"send {\"file_id\":\"file-1\"}"},{"content":"\"file_id\": \"x\""}]}"#;
        assert_eq!(named(ProtocolId::OpenAiChat, text), [""; 0]);
        assert_eq!(values(br#"{"file_id"}"#, "file_id"), [""; 0]);
        assert_eq!(values(br#"{"file_id":"#, "file_id"), [""; 0]);
        assert_eq!(values(br#"{"file_id":"cut"#, "file_id"), [""; 0]);
    }
}
