//! What an answer says, read by readers that share nothing with the gateway's own, and that take nothing amiss silently.

mod anthropic;
mod chat;
mod gemini;
mod responses;

use serde_json::{Value, json};

use super::client::Client;
use crate::support::Reply;

/// What an answer says, in OpenAI's words where a word is needed.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub text: String,
    pub reasoning: String,
    /// `None` also where the protocol has no place for it but the text.
    pub refusal: Option<String>,
    pub calls: Vec<Call>,
    pub finish: Option<&'static str>,
    pub usage: Usage,
    /// The error that ended a stream.
    pub error: Option<Value>,
    /// What breaks the protocol's rules.
    pub faults: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Empty where the protocol may leave it out.
    pub id: String,
    pub name: String,
    /// JSON, or free text.
    pub arguments: String,
}

/// Tokens as OpenAI counts them: the totals contain the parts. `None` where the protocol does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cache_read: Option<u64>,
    pub reasoning: Option<u64>,
}

impl Answer {
    /// Reads an answer of status 200.
    pub fn of(client: Client, reply: &Reply) -> Self {
        let mut answer = match (client, reply.is_stream()) {
            (Client::Chat, false) => chat::whole(&reply.json()),
            (Client::Chat, true) => chat::stream(&events(&reply.text())),
            (Client::Responses, false) => responses::whole(&reply.json()),
            (Client::Responses, true) => responses::stream(&events(&reply.text())),
            (Client::Anthropic, false) => anthropic::whole(&reply.json()),
            (Client::Anthropic, true) => anthropic::stream(&events(&reply.text())),
            (Client::Gemini, false) => gemini::whole(&reply.json()),
            (Client::Gemini, true) => gemini::stream(&events(&reply.text())),
        };
        let ids: Vec<&str> = answer.calls.iter().map(|call| call.id.as_str()).filter(|id| !id.is_empty()).collect();
        let twice = ids.iter().enumerate().any(|(at, id)| ids[..at].contains(id));
        answer.check(!twice, || "two calls have one id".to_owned());
        answer
    }

    fn check(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }

    /// The tool calls with their arguments parsed, where they are JSON.
    pub fn named_arguments(&self) -> Vec<Value> {
        let parsed = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        self.calls.iter().map(|call| json!({"name": call.name, "arguments": parsed(&call.arguments)})).collect()
    }
}

/// One server-sent event.
pub struct Event {
    /// Empty where there is no `event:` line.
    pub name: String,
    pub data: String,
}

impl Event {
    fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

fn events(text: &str) -> Vec<Event> {
    let text = text.replace("\r\n", "\n");
    let field = |block: &str, name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name)).map(str::trim_start);
        lines.collect::<Vec<_>>().join("\n")
    };
    let event = |block: &str| Event { name: field(block, "event:"), data: field(block, "data:") };
    text.split("\n\n").map(event).filter(|event| !event.data.is_empty()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
