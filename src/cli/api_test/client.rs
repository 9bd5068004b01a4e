//! A client of the gateway's own API, as small as the commands need it.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{HeaderMap, Request, Uri, header};
use serde_json::Value;

use crate::upstream;

/// No answer that the commands ask for is larger.
const LARGEST: usize = 64 * 1024 * 1024;

/// One gateway.
pub struct Client {
    base: String,
    http: upstream::Client,
    patience: Duration,
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The message of an error answer, else the status.
    pub fn fault(&self) -> String {
        let message = self.json()["error"]["message"].as_str().map(str::to_owned);
        format!("status {}: {}", self.status, message.unwrap_or_else(|| "no message".to_owned()))
    }
}

impl Client {
    /// A client that waits `patience` for a whole answer.
    pub fn new(url: &str, patience: Duration) -> anyhow::Result<Self> {
        let base = url.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().with_context(|| format!("{url:?} is not an address"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            anyhow::bail!("{url:?} does not begin with http:// or https://");
        }
        let config = upstream::ClientConfig { connect_timeout: patience, extra_roots: Vec::new() };
        Ok(Self { base, http: upstream::Client::new(&config)?, patience })
    }

    /// Asks for a path, with a key if there is one.
    pub async fn get(&self, path: &str, key: Option<&str>) -> Result<Reply, String> {
        self.send("GET", path, key, Bytes::new()).await
    }

    /// Sends JSON to a path.
    pub async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Result<Reply, String> {
        self.send("POST", path, key, body.to_string().into()).await
    }

    async fn send(&self, method: &str, path: &str, key: Option<&str>, body: Bytes) -> Result<Reply, String> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let whole = async {
            let (head, body) = self.http.send(request).await.map_err(|_| "no answer".to_owned())?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.map_err(|error| error.to_string())?;
            Ok(Reply { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes() })
        };
        let late = || format!("no whole answer within {} s", self.patience.as_secs());
        tokio::time::timeout(self.patience, whole).await.map_err(|_| late())?
    }
}
