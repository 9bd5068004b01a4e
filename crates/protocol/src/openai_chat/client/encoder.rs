//! Writes a stream.

use serde::Serialize;

use super::{
    error::encode_error,
    response::{Counts, ThinkingBlock, annotation, audio, completion_id, finish_reason, google, image, native},
};
use crate::{
    Envelope, ErrorContext, ProtocolId, Served, StreamEncoder,
    ir::{ApiError, Block, Delta, Event, Finish, FinishReason, Signature, Usage},
    json::Json,
    sse::write_data,
};

/// Writes one stream of chunks, all with the same id, time and model.
#[derive(Debug)]
pub struct Encoder {
    envelope: Envelope,
    /// Everything of a chunk up to its choices.
    head: String,
    open: Open,
    /// A call that was opened and not shown yet: a signature may follow that belongs into its first chunk.
    pending: Option<Call>,
    calls: usize,
    usage: Option<Usage>,
    finish: Option<Finish>,
}

#[derive(Debug, Default)]
enum Open {
    #[default]
    Nothing,
    Text,
    Reasoning {
        text: String,
        signature: Option<Signature>,
    },
    Refusal,
    Call {
        custom: bool,
        empty: bool,
        /// A call that the client's form has no room for.
        hidden: bool,
    },
}

#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    custom: bool,
}

impl Encoder {
    pub fn new(envelope: Envelope) -> Self {
        Self { envelope, head: String::new(), open: Open::Nothing, pending: None, calls: 0, usage: None, finish: None }
    }

    fn start(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        let id = Json::from(completion_id(id, &self.envelope));
        let model = Json::from(if model.is_empty() { self.envelope.model.as_str() } else { model });
        let created = self.envelope.created;
        self.head = format!(
            r#"{{"id":{id},"object":"chat.completion.chunk","created":{created},"model":{model},"system_fingerprint":null,"choices":["#
        );
        self.delta(r#"{"role":"assistant","content":""}"#.as_bytes(), out);
    }

    /// One chunk that holds `delta`, which is a JSON object.
    fn delta(&self, delta: &[u8], out: &mut Vec<u8>) {
        self.chunk(delta, b"null", out);
    }

    fn chunk(&self, delta: &[u8], logprobs: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(br#"{"index":0,"delta":"#);
        out.extend_from_slice(delta);
        out.extend_from_slice(br#","logprobs":"#);
        out.extend_from_slice(logprobs);
        out.extend_from_slice(br#","finish_reason":null}]"#);
        if self.envelope.include_usage {
            out.extend_from_slice(br#","usage":null"#);
        }
        out.extend_from_slice(b"}\n\n");
    }

    /// One chunk whose delta has one member.
    fn member(&self, key: &str, value: &impl Serialize, out: &mut Vec<u8>) {
        let mut delta = Vec::with_capacity(64);
        delta.extend_from_slice(b"{\"");
        delta.extend_from_slice(key.as_bytes());
        delta.extend_from_slice(b"\":");
        serde_json::to_writer(&mut delta, value).expect("keys are strings, and a vector takes every write");
        delta.push(b'}');
        self.delta(&delta, out);
    }

    fn open(&mut self, block: &Block, out: &mut Vec<u8>) {
        self.open = match block {
            Block::Text => Open::Text,
            Block::Reasoning => Open::Reasoning { text: String::new(), signature: None },
            Block::Refusal => Open::Refusal,
            Block::ToolCall { id, name, custom } => {
                let hidden = self.envelope.legacy_functions && self.calls > 0;
                if !hidden {
                    self.pending = Some(Call { id: id.clone(), name: name.clone(), custom: *custom });
                }
                self.calls += 1;
                Open::Call { custom: *custom, empty: true, hidden }
            }
            Block::Redacted(signature) => {
                self.member("thinking_blocks", &[ThinkingBlock::of("", signature, true)], out);
                Open::Nothing
            }
            Block::Media { mime, data } if mime.starts_with("audio/") => {
                self.member("audio", &audio(data, &self.envelope), out);
                Open::Nothing
            }
            Block::Media { mime, data } => {
                self.member("images", &[image(Some(mime), data)], out);
                Open::Nothing
            }
            Block::Opaque => Open::Nothing,
        };
    }

    fn add(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        match (&mut self.open, delta) {
            (Open::Text, Delta::Text(text)) => self.member("content", text, out),
            (Open::Reasoning { text: whole, .. }, Delta::Text(text)) => {
                whole.push_str(text);
                self.member("reasoning_content", text, out);
            }
            (Open::Refusal, Delta::Text(text)) => self.member("refusal", text, out),
            (Open::Call { hidden: true, .. }, _) => {}
            (Open::Call { custom, empty, .. }, Delta::Arguments(text)) => {
                *empty &= text.is_empty();
                let custom = *custom;
                self.arguments(text, custom, out);
            }
            (Open::Call { .. }, Delta::Signature(signature)) => {
                let extra = google(signature);
                if let Some(extra) = extra {
                    let function = Json::object([("arguments", Json::from(""))]);
                    let call = [("index", self.index()), ("function", function), ("extra_content", extra)];
                    self.member("tool_calls", &[Json::object(call)], out);
                }
            }
            (Open::Reasoning { signature, .. }, Delta::Signature(more)) => match signature {
                Some(known) => known.value.push_str(&more.value),
                none => *none = Some(more.clone()),
            },
            (Open::Text, Delta::Signature(Signature { origin: ProtocolId::OpenAiResponses, value })) => {
                self.member("phase", value, out);
            }
            (Open::Text, Delta::Signature(signature)) => {
                if let Some(extra) = google(signature) {
                    self.member("extra_content", &extra, out);
                }
            }
            (_, Delta::Citation(citation)) => self.member("annotations", &[annotation(citation)], out),
            (_, Delta::Logprobs(logprobs)) => self.chunk(b"{}", logprobs.to_string().as_bytes(), out),
            _ => {}
        }
    }

    /// The ordinal of the call that is open.
    fn index(&self) -> Json {
        Json::from(self.calls.saturating_sub(1) as u64)
    }

    fn arguments(&self, text: &str, custom: bool, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        if self.envelope.legacy_functions {
            return self.member("function_call", &Json::object([("arguments", Json::from(text))]), out);
        }
        let (kind, key) = if custom { ("custom", "input") } else { ("function", "arguments") };
        let inner = Json::object([(key, Json::from(text))]);
        self.member("tool_calls", &[Json::object([("index", self.index()), (kind, inner)])], out);
    }

    /// Shows a call that was opened, with its signature if it has one.
    fn show_pending(&mut self, signature: Option<&Signature>, out: &mut Vec<u8>) {
        let Some(call) = self.pending.take() else { return };
        let (kind, key) = if call.custom { ("custom", "input") } else { ("function", "arguments") };
        let inner = Json::object([("name", Json::from(call.name)), (key, Json::from(""))]);
        if self.envelope.legacy_functions {
            return self.member("function_call", &inner, out);
        }
        let mut delta =
            vec![("index", self.index()), ("id", Json::from(call.id)), ("type", Json::from(kind)), (kind, inner)];
        delta.extend(signature.and_then(google).map(|extra| ("extra_content", extra)));
        self.member("tool_calls", &[Json::object(delta)], out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match std::mem::take(&mut self.open) {
            Open::Reasoning { text, signature: Some(signature) } => {
                self.member("thinking_blocks", &[ThinkingBlock::of(&text, &signature, false)], out);
            }
            Open::Call { custom: false, empty: true, hidden: false } => self.arguments("{}", false, out),
            _ => {}
        }
    }

    /// The last chunk with a choice.
    fn finish_chunk(&self, additions: &str) -> String {
        let fallback = if self.calls > 0 { FinishReason::ToolCalls } else { FinishReason::Stop };
        let reason = self.finish.as_ref().map_or(fallback, |finish| finish.reason);
        let word = finish_reason(reason, self.envelope.legacy_functions);
        let extension = |key: &str, value: Option<&str>| {
            value.map_or_else(String::new, |value| format!(r#","{key}":{}"#, Json::from(value)))
        };
        let stop = extension("stop_sequence", self.finish.as_ref().and_then(|finish| finish.stop_sequence.as_deref()));
        let native = extension("native_finish_reason", self.finish.as_ref().and_then(native));
        let usage = if self.envelope.include_usage { r#","usage":null"# } else { "" };
        format!(
            r#"{}{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"{word}"{stop}{native}}}]{usage}{additions}}}"#,
            self.head
        )
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.pending.is_some() {
            if let Event::Delta(Delta::Signature(signature)) = event {
                return self.show_pending(Some(signature), out);
            }
            self.show_pending(None, out);
        }
        match event {
            Event::Start { id, model } => self.start(id, model, out),
            Event::Open(block) => self.open(block, out),
            Event::Delta(delta) => self.add(delta, out),
            Event::Close => self.close(out),
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Finish(finish) => self.finish = Some(finish.clone()),
        }
    }

    fn end(&mut self, served: &Served, out: &mut Vec<u8>) {
        if self.head.is_empty() {
            self.start("", "", out);
        }
        let provider = Json::from(served.provider.as_str());
        let additions = format!(r#","provider":{provider},"latency_ms":{}"#, served.latency_ms);
        let counts = self.usage.as_ref().filter(|_| self.envelope.include_usage).map(Counts::from);
        match counts {
            None => write_data(self.finish_chunk(&additions).as_bytes(), out),
            Some(counts) => {
                write_data(self.finish_chunk("").as_bytes(), out);
                let counts = serde_json::to_string(&counts).expect("numbers always serialise");
                write_data(format!(r#"{}],"usage":{counts}{additions}}}"#, self.head).as_bytes(), out);
            }
        }
        write_data(b"[DONE]", out);
    }

    fn fail(&mut self, error: &ApiError, context: &ErrorContext, out: &mut Vec<u8>) {
        write_data(&encode_error(error, context), out);
    }
}
