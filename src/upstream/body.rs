//! An answer's body, in pieces or whole, never without a deadline and never without a bound.

use std::io::Read;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::http::{HeaderMap, header};
use llm_protocol::ir::{ApiError, ErrorKind};
use tokio::time::{Instant, timeout_at};

/// A body that is read piece by piece. Dropping it closes the connection to the upstream.
#[derive(Debug)]
pub struct Pieces(Incoming);

impl Pieces {
    pub fn new(body: Incoming) -> Self {
        Self(body)
    }

    /// The next piece, never empty; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            match self.0.frame().await {
                None => return Ok(None),
                Some(Err(_)) => return Err(truncated()),
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data()
                        && !piece.is_empty()
                    {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }
}

/// The whole body, unpacked if it came packed although nobody asked for that.
pub async fn read_whole(
    body: Incoming,
    headers: &HeaderMap,
    limit: usize,
    deadline: Instant,
) -> Result<Bytes, ApiError> {
    let mut pieces = Pieces(body);
    let mut whole = BytesMut::new();
    let mut first: Option<Bytes> = None;
    while let Some(piece) = timeout_at(deadline, pieces.next()).await.map_err(|_| late())?? {
        if first.as_ref().map_or(whole.len(), Bytes::len) + piece.len() > limit {
            return Err(too_large(limit));
        }
        match (&first, whole.is_empty()) {
            (None, true) => first = Some(piece),
            (Some(_), true) => {
                whole.extend_from_slice(&first.take().unwrap_or_default());
                whole.extend_from_slice(&piece);
            }
            _ => whole.extend_from_slice(&piece),
        }
    }
    let whole = first.unwrap_or_else(|| whole.freeze());
    match headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes()) {
        None | Some(b"identity" | b"") => Ok(whole),
        Some(b"gzip") => unzip(&whole, limit),
        Some(_) => Err(malformed("the provider answered in an encoding that was not asked for")),
    }
}

fn unzip(packed: &[u8], limit: usize) -> Result<Bytes, ApiError> {
    let mut whole = Vec::new();
    let mut unpacking = flate2::read::MultiGzDecoder::new(packed).take(limit as u64 + 1);
    unpacking.read_to_end(&mut whole).map_err(|_| truncated())?;
    if whole.len() > limit { Err(too_large(limit)) } else { Ok(whole.into()) }
}

/// The answer broke off.
pub fn truncated() -> ApiError {
    ApiError { reason: Some("truncated"), ..ApiError::new(ErrorKind::Upstream, "the provider's answer broke off") }
}

/// A deadline of the upstream passed.
pub fn late() -> ApiError {
    ApiError::new(ErrorKind::Timeout, "the provider did not answer in time")
}

/// The answer makes no sense.
pub fn malformed(message: &str) -> ApiError {
    ApiError { reason: Some("malformed"), ..ApiError::new(ErrorKind::Upstream, message) }
}

fn too_large(limit: usize) -> ApiError {
    malformed(&format!("the provider's answer is longer than {limit} bytes"))
}
