//! The accept loop against clients that stall, leave, break the rules or stay too long.

use std::{
    convert::Infallible,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::support::Routes;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    routing::{get, post},
};
use futures_util::stream;
use llm_orchestrator::{
    config::ServerConfig,
    http::server::{self, DrainReport, Threads},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";

/// A server with short times, and what its handlers tell.
struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    running: JoinHandle<DrainReport>,
    /// One message when a request of `/hang`, `/silent` or `/flood` begins, and one when it is dropped.
    said: mpsc::UnboundedReceiver<&'static str>,
}

/// Says that a request is over, however it ends.
struct Guard(mpsc::UnboundedSender<&'static str>);

impl Guard {
    fn new(sender: &mpsc::UnboundedSender<&'static str>) -> Self {
        sender.send("begun").unwrap();
        Self(sender.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

fn config() -> ServerConfig {
    ServerConfig {
        header_timeout: Duration::from_millis(300),
        keep_alive_timeout: Duration::from_millis(900),
        write_stall_timeout: Duration::from_millis(400),
        shutdown_grace: Duration::from_millis(400),
        ..ServerConfig::default()
    }
}

fn router(sender: mpsc::UnboundedSender<&'static str>, last_call: CancellationToken) -> Router {
    let (hang, silent, flood) = (sender.clone(), sender.clone(), sender);
    Router::new()
        .route("/", get(|peer: ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }))
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_millis(200)).await }))
        .route("/refuse", post(|| async { (axum::http::StatusCode::PAYLOAD_TOO_LARGE, "too large") }))
        .route(
            "/polite",
            get(move || async move {
                last_call.cancelled().await;
                "sorry"
            }),
        )
        .route(
            "/hang",
            get(move || async move {
                let _guard = Guard::new(&hang);
                std::future::pending::<()>().await
            }),
        )
        .route(
            "/silent",
            get(move || async move {
                let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"first"))]);
                let guard = Guard::new(&silent);
                let rest = stream::once(async move {
                    let _guard = guard;
                    std::future::pending().await
                });
                Body::from_stream(stream::StreamExt::chain(first, rest))
            }),
        )
        .route(
            "/flood",
            get(move || async move {
                let guard = Guard::new(&flood);
                let block = Bytes::from(vec![b'x'; 64 * 1024]);
                Body::from_stream(stream::repeat_with(move || {
                    let _held = &guard;
                    Ok::<_, Infallible>(block.clone())
                }))
            }),
        )
}

impl Server {
    async fn start(config: ServerConfig) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, said) = mpsc::unbounded_channel();
        let shutdown = CancellationToken::new();
        let (stop, last_call) = (shutdown.clone(), CancellationToken::new());
        let running = tokio::spawn(async move {
            let handler = Routes(router(sender, last_call.clone()));
            server::serve(listener, handler, &config, &Threads::this_one(), stop, last_call).await
        });
        Self { address, shutdown, running, said }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut client = self.connect().await;
        client.write_all(bytes).await.unwrap();
        client
    }

    async fn hears(&mut self, what: &str) {
        let said = timeout(Duration::from_secs(3), self.said.recv()).await;
        assert_eq!(said.expect("in time"), Some(what));
    }
}

/// Everything until the end of the connection, however it ends.
async fn rest(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(Duration::from_secs(5), client.read_to_end(&mut bytes)).await.expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer with a short body.
async fn answer(client: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let read = timeout(Duration::from_secs(3), client.read(&mut bytes)).await.expect("an answer in time").unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

#[tokio::test]
async fn a_handler_knows_the_address_of_its_client() {
    let server = Server::start(config()).await;
    let mut client = server.send(REQUEST).await;
    assert!(answer(&mut client).await.ends_with("127.0.0.1"));
}

#[tokio::test]
async fn a_head_that_does_not_come_whole_ends_the_connection() {
    let server = Server::start(config()).await;
    for begun in [&b""[..], b"GET / HT"] {
        let start = Instant::now();
        let mut client = server.send(begun).await;
        rest(&mut client).await;
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(280) && took < Duration::from_millis(700), "{took:?}");
    }
}

#[tokio::test]
async fn a_head_that_trickles_does_not_gain_time() {
    let server = Server::start(config()).await;
    let (mut reader, mut writer) = server.connect().await.into_split();
    let trickle = tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nHost: here-is-a-long-name" {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    });
    let start = Instant::now();
    let _ = timeout(Duration::from_secs(3), reader.read_to_end(&mut Vec::new())).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(800), "{:?}", start.elapsed());
    trickle.abort();
}

#[tokio::test]
async fn a_connection_may_rest_longer_between_requests_than_within_one() {
    let server = Server::start(config()).await;
    let mut client = server.send(REQUEST).await;
    answer(&mut client).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    client.write_all(REQUEST).await.unwrap();
    assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
    let start = Instant::now();
    client.write_all(b"GET /").await.unwrap();
    rest(&mut client).await;
    assert!(start.elapsed() < Duration::from_millis(700), "a begun head has the short time: {:?}", start.elapsed());

    let mut idle = server.send(REQUEST).await;
    answer(&mut idle).await;
    let start = Instant::now();
    rest(&mut idle).await;
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(800) && took < Duration::from_millis(1500), "{took:?}");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let mut server = Server::start(config()).await;
    let mut worst = Duration::ZERO;
    for path in ["/hang", "/silent"] {
        for pipelined in ["", "GET / HTTP/1.1\r\nHost: here\r\n\r\nGET / HT"] {
            for reset in [false, true] {
                let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n{pipelined}");
                let client = server.send(request.as_bytes()).await;
                server.hears("begun").await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                if reset {
                    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
                }
                let start = Instant::now();
                drop(client);
                server.hears("dropped").await;
                worst = worst.max(start.elapsed());
            }
        }
    }
    assert!(worst < Duration::from_millis(100), "{worst:?}");
}

#[tokio::test]
async fn a_client_that_closes_only_its_own_side_has_left() {
    let mut server = Server::start(config()).await;
    let mut client = server.send(b"GET /hang HTTP/1.1\r\nHost: here\r\n\r\n").await;
    server.hears("begun").await;
    client.shutdown().await.unwrap();
    server.hears("dropped").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped() {
    let mut server = Server::start(config()).await;
    let client = server.send(b"GET /flood HTTP/1.1\r\nHost: here\r\n\r\n").await;
    server.hears("begun").await;
    let start = Instant::now();
    server.hears("dropped").await;
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(350) && took < Duration::from_millis(1500), "{took:?}");
    drop(client);
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_not_dropped() {
    let mut server = Server::start(config()).await;
    let mut client = server.send(b"GET /flood HTTP/1.1\r\nHost: here\r\n\r\n").await;
    server.hears("begun").await;
    let mut bytes = vec![0; 256 * 1024];
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.read_exact(&mut bytes).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_given_before_the_body_was_read_arrives() {
    let server = Server::start(config()).await;
    let head = "POST /refuse HTTP/1.1\r\nHost: here\r\nContent-Length: 4000000\r\n\r\n";
    let mut client = server.send(head.as_bytes()).await;
    let (mut reader, mut writer) = client.split();
    let body = vec![b'x'; 1_000_000];
    let mut text = Vec::new();
    let (_, outcome) =
        tokio::join!(writer.write_all(&body), timeout(Duration::from_secs(3), reader.read_to_end(&mut text)));
    outcome.expect("in time").expect("no reset");
    assert!(String::from_utf8_lossy(&text).starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn clients_beyond_the_limit_wait_until_another_leaves() {
    let server = Server::start(ServerConfig { max_connections: 1, ..config() }).await;
    let mut first = server.send(REQUEST).await;
    answer(&mut first).await;
    let mut second = server.send(REQUEST).await;
    assert!(timeout(Duration::from_millis(200), second.read_u8()).await.is_err());
    drop(first);
    assert!(answer(&mut second).await.contains("200 OK"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start(ServerConfig { max_header_bytes: 8192, ..config() }).await;
    let head = format!("GET / HTTP/1.1\r\nHost: here\r\nX-Long: {}\r\n\r\n", "x".repeat(20_000));
    let mut client = server.send(head.as_bytes()).await;
    assert!(rest(&mut client).await.starts_with("HTTP/1.1 431"));
    let many: String = (0..150).map(|number| format!("X-{number}: 1\r\n")).collect();
    let mut client = server.send(format!("GET / HTTP/1.1\r\nHost: here\r\n{many}\r\n").as_bytes()).await;
    assert!(rest(&mut client).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn stopping_closes_idle_connections_at_once_and_lets_requests_finish() {
    let server = Server::start(config()).await;
    let mut idle = server.send(REQUEST).await;
    answer(&mut idle).await;
    let fresh = server.connect().await;
    let mut slow = server.send(b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let start = Instant::now();
    server.shutdown.cancel();
    assert_eq!(rest(&mut idle).await, "");
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    assert!(rest(&mut slow).await.starts_with("HTTP/1.1 200"));
    let report = server.running.await.unwrap();
    assert_eq!(report, DrainReport { idle: 2, finished: 1, dropped: 0 });
    assert!(TcpStream::connect(server.address).await.is_err());
    drop(fresh);
}

#[tokio::test]
async fn stopping_cuts_what_still_runs_when_the_grace_period_is_over() {
    let mut server = Server::start(config()).await;
    let mut client = server.send(b"GET /silent HTTP/1.1\r\nHost: here\r\n\r\n").await;
    server.hears("begun").await;
    let start = Instant::now();
    server.shutdown.cancel();
    let report = (&mut server.running).await.unwrap();
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(380) && took < Duration::from_millis(1000), "{took:?}");
    assert_eq!(report, DrainReport { idle: 0, finished: 0, dropped: 1 });
    server.hears("dropped").await;
    assert!(rest(&mut client).await.contains("first"));
}

#[tokio::test]
async fn what_is_cut_off_may_say_so() {
    let server = Server::start(config()).await;
    let mut client = server.send(b"GET /polite HTTP/1.1\r\nHost: here\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.shutdown.cancel();
    assert!(rest(&mut client).await.ends_with("sorry"));
    assert_eq!(server.running.await.unwrap(), DrainReport { idle: 0, finished: 0, dropped: 1 });
}
