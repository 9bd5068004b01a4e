//! Reading a request's body whole, within a size and a time.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use llm_protocol::ir::{ApiError, ErrorKind};

use super::room::{Room, holding};

/// Bodies up to this size are not counted: as many as there are connections fit anywhere.
const SMALL: usize = 64 << 10;

/// The body, if it is plain, at most `limit` bytes long and here within `time`.
pub async fn read_body(headers: &HeaderMap, body: Body, limit: usize, time: Duration) -> Result<Bytes, ApiError> {
    refuse_encoded(headers)?;
    refuse_declared(headers, limit)?;
    let body = Limited::new(body, limit);
    in_time(time, async { Ok(body.collect().await.map_err(|error| broken(&*error, limit))?.to_bytes()) }).await
}

/// The same of a body that takes its space in the room, if it is large, until the last of it is let go.
pub async fn read_into(
    room: &Room,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    time: Duration,
) -> Result<Bytes, ApiError> {
    let declared = declared(headers);
    if declared.is_some_and(|length| length <= SMALL as u64) {
        return read_body(headers, body, limit, time).await;
    }
    refuse_encoded(headers)?;
    refuse_declared(headers, limit)?;
    let expected = declared.and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
    if !room.fits(expected) {
        return Err(no_room());
    }
    // Boxed, since what few bodies need would make every request's future larger.
    in_time(time, Box::pin(collected(room, Limited::new(body, limit), expected, limit))).await
}

/// The pieces of a body in one, each of which takes its space when it comes. Whoever declares much and sends nothing takes
/// none.
async fn collected(room: &Room, mut body: Limited<Body>, expected: usize, limit: usize) -> Result<Bytes, ApiError> {
    let mut whole = Vec::with_capacity(expected);
    let mut space = room.take(0).ok_or_else(no_room)?;
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|error| broken(&*error, limit))?.into_data() else { continue };
        space += room.take(piece.len()).ok_or_else(no_room)?;
        whole.extend_from_slice(&piece);
    }
    Ok(holding(whole, space))
}

async fn in_time(time: Duration, reading: impl Future<Output = Result<Bytes, ApiError>>) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(time, reading).await {
        Ok(read) => read,
        Err(_) => Err(ApiError::new(
            ErrorKind::RequestTimeout,
            format!("the request body did not arrive within {} s", time.as_secs_f64()),
        )),
    }
}

fn broken(error: &(dyn std::error::Error + 'static), limit: usize) -> ApiError {
    if error.is::<LengthLimitError>() {
        return too_large(limit);
    }
    ApiError::new(ErrorKind::InvalidRequest, "the request body broke off or is badly framed")
}

fn no_room() -> ApiError {
    let message = "the gateway holds as much of large requests as it may; try again later";
    ApiError { reason: Some("no_room"), ..ApiError::new(ErrorKind::Unavailable, message) }
}

/// Compressed bodies are refused rather than unpacked: a small one may unpack to any size.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), ApiError> {
    for encoding in headers.get_all(header::CONTENT_ENCODING) {
        if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
            let name = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
            return Err(ApiError::new(
                ErrorKind::UnsupportedMediaType,
                format!("the request body has the Content-Encoding {name:?}: send it uncompressed"),
            ));
        }
    }
    Ok(())
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn refuse_declared(headers: &HeaderMap, limit: usize) -> Result<(), ApiError> {
    if declared(headers).is_some_and(|length| length > limit as u64) { Err(too_large(limit)) } else { Ok(()) }
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(ErrorKind::TooLarge, format!("the request body is larger than {limit} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(50);

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, header::HeaderValue::from_static(value))])
    }

    async fn read(headers: HeaderMap, body: Body) -> Result<Bytes, ErrorKind> {
        read_body(&headers, body, 4, TIME).await.map_err(|error| error.kind)
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_read_and_a_longer_one_is_not() {
        assert_eq!(read(HeaderMap::new(), Body::from("1234")).await, Ok(Bytes::from("1234")));
        assert_eq!(read(HeaderMap::new(), Body::from("12345")).await, Err(ErrorKind::TooLarge));
    }

    #[tokio::test]
    async fn a_declared_length_beyond_the_limit_is_refused_before_anything_is_read() {
        let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(with(header::CONTENT_LENGTH, "5"), never).await, Err(ErrorKind::TooLarge));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(HeaderMap::new(), never).await, Err(ErrorKind::RequestTimeout));
    }

    #[tokio::test]
    async fn a_compressed_body_is_refused() {
        let refused = Err(ErrorKind::UnsupportedMediaType);
        assert_eq!(read(with(header::CONTENT_ENCODING, "gzip"), Body::empty()).await, refused);
        assert!(read(with(header::CONTENT_ENCODING, "Identity"), Body::empty()).await.is_ok());
    }

    #[tokio::test]
    async fn a_large_body_takes_its_space_as_it_comes_and_what_does_not_fit_is_refused() {
        let room = Room::of(3 * SMALL);
        let pieces = |count: usize| {
            let piece = Bytes::from(vec![b'x'; SMALL]);
            Body::from_stream(futures_util::stream::iter(
                (0..count).map(move |_| Ok::<_, std::io::Error>(piece.clone())),
            ))
        };
        let read = |headers: HeaderMap, body| {
            let room = room.clone();
            async move { read_into(&room, &headers, body, 9 * SMALL, TIME).await.map_err(|error| error.kind) }
        };
        let two = read(HeaderMap::new(), pieces(2)).await.unwrap();
        assert_eq!(two.len(), 2 * SMALL);
        assert_eq!(read(HeaderMap::new(), pieces(2)).await, Err(ErrorKind::Unavailable));
        let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let much = with(header::CONTENT_LENGTH, "70000");
        assert_eq!(read(much, never).await, Err(ErrorKind::Unavailable), "one is left");
        assert!(read(HeaderMap::new(), pieces(1)).await.is_ok(), "what was refused has given back what it took");
        drop(two);
        assert!(read(HeaderMap::new(), pieces(3)).await.is_ok());
        assert_eq!(read(HeaderMap::new(), pieces(10)).await, Err(ErrorKind::Unavailable));
    }
}
