//! Which paths clients call, and what every call goes through before it is handled.

mod chat;
mod gemini;
mod hello;
mod messages;
mod models;
mod operations;
mod responses;
mod stored;

use std::{net::IpAddr, pin::pin, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, Request, rejection::PathRejection},
    http::{HeaderMap, Method, Response, header, request::Parts},
};
use llm_protocol::{
    Inbound,
    anthropic::Anthropic,
    ir::{ApiError, ErrorKind},
    json::Json,
    openai_chat::OpenAiChat,
};
use utoipa_axum::router::OpenApiRouter;

use super::{
    Arrival, Call, TRACEPARENT, Work,
    admission::{self, Refused},
    auth, count,
    record::Record,
    tell_attempts,
    together::others_first,
    transcript::Transcript,
};
use crate::{
    app::App,
    catalog::{Caller, Endpoint},
    clock,
    http::{
        body::read_into,
        error::{Failure, respond},
        middleware::RequestId,
    },
    limits::Class,
    store::LogRow,
};

/// The data plane's routes. Those without `/v1` are for clients that add nothing to their base URL.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(chat::router())
        .merge(gemini::router())
        .merge(hello::router())
        .merge(messages::router())
        .merge(models::router())
        .merge(operations::router())
        .merge(responses::router())
        .merge(stored::router())
}

/// What is called by most requests by far. The router knows it too; asking that takes longer than all else that is done for
/// a request before it is read.
pub fn direct(request: &Request) -> Option<Call> {
    let call = match request.uri().path() {
        "/v1/chat/completions" => Call::of(&OpenAiChat),
        "/v1/messages" => Call::of(&Anthropic),
        _ => return None,
    };
    (request.method() == Method::POST).then_some(call)
}

/// Answers a generating call.
pub async fn generate(app: &Arc<App>, call: Call, request: Request) -> Response<Body> {
    self::call(app, call, request).await
}

/// What stands before a path of OpenAI's API besides `/v1`: nothing, and what Azure's newer clients put there.
const PREFIXES: [&str; 2] = ["", "/openai/v1"];

/// The same where the path names the model: OpenAI's oldest clients, and Azure's classic ones.
const WITH_MODEL: [&str; 3] = ["/engines/{model}", "/v1/engines/{model}", "/openai/deployments/{model}"];

/// What stands in a path where its one variable is.
fn segment(path: Result<Path<String>, PathRejection>) -> Result<String, Failure> {
    let not_text = |_| ApiError::new(ErrorKind::InvalidRequest, "the path of this request must be UTF-8");
    path.map(|Path(text)| text).map_err(|rejection| not_text(rejection).into())
}

/// A call that asks for a number of tokens; `tell` is the body that tells it.
pub(super) async fn count(app: &Arc<App>, call: Call, request: Request, tell: fn(u64) -> Json) -> Response<Body> {
    self::call(app, Counting { call, tell }, request).await
}

struct Counting {
    call: Call,
    tell: fn(u64) -> Json,
}

impl Work for Counting {
    fn endpoint(&self) -> Endpoint {
        self.call.endpoint()
    }

    fn inbound(&self) -> &'static dyn Inbound {
        self.call.inbound
    }

    fn class(&self) -> Class {
        Class::Lookup
    }

    async fn run(self, app: &Arc<App>, arrival: Arrival, record: &mut Record) -> Result<Response<Body>, ApiError> {
        let Arrival { caller, headers, body, .. } = arrival;
        let counted = count::count(app, &self.call, &caller, &headers, body, record).await?;
        let body = (self.tell)(counted.tokens).to_string();
        Ok(counted.into_response(body))
    }
}

/// What every call goes through: a record is begun, the caller is identified, the body is read, the limits are asked.
pub(in crate::gateway) async fn call(app: &Arc<App>, work: impl Work, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let (inbound, endpoint) = (work.inbound(), work.endpoint());
    let request_id = parts.extensions.get::<RequestId>().cloned().unwrap_or_default();
    let address = auth::address(app, &parts);
    let row = LogRow {
        created_at: clock::now_micros(),
        endpoint: parts.uri.path().into(),
        method: parts.method.as_str().into(),
        protocol: Some(inbound.id().as_str().into()),
        ip_address: address.map(|ip| ip.to_string().into()),
        user_agent: text(&parts.headers, header::USER_AGENT).map(|agent| agent.get(..300).unwrap_or(agent).into()),
        ..LogRow::default()
    };
    let mut record = Record::begin(app.clone(), &request_id, row, &parts.headers);
    let traceparent = record.traceparent();
    let mut transcript = None;
    let answering = async {
        let caller = identify(app, &parts, address).await?;
        record.called_by(&caller);
        caller.permit(endpoint, address)?;
        let server = &app.config.server;
        let (limit, time) = (server.max_body_bytes, server.body_timeout);
        let body = read_into(&app.bodies, &parts.headers, body, limit, time).await?;
        transcript = Transcript::begin(app, &caller, &body).inspect(|transcript| record.taken_down(transcript));
        let admission = admission::admit(app, &caller, address, work.class(), || work.estimate(app, &body)).await?;
        let standing = admission.standing();
        record.admitted(admission);
        let arrival = Arrival { caller, method: parts.method, uri: parts.uri, headers: parts.headers, body };
        match work.run(app, arrival, &mut record).await {
            Ok(response) => Ok((response, standing)),
            Err(error) => Err(Box::new(Refused { error, standing })),
        }
    };
    let answer = {
        // By reference: given away it would be there twice, as an argument and as what is waited for.
        let answering = pin!(answering);
        app.last_call.run_until_cancelled(answering).await.unwrap_or_else(|| Err(stopping().into()))
    };
    let (mut response, standing) = match answer {
        Ok(answered) => answered,
        Err(refused) => (refuse(inbound, &refused.error, &request_id, &mut record), refused.standing),
    };
    admission::tell(&standing, inbound.id(), response.headers_mut());
    // Whoever keeps answers on the way does not know whose they are.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(header::HeaderValue::from_static("no-store"));
    if let Some(traceparent) = traceparent {
        response.headers_mut().insert(TRACEPARENT, traceparent);
    }
    others_first(app).await;
    match transcript {
        Some(transcript) => transcript.of(response),
        None => response,
    }
}

/// The caller behind a request's key. Who has none is counted by address, so that nobody tries keys for long.
async fn identify(app: &App, parts: &Parts, address: Option<IpAddr>) -> Result<Arc<Caller>, Box<Refused>> {
    match auth::identify(app, parts, address) {
        Ok(caller) => Ok(caller),
        Err(error) => {
            admission::admit_stranger(app, address).await?;
            Err(error.into())
        }
    }
}

/// Why a request ended that was still running when the gateway had to.
pub(in crate::gateway) fn stopping() -> ApiError {
    ApiError { reason: Some("stopping"), ..ApiError::new(ErrorKind::Unavailable, "the gateway is stopping") }
}

fn refuse(inbound: &dyn Inbound, error: &ApiError, request_id: &RequestId, record: &mut Record) -> Response<Body> {
    let mut response = respond(inbound, error, request_id);
    let several = record.asked_several();
    if let Some((provider, model)) = record.asked_last() {
        let headers = response.headers_mut();
        tell_attempts(headers, provider, model, record.attempts());
        // The official SDKs would repeat what was repeated here already, or what waiting does not help.
        let vain = several || error.kind == ErrorKind::QuotaExceeded;
        if error.status() >= 500 || (error.status() == 429 && vain) {
            headers.insert("x-should-retry", header::HeaderValue::from_static("false"));
        }
    }
    record.fail(error);
    response
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
