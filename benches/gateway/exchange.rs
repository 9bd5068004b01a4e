//! The two ends of HTTP that all parts share: a server that says where it listens, and a single request.

use std::net::Ipv4Addr;

use anyhow::Context;
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::HttpService,
};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use serde_json::Value;
use tokio::net::TcpListener;

/// Accepts connections on a free port for ever, each with a service of its own.
pub async fn serve<S, B>(service: impl Fn() -> S) -> anyhow::Result<()>
where
    S: HttpService<Incoming, ResBody = B> + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: 'static,
    B: Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let connections = tokio::task::LocalSet::new();
    let accepting = async {
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service());
            // A client that goes away is its own business.
            tokio::task::spawn_local(async move { connection.await.ok() });
        }
    };
    connections.run_until(accepting).await
}

/// Sends one request with a JSON body, or none for `Value::Null`, and returns the JSON answer.
pub async fn call(method: &str, url: &str, key: &str, body: &Value) -> anyhow::Result<Value> {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Full::new(bytes))?;
    let response: Response<Incoming> = client.request(request).await.with_context(|| format!("{method} {url}"))?;
    let status = response.status();
    let bytes = response.into_body().collect().await?.to_bytes();
    anyhow::ensure!(status.is_success(), "{method} {url}: {status}: {}", String::from_utf8_lossy(&bytes));
    serde_json::from_slice(&bytes).with_context(|| format!("{method} {url}: the answer is not JSON"))
}
