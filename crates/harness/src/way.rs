//! A TCP proxy in front of a server, which does to the bytes what networks do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::AsyncReadExt,
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::sleep,
};

/// How a way treats what passes. Changes hold for connections that there are, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Before each piece goes on, in either direction.
    pub delay: Duration,
    /// Pieces are at most so long; zero leaves them whole.
    pub slice: usize,
    /// Bytes a second in each direction; zero is no bound.
    pub bandwidth: usize,
    /// What is sent is taken, and delivered only when this is over.
    pub swallows: bool,
    /// New connections are closed at once.
    pub refuses: bool,
}

/// A way to a server. Dropping it closes every connection on it.
pub struct Way {
    address: SocketAddr,
    trouble: watch::Sender<Trouble>,
    /// Raised to reset all connections that there are.
    resets: watch::Sender<usize>,
    connections: Arc<Mutex<usize>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Way {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Way {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (trouble, resets) = (watch::Sender::new(Trouble::default()), watch::Sender::new(0));
        let connections = Arc::new(Mutex::new(0));
        let (known, resetting, made) = (trouble.subscribe(), resets.subscribe(), connections.clone());
        let accepting = tokio::spawn(async move {
            let mut ways = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                *made.lock().expect("no holder panics") += 1;
                if !known.borrow().refuses {
                    ways.spawn(join(client, target, known.clone(), resetting.clone()));
                }
            }
        });
        Self { address, trouble, resets, connections, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on.
    pub fn has(&self, trouble: Trouble) {
        self.trouble.send_replace(trouble);
    }

    pub fn heals(&self) {
        self.has(Trouble::default());
    }

    /// Resets all connections that there are.
    pub fn resets(&self) {
        self.resets.send_modify(|times| *times += 1);
    }

    /// How many connections were ever asked for.
    pub fn connections(&self) -> usize {
        *self.connections.lock().expect("no holder panics")
    }
}

async fn join(
    client: TcpStream,
    target: SocketAddr,
    trouble: watch::Receiver<Trouble>,
    mut resets: watch::Receiver<usize>,
) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    for socket in [&client, &server] {
        socket.set_nodelay(true).ok();
    }
    resets.mark_unchanged();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let carried = async {
        tokio::join!(carry(from_client, &to_server, trouble.clone()), carry(from_server, &to_client, trouble.clone()),)
    };
    tokio::select! {
        _ = carried => {}
        _ = resets.changed() => {
            for half in [to_client, to_server] {
                half.as_ref().set_zero_linger().ok();
                // Dropped it would say goodbye first.
                half.forget();
            }
        }
    }
}

async fn carry(mut from: OwnedReadHalf, to: &OwnedWriteHalf, mut trouble: watch::Receiver<Trouble>) -> Option<()> {
    let mut read = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut read).await.ok()?;
        if count == 0 {
            // Half a close passes on as such: the other direction goes on.
            return socket2::SockRef::from(to.as_ref()).shutdown(std::net::Shutdown::Write).ok();
        }
        let mut rest = &read[..count];
        while !rest.is_empty() {
            let now = *trouble.wait_for(|trouble| !trouble.swallows).await.ok()?;
            let most = if now.slice == 0 { rest.len() } else { now.slice.min(rest.len()) };
            let (piece, left) = rest.split_at(most);
            let share = piece.len().checked_mul(1_000_000).and_then(|size| size.checked_div(now.bandwidth));
            sleep(now.delay + Duration::from_micros(share.unwrap_or(0) as u64)).await;
            write(to, piece).await?;
            rest = left;
        }
    }
}

async fn write(to: &OwnedWriteHalf, mut piece: &[u8]) -> Option<()> {
    while !piece.is_empty() {
        to.writable().await.ok()?;
        match to.try_write(piece) {
            Ok(count) => piece = &piece[count..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncWriteExt,
        time::{Instant, timeout},
    };

    use super::*;

    /// Answers each piece with itself.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut read = [0; 4096];
                    while let Ok(count @ 1..) = socket.read(&mut read).await {
                        if socket.write_all(&read[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    async fn round(socket: &mut TcpStream, bytes: &[u8]) -> std::io::Result<Duration> {
        let began = Instant::now();
        socket.write_all(bytes).await?;
        let mut read = vec![0; bytes.len()];
        socket.read_exact(&mut read).await?;
        assert_eq!(read, bytes);
        Ok(began.elapsed())
    }

    #[tokio::test]
    async fn what_passes_is_delayed_sliced_and_throttled_but_never_changed() {
        let way = Way::to(echo().await).await;
        let mut socket = TcpStream::connect(way.address()).await.unwrap();
        round(&mut socket, b"quick").await.unwrap();
        way.has(Trouble { delay: Duration::from_millis(60), ..Trouble::default() });
        assert!(round(&mut socket, b"slow").await.unwrap() >= Duration::from_millis(120));
        way.has(Trouble { slice: 3, ..Trouble::default() });
        round(&mut socket, &[7; 1000]).await.unwrap();
        way.has(Trouble { bandwidth: 10_000, ..Trouble::default() });
        assert!(round(&mut socket, &[8; 1000]).await.unwrap() >= Duration::from_millis(100));
    }

    #[tokio::test]
    async fn what_is_swallowed_comes_when_the_way_heals_and_a_reset_ends_it() {
        let way = Way::to(echo().await).await;
        let mut socket = TcpStream::connect(way.address()).await.unwrap();
        round(&mut socket, b"first").await.unwrap();
        way.has(Trouble { swallows: true, ..Trouble::default() });
        let lost = timeout(Duration::from_millis(200), round(&mut socket, b"second")).await;
        assert!(lost.is_err(), "nothing passes");
        way.heals();
        let mut read = [0; 6];
        socket.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"second");
        way.resets();
        let error = timeout(Duration::from_secs(5), socket.read(&mut read)).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        way.has(Trouble { refuses: true, ..Trouble::default() });
        let mut refused = TcpStream::connect(way.address()).await.unwrap();
        assert!(round(&mut refused, b"third").await.is_err());
        assert_eq!(way.connections(), 2);
    }
}
