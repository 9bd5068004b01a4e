//! The bytes of one client, with deadlines where a client could stall.
//!
//! They have to be here, beneath HTTP: a body that nobody reads is not polled, so a timeout in the body cannot fire.

use std::{
    io::{Error, ErrorKind, IoSlice, Result},
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

use super::{deadline::Deadline, head::HeadScan, phase::Phase};

/// A client's socket. It is shared with the watch for the client's end, hence the `Arc`.
pub struct ClientIo {
    stream: Arc<TcpStream>,
    phase: Arc<Phase>,
    head: Deadline,
    /// The request whose head the deadline is for: once it has come, the deadline is void.
    awaited: u64,
    stall: Deadline,
    scan: HeadScan,
}

impl ClientIo {
    /// The time for the first head runs from here; for later ones it runs from their first byte.
    pub fn new(stream: Arc<TcpStream>, phase: Arc<Phase>, header_timeout: Duration, stall_timeout: Duration) -> Self {
        let mut head = Deadline::new(header_timeout);
        head.set();
        Self { stream, phase, head, awaited: 0, stall: Deadline::new(stall_timeout), scan: HeadScan::default() }
    }

    /// Bytes have come. If no request is running they begin a head, or go on with one.
    fn on_bytes(&mut self, bytes: &[u8]) {
        self.forget_old_head();
        if self.phase.is_running() {
            return;
        }
        self.awaited = self.phase.started();
        self.head.set();
        if self.scan.push(bytes) {
            self.phase.set_ambiguous();
        }
    }

    /// All that has come was read. Said here, it saves asking the system once more only to be told so; whatever comes next is
    /// told by an event of its own, which this thread alone takes in, and so not in between (see [`super::Threads`]).
    fn note_drained(&self) {
        // This is how a socket takes note of an error that it has not seen itself.
        let _ = self.stream.try_io(Interest::READABLE, || Err::<(), _>(ErrorKind::WouldBlock.into()));
    }

    fn forget_old_head(&mut self) {
        if self.awaited != self.phase.started() {
            self.awaited = self.phase.started();
            self.scan = HeadScan::default();
            self.head.unset();
        }
    }

    /// The client does not read: tells the kernel to forget the bytes it holds for it, and gives up.
    fn give_up(&self) -> Error {
        if let Err(error) = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "A stalled client is gone");
        }
        Error::new(ErrorKind::TimedOut, "the client did not take its answer")
    }

    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        loop {
            if self.stream.poll_write_ready(cx)?.is_pending() {
                self.stall.set();
                if self.stall.is_over(cx) {
                    return Poll::Ready(Err(self.give_up()));
                }
                return Poll::Pending;
            }
            match write(&self.stream) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                outcome => {
                    self.stall.unset();
                    return Poll::Ready(outcome);
                }
            }
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        loop {
            if self.stream.poll_read_ready(cx)?.is_pending() {
                self.forget_old_head();
                if self.head.is_over(cx) {
                    return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the head of the request did not come")));
                }
                return Poll::Pending;
            }
            match self.stream.try_read_buf(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(_) => {
                    if buffer.remaining() > 0 {
                        self.note_drained();
                    }
                    self.on_bytes(&buffer.filled()[before..]);
                    return Poll::Ready(Ok(()));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        match SockRef::from(&*self.stream).shutdown(Shutdown::Write) {
            Err(error) if error.kind() != ErrorKind::NotConnected => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// Waits until the client has closed its side, by FIN or RST, even while bytes of it lie unread.
///
/// Asking for priority data wakes for nothing but the end: plain readability stays on as long as bytes are unread, and
/// says nothing about what comes after them.
#[cfg(target_os = "linux")]
pub async fn closed(stream: &TcpStream) {
    while let Ok(ready) = stream.ready(Interest::PRIORITY).await {
        if ready.is_read_closed() {
            return;
        }
    }
}

/// Other systems cannot tell; there the end is noticed when bytes are read or written.
#[cfg(not(target_os = "linux"))]
pub async fn closed(_: &TcpStream) {
    std::future::pending().await
}

/// Takes and discards what the client still sends, so that the answer already written is not lost to a reset.
pub async fn linger(stream: &TcpStream, time: Duration) {
    let discard = async {
        let mut scrap = vec![0; 16 * 1024];
        loop {
            if stream.readable().await.is_err() {
                return;
            }
            match stream.try_read(&mut scrap) {
                Ok(0) => return,
                Err(error) if error.kind() != ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    };
    // Running out of time is as good an end as the client's own.
    let _ = tokio::time::timeout(time, discard).await;
}
