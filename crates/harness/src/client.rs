//! A client on raw sockets: it can be slow, rude or gone, and it sees exactly the bytes that were sent.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::PATIENCE;

/// A request that is sent whole, on a connection of its own.
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn post(target: &str, body: &Value) -> Self {
        Self::new("POST", target).json(body)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn bearer(self, key: &str) -> Self {
        self.header("Authorization", &format!("Bearer {key}"))
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json").body(body.to_string())
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The request as it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("Host: gateway.test\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() || self.method != "GET" {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }

    /// Sends it and reads the whole answer.
    pub async fn send(&self, address: SocketAddr) -> Reply {
        let mut raw = Raw::connect(address).await;
        raw.send(&self.bytes()).await;
        raw.reply().await
    }
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// From the connection's start to the answer's last byte.
    pub elapsed: Duration,
    /// When the answer's first byte came.
    pub first_byte: Option<Instant>,
    /// Whether the body ended as its framing promised.
    pub complete: bool,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("answers are UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("status {}: not JSON ({error}): {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    /// The `error` object of a JSON error body.
    pub fn error(&self) -> Value {
        self.json()["error"].clone()
    }

    /// The error's code, empty where the answer is not an error.
    pub fn message(&self) -> String {
        self.error()["message"].as_str().unwrap_or_default().into()
    }

    /// The data of each server-sent event, in order.
    pub fn events(&self) -> Vec<String> {
        events(&self.text())
    }

    /// The events that hold JSON.
    pub fn chunks(&self) -> Vec<Value> {
        let chunks = self.events();
        let parse = |data: &String| serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
        chunks.iter().filter(|data| *data != "[DONE]").map(parse).collect()
    }

    /// What the model said, whether it came whole or in a stream.
    pub fn content(&self) -> String {
        if !self.is_stream() {
            return self.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().into();
        }
        let delta = |chunk: &Value| chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned();
        self.chunks().iter().map(delta).collect()
    }

    /// Whether a stream ended with its sign of a good end.
    pub fn done(&self) -> bool {
        self.events().last().is_some_and(|data| data == "[DONE]")
    }

    /// The error event that ended a stream.
    pub fn stream_error(&self) -> Value {
        let chunks = self.chunks();
        chunks.iter().find(|chunk| !chunk["error"].is_null()).map_or(Value::Null, |chunk| chunk["error"].clone())
    }

    pub fn is_stream(&self) -> bool {
        self.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"))
    }

    /// Fails the test unless the answer is an error of this status and code, in the shape that all errors have.
    #[track_caller]
    pub fn assert_error(&self, status: u16, code: &str) {
        let body = self.json();
        assert_eq!((self.status, body["error"]["code"].as_str()), (status, Some(code)), "{body}");
        assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        assert!(body["error"]["type"].is_string(), "{body}");
        assert!(body["error"].get("param").is_some(), "{body}");
        let id = self.header("x-request-id").expect("every answer has an X-Request-ID");
        assert_eq!(body["request_id"], id, "{body}");
        assert_eq!(body["error"]["details"]["request_id"], id, "{body}");
        assert!(body["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{body}");
        assert!(self.header("content-type").is_some_and(|kind| kind.starts_with("application/json")));
    }

    #[track_caller]
    pub fn assert_ok(&self) -> &Self {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

fn events(text: &str) -> Vec<String> {
    // A line may end by a CR alone: that of a CRLF whose LF never came ends it, too.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let data = |block: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix("data:"));
        lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
    };
    text.split("\n\n").map(data).filter(|data| !data.is_empty()).collect()
}

/// How a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// By a FIN in both directions.
    Close,
    /// By a RST.
    Reset,
    /// By a FIN in its own direction only; it would still read.
    HalfClose,
}

/// A bare connection.
pub struct Raw {
    socket: TcpStream,
    started: Instant,
    first_byte: Option<Instant>,
    read: Vec<u8>,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.expect("the server accepts connections")
    }

    /// The same where nobody may be there.
    pub async fn try_connect(address: SocketAddr) -> Option<Self> {
        let socket = TcpStream::connect(address).await.ok()?;
        socket.set_nodelay(true).expect("a socket can be told not to wait");
        Some(Self::on(socket))
    }

    /// One that takes a few thousand bytes from the network and no more until they are read.
    pub async fn narrow(address: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket can be made");
        socket.set_recv_buffer_size(2048).expect("a buffer can be small");
        Self::on(socket.connect(address).await.expect("the server accepts connections"))
    }

    fn on(socket: TcpStream) -> Self {
        Self { socket, started: Instant::now(), first_byte: None, read: Vec::new() }
    }

    /// When the first byte of the answer that is being read came.
    pub fn first_byte(&self) -> Option<Instant> {
        self.first_byte
    }

    /// What was read and not taken yet.
    pub fn read_so_far(&self) -> &[u8] {
        &self.read
    }

    /// Sends bytes; a peer that closed already is no failure here.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).await.is_ok()
    }

    /// Sends bytes one at a time with a pause between them, until all are sent or the peer closes.
    pub async fn trickle(&mut self, bytes: &[u8], pause: Duration) {
        for byte in bytes {
            if !self.send(&[*byte]).await {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads until the text turned up in what was read so far.
    pub async fn until(&mut self, text: &str) {
        let needle = text.as_bytes();
        while !self.read.windows(needle.len()).any(|window| window == needle) {
            let more = timeout(PATIENCE, self.more()).await;
            let more = more.unwrap_or_else(|_| panic!("waited in vain for {text:?} after {PATIENCE:?}"));
            assert!(more, "the connection ended before {text:?}: {}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Reads to the connection's end and says how long that took since it began.
    pub async fn end(&mut self) -> (Vec<u8>, Duration) {
        let all = async { while self.more().await {} };
        timeout(PATIENCE, all).await.expect("the server closes the connection");
        (std::mem::take(&mut self.read), self.started.elapsed())
    }

    /// Closes the connection by a reset.
    pub fn reset(self) {
        self.socket.set_zero_linger().expect("a socket can be told not to linger");
    }

    /// Goes, and says when. After half a close the connection is what is returned.
    pub async fn leave(mut self, how: Leave) -> (Instant, Option<Self>) {
        let now = Instant::now();
        match how {
            Leave::Close => drop(self),
            Leave::Reset => self.reset(),
            Leave::HalfClose => {
                self.socket.shutdown().await.ok();
                return (now, Some(self));
            }
        }
        (now, None)
    }

    /// Reads so many bytes and then rests, until the connection ends or `over` bytes were read. Says how many there were.
    pub async fn sip(&mut self, size: usize, rest: Duration, over: usize) -> usize {
        let (mut total, mut piece) = (0, vec![0; size]);
        while total < over {
            match timeout(PATIENCE, self.socket.read(&mut piece)).await {
                Ok(Ok(count @ 1..)) => total += count,
                _ => break,
            }
            tokio::time::sleep(rest).await;
        }
        total
    }

    /// Reads one whole answer; the connection stays usable.
    pub async fn reply(&mut self) -> Reply {
        let reply = self.try_reply().await;
        reply.unwrap_or_else(|| panic!("closed before an answer: {:?}", String::from_utf8_lossy(&self.read)))
    }

    /// The same where the server may go away before it answers.
    pub async fn try_reply(&mut self) -> Option<Reply> {
        timeout(3 * PATIENCE, self.read_reply()).await.expect("the server answers")
    }

    async fn read_reply(&mut self) -> Option<Reply> {
        let (status, headers) = loop {
            let (status, headers) = self.head().await?;
            if status >= 200 {
                break (status, headers);
            }
        };
        let value = |name: &str| {
            let found = headers.iter().find(|(known, _): &&(String, String)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_ascii_lowercase())
        };
        let (body, complete) = if status == 204 || status == 304 {
            (Vec::new(), true)
        } else if value("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
            self.chunked().await
        } else if let Some(length) = value("content-length") {
            let length: usize = length.parse().expect("content-length is a number");
            let complete = self.fill(length).await;
            let available = length.min(self.read.len());
            (self.read.drain(..available).collect(), complete)
        } else {
            while self.more().await {}
            (std::mem::take(&mut self.read), true)
        };
        // What is left belongs to the next answer, whose first byte has come with it.
        let next = (!self.read.is_empty()).then(Instant::now);
        let first_byte = std::mem::replace(&mut self.first_byte, next);
        Some(Reply { status, headers, body, elapsed: self.started.elapsed(), first_byte, complete })
    }

    async fn head(&mut self) -> Option<(u16, Vec<(String, String)>)> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if !self.more().await {
                return None;
            }
        };
        let head: Vec<u8> = self.read.drain(..end + 4).collect();
        let head = String::from_utf8(head).expect("heads are text");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into()));
        Some((status.unwrap_or_else(|| panic!("no status line in {head}")), headers.collect()))
    }

    async fn chunked(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = self.read.windows(2).position(|window| window == b"\r\n") {
                    break end;
                }
                if !self.more().await {
                    return (body, false);
                }
            };
            let line = String::from_utf8_lossy(&self.read[..end]).into_owned();
            let length = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("chunk length {line:?}"));
            let whole = self.fill(end + 2 + length + 2).await;
            let available = (end + 2 + length).min(self.read.len());
            body.extend_from_slice(&self.read[end + 2..available]);
            if !whole {
                return (body, false);
            }
            self.read.drain(..end + 2 + length + 2);
            if length == 0 {
                return (body, true);
            }
        }
    }

    async fn fill(&mut self, length: usize) -> bool {
        while self.read.len() < length {
            if !self.more().await {
                return false;
            }
        }
        true
    }

    async fn more(&mut self) -> bool {
        let more = self.socket.read_buf(&mut self.read).await.is_ok_and(|count| count > 0);
        if more {
            self.first_byte.get_or_insert_with(Instant::now);
        }
        more
    }
}
