//! The one HTTP client: pooled HTTP/1.1 connections, TLS by rustls, and a deadline on connecting that covers name
//! lookup, TCP and TLS together.

use std::{
    error::Error as _,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::{Request, Response, Uri};
use hyper::{
    body::Incoming,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        self,
        connect::{CaptureConnection, Connected, Connection, HttpConnector, capture_connection},
    },
    rt::{TokioExecutor, TokioTimer},
};
use llm_protocol::ir::{ApiError, ErrorKind};
use tokio::time::Instant;
use tower::Service;

use super::proxy::{ByProxy, Proxy, Route};
use crate::secret::KeyHash;

/// What the client is built with.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Name lookup, TCP and TLS together.
    pub connect_timeout: Duration,
    /// PEM certificates to trust besides the public ones.
    pub extra_roots: Vec<rustls_pki_types::CertificateDer<'static>>,
}

/// Sends requests, straight or through one proxy. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Pool,
    direct: Pool,
    shared: Arc<Shared>,
}

type Pool = legacy::Client<Deadline<HttpsConnector<Route>>, Full<Bytes>>;

/// What all clients have in common: how they connect, and the connections through each proxy.
#[derive(Debug)]
struct Shared {
    plain: HttpConnector,
    tls: Arc<rustls::ClientConfig>,
    connect_timeout: Duration,
    /// By proxy, the one used last at the end.
    proxied: Mutex<Vec<(KeyHash, Pool)>>,
}

/// So many proxies keep their connections; of more, the one that was not used for longest loses its idle ones.
const MOST_PROXIES: usize = 64;

/// An idle connection is not used again after so long. Shorter than servers usually keep theirs, so that a request
/// seldom meets a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(20);

/// A reused connection that breaks within so long was closed before the upstream had read the request.
const AT_ONCE: Duration = Duration::from_secs(1);

impl Client {
    /// Fails if a certificate in `extra_roots` cannot be read.
    pub fn new(config: &ClientConfig) -> Result<Self, rustls::Error> {
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in &config.extra_roots {
            roots.add(certificate.clone())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut plain = HttpConnector::new();
        plain.enforce_http(false);
        plain.set_nodelay(true);
        plain.set_connect_timeout(Some(config.connect_timeout));
        plain.set_keepalive(Some(Duration::from_secs(30)));
        let shared =
            Shared { plain, tls: Arc::new(tls), connect_timeout: config.connect_timeout, proxied: Mutex::default() };
        let direct = shared.pool(Route::Direct(shared.plain.clone()));
        Ok(Self { inner: direct.clone(), direct, shared: Arc::new(shared) })
    }

    /// The client that sends through `proxy`, or straight where there is none.
    pub fn via(&self, proxy: Option<&Proxy>) -> Self {
        let inner = proxy.map_or_else(|| self.direct.clone(), |proxy| self.shared.through(proxy));
        Self { inner, direct: self.direct.clone(), shared: self.shared.clone() }
    }

    /// Sends a request and waits for the head of the answer. The caller sets the deadline of that wait.
    ///
    /// A request on a connection that had idled may meet the moment in which the upstream closes it. If it breaks off at
    /// once and without an answer, it is sent once more: that is no attempt that failed, and says nothing about the upstream.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ApiError> {
        let (again, began) = (request.clone(), Instant::now());
        match self.once(request).await {
            Err((error, true)) if !error.is_connect() && began.elapsed() < AT_ONCE => self.once(again).await,
            other => other,
        }
        .map_err(|(error, _)| failure(&error))
    }

    /// Sends a request; an error comes with whether the connection had carried an answer before.
    async fn once(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, (legacy::Error, bool)> {
        let connection = capture_connection(&mut request);
        let answer = self.inner.request(request).await;
        let used = used(&connection);
        match answer {
            Ok(answer) => {
                used.inspect(|used| used.0.store(true, Ordering::Relaxed));
                Ok(answer)
            }
            Err(error) => Err((error, used.is_some_and(|used| used.0.load(Ordering::Relaxed)))),
        }
    }
}

impl Shared {
    fn pool(&self, route: Route) -> Pool {
        legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(Deadline { inner: self.encrypting(route), limit: self.connect_timeout })
    }

    fn encrypting<C>(&self, connector: C) -> HttpsConnector<C> {
        let tls = rustls::ClientConfig::clone(&self.tls);
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector)
    }

    fn through(&self, proxy: &Proxy) -> Pool {
        let mut proxied = self.proxied.lock().unwrap_or_else(PoisonError::into_inner);
        let known = proxied.iter().position(|(hash, _)| *hash == proxy.hash());
        let entry = match known {
            Some(at) => proxied.remove(at),
            None => {
                let route = Route::through(proxy, self.plain.clone(), self.encrypting(self.plain.clone()));
                (proxy.hash(), self.pool(route))
            }
        };
        if proxied.len() == MOST_PROXIES {
            proxied.remove(0);
        }
        let pool = entry.1.clone();
        proxied.push(entry);
        pool
    }
}

/// Whether the connection that a request went out on had carried an answer before.
fn used(connection: &CaptureConnection) -> Option<Used> {
    let metadata = connection.connection_metadata();
    let mut extras = hyper::http::Extensions::new();
    metadata.as_ref()?.get_extras(&mut extras);
    extras.remove()
}

/// What a request that got no answer means. Neither the address nor the cause's own words reach the client.
fn failure(error: &legacy::Error) -> ApiError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    let (mut tls, mut late, mut proxy) = (false, false, false);
    while let Some(current) = cause {
        tls |= current.is::<rustls::Error>();
        proxy |= current.is::<ByProxy>();
        if let Some(io) = current.downcast_ref::<io::Error>() {
            late |= io.kind() == io::ErrorKind::TimedOut;
            tls |= io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        }
        cause = current.source();
    }
    let (reason, message) = match (error.is_connect(), tls, late) {
        _ if proxy => ("proxy", "the provider's proxy made no connection"),
        (_, true, _) => ("tls", "no secure connection to the provider could be made"),
        (true, _, true) => ("connect_timeout", "the provider did not accept a connection in time"),
        (true, ..) => ("connect", "the provider could not be reached"),
        _ => ("broken", "the provider closed the connection without an answer"),
    };
    ApiError { reason: Some(reason), ..ApiError::new(ErrorKind::Upstream, message) }
}

/// A connector whose whole work has a time limit, and whose connections remember whether they were used.
#[derive(Clone, Debug)]
struct Deadline<C> {
    inner: C,
    limit: Duration,
}

/// Set once a connection has carried an answer.
#[derive(Clone, Debug, Default)]
struct Used(Arc<AtomicBool>);

/// A connection that remembers whether it was used.
#[derive(Debug)]
struct Tracked<S> {
    inner: S,
    used: Used,
}

impl<S: Connection> Connection for Tracked<S> {
    fn connected(&self) -> Connected {
        self.inner.connected().extra(self.used.clone())
    }
}

impl<S: Read + Unpin> Read for Tracked<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: Write + Unpin> Write for Tracked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}

pub(super) type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<C> Service<Uri> for Deadline<C>
where
    C: Service<Uri, Error = BoxError> + Send,
    C::Future: Send + 'static,
{
    type Response = Tracked<C::Response>;
    type Error = BoxError;
    type Future = Connecting<Tracked<C::Response>, BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            tokio::time::timeout(limit, connecting)
                .await
                .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
                .map(|inner| Tracked { inner, used: Used::default() })
        })
    }
}
