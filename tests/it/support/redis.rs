//! A Redis server for one test.
//!
//! Where there is none installed tests say loudly that they were skipped, and fail where `CI` is `true`.

use std::{
    env,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
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
    arguments: Vec<String>,
}

impl Redis {
    /// None where no server is installed.
    pub async fn start() -> Option<Self> {
        let server = Self::with(&[]).await?;
        server.answers().await;
        Some(server)
    }

    /// The same with these arguments on top, and without waiting for it to answer.
    pub async fn with(arguments: &[&str]) -> Option<Self> {
        Self::of(&[], &[&["--save", "", "--appendonly", "no"], arguments].concat()).await
    }

    async fn of(first: &[&str], last: &[&str]) -> Option<Self> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            assert!(env::var("CI").as_deref() != Ok("true"), "Redis is not installed, and CI must test with it");
            eprintln!("\n*** SKIPPED: there is no redis-server ***\n");
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        drop(listener);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let port = address.port().to_string();
        let own = ["--bind", "127.0.0.1", "--port", &port];
        let arguments: Vec<String> = [first, &own, last].concat().into_iter().map(str::to_owned).collect();
        Some(Self { child: spawn(&folder, &arguments), address, folder, arguments })
    }

    /// One that watches others, as a file says that it may write to.
    pub async fn sentinel(file: &Path) -> Option<Self> {
        let file = file.to_str().expect("temporary folders have names of text");
        let sentinel = Self::of(&[file, "--sentinel"], &[]).await?;
        sentinel.answers().await;
        Some(sentinel)
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it does.
    pub async fn answers(&self) {
        eventually("Redis to answer", async || {
            let mut socket = TcpStream::connect(self.address).await.ok()?;
            socket.write_all(b"PING\r\n").await.ok()?;
            let mut answer = [0; 5];
            socket.read_exact(&mut answer).await.ok()?;
            (&answer == b"+PONG").then_some(())
        })
        .await;
    }

    /// What it says of itself; nothing if it does not answer.
    pub async fn info(&self, about: &str) -> String {
        let Ok(mut socket) = TcpStream::connect(self.address).await else { return String::new() };
        let mut said = String::new();
        // It closes the connection after the second command, and so ends what there is to read.
        let asked = socket.write_all(format!("INFO {about}\r\nQUIT\r\n").as_bytes()).await;
        if asked.is_ok() {
            socket.read_to_string(&mut said).await.ok();
        }
        said
    }

    /// What it answers to a command, in its own protocol.
    pub async fn command(&self, command: &str) -> String {
        let mut socket = TcpStream::connect(self.address).await.expect("it listens");
        socket.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).await.expect("it takes a command");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.expect("it answers, and closes");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer.strip_suffix("+OK\r\n").unwrap_or(&answer).to_owned()
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
        self.child = spawn(&self.folder, &self.arguments);
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

fn spawn(folder: &TempDir, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("an installed program can be run")
}
