//! The program that replays recordings, as a child process.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use super::fixture::{Fixture, Wire};
use crate::support::{Reply, Request};

pub struct Replay {
    child: Child,
    address: SocketAddr,
}

impl Replay {
    pub async fn start(folder: &Path) -> Self {
        let mut child = Command::new("python3")
            .arg(folder.join("replay.py"))
            .arg("--fixtures")
            .arg(folder.join("public"))
            .arg("--fixtures")
            .arg(folder.join("documented"))
            .args(["--port", "0", "--delay-ms", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped"))
            .read_line(&mut line)
            .expect("it says where it listens");
        let address = line.split_once("http://").and_then(|(_, address)| address.trim().parse().ok());
        Self { child, address: address.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn ask(&self, path: &str, body: &Value) -> Reply {
        let request = Request::post(path, body).bearer("sk-replay").header("x-api-key", "sk-replay");
        request.header("x-goog-api-key", "sk-replay").header("anthropic-version", "2023-06-01").send(self.address).await
    }

    /// All that came in.
    pub async fn requests(&self) -> Vec<Value> {
        let reply = Request::get("/__control/requests").send(self.address).await;
        reply.json().as_array().cloned().unwrap_or_default()
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The call that a client without a gateway would have made for `fixture`.
pub fn call(fixture: &Fixture, body: &Value, model: &str) -> (String, Value) {
    let mut body = body.clone();
    let path = match fixture.wire {
        Wire::Chat => "/v1/chat/completions".to_owned(),
        Wire::Anthropic => "/v1/messages".to_owned(),
        Wire::Responses => "/v1/responses".to_owned(),
        Wire::Embeddings if fixture.is_googles() => {
            return (format!("/v1beta/models/{model}:batchEmbedContents"), body);
        }
        Wire::Counting if fixture.is_googles() => return (format!("/v1beta/models/{model}:countTokens"), body),
        Wire::Embeddings => "/v1/embeddings".to_owned(),
        Wire::Counting => "/v1/messages/count_tokens".to_owned(),
        Wire::Gemini => {
            let method = if fixture.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            return (format!("/v1beta/models/{model}:{method}"), body);
        }
        Wire::Bedrock | Wire::BedrockInvoke => {
            let action = match (fixture.wire == Wire::Bedrock, fixture.stream) {
                (true, false) => "converse",
                (true, true) => "converse-stream",
                (false, false) => "invoke",
                (false, true) => "invoke-with-response-stream",
            };
            return (format!("/model/{model}/{action}"), body);
        }
    };
    body["model"] = json!(model);
    (path, body)
}

/// What the provider would have answered 400 to.
pub fn refusals(request: &Value) -> Vec<String> {
    let violations = request["violations"].as_array().into_iter().flatten().filter_map(Value::as_str);
    violations.filter(|violation| violation.starts_with("refuse:")).map(str::to_owned).collect()
}
