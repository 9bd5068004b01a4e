//! The checks themselves.

use std::time::Instant;

use serde_json::{Value, json};

use super::{
    Outcome, Run,
    client::{Client, Reply},
};

impl Run {
    pub async fn health(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let outcome = expect(&self.client, "/health", None, 200).await.and_then(|reply| {
            let healthy = reply.json()["status"] == "healthy" && reply.headers.contains_key("x-request-id");
            must(healthy, "the answer does not say `healthy`, or has no X-Request-ID")
        });
        self.note("GET /health", began, outcome)?;

        let began = Instant::now();
        let outcome = match self.client.get("/readyz", None).await {
            Ok(reply) if reply.status == 200 => Ok("ready".to_owned()),
            // A gateway without a provider works as it should; it just has nothing to do.
            Ok(reply) if reply.status == 503 => Ok(format!("not ready: {}", reply.json()["reasons"])),
            Ok(reply) => Err(reply.fault()),
            Err(why) => Err(why),
        };
        self.note("GET /readyz", began, outcome)?;

        let began = Instant::now();
        let version = expect(&self.client, "/version", None, 200).await;
        let outcome = version.map(|reply| reply.json()["version"].as_str().unwrap_or_default().to_owned());
        self.note("GET /version", began, outcome)
    }

    pub async fn models(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let listed = expect(&self.client, "/v1/models", self.api_key.as_deref(), 200).await;
        let outcome = listed.and_then(|reply| match reply.json()["data"].as_array() {
            Some(models) => Ok(format!("{} models", models.len())),
            None => Err("the answer has no list".to_owned()),
        });
        self.note("GET /v1/models", began, outcome)?;

        let began = Instant::now();
        let wrong = expect(&self.client, "/v1/models", Some("no-such-key"), 401).await;
        self.note("GET /v1/models refuses a wrong key", began, wrong.map(|_| String::new()))
    }

    pub async fn chat(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let model = match &self.model {
            Some(model) => Ok(model.clone()),
            None => first_model(&self.client, self.api_key.as_deref()).await,
        };
        let model = match model {
            Ok(model) => model,
            Err(why) => return self.note("a model to chat with", began, Err(why)),
        };
        let key = self.api_key.clone();
        let ask = |stream: bool| json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "Say hello in one word."}]});

        let began = Instant::now();
        let whole = self.client.post("/v1/chat/completions", key.as_deref(), &ask(false)).await;
        self.note(
            &format!("POST /v1/chat/completions with {model}"),
            began,
            whole.and_then(|reply| judge_whole(&reply)),
        )?;

        let began = Instant::now();
        let stream = self.client.post("/v1/chat/completions", key.as_deref(), &ask(true)).await;
        self.note(&format!("the same as a stream with {model}"), began, stream.and_then(|reply| judge_stream(&reply)))?;

        let began = Instant::now();
        let broken = self.client.post("/v1/chat/completions", key.as_deref(), &json!({"model": model})).await;
        let outcome = broken.and_then(|reply| if reply.status == 400 { Ok(String::new()) } else { Err(reply.fault()) });
        self.note("POST /v1/chat/completions refuses a request without messages", began, outcome)
    }

    pub async fn providers(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let listed = expect(&self.client, "/admin/providers", self.admin_key.as_deref(), 200).await;
        let outcome = listed.and_then(|reply| match reply.json().as_array() {
            Some(providers) => Ok(names(providers)),
            None => Err("the answer is not a list".to_owned()),
        });
        self.note("GET /admin/providers", began, outcome)?;

        let began = Instant::now();
        let closed = expect(&self.client, "/admin/providers", None, 401).await;
        self.note("GET /admin/providers refuses a caller without a key", began, closed.map(|_| String::new()))
    }

    pub async fn system(&mut self) -> anyhow::Result<()> {
        let paths = ["/admin/verify", "/admin/health", "/admin/stats", "/admin/logs?page_size=1"];
        for (path, status) in paths.into_iter().zip([204, 200, 200, 200]) {
            let began = Instant::now();
            let reply = expect(&self.client, path, self.admin_key.as_deref(), status).await;
            let outcome = reply.map(|reply| match reply.json()["status"].as_str() {
                Some(status) => status.to_owned(),
                None => String::new(),
            });
            self.note(&format!("GET {path}"), began, outcome)?;
        }
        let began = Instant::now();
        let document = expect(&self.client, "/openapi.json", None, 200).await;
        let outcome = document.and_then(|reply| must(reply.json()["paths"].is_object(), "it lists no paths"));
        self.note("GET /openapi.json", began, outcome)
    }
}

async fn expect(client: &Client, path: &str, key: Option<&str>, status: u16) -> Result<Reply, String> {
    let reply = client.get(path, key).await?;
    if reply.status == status { Ok(reply) } else { Err(format!("expected {status}, got {}", reply.fault())) }
}

fn must(good: bool, why: &str) -> Outcome {
    if good { Ok(String::new()) } else { Err(why.to_owned()) }
}

async fn first_model(client: &Client, key: Option<&str>) -> Result<String, String> {
    let reply = expect(client, "/v1/models", key, 200).await?;
    let name = reply.json()["data"][0]["id"].as_str().map(str::to_owned);
    name.ok_or_else(|| "the gateway lists no model: add a provider, or give --model".to_owned())
}

fn judge_whole(reply: &Reply) -> Outcome {
    if reply.status != 200 {
        return Err(reply.fault());
    }
    let body = reply.json();
    let message = &body["choices"][0]["message"];
    let said = message["content"].is_string() || message["tool_calls"].is_array() || message["refusal"].is_string();
    let provider = body["provider"].as_str();
    match provider {
        Some(provider) if said => Ok(format!("answered by {provider}")),
        _ => Err("the answer has no message, or does not name its provider".to_owned()),
    }
}

fn judge_stream(reply: &Reply) -> Outcome {
    if reply.status != 200 {
        return Err(reply.fault());
    }
    let text = String::from_utf8_lossy(&reply.body);
    let events: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).collect();
    match events.as_slice() {
        [chunks @ .., "[DONE]"] if !chunks.is_empty() => Ok(format!("{} chunks", chunks.len())),
        _ => Err("the stream did not end with [DONE]".to_owned()),
    }
}

fn names(providers: &[Value]) -> String {
    let names: Vec<&str> = providers.iter().filter_map(|provider| provider["name"].as_str()).collect();
    if names.is_empty() { "none yet".to_owned() } else { names.join(", ") }
}
