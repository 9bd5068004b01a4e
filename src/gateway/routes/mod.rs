//! Which paths clients call, and what every call goes through before it is handled.

mod chat;
mod gemini;
mod messages;
mod models;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    http::{HeaderMap, Response, header},
};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use llm_protocol::{
    Inbound,
    ir::{ApiError, ErrorKind},
    json::Json,
};
use utoipa_axum::router::OpenApiRouter;

use super::{Call, auth, count, handle, record::Record, tell_attempts};

use crate::{
    app::App,
    catalog::Caller,
    clock,
    http::{body::read_body, error::respond, middleware::RequestId},
    store::LogRow,
};

/// The data plane's routes. Those without `/v1` are for clients that add nothing to their base URL.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().merge(chat::router()).merge(gemini::router()).merge(messages::router()).merge(models::router())
}

/// A request that has been read, of a caller who may call.
pub(super) struct Visit<'a> {
    pub app: &'a Arc<App>,
    pub call: &'a Call,
    pub caller: &'a Caller,
    pub headers: &'a HeaderMap,
    pub body: Bytes,
    pub record: &'a mut Record,
}

/// What answers a visit.
type Answering<'a> = BoxFuture<'a, Result<Response<Body>, ApiError>>;

/// A call that generates something.
pub(super) async fn call(app: &Arc<App>, call: Call, request: Request) -> Response<Body> {
    attend(app, call, request, |visit| {
        let Visit { app, call, caller, headers, body, record } = visit;
        handle(app, call, caller, headers, body, record).boxed()
    })
    .await
}

/// A call that asks for a number of tokens; `tell` is the body that tells it.
pub(super) async fn count(app: &Arc<App>, call: Call, request: Request, tell: fn(u64) -> Json) -> Response<Body> {
    attend(app, call, request, move |visit| {
        let Visit { app, call, caller, headers, body, record } = visit;
        let counting = async move {
            let counted = count::count(app, call, caller, headers, body, record).await?;
            let body = tell(counted.tokens).to_string();
            Ok(counted.into_response(body))
        };
        counting.boxed()
    })
    .await
}

/// What every call goes through: a record is begun, the caller is identified, the body is read.
async fn attend(
    app: &Arc<App>,
    call: Call,
    request: Request,
    work: impl for<'a> FnOnce(Visit<'a>) -> Answering<'a>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let request_id = parts.extensions.get::<RequestId>().cloned().unwrap_or_default();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let row = LogRow {
        request_id: request_id.to_string(),
        created_at: clock::now_micros(),
        endpoint: parts.uri.path().to_owned(),
        method: parts.method.to_string(),
        ip_address: peer.map(|ip| ip.to_string()),
        user_agent: text(&parts.headers, header::USER_AGENT).map(|agent| agent.chars().take(300).collect()),
        ..LogRow::default()
    };
    let mut record = Record::begin(app.clone(), row);
    let answer = async {
        let caller = auth::caller(app, &parts.headers, parts.uri.query(), peer)?;
        record.called_by(&caller);
        let server = &app.config.server;
        let body = read_body(&parts.headers, body, server.max_body_bytes, server.body_timeout).await?;
        let (headers, record) = (&parts.headers, &mut record);
        work(Visit { app, call: &call, caller: &caller, headers, body, record }).await
    };
    match app.last_call.run_until_cancelled(answer).await.unwrap_or_else(|| Err(stopping())) {
        Ok(response) => response,
        Err(error) => refuse(call.inbound, &error, &request_id, &mut record),
    }
}

/// Why a request ended that was still running when the gateway had to.
pub(in crate::gateway) fn stopping() -> ApiError {
    ApiError { reason: Some("stopping"), ..ApiError::new(ErrorKind::Unavailable, "the gateway is stopping") }
}

fn refuse(inbound: &dyn Inbound, error: &ApiError, request_id: &RequestId, record: &mut Record) -> Response<Body> {
    let mut response = respond(inbound, error, request_id);
    if let Some((provider, model)) = record.asked_last() {
        let headers = response.headers_mut();
        tell_attempts(headers, provider, model, record.attempts());
        // The official SDKs would repeat what was repeated here already.
        if error.status() >= 500 {
            headers.insert("x-should-retry", header::HeaderValue::from_static("false"));
        }
    }
    record.fail(error);
    response
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
