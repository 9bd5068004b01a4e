//! A request that wants no answer, only to be gone on from.

use axum::{
    body::Body,
    http::{HeaderMap, Response},
};
use bytes::Bytes;
use llm_protocol::{
    Served,
    ir::{ApiError, Event, Finish, FinishReason, Usage},
    splice::Members,
};

use crate::{
    app::App,
    catalog::Caller,
    gateway::{
        Call, Origin,
        asked::Asked,
        auth,
        record::{Manners, Record},
        stream_headers,
        whereabouts::Place,
    },
};

/// An empty answer as a stream. Nobody is asked for it.
pub fn answer(
    app: &App,
    call: &Call,
    caller: &Caller,
    headers: &HeaderMap,
    body: &Bytes,
    record: &mut Record,
) -> Result<Response<Body>, ApiError> {
    let members = Members::read(body)?;
    let asked = Asked::read(call, &members, headers)?;
    record.asked(&asked.wish.model, true, Manners::default());
    auth::allow(&app.catalog(), caller, &asked.wish.model)?;
    let request = call.inbound.decode_request(body)?;
    let mut encoder = call.inbound.encoder(&request, record.envelope());
    let events = [
        Event::Start { id: String::new(), model: String::new() },
        Event::Usage(Usage::default()),
        Event::Finish(Finish { reason: FinishReason::Stop, raw: String::new(), stop_sequence: None }),
    ];
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    encoder.end(&Served { provider: String::new(), latency_ms: record.elapsed_ms() }, &mut out);
    record.succeed();
    let mut response = Response::new(Body::from(out));
    stream_headers("text/event-stream", response.headers_mut());
    response.extensions_mut().insert(Origin { place: Place { provider: 0, key: None }, translated: true });
    Ok(response)
}
