//! An operation at one target: the client's bytes under the target's name for the model, and the answer as far as it has to be
//! there before it counts.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, response::Parts};
use bytes::Bytes;
use llm_protocol::{
    Outbound, ProtocolId, Target as Aim,
    gemini::Gemini,
    ir::{ApiError, ErrorKind, Losses, Usage},
    models::ModelRules,
    openai_chat::OpenAiChat,
    operations::{
        Decoder,
        embeddings::{self, Embeddings},
        read_answer,
    },
    splice::{Edit, Members},
};
use tokio::time::{Instant, timeout_at};

use super::{Expects, payload::Payload};
use crate::{
    app::App,
    catalog::Provider,
    fidelity::Fidelity,
    gateway::{
        asked::Asked,
        attempt::{self, content_type},
        drive::{Exchange, Until},
        prepare::Unsaid,
        stream::Upstream,
    },
    providers::{Operation, Outgoing},
    routing::Target,
    upstream::{Incoming, Pieces, late, malformed, read_whole},
};

/// One request of an operation.
pub struct Request<'a> {
    pub method: Method,
    /// Below a provider's base URL.
    pub path: &'a str,
    /// Without what is this gateway's own.
    pub query: Option<String>,
    pub expects: Expects,
    pub asked: &'a Asked,
    pub payload: &'a Payload<'a>,
    pub content_type: Option<HeaderValue>,
    pub body: &'a Bytes,
    pub fidelity: Fidelity,
}

/// What is sent to a target, and what has to be known to read its answer.
pub struct Prepared {
    outgoing: Outgoing,
    translated: Option<Translated>,
    pub losses: Losses,
}

/// A request for embeddings that was put into other words.
struct Translated {
    request: Embeddings,
    /// What the client asked, and what the provider was asked.
    from: embeddings::Call,
    to: embeddings::Call,
}

/// What came of an attempt that did not fail.
pub struct Reply {
    pub answer: Answer,
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Whether its bytes are the provider's own.
    pub same_protocol: bool,
}

pub enum Answer {
    Whole {
        body: Bytes,
        usage: Option<Usage>,
    },
    /// Events, the first of which has come.
    Events(Box<Upstream>),
    /// Anything else, of which the first piece has come, if there is one.
    Bytes {
        first: Option<Bytes>,
        rest: Box<Pieces>,
    },
}

impl Exchange for Request<'_> {
    type Prepared = Prepared;
    type Reply = Reply;

    fn prepare(&mut self, target: &Target) -> Result<Prepared, Unsaid> {
        let spoken = target.provider.protocols(&target.model);
        let openai = spoken.iter().any(|protocol| is_openai(*protocol));
        let gemini = spoken.contains(&ProtocolId::Gemini);
        match self.expects {
            Expects::Embeddings(asked) if asked.is_googles() && gemini => Ok(self.pass(target, &Gemini)?),
            Expects::Embeddings(asked) if asked.is_googles() && openai => {
                Ok(self.translate(target, asked, embeddings::Call::OpenAi, &OpenAiChat)?)
            }
            Expects::Embeddings(asked) if gemini && !openai => {
                Ok(self.translate(target, asked, embeddings::Call::GeminiBatch, &Gemini)?)
            }
            _ if openai => Ok(self.pass(target, &OpenAiChat)?),
            _ => Err(elsewhere(self.path, &target.provider.name).into()),
        }
    }

    fn headers(prepared: &mut Prepared) -> &mut HeaderMap {
        &mut prepared.outgoing.headers
    }

    async fn send(
        &self,
        app: &App,
        target: &Target,
        prepared: &Prepared,
        Until { answered: deadline, .. }: Until,
    ) -> Result<Reply, ApiError> {
        let sent = attempt::accepted(&app.upstream, target.asked(), &prepared.outgoing, deadline).await?;
        let (Parts { status, headers, .. }, body) = sent;
        let answer = self.read(app, prepared, target, &headers, body, deadline).await?;
        Ok(Reply { answer, status, headers, same_protocol: prepared.translated.is_none() })
    }
}

impl Request<'_> {
    /// `outbound` reads the errors.
    fn pass(&self, target: &Target, outbound: &'static dyn Outbound) -> Result<Prepared, ApiError> {
        let mut edits: Vec<Edit> = self.asked.removals.clone();
        let (mut path, mut model) = (Cow::Borrowed(self.path), &*target.model);
        match (self.expects, self.payload) {
            (Expects::Completions, Payload::Json(members)) => {
                let rules = ModelRules::default();
                edits.extend(OpenAiChat.adapt_request(members, Aim { model, rules: &rules }));
            }
            (Expects::Embeddings(asked), Payload::Json(members)) if asked.is_googles() => {
                edits.extend(asked.rename(members, model));
                (path, model) = (asked.endpoint(model).into(), "");
            }
            _ => {}
        }
        let body = self.payload.rewritten(self.body, model, &edits);
        let call = Operation {
            provider: &target.provider,
            method: self.method.clone(),
            path: &path,
            query: self.query.as_deref(),
            model: Some(&*target.model).filter(|model| !model.is_empty()),
            content_type: self.content_type.clone(),
            body,
        };
        let outgoing = Outgoing::operation(call, outbound)?;
        Ok(Prepared { outgoing, translated: None, losses: Losses::default() })
    }

    fn translate(
        &self,
        target: &Target,
        from: embeddings::Call,
        to: embeddings::Call,
        outbound: &'static dyn Outbound,
    ) -> Result<Prepared, ApiError> {
        let body = self.payload.rewritten(self.body, "", &self.asked.removals);
        let mut losses = Losses::default();
        let request = from.read(&Members::read(&body)?, &mut losses)?;
        self.fidelity.judge(&losses, &target.provider.name)?;
        let call = Operation {
            provider: &target.provider,
            method: Method::POST,
            path: &to.endpoint(&target.model),
            query: None,
            model: Some(&target.model),
            content_type: Some(HeaderValue::from_static("application/json")),
            body: to.write(&request, &target.model).into(),
        };
        let outgoing = Outgoing::operation(call, outbound)?;
        Ok(Prepared { outgoing, translated: Some(Translated { request, from, to }), losses })
    }

    async fn read(
        &self,
        app: &App,
        prepared: &Prepared,
        target: &Target,
        headers: &HeaderMap,
        body: Incoming,
        deadline: Instant,
    ) -> Result<Answer, ApiError> {
        let limits = &app.config.routing;
        let kind = content_type(headers);
        if self.expects == Expects::File {
            return first(Pieces::new(body, headers)?, deadline).await;
        }
        if kind.starts_with("text/event-stream") {
            if !self.asked.stream && self.expects != Expects::Media {
                return Err(malformed("the provider answered with a stream that was not asked for"));
            }
            let decoder = Box::new(Decoder::default());
            let pieces = Pieces::new(body, headers)?;
            let mut upstream = Upstream::new(pieces, prepared.outgoing.framing, decoder, limits.max_event_bytes);
            upstream.hold_until_content(limits.commit_buffer_bytes, deadline).await?;
            return Ok(Answer::Events(Box::new(upstream)));
        }
        let is_text = ["application/json", "text/html"].iter().any(|text| kind.starts_with(text));
        if self.expects == Expects::Media && !is_text {
            return match first(Pieces::new(body, headers)?, deadline).await? {
                Answer::Bytes { first: None, .. } => Err(malformed("the provider's answer is empty")),
                answer => Ok(answer),
            };
        }
        let body = read_whole(body, headers, limits.max_response_bytes, deadline).await?;
        match &prepared.translated {
            None => Ok(Answer::Whole { usage: read_answer(&body)?, body }),
            Some(Translated { request, from, to }) => {
                let (body, usage) = from.answer(*to, request, &body, &target.model)?;
                Ok(Answer::Whole { body: body.into(), usage })
            }
        }
    }
}

/// The first piece of a body, and the rest of it.
async fn first(mut rest: Pieces, deadline: Instant) -> Result<Answer, ApiError> {
    let first = timeout_at(deadline, rest.next()).await.map_err(|_| late())??;
    Ok(Answer::Bytes { first, rest: Box::new(rest) })
}

fn is_openai(protocol: ProtocolId) -> bool {
    matches!(protocol, ProtocolId::OpenAiChat | ProtocolId::OpenAiResponses)
}

/// Whether OpenAI's operations can be asked of a provider, as far as its protocols tell.
pub fn speaks_openai(provider: &Provider) -> bool {
    provider.protocols("").into_iter().any(is_openai)
}

fn elsewhere(path: &str, provider: &str) -> ApiError {
    ApiError::new(
        ErrorKind::InvalidRequest,
        format!("provider `{provider}` speaks no protocol in which it could be asked for `{path}`"),
    )
}
