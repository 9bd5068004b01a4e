//! Proxies on a port of their own, which note whom they were asked for and by whom.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// How a proxy treats those who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Tunnel,
    Socks,
    /// Takes the connection and says nothing.
    Mute,
    /// Answers 403.
    Refusing,
}

/// One connection that a proxy made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Host and port as they were asked for.
    pub target: String,
    /// What proved who asks: the value of `Proxy-Authorization`, or `user:password`.
    pub proof: Option<String>,
}

pub struct Proxy {
    address: SocketAddr,
    passages: Arc<Mutex<Vec<Passage>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// One that takes `CONNECT`.
    pub async fn tunnel() -> Self {
        Self::start(Manner::Tunnel).await
    }

    pub async fn socks() -> Self {
        Self::start(Manner::Socks).await
    }

    pub async fn mute() -> Self {
        Self::start(Manner::Mute).await
    }

    pub async fn refusing() -> Self {
        Self::start(Manner::Refusing).await
    }

    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let passages = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&passages);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, manner, Arc::clone(&noted)));
            }
        });
        Self { address, passages, accepting }
    }

    /// Its URL, with `user:password@` or nothing in front of the host.
    pub fn url(&self, scheme: &str, user: &str) -> String {
        format!("{scheme}://{user}{}", self.address)
    }

    pub fn passages(&self) -> Vec<Passage> {
        self.passages.lock().expect("no holder panics").clone()
    }
}

async fn serve(mut socket: TcpStream, manner: Manner, noted: Arc<Mutex<Vec<Passage>>>) -> Option<()> {
    let passage = match manner {
        Manner::Tunnel | Manner::Refusing => tunnel(&mut socket).await?,
        Manner::Socks => socks(&mut socket).await?,
        Manner::Mute => std::future::pending().await,
    };
    let target = passage.target.clone();
    noted.lock().expect("no holder panics").push(passage);
    if manner == Manner::Refusing {
        return socket.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await.ok();
    }
    let mut upstream = TcpStream::connect(target).await.ok()?;
    let made: &[u8] = match manner {
        Manner::Socks => &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        _ => b"HTTP/1.1 200 Connection established\r\n\r\n",
    };
    socket.write_all(made).await.ok()?;
    copy_bidirectional(&mut socket, &mut upstream).await.ok().map(|_| ())
}

async fn tunnel(socket: &mut TcpStream) -> Option<Passage> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    let proof = head.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: ")).map(str::to_owned);
    Some(Passage { target, proof })
}

/// RFC 1928 and 1929.
async fn socks(socket: &mut TcpStream) -> Option<Passage> {
    let [_, count] = bytes(socket).await?;
    let mut methods = vec![0; usize::from(count)];
    socket.read_exact(&mut methods).await.ok()?;
    let with_user = methods.contains(&2);
    socket.write_all(&[5, if with_user { 2 } else { 0 }]).await.ok()?;
    let mut proof = None;
    if with_user {
        let [_] = bytes(socket).await?;
        proof = Some(format!("{}:{}", text(socket).await?, text(socket).await?));
        socket.write_all(&[1, 0]).await.ok()?;
    }
    let [_, _, _, kind] = bytes(socket).await?;
    let host = match kind {
        1 => std::net::Ipv4Addr::from(bytes::<4>(socket).await?).to_string(),
        3 => text(socket).await?,
        _ => format!("[{}]", std::net::Ipv6Addr::from(bytes::<16>(socket).await?)),
    };
    let port = u16::from_be_bytes(bytes(socket).await?);
    Some(Passage { target: format!("{host}:{port}"), proof })
}

async fn bytes<const N: usize>(socket: &mut TcpStream) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    socket.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

/// A text behind its length.
async fn text(socket: &mut TcpStream) -> Option<String> {
    let [length] = bytes(socket).await?;
    let mut text = vec![0; usize::from(length)];
    socket.read_exact(&mut text).await.ok()?;
    String::from_utf8(text).ok()
}
