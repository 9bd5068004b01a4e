//! Operations beside the generating ones, OpenAI's and Google's for embeddings: routed, metered and passed on, with the failover that chat has.

mod exchange;
mod passing;
mod payload;
mod stored;

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Response, header},
};
use bytes::Bytes;
use llm_protocol::{
    Inbound,
    gemini::Gemini,
    ir::{ApiError, Malformed},
    openai_chat::OpenAiChat,
    operations::{Filter, embeddings},
    splice::Members,
};

pub use self::stored::{Noun, Stored};
use self::{
    exchange::{Answer, Request},
    passing::Passing,
    payload::Payload,
};
use super::{
    Arrival, Work, admission,
    asked::Asked,
    asks_for_usage, auth,
    cached::{self, Keeping, Look, Question},
    deadlines,
    drive::{Patience, Won, drive},
    plan,
    record::{Manners, Record},
    relay::{Relay, Writer},
    served_headers, stream_headers, told,
};
use crate::{app::App, catalog::Endpoint, fidelity::Fidelity, health::Outcome, limits::Estimate};

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// Below a base URL, or what follows the model in a path that names it.
    path: &'static str,
    endpoint: Endpoint,
    expects: Expects,
    /// The model that is meant where the client names none.
    default_model: Option<&'static str>,
}

/// What sort of answer an operation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    /// JSON, or events whose usage has to be asked for.
    Completions,
    /// JSON that other protocols can give too.
    Embeddings(embeddings::Call),
    Json,
    /// Sound, text or JSON, by what the client asked for.
    Media,
    /// A file of any kind.
    File,
}

const fn operation(path: &'static str, endpoint: Endpoint, expects: Expects) -> Operation {
    Operation { path, endpoint, expects, default_model: None }
}

const fn embeds(path: &'static str, call: embeddings::Call) -> Operation {
    operation(path, Endpoint::Embeddings, Expects::Embeddings(call))
}

pub static COMPLETIONS: Operation = operation("/completions", Endpoint::Completions, Expects::Completions);
pub static EMBEDDINGS: Operation = embeds("/embeddings", embeddings::Call::OpenAi);
pub static EMBED_CONTENT: Operation = embeds(":embedContent", embeddings::Call::Gemini);
pub static BATCH_EMBED_CONTENTS: Operation = embeds(":batchEmbedContents", embeddings::Call::GeminiBatch);
pub static IMAGES: Operation = operation("/images/generations", Endpoint::Images, Expects::Json);
pub static IMAGE_EDITS: Operation = operation("/images/edits", Endpoint::Images, Expects::Json);
pub static SPEECH: Operation = operation("/audio/speech", Endpoint::Audio, Expects::Media);
pub static TRANSCRIPTIONS: Operation = operation("/audio/transcriptions", Endpoint::Audio, Expects::Media);
pub static TRANSLATIONS: Operation = operation("/audio/translations", Endpoint::Audio, Expects::Media);
pub static MODERATIONS: Operation = Operation {
    default_model: Some("omni-moderation-latest"),
    ..operation("/moderations", Endpoint::Moderations, Expects::Json)
};
pub static RERANK: Operation = operation("/rerank", Endpoint::Rerank, Expects::Json);

/// All of OpenAI's that name a model.
pub static ALL: [&Operation; 9] =
    [&COMPLETIONS, &EMBEDDINGS, &IMAGES, &IMAGE_EDITS, &SPEECH, &TRANSCRIPTIONS, &TRANSLATIONS, &MODERATIONS, &RERANK];

impl Operation {
    pub fn path(&self) -> &'static str {
        self.path
    }

    fn inbound(&self) -> &'static dyn Inbound {
        match self.expects {
            Expects::Embeddings(call) if call.is_googles() => &Gemini,
            _ => &OpenAiChat,
        }
    }
}

/// A call of an operation.
pub struct Call {
    pub operation: &'static Operation,
    /// The model, where the path names it.
    pub model: Option<String>,
}

impl Work for Call {
    fn endpoint(&self) -> Endpoint {
        self.operation.endpoint
    }

    fn inbound(&self) -> &'static dyn Inbound {
        self.operation.inbound()
    }

    /// What is said counts; what is heard or shown is known when it is done.
    fn estimate(&self, _app: &App, body: &Bytes) -> Estimate {
        Estimate { prompt: admission::estimate_of_text(body), answer: 0 }
    }

    async fn run(self, app: &Arc<App>, arrival: Arrival, record: &mut Record) -> Result<Response<Body>, ApiError> {
        let payload = Payload::read(&arrival.headers, &arrival.body)?;
        payload.required()?;
        let (asked, include_usage) = payload.read_own(|members| self.read(members, &arrival.headers))?;
        record.asked(&asked.wish.model, asked.stream, Manners { include_usage, ..Manners::default() });
        let (catalog, caller) = (app.catalog(), &arrival.caller);
        auth::allow(&catalog, caller, &asked.wish.model)?;
        let groups = auth::candidates(&catalog, caller, &asked.wish)?;
        let fidelity = Fidelity::in_force(asked.fidelity, caller.fidelity, app.config.routing.fidelity);
        let keeping = match (&payload, self.operation.expects) {
            (Payload::Json(members), Expects::Embeddings(_)) => {
                let question = Question {
                    inbound: self.inbound(),
                    operation: self.operation.path,
                    asked: &asked,
                    members,
                    caller,
                    groups: &groups,
                    fidelity,
                    forwarded: &HeaderMap::new(),
                    array: false,
                };
                match cached::look(app, &question, || true, &arrival.headers, record).await? {
                    Look::Known(response) => return Ok(response),
                    Look::Unknown(keeping) => keeping,
                }
            }
            _ => Keeping::default(),
        };
        let plan = plan::plan(app, groups, 0, asked.stream);
        let mut request = Request {
            method: Method::POST,
            path: self.operation.path,
            query: None,
            expects: self.operation.expects,
            asked: &asked,
            payload: &payload,
            content_type: arrival.headers.get(header::CONTENT_TYPE).cloned(),
            body: &arrival.body,
            fidelity,
        };
        // Sound is a stream too.
        let stream = asked.stream || self.operation.expects == Expects::Media;
        let won = drive(app, Patience { stream, ..asked.patience() }, plan, &mut request, record).await?;
        Ok(keeping.of(app, answer(app, &asked, won, record)).await)
    }
}

impl Call {
    /// What is asked, and whether for the count of a stream's tokens too.
    fn read(&self, members: &Members<'_>, headers: &HeaderMap) -> Result<(Asked, bool), Malformed> {
        let default = self.operation.default_model.filter(|_| members.get("model").is_none());
        let model = self.model.clone().or(default.map(str::to_owned));
        let asked = Asked::read(&super::Call { model, ..super::Call::of(self.inbound()) }, members, headers)?;
        Ok((asked, members.get("stream_options").is_some_and(asks_for_usage)))
    }
}

/// The client's answer.
fn answer(app: &App, asked: &Asked, won: Won<Request<'_>>, record: &mut Record) -> Response<Body> {
    let Won { target, prepared, reply, permit, deadline } = won;
    let mut headers = served_headers(&target, record.attempts(), &prepared.losses);
    told::pass_on(&reply.headers, reply.same_protocol, &mut headers);
    record.lost(&prepared.losses);
    let body = match reply.answer {
        Answer::Whole { body, usage } => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(usage) = usage {
                record.used(usage);
            }
            permit.settle(&Outcome::Success { latency: record.elapsed() });
            record.succeed();
            Body::from(body)
        }
        Answer::Events(upstream) => {
            stream_headers("text/event-stream", &mut headers);
            record.first_content();
            let envelope = record.envelope();
            let deadlines = deadlines(app, asked, deadline, OpenAiChat.keep_alive(&envelope));
            let writer = Writer::Same(Box::new(Filter::new(envelope.include_usage)));
            Relay::new(*upstream, writer, deadlines, target.provider, permit, record.hand_over()).into_body()
        }
        Answer::Bytes { first, rest } => {
            for name in [header::CONTENT_TYPE, header::CONTENT_DISPOSITION] {
                if let Some(value) = reply.headers.get(&name) {
                    headers.insert(name, value.clone());
                }
            }
            record.first_content();
            let deadlines = deadlines(app, asked, deadline, b"");
            Passing::new(first, rest, deadlines, permit, record.hand_over()).into_body()
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = headers;
    response
}
