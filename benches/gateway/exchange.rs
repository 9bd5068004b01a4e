//! The two ends of HTTP that all parts share: a server that says where it listens, and asking for a page.

use std::net::Ipv4Addr;

use anyhow::Context;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
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

/// Asks for a JSON page.
pub async fn get(url: &str, key: &str) -> anyhow::Result<Value> {
    ask(url, Request::get(url).header("authorization", format!("Bearer {key}")).body(Full::default())?).await
}

/// Posts JSON and reads the answer.
pub async fn post(url: &str, key: &str, body: &Value) -> anyhow::Result<Value> {
    let request = Request::post(url).header("authorization", format!("Bearer {key}"));
    ask(url, request.header("content-type", "application/json").body(body.to_string().into())?).await
}

async fn ask(url: &str, request: Request<Full<Bytes>>) -> anyhow::Result<Value> {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.with_context(|| url.to_owned())?;
    let status = response.status();
    let page = response.into_body().collect().await?.to_bytes();
    anyhow::ensure!(status.is_success(), "{url}: {status}: {}", String::from_utf8_lossy(&page));
    serde_json::from_slice(&page).with_context(|| format!("{url}: not JSON"))
}
