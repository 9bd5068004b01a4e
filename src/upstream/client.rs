//! The one HTTP client: pooled HTTP/1.1 connections, TLS by rustls, and a deadline on connecting that covers name
//! lookup, TCP and TLS together.

use std::{
    error::Error,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::{HeaderValue, Request, Response, Uri, header, uri::PathAndQuery};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use llm_protocol::ir::{ApiError, ErrorKind};
use tokio::time::Instant;

use super::{
    lookup::{Lookups, Unknown},
    pool::{Failure, Incoming, Pool},
    proxy::{ByProxy, Proxy, Route},
};
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
    inner: Arc<Pool>,
    shared: Arc<Shared>,
}

/// What all clients have in common: how they connect, and the connections straight out and through each proxy.
#[derive(Debug)]
struct Shared {
    lookups: Lookups,
    plain: HttpConnector<Lookups>,
    tls: Arc<rustls::ClientConfig>,
    connect_timeout: Duration,
    direct: Arc<Pool>,
    /// By proxy, the one used last at the end.
    proxied: Mutex<Vec<(KeyHash, Arc<Pool>)>>,
}

/// So many proxies keep their connections; of more, the one that was not used for longest loses its idle ones.
const MOST_PROXIES: usize = 64;

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
        let lookups = Lookups::default();
        let mut plain = HttpConnector::new_with_resolver(lookups.clone());
        plain.enforce_http(false);
        plain.set_nodelay(true);
        plain.set_connect_timeout(Some(config.connect_timeout));
        plain.set_keepalive(Some(Duration::from_secs(30)));
        let (tls, connect_timeout) = (Arc::new(tls), config.connect_timeout);
        let direct = Pool::new(encrypting(&tls, Route::Direct(plain.clone())), connect_timeout);
        let shared = Shared { lookups, plain, tls, connect_timeout, direct: direct.clone(), proxied: Mutex::default() };
        Ok(Self { inner: direct, shared: Arc::new(shared) })
    }

    /// The client that sends through `proxy`, or straight where there is none.
    pub fn via(&self, proxy: Option<&Proxy>) -> Self {
        let inner = proxy.map_or_else(|| self.shared.direct.clone(), |proxy| self.shared.through(proxy));
        Self { inner, shared: self.shared.clone() }
    }

    /// Sends a request and waits for the head of the answer. The caller sets the deadline of that wait.
    ///
    /// A request on a connection that had idled may meet the moment in which the upstream closes it. If it breaks off at
    /// once and without an answer, it is sent once more: that is no attempt that failed, and says nothing about the upstream.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ApiError> {
        let uri = to_origin(&mut request);
        let (again, began) = (request.clone(), Instant::now());
        match self.inner.send(request, &uri, false).await {
            Err(Failure::Broken { stale: true, .. }) if began.elapsed() < AT_ONCE => {
                self.inner.send(again, &uri, true).await
            }
            other => other,
        }
        .map_err(|failure| told(&failure))
    }
}

impl Shared {
    fn through(&self, proxy: &Proxy) -> Arc<Pool> {
        let mut proxied = self.proxied.lock().unwrap_or_else(PoisonError::into_inner);
        let known = proxied.iter().position(|(hash, _)| *hash == proxy.hash());
        let entry = match known {
            Some(at) => proxied.remove(at),
            None => {
                let tls = encrypting(&self.tls, self.plain.clone());
                let route = Route::through(proxy, self.plain.clone(), tls, &self.lookups);
                (proxy.hash(), Pool::new(encrypting(&self.tls, route), self.connect_timeout))
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

fn encrypting<C>(tls: &Arc<rustls::ClientConfig>, connector: C) -> HttpsConnector<C> {
    let tls = rustls::ClientConfig::clone(tls);
    HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector)
}

/// Puts a request's host where HTTP/1.1 has it, and leaves it the path alone. Gives back where it is to go.
fn to_origin(request: &mut Request<Full<Bytes>>) -> Uri {
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let uri = std::mem::replace(request.uri_mut(), path.into());
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let host = match uri.authority() {
        Some(authority) if uri.port_u16().is_none_or(|port| port == usual) => authority.host(),
        Some(authority) => authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host),
        None => "",
    };
    if let Ok(host) = HeaderValue::from_str(host) {
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
    uri
}

/// What a request that got no answer means. Neither the address nor the cause's own words reach the client.
fn told(failure: &Failure) -> ApiError {
    let (connecting, cause): (_, &(dyn Error + 'static)) = match failure {
        Failure::Connect(error) => (true, &**error),
        Failure::Broken { error, .. } => (false, error),
    };
    let (mut tls, mut late, mut proxy, mut unknown) = (false, false, false, false);
    let mut next = Some(cause);
    while let Some(cause) = next {
        next = cause.source();
        tls |= cause.is::<rustls::Error>();
        proxy |= cause.is::<ByProxy>();
        unknown |= cause.is::<Unknown>();
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            late |= io.kind() == io::ErrorKind::TimedOut;
            tls |= io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        }
    }
    let (reason, message) = match (connecting, tls, late) {
        _ if proxy => ("proxy", "the provider's proxy made no connection"),
        _ if unknown => ("dns", "the provider's name could not be looked up"),
        (_, true, _) => ("tls", "no secure connection to the provider could be made"),
        (true, _, true) => ("connect_timeout", "the provider did not accept a connection in time"),
        (true, ..) => ("connect", "the provider could not be reached"),
        _ => ("broken", "the provider closed the connection without an answer"),
    };
    ApiError { reason: Some(reason), ..ApiError::new(ErrorKind::Upstream, message) }
}
