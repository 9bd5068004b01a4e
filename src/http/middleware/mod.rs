//! What every request passes on its way in and its answer on the way out.
//!
//! One function in which each step calls the next. As layers of the router they would box their futures and clone
//! everything inside, each of them for each request.

mod access_log;
mod cors;
mod host;
mod panic;
mod request_id;

use std::{convert::Infallible, sync::Arc};

use axum::{body::Body, extract::Request, http::Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::CorsLayer;

pub use self::request_id::RequestId;
use self::{access_log::AccessLog, request_id::Stamp};
use crate::{config::ServerConfig, http::server::Handler};

/// The whole stack around who answers.
#[derive(Clone)]
pub struct Around<H> {
    inner: H,
    cors: Option<Arc<CorsLayer>>,
}

impl<H: Handler> Around<H> {
    pub fn new(inner: H, config: &ServerConfig) -> Self {
        Self { inner, cors: cors::layer(&config.cors_origins).map(Arc::new) }
    }

    /// Pages of other origins learn of errors too, so this is outside of whatever refuses a request.
    async fn share(&self, request: Request) -> Response<Body> {
        let Some(cors) = &self.cors else { return self.check(request).await };
        let inner = service_fn(|request| async { Ok::<_, Infallible>(self.check(request).await) });
        match cors.layer(inner).oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    async fn check(&self, request: Request) -> Response<Body> {
        match host::refusal(&request) {
            Some(refusal) => refusal,
            // A handler's panic is an answer like any other to everything outside.
            // Boxed, since what an answer needs is large, and a connection that idles needs nothing of it.
            None => panic::caught(Box::pin(self.inner.handle(request))).await,
        }
    }
}

impl<H: Handler> Handler for Around<H> {
    /// Even a refusal has an id and the time it took.
    async fn handle(&self, mut request: Request) -> Response<Body> {
        let stamp = Stamp::put_on(&mut request);
        let access = AccessLog::begin(&request);
        let mut response = self.share(request).await;
        if let Some(access) = access {
            access.write(&response);
        }
        stamp.show(&mut response);
        response
    }
}
