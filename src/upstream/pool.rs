//! Connections to upstreams: made, kept while they idle, and driven by whoever waits for their answer.
//!
//! A connection has no task of its own. The request that uses it polls it, so that sending, waiting and reading wake one
//! task instead of two, and a body is read as fast as somebody takes it.

use std::{
    error::Error,
    fmt, io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use foldhash::HashMap;
use futures_util::future::poll_fn;
use http_body_util::Full;
use hyper::{
    body::{Body, Frame, SizeHint},
    client::conn::http1,
    http::{
        Request, Response, Uri,
        uri::{Authority, Scheme},
    },
};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use tokio::{
    runtime::{self, Handle},
    time::{Instant, sleep, timeout},
};
use tower::ServiceExt;

use super::proxy::{Leg, Route};

/// An idle connection is not used again after so long. Shorter than servers usually keep theirs, so that a request
/// seldom meets a connection that is just being closed.
const IDLE: Duration = Duration::from_secs(20);

/// How often idle connections are looked through for those that are too old or were closed.
const SWEEP: Duration = Duration::from_secs(5);

/// So many connections of one origin are kept while they idle.
const MOST_IDLE: usize = 1024;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection came about.
    Connect(BoxError),
    /// The connection broke.
    Broken {
        error: hyper::Error,
        /// The connection had carried an answer before, and nothing of this one had come.
        stale: bool,
    },
}

/// Where connections lead, and whose they are: a socket belongs to the runtime that made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Origin {
    scheme: Scheme,
    authority: Authority,
    runtime: runtime::Id,
}

impl Origin {
    fn of(uri: &Uri) -> Result<Self, BoxError> {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the address has no host").into());
        };
        Ok(Self { scheme: scheme.clone(), authority: authority.clone(), runtime: Handle::current().id() })
    }
}

/// The connections of one way out: straight, or through one proxy.
pub(super) struct Pool {
    connector: HttpsConnector<Route>,
    /// Name lookup, TCP and TLS together.
    connect_timeout: Duration,
    idle: Mutex<Shelf>,
}

/// Connections that wait, each list in the order of their last use.
#[derive(Default)]
struct Shelf {
    connections: HashMap<Origin, Vec<(Box<Connection>, Instant)>>,
    /// Somebody looks through them from time to time.
    swept: bool,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(connector: HttpsConnector<Route>, connect_timeout: Duration) -> Arc<Self> {
        Arc::new(Self { connector, connect_timeout, idle: Mutex::default() })
    }

    /// Sends a request, on a connection that idles or, if there is none or `fresh` is wanted, on a new one.
    pub(super) async fn send(
        self: &Arc<Self>,
        request: Request<Full<Bytes>>,
        uri: &Uri,
        fresh: bool,
    ) -> Result<Response<Incoming>, Failure> {
        let origin = Origin::of(uri).map_err(Failure::Connect)?;
        let idle = if fresh { None } else { self.take(&origin) };
        let mut connection = match idle {
            Some(connection) => connection,
            // Boxed, since what making a connection needs would make every request's future large.
            None => Box::pin(self.connect(uri.clone())).await.map_err(Failure::Connect)?,
        };
        let answer = connection.send(request).await?;
        let lease = Lease { connection, pool: Arc::downgrade(self), origin };
        Ok(answer.map(|body| Incoming::new(body, lease)))
    }

    /// The connection that was used last and is still open. The others get old enough to be closed, if it is enough.
    fn take(&self, origin: &Origin) -> Option<Box<Connection>> {
        loop {
            let (mut connection, since) = self.shelf().connections.get_mut(origin)?.pop()?;
            if since.elapsed() < IDLE && connection.is_open() {
                return Some(connection);
            }
        }
    }

    fn give_back(self: &Arc<Self>, origin: Origin, connection: Box<Connection>) {
        let mut shelf = self.shelf();
        let list = shelf.connections.entry(origin).or_default();
        if list.len() < MOST_IDLE {
            list.push((connection, Instant::now()));
        }
        if !shelf.swept {
            shelf.swept = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    async fn connect(&self, uri: Uri) -> Result<Box<Connection>, BoxError> {
        let connecting = async {
            let stream = self.connector.clone().oneshot(uri).await?;
            let (sender, driver) = http1::handshake(stream).await?;
            Ok(Box::new(Connection { sender, driver: Some(driver), used: false }))
        };
        timeout(self.connect_timeout, connecting)
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes idle connections that are too old, or that the upstream has closed, until none is left.
async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut shelf = pool.shelf();
        shelf.connections.retain(|_, list| {
            list.retain_mut(|(connection, since)| since.elapsed() < IDLE && connection.is_open());
            !list.is_empty()
        });
        if shelf.connections.is_empty() {
            shelf.swept = false;
            return;
        }
    }
}

/// One connection over which one request at a time goes. It holds what TLS needs, some kilobytes, so it is always boxed.
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Gone once the connection is over.
    driver: Option<http1::Connection<MaybeHttpsStream<Leg>, Full<Bytes>>>,
    /// It has carried an answer.
    used: bool,
}

impl Connection {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<hyper::body::Incoming>, Failure> {
        let Self { sender, driver, used } = self;
        let mut answer = pin!(sender.send_request(request));
        let answer = poll_fn(|cx| {
            drive(driver, cx);
            answer.as_mut().poll(cx)
        });
        match answer.await {
            Ok(answer) => {
                *used = true;
                Ok(answer)
            }
            // What cannot be parsed has come, so the upstream had read the request.
            Err(error) => Err(Failure::Broken { stale: *used && !error.is_parse(), error }),
        }
    }

    /// Whether the other side has not closed it, as far as is known here.
    fn is_open(&mut self) -> bool {
        drive(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        self.driver.is_some()
    }

    /// Whether it can take another request.
    fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.sender.is_ready() {
            drive(&mut self.driver, cx);
        }
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Reads and writes what can be read and written now. How the connection ended is told to whoever waits for an answer.
fn drive(driver: &mut Option<http1::Connection<MaybeHttpsStream<Leg>, Full<Bytes>>>, cx: &mut Context<'_>) {
    if let Some(running) = driver
        && Pin::new(running).poll(cx).is_ready()
    {
        *driver = None;
    }
}

/// A connection in use, and where it belongs afterwards.
struct Lease {
    connection: Box<Connection>,
    pool: Weak<Pool>,
    origin: Origin,
}

/// An answer's body. Read to its end it leaves the connection to the next request; dropped before, it closes it.
pub struct Incoming {
    body: hyper::body::Incoming,
    lease: Option<Lease>,
}

impl Incoming {
    fn new(body: hyper::body::Incoming, lease: Lease) -> Self {
        Self { body, lease: Some(lease) }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        if let Some(mut lease) = self.lease.take()
            && lease.connection.is_ready(cx)
            && let Some(pool) = lease.pool.upgrade()
        {
            pool.give_back(lease.origin, lease.connection);
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body.fmt(f)
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let mut frame = Pin::new(&mut this.body).poll_frame(cx);
        if let (Poll::Pending, Some(lease)) = (&frame, &mut this.lease) {
            drive(&mut lease.connection.driver, cx);
            frame = Pin::new(&mut this.body).poll_frame(cx);
        }
        let frame = ready!(frame);
        match &frame {
            Some(Err(_)) => this.lease = None,
            Some(Ok(_)) if !this.body.is_end_stream() => {}
            _ => this.end(cx),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
