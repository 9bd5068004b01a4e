//! An answer's body, in pieces or whole, never without a deadline and never without a bound.

use std::{io::Write, time::Duration};

use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::{HeaderMap, header};
use llm_protocol::ir::{ApiError, ErrorKind};
use tokio::time::{Instant, timeout, timeout_at};

use super::pool::Incoming;

/// A body that is read piece by piece, unpacked if it came packed although nobody asked for that. Dropping it closes the
/// connection to the upstream.
#[derive(Debug)]
pub struct Pieces {
    body: Incoming,
    packed: Option<Packed>,
}

/// A body in gzip: what has come and was not unpacked yet.
#[derive(Debug)]
struct Packed {
    unpacking: MultiGzDecoder<Vec<u8>>,
    pending: Bytes,
}

/// So many packed bytes are unpacked at once. They can become a thousand times as many.
const PACKED_PIECE: usize = 4096;

/// An upstream that has said all may take so long to end its answer, so that the connection can be used again.
const LINGER: Duration = Duration::from_secs(1);

impl Pieces {
    /// Fails if the body is in an encoding that cannot be read.
    pub fn new(body: Incoming, headers: &HeaderMap) -> Result<Self, ApiError> {
        let packed = match headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes()) {
            None | Some(b"identity" | b"") => None,
            Some(b"gzip") => Some(Packed { unpacking: MultiGzDecoder::new(Vec::new()), pending: Bytes::new() }),
            Some(_) => return Err(malformed("the provider answered in an encoding that was not asked for")),
        };
        Ok(Self { body, packed })
    }

    /// The next piece, never empty; `None` at the end. Can be dropped while it waits without losing anything.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            if let Some(piece) = self.packed.as_mut().map_or(Ok(None), Packed::unpack)? {
                return Ok(Some(piece));
            }
            let Some(frame) = self.body.frame().await else {
                if let Some(packed) = &mut self.packed {
                    packed.unpacking.try_finish().map_err(|_| truncated())?;
                }
                return Ok(None);
            };
            let Ok(piece) = frame.map_err(|_| truncated())?.into_data() else { continue };
            match &mut self.packed {
                Some(packed) => packed.pending = piece,
                None if piece.is_empty() => {}
                None => return Ok(Some(piece)),
            }
        }
    }

    /// Lets an upstream that has said all end its answer, without anybody waiting for it.
    pub fn linger(mut self) {
        if !matches!(self.next().now_or_never(), Some(Ok(None))) {
            tokio::spawn(async move {
                let rest = async { while let Ok(Some(_)) = self.next().await {} };
                // An upstream that goes on is cut off here, and only its connection is lost.
                let _ = timeout(LINGER, rest).await;
            });
        }
    }
}

impl Packed {
    /// The next bytes of what has come, if they make any.
    fn unpack(&mut self) -> Result<Option<Bytes>, ApiError> {
        while !self.pending.is_empty() {
            let piece = self.pending.split_to(self.pending.len().min(PACKED_PIECE));
            self.unpacking.write_all(&piece).and_then(|()| self.unpacking.flush()).map_err(|_| truncated())?;
            let unpacked = std::mem::take(self.unpacking.get_mut());
            if !unpacked.is_empty() {
                return Ok(Some(unpacked.into()));
            }
        }
        Ok(None)
    }
}

/// The whole body.
pub async fn read_whole(
    body: Incoming,
    headers: &HeaderMap,
    limit: usize,
    deadline: Instant,
) -> Result<Bytes, ApiError> {
    let mut pieces = Pieces::new(body, headers)?;
    let mut whole = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(piece) = timeout_at(deadline, pieces.next()).await.map_err(|_| late())?? {
        if whole.len() + joined.len() + piece.len() > limit {
            return Err(too_long(limit));
        }
        // Most answers come in one piece, which needs no copy.
        if whole.is_empty() && joined.is_empty() {
            whole = piece;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut whole));
            joined.extend_from_slice(&piece);
        }
    }
    Ok(if joined.is_empty() { whole } else { joined.freeze() })
}

/// The answer broke off.
pub fn truncated() -> ApiError {
    ApiError { reason: Some("truncated"), ..ApiError::new(ErrorKind::Upstream, "the provider's answer broke off") }
}

/// A deadline of the upstream passed.
pub fn late() -> ApiError {
    ApiError::new(ErrorKind::Timeout, "the provider did not answer in time")
}

/// A stream said nothing for too long.
pub fn stalled() -> ApiError {
    let message = "the provider's stream stood still for too long";
    ApiError { reason: Some("stalled"), ..ApiError::new(ErrorKind::Timeout, message) }
}

/// An answer of more bytes than `limit`.
pub fn too_long(limit: usize) -> ApiError {
    malformed(&format!("the provider's answer is longer than {limit} bytes"))
}

/// The answer makes no sense.
pub fn malformed(message: &str) -> ApiError {
    ApiError { reason: Some("malformed"), ..ApiError::new(ErrorKind::Upstream, message) }
}
