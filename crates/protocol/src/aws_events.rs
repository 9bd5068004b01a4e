//! Amazon's binary event streams: messages with named headers, a payload and checksums, one after the other.
//!
//! What comes out are frames as of server-sent events, so that the rest of the gateway knows one sort only. Converse's
//! messages become frames named by the message; those of InvokeModel hold the events of another protocol in base64, and
//! become the very frames that this protocol's own server would have sent.

use aws_smithy_eventstream::frame::read_message_from;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;

use crate::{
    ir::ApiError,
    sse::{Frame, write_data, write_event},
};

/// The least that a message takes: lengths, their checksum, and its own.
const SHORTEST: usize = 16;

/// Splits bytes that come in pieces of any size into messages.
#[derive(Debug)]
pub struct Messages {
    buffer: BytesMut,
    limit: usize,
}

/// One message, as far as it matters here.
#[derive(Debug)]
struct Message {
    /// What it is: an event's type, an exception's, or a code.
    name: String,
    failed: bool,
    payload: Bytes,
    raw: Bytes,
}

impl Messages {
    /// Refuses messages of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit }
    }

    /// Takes the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next message as a frame of its own name.
    pub fn next_named(&mut self) -> Result<Option<Frame>, ApiError> {
        let Some(message) = self.next()? else { return Ok(None) };
        Ok(Some(Frame { raw: message.raw, event: Some(message.name.into()), data: Some(message.payload) }))
    }

    /// The next message as the event that it wraps.
    pub fn next_wrapped(&mut self) -> Result<Option<Frame>, ApiError> {
        let Some(message) = self.next()? else { return Ok(None) };
        if message.failed { Ok(Some(failure(&message))) } else { unwrap(&message.payload).map(Some) }
    }

    /// Whether a message has begun that has not ended.
    pub fn is_within(&self) -> bool {
        !self.buffer.is_empty()
    }

    fn next(&mut self) -> Result<Option<Message>, ApiError> {
        let Some(length) = self.buffer.first_chunk() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(ApiError::malformed(format!("an event is longer than {} bytes", self.limit)));
        }
        if length < SHORTEST {
            return Err(damaged());
        }
        if self.buffer.len() < length {
            return Ok(None);
        }
        let raw = self.buffer.split_to(length).freeze();
        let message = read_message_from(raw.clone()).map_err(|_| damaged())?;
        let text = |name: &str| {
            let header = message.headers().iter().find(|header| header.name().as_str() == name)?;
            header.value().as_string().ok().map(|text| text.as_str().to_owned())
        };
        let payload = message.payload().clone();
        Ok(Some(match text(":message-type").as_deref() {
            Some("exception") => {
                Message { name: text(":exception-type").unwrap_or_default(), failed: true, payload, raw }
            }
            // An error that no model of exceptions foresaw tells what it is in its headers.
            Some("error") => {
                let told = json!({"code": text(":error-code"), "message": text(":error-message")});
                Message { name: "error".to_owned(), failed: true, payload: told.to_string().into(), raw }
            }
            _ => Message { name: text(":event-type").unwrap_or_default(), failed: false, payload, raw },
        }))
    }
}

/// A checksum or a length does not fit.
fn damaged() -> ApiError {
    ApiError::malformed("the provider's event stream is damaged")
}

#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    bytes: &'a str,
}

#[derive(Deserialize)]
struct Tag {
    #[serde(default)]
    r#type: Option<String>,
}

fn unwrap(payload: &[u8]) -> Result<Frame, ApiError> {
    let unreadable = || ApiError::malformed("an event of the provider's stream could not be read");
    let wrapped: Wrapped<'_> = serde_json::from_slice(payload).map_err(|_| unreadable())?;
    let mut data = BASE64_STANDARD.decode(wrapped.bytes).map_err(|_| unreadable())?;
    // A line end between tokens would end the event; inside strings JSON has none.
    data.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    let tag = serde_json::from_slice::<Tag>(&data).ok().and_then(|tag| tag.r#type);
    Ok(frame(tag.filter(|tag| !tag.contains(['\n', '\r'])), data))
}

/// An exception as the wrapped protocol, Anthropic's, would tell it.
fn failure(message: &Message) -> Frame {
    let kind = match message.name.to_ascii_lowercase().trim_end_matches("exception") {
        "throttling" | "modelnotready" => "rate_limit_error",
        "validation" => "invalid_request_error",
        "serviceunavailable" => "overloaded_error",
        "modeltimeout" => "timeout_error",
        "accessdenied" => "permission_error",
        _ => "api_error",
    };
    let told: serde_json::Value = serde_json::from_slice(&message.payload).unwrap_or_default();
    let why = [&told["message"], &told["Message"]].into_iter().find_map(serde_json::Value::as_str);
    let why = why.map_or_else(|| format!("the provider broke off with `{}`", message.name), str::to_owned);
    let data = json!({"type": "error", "error": {"type": kind, "message": why}});
    frame(Some("error".to_owned()), data.to_string().into_bytes())
}

fn frame(name: Option<String>, data: Vec<u8>) -> Frame {
    let mut raw = Vec::with_capacity(data.len() + 40);
    match &name {
        Some(name) => write_event(name, &data, &mut raw),
        None => write_data(&data, &mut raw),
    }
    Frame { raw: raw.into(), event: name.map(Bytes::from), data: Some(data.into()) }
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
    use proptest::prelude::*;

    use super::*;

    fn message(headers: &[(&'static str, &'static str)], payload: &str) -> Vec<u8> {
        let header =
            |(name, value): &(&'static str, &'static str)| Header::new(*name, HeaderValue::String((*value).into()));
        let message =
            Message::new_from_parts(headers.iter().map(header).collect(), Bytes::copy_from_slice(payload.as_bytes()));
        let mut out = Vec::new();
        write_message_to(&message, &mut out).unwrap();
        out
    }

    fn event(name: &'static str, payload: &str) -> Vec<u8> {
        message(&[(":message-type", "event"), (":event-type", name)], payload)
    }

    fn read(stream: &[u8], piece: usize, wrapped: bool) -> Result<Vec<Frame>, ApiError> {
        let mut messages = Messages::new(1 << 16);
        let mut frames = Vec::new();
        for piece in stream.chunks(piece) {
            messages.push(piece);
            while let Some(frame) = if wrapped { messages.next_wrapped()? } else { messages.next_named()? } {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn messages_are_named_by_their_type_however_they_are_cut() {
        let stream = [event("messageStart", "{}"), event("metadata", r#"{"a":1}"#)].concat();
        let whole = read(&stream, usize::MAX, false).unwrap();
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[1].event.as_deref(), Some(&b"metadata"[..]));
        assert_eq!(whole[1].data.as_deref(), Some(&br#"{"a":1}"#[..]));
        assert_eq!([&whole[0].raw[..], &whole[1].raw].concat(), stream, "frames put together are the stream");
        assert_eq!(read(&stream, 1, false).unwrap(), whole);
    }

    #[test]
    fn a_wrapped_event_becomes_the_one_that_its_own_server_would_have_sent() {
        let inner = BASE64_STANDARD.encode("{\"type\":\"ping\",\n\"a\":\"\u{e9}\"}");
        let frames = read(&event("chunk", &format!(r#"{{"bytes":"{inner}","p":"abc"}}"#)), 3, true).unwrap();
        assert_eq!(&frames[0].raw[..], "event: ping\ndata: {\"type\":\"ping\", \"a\":\"\u{e9}\"}\n\n".as_bytes());
        assert_eq!(frames[0].event.as_deref(), Some(&b"ping"[..]));
        assert!(read(&event("chunk", r#"{"bytes":"!"}"#), 3, true).is_err());
    }

    #[test]
    fn a_wrapped_exception_becomes_an_error_event() {
        let headers = [(":message-type", "exception"), (":exception-type", "throttlingException")];
        let frames = read(&message(&headers, r#"{"message":"slow down"}"#), 5, true).unwrap();
        let expected = r#"{"error":{"message":"slow down","type":"rate_limit_error"},"type":"error"}"#;
        assert_eq!(frames[0].data.as_deref(), Some(expected.as_bytes()));
        let headers = [(":message-type", "error"), (":error-code", "Odd"), (":error-message", "so")];
        let stream = message(&headers, "");
        assert_eq!(read(&stream, 5, false).unwrap()[0].event.as_deref(), Some(&b"error"[..]));
        assert!(String::from_utf8_lossy(&read(&stream, 5, true).unwrap()[0].raw).contains(r#""message":"so""#));
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let stream = event("messageStart", r#"{"role":"assistant"}"#);
        for at in 4..stream.len() {
            let mut damaged = stream.clone();
            damaged[at] ^= 1;
            assert!(read(&damaged, usize::MAX, false).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_before_it_has_come() {
        let mut messages = Messages::new(100);
        messages.push(&[0, 0, 0, 101]);
        assert!(messages.next_named().unwrap_err().message.contains("100 bytes"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), short in any::<bool>()) {
            let mut bytes = bytes;
            if short && bytes.len() >= 4 {
                let length = u32::try_from(bytes.len()).unwrap();
                bytes[..4].copy_from_slice(&length.to_be_bytes());
            }
            let _ = read(&bytes, usize::MAX, false);
            let _ = read(&bytes, usize::MAX, true);
        }
    }
}
