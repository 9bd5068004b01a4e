//! Answers that are given again: which requests may be answered so, and how an answer is kept on its way to its client.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream, to_bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Response, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use llm_protocol::{
    Inbound, ProtocolId,
    ir::{ApiError, ErrorKind},
    splice::Members,
};
use memchr::memmem;

use super::{Call, Origin, asked::Asked, attempt::content_type, record::Record, whereabouts::Place};
use crate::{
    app::App,
    cache::{self, Asking, Directives, Entry, Head, Ingredients, Key},
    catalog::Caller,
    clock,
    fidelity::Fidelity,
    routing::Groups,
    upstream::late,
};

/// Says whether an answer was kept or is new.
const CACHE: HeaderName = HeaderName::from_static("x-orchestrator-cache");

/// What is kept of an answer's headers: what is true of the answer, whenever it is given.
const KEPT: [&str; 7] = [
    "content-type",
    "cache-control",
    "x-accel-buffering",
    "x-orchestrator-provider",
    "x-orchestrator-model",
    "x-orchestrator-dropped",
    "x-orchestrator-approximated",
];

/// A request, as far as its answer depends on it.
pub struct Question<'a> {
    pub inbound: &'static dyn Inbound,
    /// What is asked for, where the protocol does not tell.
    pub operation: &'static str,
    pub asked: &'a Asked,
    pub members: &'a Members<'a>,
    pub caller: &'a Caller,
    /// All who may answer.
    pub groups: &'a Groups,
    pub fidelity: Fidelity,
    pub forwarded: &'a HeaderMap,
    /// As in [`Call::array`].
    pub array: bool,
}

/// What came of a look into the cache.
pub enum Look {
    /// It is answered.
    Known(Response<Body>),
    Unknown(Keeping),
}

/// What is to be done with the answer of a provider.
#[derive(Default)]
pub struct Keeping {
    asking: Option<Box<Asking>>,
    /// What the client is told of the cache.
    told: Option<&'static str>,
}

/// Whether an answer to this call depends on nothing but what its body says.
pub fn is_whole(call: &Call, members: &Members<'_>, body: &[u8]) -> bool {
    let has = |name: &str| members.get(name).is_some();
    let kept = match call.inbound.id() {
        // Of OpenAI's newer protocol an answer is kept at the provider unless the client says otherwise.
        ProtocolId::OpenAiResponses => {
            members.get("store") != Some("false")
                || members.get("background") == Some("true")
                || ["previous_response_id", "conversation", "prompt"].into_iter().any(has)
        }
        ProtocolId::OpenAiChat => members.get("store") == Some("true"),
        ProtocolId::Anthropic => ["container", "thread", "mcp_servers"].into_iter().any(has),
        ProtocolId::Gemini | ProtocolId::BedrockConverse => ["cachedContent", "cached_content"].into_iter().any(has),
    };
    let acts = members.get("tools").is_some_and(|tools| ACTING.iter().any(|tool| tools.contains(tool)));
    let files = FILES.iter().any(|field| memmem::find(body, field.as_bytes()).is_some());
    // Of a stream of several candidates nobody here knows how each of them ended.
    let several =
        call.stream.unwrap_or(members.get("stream") == Some("true")) && members.get("n").is_some_and(|n| n != "1");
    !kept && !acts && !files && !several && call.held.is_none() && call.echo.is_empty()
}

/// Begin tools that a provider runs and that may change something.
const ACTING: [&str; 4] = ["\"code_interpreter\"", "\"code_execution", "\"mcp", "\"shell\""];

/// Fields that name a file at a provider. Inside of a text such a key has backslashes in it.
const FILES: [&str; 3] = ["\"file_id\"", "\"fileUri\"", "\"file_uri\""];

impl Question<'_> {
    /// What its answer is kept under; `None` where its body says something that is no text.
    fn key(&self) -> Option<Key> {
        let mut parts =
            Ingredients::with_capacity(self.members.keys().map(|key| self.raw(key).len() + key.len()).sum());
        parts.subject(self.caller.subject).text(self.inbound.id().as_str()).text(self.operation);
        parts.text(&self.asked.wish.model).flag(self.asked.stream).flag(self.array).text(self.fidelity.as_str());
        parts.text(self.asked.wish.provider.as_deref().unwrap_or_default());
        // Who may answer: where that is changed, answers of before are not given any more.
        for group in self.groups {
            parts.text("then");
            let mut targets: Vec<_> = group.iter().map(|target| (target.provider.id, target.model.as_str())).collect();
            targets.sort_unstable();
            for (id, model) in targets {
                parts.bytes(&id.to_le_bytes()).text(model);
            }
        }
        parts.text("headers");
        for (name, value) in self.forwarded {
            parts.text(name.as_str()).bytes(value.as_bytes());
        }
        parts.text("body");
        let mut keys: Vec<&str> = self.members.keys().filter(|key| !self.is_own(key)).collect();
        keys.sort_unstable();
        for key in keys.into_iter().filter(|key| self.members.get(key).is_some()) {
            parts.text(key).json(self.raw(key))?;
        }
        let model = self.asked.wish.model.clone();
        Some(Key { digest: parts.digest(), key_id: self.caller.key_id, model })
    }

    fn raw(&self, key: &str) -> &str {
        self.members.get(key).unwrap_or_default()
    }

    /// Fields that say how providers are to be asked and not what, and one that is known otherwise.
    fn is_own(&self, key: &str) -> bool {
        key == "stream" || self.asked.removes(key)
    }

    /// Whether it leaves nothing to chance.
    fn is_certain(&self) -> bool {
        let within = |name: &str| Members::read(self.members.get(name)?.as_bytes()).ok()?.get("temperature");
        let temperature = self.members.get("temperature");
        let temperature = temperature.or_else(|| within("generationConfig")).or_else(|| within("generation_config"));
        temperature.and_then(|number| number.parse::<f64>().ok()) == Some(0.0)
    }
}

/// Looks for an answer, or waits for one that is under way. Does nothing where the cache is off for the caller, or `may_be_kept` says no.
pub async fn look(
    app: &App,
    question: &Question<'_>,
    may_be_kept: impl FnOnce() -> bool,
    headers: &HeaderMap,
    record: &mut Record,
) -> Result<Look, ApiError> {
    let unknown = Ok(Look::Unknown(Keeping::default()));
    let cache = &app.cache;
    if !cache.is_on(question.caller.cache) {
        return unknown;
    }
    let wishes = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let wishes = Directives::read(wishes);
    let config = cache.config();
    let certain = config.sampled || !question.operation.is_empty() || question.is_certain();
    if !certain || !cache::is_kept(config, &question.asked.wish.model) || !may_be_kept() {
        return if wishes.only_if_cached { Err(absent()) } else { unknown };
    }
    if wishes.no_store {
        record.looked("bypass");
        return Ok(Look::Unknown(Keeping { asking: None, told: Some("bypass") }));
    }
    let Some(key) = question.key() else { return unknown };
    let most = app.config.routing.max_timeout;
    let deadline = record.began() + question.asked.timeout.map_or(most, |timeout| timeout.min(most));
    match cache.turn(key, wishes, deadline).await {
        cache::Turn::Known(entry) => Ok(Look::Known(again(entry, record))),
        cache::Turn::Absent => Err(absent()),
        cache::Turn::Late => Err(late()),
        cache::Turn::Ask(asking) => {
            record.looked("miss");
            record.tells(asking.account());
            Ok(Look::Unknown(Keeping { asking: Some(asking), told: Some("miss") }))
        }
    }
}

fn absent() -> ApiError {
    let message = "there is no kept answer, and the request's Cache-Control wants no other";
    ApiError { reason: Some("not_cached"), ..ApiError::new(ErrorKind::Timeout, message) }
}

/// A kept answer, for another request.
fn again(entry: Arc<Entry>, record: &mut Record) -> Response<Body> {
    record.answered_again(entry.head.cost);
    let age = entry.age(clock::now_micros()).as_secs();
    let mut headers = HeaderMap::with_capacity(12);
    for (name, value) in &entry.head.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    headers.insert(HeaderName::from_static("x-orchestrator-attempts"), 0.into());
    headers.insert(CACHE, HeaderValue::from_static("hit"));
    headers.insert(header::AGE, age.into());
    let origin = entry.head.origin.clone();
    let body = if entry.head.stream {
        record.first_content();
        replay(entry, record.hand_over())
    } else {
        record.succeed();
        Body::from(entry.body.clone())
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    if let Some((provider, key, translated)) = origin {
        let place = Place { provider, key: key.map(Arc::from) };
        response.extensions_mut().insert(Origin { place, translated });
    }
    response
}

/// Bytes that a stream that is given again is sent in at a time, where its events are not longer.
const PIECE: usize = 16 << 10;

/// A kept stream: whole events at a time, as fast as the client takes them.
fn replay(entry: Arc<Entry>, record: Record) -> Body {
    let rest = entry.body.clone();
    Body::from_stream(stream::unfold((rest, record), |(mut rest, mut record)| async move {
        if rest.is_empty() {
            record.succeed();
            return None;
        }
        let piece = rest.split_to(events_within(&rest, PIECE));
        Some((Ok::<_, std::convert::Infallible>(piece), (rest, record)))
    }))
}

/// How many bytes of whole events are among the first `most`; all of those, where they are the middle of one.
fn events_within(stream: &[u8], most: usize) -> usize {
    if stream.len() <= most {
        return stream.len();
    }
    memmem::rfind(&stream[..most], b"\n\n").map_or(most, |end| end + 2)
}

impl Keeping {
    /// The same answer, which is kept once its client has it to the end, if it is to be.
    pub async fn of(self, app: &Arc<App>, mut response: Response<Body>) -> Response<Body> {
        if let Some(told) = self.told {
            response.headers_mut().insert(CACHE, HeaderValue::from_static(told));
        }
        let Some(asking) = self.asking else { return response };
        let head = head(&response);
        let body = std::mem::take(response.body_mut());
        let taking = Taking { app: app.clone(), asking: Some(asking), head, taken: BytesMut::new() };
        *response.body_mut() =
            if taking.head.stream { taking.stream(body.into_data_stream()) } else { taking.whole(body).await };
        response
    }
}

fn head(response: &Response<Body>) -> Head {
    let value = |name: &str| Some((name.to_owned(), response.headers().get(name)?.to_str().ok()?.to_owned()));
    let array = response.headers().contains_key("x-accel-buffering");
    Head {
        headers: KEPT.into_iter().filter_map(value).collect(),
        origin: response
            .extensions()
            .get::<Origin>()
            .map(|Origin { place, translated }| (place.provider, place.key.as_deref().map(str::to_owned), *translated)),
        stream: array || content_type(response.headers()).starts_with("text/event-stream"),
        ttl: Duration::ZERO,
        given_at: 0,
        cost: None,
    }
}

/// An answer that is being taken down on its way.
struct Taking {
    app: Arc<App>,
    /// `None` once it is kept, or will not be.
    asking: Option<Box<Asking>>,
    head: Head,
    taken: BytesMut,
}

impl Taking {
    async fn whole(mut self, body: Body) -> Body {
        // It is in memory already.
        let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
        self.take(&bytes);
        Body::from(bytes)
    }

    fn stream(self, body: BodyDataStream) -> Body {
        Body::from_stream(stream::unfold((self, body), |(mut taking, mut body)| async move {
            let piece = body.next().await?;
            if let Ok(piece) = &piece {
                taking.take(piece);
            }
            Some((piece, (taking, body)))
        }))
    }

    /// Takes down a piece. The one with which the request has ended well is the last.
    fn take(&mut self, piece: &Bytes) {
        let Some(asking) = self.asking.take() else { return };
        if self.taken.len() + piece.len() > asking.room() {
            self.taken = BytesMut::new();
            return asking.give_up();
        }
        self.taken.extend_from_slice(piece);
        if asking.has_ended() {
            let (head, body) = (std::mem::take(&mut self.head), std::mem::take(&mut self.taken).freeze());
            asking.keep(&self.app.tasks, Entry { head, body });
        } else {
            self.asking = Some(asking);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_given_again_in_whole_events_as_far_as_they_fit() {
        let stream = b"data: 1\n\ndata: 22\n\ndata: 333\n\n";
        assert_eq!(events_within(stream, 100), stream.len());
        assert_eq!(events_within(stream, 20), 19);
        assert_eq!(events_within(stream, 12), 9);
        assert_eq!(events_within(stream, 5), 5);
    }
}
