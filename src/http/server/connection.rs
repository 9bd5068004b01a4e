//! One client connection from accept to end.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{
    Handler,
    drain::Drain,
    io::{ClientIo, closed, linger},
    phase::{Phase, RequestBody, ResponseBody, Running},
};
use crate::config::ServerConfig;
use axum::{body::Body, extract::ConnectInfo, http::header};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// Most headers of a request.
const MAX_HEADERS: usize = 100;

/// How long the rest of a refused request is taken in after its answer.
const LINGER: Duration = Duration::from_secs(2);

/// An extension of a request that gave both a length and a transfer encoding.
#[derive(Clone, Copy, Debug)]
pub struct AmbiguousLength;

/// An extension of a request that asks for another protocol on its connection. Whoever speaks that holds this, so that the
/// connection counts as open and busy.
#[derive(Clone, Debug)]
pub struct Upgraded {
    /// Cancelled when the server is to stop.
    pub stop: CancellationToken,
    _running: Arc<Running>,
    _open: TaskTrackerToken,
}

/// What all connections have in common.
pub struct Connections<H> {
    protocol: http1::Builder,
    handler: H,
    drain: Arc<Drain>,
    header_timeout: Duration,
    stall_timeout: Duration,
}

/// How a connection ended.
enum End {
    /// It came to its end in HTTP's terms.
    Done,
    /// It broke HTTP's rules, or its deadlines.
    Failed(hyper::Error),
    /// The client went away.
    Closed,
    /// The grace period was over.
    Dropped,
}

impl<H: Handler> Connections<H> {
    pub fn new(config: &ServerConfig, handler: H, drain: Arc<Drain>) -> Self {
        let mut protocol = http1::Builder::new();
        protocol
            .timer(TokioTimer::new())
            // Between two requests this is the only clock; `ClientIo` has a shorter one for a head that has begun.
            .header_read_timeout(config.keep_alive_timeout.max(config.header_timeout))
            .max_headers(MAX_HEADERS)
            .max_header_size(config.max_header_bytes)
            .max_buf_size(config.max_header_bytes.max(64 * 1024));
        Self {
            protocol,
            handler,
            drain,
            header_timeout: config.header_timeout,
            stall_timeout: config.write_stall_timeout,
        }
    }

    /// Serves one connection to its end. Dropping the future drops the running request and everything it holds.
    pub fn serve(&self, stream: TcpStream, peer: SocketAddr) -> impl Future<Output = ()> + Send + 'static {
        let (stream, phase) = (Arc::new(stream), Arc::new(Phase::default()));
        let io = ClientIo::new(stream.clone(), phase.clone(), self.header_timeout, self.stall_timeout);
        let (handler, seen) = (self.handler.clone(), phase.clone());
        let (drain, upgraded) = (self.drain.clone(), TaskTracker::new());
        let (stop, open) = (drain.stop.clone(), upgraded.clone());
        let service = service_fn(move |mut request| {
            let running = Arc::new(seen.begin(Request::body(&request)));
            if request.headers().contains_key(header::UPGRADE) {
                let (stop, running) = (stop.clone(), running.clone());
                request.extensions_mut().insert(Upgraded { stop, _running: running, _open: open.token() });
            }
            answer(handler.clone(), seen.clone(), running, peer, request)
        });
        let connection = self.protocol.serve_connection(TokioIo::new(io), service).with_upgrades();
        async move {
            let end = until_end(connection, &stream, &phase, &drain).await;
            upgraded.close();
            tokio::select! {
                () = upgraded.wait() => {}
                () = drain.end.cancelled() => {}
            }
            match end {
                End::Done if !phase.has_unread_body() => {}
                End::Done => linger(&stream, LINGER).await,
                End::Failed(error) => {
                    tracing::debug!(%peer, %error, "A client's connection failed");
                    if error.is_parse() {
                        linger(&stream, LINGER).await;
                    }
                }
                End::Closed => tracing::trace!(%peer, "A client closed its connection"),
                End::Dropped => tracing::debug!(%peer, "A client's connection was cut at the end of the grace period"),
            }
        }
    }
}

async fn until_end<C>(connection: C, stream: &TcpStream, phase: &Phase, drain: &Drain) -> End
where
    C: Stoppable,
{
    let mut connection = pin!(connection);
    let mut closed = pin!(closed(stream));
    // Of its own, since all who wait for one token take turns at its lock whenever they look.
    let stop = drain.stop.child_token();
    tokio::select! {
        // In this order, so that an answer that is ready goes out even to a client that closed its side early.
        biased;
        outcome = connection.as_mut() => return outcome.map_or_else(End::Failed, |()| End::Done),
        () = &mut closed => return End::Closed,
        () = stop.cancelled() => {}
    }
    let count = if phase.is_running() { &drain.finished } else { &drain.idle };
    connection.as_mut().stop();
    let end = tokio::select! {
        biased;
        outcome = connection.as_mut() => outcome.map_or_else(End::Failed, |()| End::Done),
        () = &mut closed => End::Closed,
        () = drain.end.cancelled() => End::Dropped,
    };
    let count = if drain.last_call.is_cancelled() { &drain.dropped } else { count };
    count.fetch_add(1, Relaxed);
    end
}

/// A connection that can be told to end with the request it is serving.
trait Stoppable: Future<Output = hyper::Result<()>> {
    fn stop(self: std::pin::Pin<&mut Self>);
}

impl<S> Stoppable for http1::UpgradeableConnection<TokioIo<ClientIo>, S>
where
    S: hyper::service::HttpService<Incoming, ResBody = ResponseBody> + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn stop(self: std::pin::Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Notes at once, not when first polled, whether the request's head was ambiguous.
fn answer<H: Handler>(
    handler: H,
    phase: Arc<Phase>,
    running: Arc<Running>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> {
    let ambiguous = phase.take_ambiguous();
    let mut request = request.map(|body| Body::new(RequestBody { body, phase }));
    request.extensions_mut().insert(ConnectInfo(peer));
    if ambiguous {
        request.extensions_mut().insert(AmbiguousLength);
    }
    // Boxed, since its place would stay taken while the body goes out, which may be long.
    Box::pin(async move {
        let response = handler.handle(request).await;
        Ok(response.map(|body| ResponseBody::new(body, running)))
    })
}
