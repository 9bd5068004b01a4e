//! A provider on this machine: it answers at once, with what it always answers.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Method, Request, Response,
    body::{Frame, Incoming},
    service::service_fn,
};

use crate::{block_on, canned, exchange};

/// What one protocol's calls are answered with.
struct Answers {
    whole: Bytes,
    stream: Vec<Bytes>,
}

/// Serves until it is killed.
pub fn run() -> anyhow::Result<()> {
    let openai = Arc::new(Answers { whole: canned::whole(), stream: canned::stream() });
    let anthropic = Arc::new(Answers { whole: canned::message(), stream: canned::message_stream() });
    block_on(exchange::serve(move || {
        let (openai, anthropic) = (Arc::clone(&openai), Arc::clone(&anthropic));
        service_fn(move |request: Request<Incoming>| {
            let is_anthropic = request.uri().path().ends_with("/messages");
            answer(Arc::clone(if is_anthropic { &anthropic } else { &openai }), request)
        })
    }))
}

async fn answer(
    answers: Arc<Answers>,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    if request.method() == Method::GET {
        // To each provider its own model, so that nobody else is asked for it.
        let is_anthropic = request.headers().contains_key("anthropic-version");
        let model = if is_anthropic { "claude-haiku-4-5" } else { "gpt-4o-mini" };
        let models = Bytes::from(format!(r#"{{"object":"list","data":[{{"id":"{model}","object":"model"}}]}}"#));
        return Ok(reply("application/json", Full::new(models).boxed()));
    }
    let body = request.into_body().collect().await?.to_bytes();
    if !canned::asks_for_stream(&body) {
        return Ok(reply("application/json", Full::new(answers.whole.clone()).boxed()));
    }
    let events = answers.stream.clone().into_iter().map(|event| Ok(Frame::data(event)));
    Ok(reply("text/event-stream", BodyExt::boxed(StreamBody::new(stream::iter(events)))))
}

fn reply(kind: &'static str, body: BoxBody<Bytes, Infallible>) -> Response<BoxBody<Bytes, Infallible>> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", kind.parse().expect("a media type is a header value"));
    response
}
