//! Which paths clients call, and what every call goes through before it is handled.

mod chat;
mod models;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    http::{HeaderMap, Response, header},
};
use llm_protocol::{
    Inbound,
    ir::{ApiError, ErrorKind},
};
use utoipa_axum::router::OpenApiRouter;

use super::{Call, auth, handle, record::Record, tell_attempts};

use crate::{
    app::App,
    clock,
    http::{body::read_body, error::respond, middleware::RequestId},
    store::LogRow,
};

/// The data plane's routes. Those without `/v1` are for clients that add nothing to their base URL.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().merge(chat::router()).merge(models::router())
}

/// What every generating call goes through: a record is begun, the caller is identified, the body is read.
pub(super) async fn call(app: &Arc<App>, call: Call, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let request_id = parts.extensions.get::<RequestId>().cloned().unwrap_or_default();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let row = LogRow {
        request_id: request_id.to_string(),
        created_at: clock::now_micros(),
        endpoint: parts.uri.path().to_owned(),
        method: parts.method.to_string(),
        protocol: Some(call.inbound.id().as_str().to_owned()),
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
        handle(app, &call, &caller, &parts.headers, body, &mut record).await
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
