//! A Redis server for one test, and a slow way to it.
//!
//! Where there is none installed tests say loudly that they were skipped, and fail where `CI` is `true`.

use std::{
    env,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::eventually;

/// A running server. Dropping it kills the process.
pub struct Redis {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Redis {
    /// None where no server is installed.
    pub async fn start() -> Option<Self> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            assert!(env::var("CI").as_deref() != Ok("true"), "Redis is not installed, and CI must test with it");
            eprintln!("\n*** SKIPPED: there is no redis-server ***\n");
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        drop(listener);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let server = Self { child: spawn(address, &folder), address, folder };
        server.answers().await;
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    async fn answers(&self) {
        eventually("Redis to answer", async || {
            let mut socket = TcpStream::connect(self.address).await.ok()?;
            socket.write_all(b"PING\r\n").await.ok()?;
            let mut answer = [0; 5];
            socket.read_exact(&mut answer).await.ok()?;
            (&answer == b"+PONG").then_some(())
        })
        .await;
    }

    /// Forgets everything.
    pub async fn flush(&self) {
        let mut socket = TcpStream::connect(self.address).await.expect("the server runs");
        socket.write_all(b"FLUSHALL\r\n").await.expect("it takes a command");
        let mut answer = [0; 3];
        socket.read_exact(&mut answer).await.expect("it answers");
        assert_eq!(&answer, b"+OK");
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Starts it again after that, empty, where it was.
    pub async fn restart(&mut self) {
        self.child = spawn(self.address, &self.folder);
        self.answers().await;
    }

    /// Takes all time from it, so that it keeps its connections and says nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "a running process takes a signal");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(address: SocketAddr, folder: &TempDir) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", "", "--appendonly", "no"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("an installed program can be run")
}

/// A way to a server on which everything takes its time.
pub struct SlowWay {
    address: SocketAddr,
    /// Milliseconds before each piece goes on.
    delay: Arc<AtomicU64>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for SlowWay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl SlowWay {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let delay = Arc::new(AtomicU64::new(0));
        let slow = Arc::clone(&delay);
        let accepting = tokio::spawn(async move {
            let mut ways = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(target).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                ways.spawn(carry(from_client, to_server, Arc::clone(&slow)));
                ways.spawn(carry(from_server, to_client, Arc::clone(&slow)));
            }
        });
        Self { address, delay, accepting }
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    pub fn takes(&self, delay: Duration) {
        self.delay.store(delay.as_millis() as u64, Ordering::Relaxed);
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay: Arc<AtomicU64>,
) {
    let mut piece = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        tokio::time::sleep(Duration::from_millis(delay.load(Ordering::Relaxed))).await;
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}
