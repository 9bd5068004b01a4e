//! What is asked and what is answered in each scenario.

use bytes::Bytes;

/// The key that every client sends.
pub const API_KEY: &str = "sk-benchmark-key";

/// Data chunks of a streamed answer.
pub const CHUNKS: usize = 200;

/// Size of the large request's body.
const LARGE: usize = 200 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Many clients, each waiting for a whole answer of about 1.1 KB.
    Whole,
    /// One client, one request at a time.
    Single,
    /// Answers of 200 chunks of about 270 bytes that the upstream sends in one burst.
    Stream,
    /// A request of 200 KB, as a long conversation is, and a whole answer.
    Large,
    /// As `whole`, asked of a provider that speaks Anthropic's protocol.
    Translated,
    /// As `stream`, asked of a provider that speaks Anthropic's protocol.
    TranslatedStream,
    /// As `whole`, 500 a second.
    Paced,
    /// As `whole`, 2,000 a second.
    PacedFast,
}

impl Scenario {
    pub const ALL: [Self; 8] = [
        Self::Whole,
        Self::Single,
        Self::Paced,
        Self::PacedFast,
        Self::Stream,
        Self::Large,
        Self::Translated,
        Self::TranslatedStream,
    ];

    /// As it is given on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Single => "single",
            Self::Stream => "stream",
            Self::Large => "large",
            Self::Translated => "translated",
            Self::TranslatedStream => "translated-stream",
            Self::Paced => "paced",
            Self::PacedFast => "paced-fast",
        }
    }

    pub fn title(self) -> String {
        let connections = self.connections();
        match self {
            Self::Whole => format!("Whole answers of 1.1 KB, {connections} clients"),
            Self::Single => "Whole answers of 1.1 KB, one client".into(),
            Self::Stream => format!("Streams of {CHUNKS} chunks of 270 bytes in a burst, {connections} clients"),
            Self::Large => format!("Requests of 200 KB, {connections} clients"),
            Self::Paced | Self::PacedFast => {
                format!("Whole answers of 1.1 KB, {} a second, {connections} clients", self.rate().unwrap_or_default())
            }
            Self::Translated => format!("Whole answers of 1.1 KB from another protocol, {connections} clients"),
            Self::TranslatedStream => {
                format!("Streams of {CHUNKS} chunks in a burst from another protocol, {connections} clients")
            }
        }
    }

    /// Clients at once.
    pub fn connections(self) -> usize {
        match self {
            Self::Whole | Self::Translated => 32,
            Self::Single => 1,
            Self::Stream | Self::TranslatedStream | Self::Paced | Self::PacedFast => 16,
            Self::Large => 8,
        }
    }

    /// Requests a second of all clients together; `None` sends as fast as answers come.
    pub fn rate(self) -> Option<f64> {
        match self {
            Self::Paced => Some(500.0),
            Self::PacedFast => Some(2000.0),
            _ => None,
        }
    }

    pub fn streams(self) -> bool {
        matches!(self, Self::Stream | Self::TranslatedStream)
    }

    /// What the gateway knows whom to ask by.
    fn model(self) -> &'static str {
        match self {
            Self::Translated | Self::TranslatedStream => "anthropic:claude-haiku-4-5",
            _ => "gpt-4o-mini",
        }
    }

    /// The request as it goes over the wire.
    pub fn request(self, host: &str) -> Vec<u8> {
        let text = match self {
            Self::Large => "All happy families are alike. ".repeat(LARGE / 30),
            _ => "Say what a gateway is good for, in two sentences.".to_owned(),
        };
        let model = self.model();
        let stream = if self.streams() { r#""stream":true,"# } else { "" };
        let body = format!(
            r#"{{"model":"{model}",{stream}"temperature":0.7,"max_tokens":1000,"messages":[{{"role":"system","content":"You are terse."}},{{"role":"user","content":"{text}"}}]}}"#
        );
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {API_KEY}\r\n\
             Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: benchmark/1\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body.as_bytes()].concat()
    }
}

/// Whether a request's body asks for a stream. The flag stands near the front, but where somebody wrote the request anew.
pub fn asks_for_stream(body: &[u8]) -> bool {
    let looked_at = &body[..body.len().min(1024)];
    looked_at.windows(13).any(|window| window == br#""stream":true"#)
}

/// A whole answer of about 1.1 KB.
pub fn whole() -> Bytes {
    let text = "A gateway gives many providers one address and keeps the accounts. ".repeat(9);
    let answer = serde_json::json!({
        "id": "chatcmpl-9fJ2mXcQk7LrT0aZbVnE1sYp", "object": "chat.completion", "created": 1_767_225_600,
        "model": "gpt-4o-mini-2024-07-18", "system_fingerprint": "fp_0123456789",
        "choices": [{"index": 0, "logprobs": null, "finish_reason": "stop",
            "message": {"role": "assistant", "content": text.trim(), "refusal": null, "annotations": []}}],
        "usage": {"prompt_tokens": 27, "completion_tokens": 117, "total_tokens": 144,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0}},
        "service_tier": "default",
    });
    Bytes::from(answer.to_string())
}

/// A streamed answer, one event an item: [`CHUNKS`] chunks, the usage, the end.
pub fn stream() -> Vec<Bytes> {
    let event = |choices: &str, usage: &str| {
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-9fJ2mXcQk7LrT0aZbVnE1sYp\",\"object\":\"chat.completion.chunk\",\
             \"created\":1767225600,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\",\
             \"system_fingerprint\":\"fp_0123456789\",\"choices\":[{choices}],\"usage\":{usage}}}\n\n"
        ))
    };
    let choice = |delta: &str, finish: &str| {
        format!("{{\"index\":0,\"delta\":{{{delta}}},\"logprobs\":null,\"finish_reason\":{finish}}}")
    };
    let mut events = vec![event(&choice("\"role\":\"assistant\",\"content\":\"\"", "null"), "null")];
    events.extend((2..CHUNKS).map(|_| event(&choice("\"content\":\" gateway\"", "null"), "null")));
    events.push(event(&choice("", "\"stop\""), "null"));
    events.push(event("", r#"{"prompt_tokens":27,"completion_tokens":198,"total_tokens":225}"#));
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

/// [`whole`] in Anthropic's protocol.
pub fn message() -> Bytes {
    let text = "A gateway gives many providers one address and keeps the accounts. ".repeat(9);
    let answer = serde_json::json!({
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant", "model": "claude-haiku-4-5-20251001",
        "content": [{"type": "text", "text": text.trim()}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 27, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "output_tokens": 117, "service_tier": "standard"},
    });
    Bytes::from(answer.to_string())
}

/// [`stream`] in Anthropic's protocol, of as many events that become a chunk.
pub fn message_stream() -> Vec<Bytes> {
    let event = |kind: &str, rest: &str| Bytes::from(format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{rest}}}\n\n"));
    let mut events = vec![
        event(
            "message_start",
            ",\"message\":{\"id\":\"msg_01XFDUDYJgAACzvnptvVoYEL\",\"type\":\"message\",\"role\":\"assistant\",\
             \"model\":\"claude-haiku-4-5-20251001\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\
             \"usage\":{\"input_tokens\":27,\"output_tokens\":1}}",
        ),
        event("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}"),
    ];
    let delta = ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" gateway\"}";
    // The first and the last chunk come of the events around these.
    events.extend((2..CHUNKS).map(|_| event("content_block_delta", delta)));
    events.push(event("content_block_stop", ",\"index\":0"));
    events.push(event(
        "message_delta",
        ",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":198}",
    ));
    events.push(event("message_stop", ""));
    events
}
