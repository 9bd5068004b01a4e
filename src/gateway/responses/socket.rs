//! Responses over a WebSocket: many requests on one connection, one at a time, each with all that a POST has. What goes on from
//! the answer before it needs to bring only what is new.

use std::{pin::pin, sync::Arc};

use axum::{
    body::{Body, BodyDataStream, to_bytes},
    extract::{
        Request,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
};
use bytes::Bytes;
use futures_util::StreamExt;
use llm_protocol::{
    Inbound,
    ir::{ApiError, ErrorKind, Malformed},
    json::Json,
    openai_responses::OpenAiResponses,
    splice::{Edit, Members},
    sse::Framer,
};
use tokio::time::{Instant, timeout_at};

use super::{Create, Latest};
use crate::{
    app::App,
    gateway::{attempt::content_type, routes::call},
    http::{error::context, middleware::RequestId, server::Upgraded},
};

/// What a WebSocket is told of its connection by the request that opened it.
pub struct Session {
    pub app: Arc<App>,
    /// The opening request, of which every request on the connection is a copy.
    pub parts: Parts,
    /// Held while the connection is.
    pub upgraded: Upgraded,
}

/// Largest error body; they are this gateway's own.
const ERROR_BODY: usize = 1 << 20;

impl Session {
    /// Serves the connection to its end. Dropping the future drops the running request.
    pub async fn serve(self, mut socket: WebSocket) {
        let latest = Arc::new(Latest::default());
        let idle = self.app.config.responses.socket_idle_timeout;
        let mut until = Instant::now() + idle;
        loop {
            let message = tokio::select! {
                message = timeout_at(until, socket.recv()) => message,
                () = self.upgraded.stop.cancelled() => return close(socket, close_code::RESTART, "restarting").await,
            };
            let text = match message {
                Err(_) => return close(socket, close_code::AWAY, "idle for too long").await,
                Ok(Some(Ok(Message::Text(text)))) => text,
                Ok(Some(Ok(Message::Binary(_)))) => {
                    return close(socket, close_code::UNSUPPORTED, "send text frames").await;
                }
                // Pings are answered below this.
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return,
            };
            let answered = attended(&mut socket, self.answer(&latest, text.as_bytes())).await;
            let sent = match answered {
                Ok(Ok(body)) => forward(body, &mut socket).await,
                Ok(Err(error)) => send(&mut socket, &error).await,
                Err(gone) => Err(gone),
            };
            if let Err(error) = sent {
                tracing::debug!(%error, "A client's WebSocket ended");
                return;
            }
            until = Instant::now() + idle;
        }
    }

    /// The stream that answers a frame, or the frame that refuses it.
    async fn answer(&self, latest: &Arc<Latest>, frame: &[u8]) -> Result<Body, String> {
        let id = RequestId::fresh();
        let (create, body) = read(latest, frame).map_err(|error| {
            let error = ApiError::from(error);
            refusal(error.status(), &OpenAiResponses.encode_error(&error, &context(&id)), &HeaderMap::new())
        })?;
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.parts.uri.clone();
        *request.headers_mut() = headers(&self.parts.headers);
        *request.extensions_mut() = self.parts.extensions.clone();
        request.extensions_mut().insert(id);
        let response = call(&self.app, create, request).await;
        if response.status().is_success() && content_type(response.headers()).starts_with("text/event-stream") {
            return Ok(response.into_body());
        }
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, ERROR_BODY).await.unwrap_or_default();
        Err(refusal(parts.status.as_u16(), &body, &parts.headers))
    }
}

/// Reads what a frame asks for: a POST's body, and a word about what to do with it.
fn read(latest: &Arc<Latest>, frame: &[u8]) -> Result<(Create, Vec<u8>), Malformed> {
    let members = Members::read(frame)?;
    if members.string("type").as_deref() != Some("response.create") {
        return Err(Malformed::new("type", "`type` must be \"response.create\""));
    }
    let prewarm = members.get("generate") == Some("false");
    let edits = [Edit::remove("type"), Edit::remove("generate"), Edit::set("stream", "true")];
    Ok((Create { latest: Some(latest.clone()), prewarm }, members.edit(&edits)))
}

/// The opening request's headers as those of a POST.
fn headers(opening: &HeaderMap) -> HeaderMap {
    let of_opening = |name: &header::HeaderName| {
        [header::CONNECTION, header::UPGRADE, header::CONTENT_LENGTH].contains(name)
            || name.as_str().starts_with("sec-websocket-")
    };
    let left = opening.iter().filter(|(name, _)| !of_opening(name));
    let mut headers: HeaderMap = left.map(|(name, value)| (name.clone(), value.clone())).collect();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

/// The frame that tells of an error answer.
fn refusal(status: u16, body: &[u8], headers: &HeaderMap) -> String {
    let error = Json::parse(body).ok().and_then(|mut body| body.remove("error")).unwrap_or_default();
    let mut frame = vec![("type", Json::from("error")), ("status", Json::from(u64::from(status))), ("error", error)];
    if let Some(wait) = headers.get(header::RETRY_AFTER).and_then(|wait| wait.to_str().ok()) {
        frame.push(("headers", Json::object([("retry-after", Json::from(wait))])));
    }
    Json::object(frame).to_string()
}

/// Sends the events of a stream as frames.
async fn forward(body: Body, socket: &mut WebSocket) -> Result<(), axum::Error> {
    let mut events = Events { body: body.into_data_stream(), framer: Framer::new(usize::MAX) };
    while let Some(event) = attended(socket, events.next()).await? {
        send(socket, &event).await?;
    }
    Ok(())
}

/// What comes of `future`, if the client stays that long. Whatever it says meanwhile is refused.
async fn attended<T>(socket: &mut WebSocket, future: impl Future<Output = T>) -> Result<T, axum::Error> {
    let mut future = pin!(future);
    loop {
        let message = tokio::select! {
            biased;
            outcome = future.as_mut() => return Ok(outcome),
            message = socket.recv() => message,
        };
        match message {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Text(_) | Message::Binary(_))) => send(socket, &busy()).await?,
            Some(Ok(Message::Close(_))) | None => return Err(axum::Error::new("the client closed it")),
            Some(Err(error)) => return Err(error),
        }
    }
}

fn busy() -> String {
    let message = "a response is being made on this connection: wait for its end, or open another";
    let error = ApiError::new(ErrorKind::Conflict, message);
    let body = OpenAiResponses.encode_error(&error, &context(&RequestId::fresh()));
    refusal(error.status(), &body, &HeaderMap::new())
}

async fn send(socket: &mut WebSocket, text: &str) -> Result<(), axum::Error> {
    socket.send(Message::text(text)).await
}

async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    // A client that is gone need not be told.
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

/// The data of a stream's events.
struct Events {
    body: BodyDataStream,
    framer: Framer,
}

impl Events {
    /// The next one; `None` after the last.
    async fn next(&mut self) -> Option<String> {
        loop {
            while let Ok(Some(frame)) = self.framer.next_frame() {
                if let Some(data) = frame.data {
                    return String::from_utf8(data.into()).ok();
                }
            }
            let piece: Bytes = self.body.next().await?.ok()?;
            self.framer.push(&piece);
        }
    }
}
