//! One try at one target: send, wait, and read as much as it takes to know that there is an answer.

use std::time::Duration;

use axum::http::{HeaderMap, header, response::Parts};
use bytes::Bytes;
use llm_protocol::{
    Assembler,
    ir::{ApiError, ErrorKind, Event, Output, Response},
    sse::write_data,
};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::{
    spent::Meter,
    stream::{Step, Upstream},
};
use crate::{
    catalog::Provider,
    clock,
    config::RoutingConfig,
    providers::{self, Outgoing},
    upstream::{Client, Incoming, Pieces, late, malformed, read_whole, retry_after, stalled, too_long},
};

/// What came of an attempt that did not fail.
pub enum Answer {
    Whole {
        /// As the upstream sent it.
        body: Bytes,
        response: Response,
    },
    /// A stream whose first content has come.
    Stream(Box<Upstream>),
}

/// An answer, and the headers that it came with.
pub struct Reply {
    pub answer: Answer,
    pub headers: HeaderMap,
}

/// How an answer was asked for, and is read.
pub enum Reading<'a> {
    Whole,
    /// Whole, to pass on as it is: only what is counted need be read.
    Passed,
    Stream,
    /// As a stream that becomes a whole answer here.
    Assembled {
        /// Makes its body, where somebody wants that.
        body: Option<Box<dyn Assembler>>,
        /// Between two pieces of it.
        idle: Duration,
        /// When the last of it must have come.
        end: Instant,
        /// What counts its tokens until then.
        meter: &'a Meter,
    },
}

impl Reading<'_> {
    /// As the client wants it.
    pub fn of(stream: bool) -> Self {
        if stream { Self::Stream } else { Self::Whole }
    }
}

/// The wait that an error body or a refusing head may take to arrive, at most.
const ERROR_BODY_LIMIT: usize = 1 << 20;

/// Sends a request to one of a provider's models and reads the answer: the whole of it, or a stream up to its first content,
/// which must be there by `deadline`. Whatever fails until then has reached nobody, so it can be tried elsewhere.
pub async fn send(
    client: &Client,
    (provider, model): (&Provider, &str),
    outgoing: &Outgoing,
    reading: Reading<'_>,
    limits: &RoutingConfig,
    deadline: Instant,
) -> Result<Reply, ApiError> {
    let (head, body) = accepted(client, (provider, model), outgoing, deadline).await?;
    let answer = match reading {
        Reading::Whole => {
            let body = whole(&head.headers, body, limits, deadline).await?;
            Answer::Whole { response: outgoing.outbound.decode_response(&body)?, body }
        }
        Reading::Passed => {
            let body = whole(&head.headers, body, limits, deadline).await?;
            Answer::Whole { response: outgoing.outbound.summarize_response(&body)?, body }
        }
        Reading::Stream => match open(outgoing, &head.headers, body, limits, deadline).await? {
            Opened::Stream(upstream) => Answer::Stream(upstream),
            Opened::Whole(_) => return Err(malformed("the provider did not answer with a stream")),
        },
        Reading::Assembled { body: assembler, idle, end, meter } => {
            match open(outgoing, &head.headers, body, limits, deadline).await? {
                Opened::Stream(upstream) => {
                    let answer = assembled(*upstream, assembler, meter, limits, (idle, end)).await?;
                    meter.stop();
                    answer
                }
                Opened::Whole(whole) => whole,
            }
        }
    };
    Ok(Reply { answer, headers: head.headers })
}

/// Sends a request and waits for a head that says that it was accepted.
pub async fn accepted(
    client: &Client,
    (provider, model): (&Provider, &str),
    outgoing: &Outgoing,
    deadline: Instant,
) -> Result<(Parts, Incoming), ApiError> {
    let answer =
        timeout_at(deadline, providers::send(client, provider, outgoing.request())).await.map_err(|_| late())??;
    let (head, body) = answer.into_parts();
    provider.learn(model, &head.headers);
    if !head.status.is_success() {
        return Err(refused(outgoing, head.status.as_u16(), &head.headers, body, deadline).await);
    }
    Ok((head, body))
}

async fn whole(
    headers: &HeaderMap,
    body: Incoming,
    limits: &RoutingConfig,
    deadline: Instant,
) -> Result<Bytes, ApiError> {
    if content_type(headers).starts_with("text/event-stream") {
        return Err(malformed("the provider answered with a stream that was not asked for"));
    }
    read_whole(body, headers, limits.max_response_bytes, deadline).await
}

/// What came where a stream was asked for.
enum Opened {
    /// Up to its first content.
    Stream(Box<Upstream>),
    /// A whole answer all the same.
    Whole(Answer),
}

async fn open(
    outgoing: &Outgoing,
    headers: &HeaderMap,
    body: Incoming,
    limits: &RoutingConfig,
    deadline: Instant,
) -> Result<Opened, ApiError> {
    let kind = content_type(headers);
    let decoder = outgoing.outbound.decoder();
    let mut upstream = if kind.starts_with("application/json") || kind.starts_with("text/html") {
        let body = read_whole(body, headers, limits.max_response_bytes, deadline).await?;
        match as_events(&body) {
            Some(events) => Upstream::already_read(&events, decoder),
            // An error inside a 200 tells more than "this is no stream".
            None => {
                let response = outgoing.outbound.decode_response(&body)?;
                return Ok(Opened::Whole(Answer::Whole { body, response }));
            }
        }
    } else {
        Upstream::new(Pieces::new(body, headers)?, outgoing.framing, decoder, limits.max_event_bytes)
    };
    upstream.hold_until_content(limits.commit_buffer_bytes, deadline).await?;
    Ok(Opened::Stream(Box::new(upstream)))
}

/// Reads a stream to its end. Its client has nothing until then, so that any error on the way is an error of the whole.
async fn assembled(
    mut upstream: Upstream,
    mut assembler: Option<Box<dyn Assembler>>,
    meter: &Meter,
    limits: &RoutingConfig,
    (idle, end): (Duration, Instant),
) -> Result<Answer, ApiError> {
    let mut response = Response { outputs: vec![Output::default()], ..Response::default() };
    let mut bytes = 0;
    loop {
        let until = (Instant::now() + idle).min(end);
        let Some(step) = timeout_at(until, upstream.next()).await.map_err(|_| stalled())?? else { break };
        let Step { frame, events, error } = step;
        for event in &events {
            response.apply(event);
            if let Event::Usage(usage) = event {
                meter.read(usage);
            }
        }
        if let Some(error) = error {
            return Err(error);
        }
        if let Some(frame) = frame {
            bytes += frame.raw.len();
            if bytes > limits.max_response_bytes {
                return Err(too_long(limits.max_response_bytes));
            }
            assembler.iter_mut().for_each(|assembler| assembler.push(&frame));
        }
    }
    let body = assembler.map(|assembler| assembler.whole().into()).unwrap_or_default();
    Ok(Answer::Whole { body, response })
}

/// The events of a stream that does not say that it is one: it has the wrong content type, or is one JSON array, as
/// Gemini's streams are where something on the way has dropped the query.
fn as_events(body: &Bytes) -> Option<Bytes> {
    let text = body.trim_ascii_start();
    if [&b"data:"[..], b"event:", b":"].iter().any(|start| text.starts_with(start)) {
        return Some(body.clone());
    }
    let items: Vec<&RawValue> = text.starts_with(b"[").then(|| serde_json::from_slice(text).ok())??;
    let mut events = Vec::with_capacity(text.len() + items.len() * 8);
    for item in items {
        // Line ends between tokens would end the event; inside strings JSON has none.
        write_data(item.get().replace(['\n', '\r'], " ").as_bytes(), &mut events);
    }
    Some(events.into())
}

async fn refused(outgoing: &Outgoing, status: u16, headers: &HeaderMap, body: Incoming, deadline: Instant) -> ApiError {
    if (300..400).contains(&status) {
        let error = malformed("the provider answered with a redirect, which is not followed");
        return ApiError { reason: Some("redirect"), upstream_status: Some(status), ..error };
    }
    let body = read_whole(body, headers, ERROR_BODY_LIMIT, deadline).await.unwrap_or_default();
    let mut error = outgoing.outbound.decode_error(status, &body);
    error.upstream_status = Some(status);
    if let Some(wait) = retry_after(headers, clock::now_micros()) {
        error.retry_after = Some(wait);
    }
    if status < 300 {
        error.kind = ErrorKind::Upstream;
    }
    error
}

/// An answer's `Content-Type`, empty where it has none.
pub fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
