//! Reading a request's body whole, within a size and a time.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use llm_protocol::ir::{ApiError, ErrorKind};

/// The body, if it is plain, at most `limit` bytes long and here within `time`.
pub async fn read_body(headers: &HeaderMap, body: Body, limit: usize, time: Duration) -> Result<Bytes, ApiError> {
    refuse_encoded(headers)?;
    refuse_declared(headers, limit)?;
    match tokio::time::timeout(time, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Ok(Err(_)) => Err(ApiError::new(ErrorKind::InvalidRequest, "the request body broke off or is badly framed")),
        Err(_) => Err(ApiError::new(
            ErrorKind::RequestTimeout,
            format!("the request body did not arrive within {} s", time.as_secs_f64()),
        )),
    }
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

fn refuse_declared(headers: &HeaderMap, limit: usize) -> Result<(), ApiError> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match declared {
        Some(length) if length > limit as u64 => Err(too_large(limit)),
        _ => Ok(()),
    }
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
}
