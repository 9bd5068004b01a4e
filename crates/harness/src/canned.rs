//! Answers as the providers word them.

use serde_json::{Value, json};

/// Whose words an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    OpenAi,
    Anthropic,
    Gemini,
    /// OpenAI's newer protocol, in which some of its models are served only.
    Responses,
}

impl Dialect {
    pub const ALL: [Self; 4] = [Self::OpenAi, Self::Anthropic, Self::Gemini, Self::Responses];

    /// The dialect that a request is written in, told by its path.
    pub fn of(path: &str) -> Self {
        match path {
            path if path.ends_with("/messages") || path.ends_with("awPredict") => Self::Anthropic,
            path if path.contains("enerateContent") => Self::Gemini,
            path if path.ends_with("/responses") => Self::Responses,
            _ => Self::OpenAi,
        }
    }

    /// The provider type that speaks it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Responses => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    /// A model that a provider of this type is known to serve.
    pub fn model(self) -> &'static str {
        match self {
            Self::OpenAi => "gpt-4o",
            Self::Anthropic => "claude-sonnet-4-5",
            Self::Gemini => "gemini-2.5-flash",
            Self::Responses => "gpt-5-codex",
        }
    }

    /// A whole answer of 11 prompt tokens (3 of them from a cache) and 7 completion tokens.
    pub fn whole(self, text: &str) -> Value {
        match self {
            Self::OpenAi => json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1_767_225_600, "model": "upstream-model",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": openai_usage(),
            }),
            Self::Anthropic => json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "upstream-model",
                "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
                "usage": {"input_tokens": 8, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0, "output_tokens": 7},
            }),
            Self::Gemini => json!({
                "candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}],
                "usageMetadata": gemini_usage(), "modelVersion": "upstream-model", "responseId": "resp-1",
            }),
            Self::Responses => responses_answer("completed", json!([responses_message(text)])),
        }
    }

    /// What comes before any content: nothing of it may reach a client that another provider can still serve.
    pub fn preamble(self) -> Vec<String> {
        match self {
            Self::OpenAi => vec![openai_chunk(json!({"role": "assistant", "content": ""}), None)],
            Self::Anthropic => vec![
                event(json!({"type": "message_start", "message": {
                    "id": "msg_1", "type": "message", "role": "assistant", "model": "upstream-model", "content": [],
                    "stop_reason": null, "stop_sequence": null,
                    "usage": {"input_tokens": 8, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0, "output_tokens": 1},
                }})),
                event(json!({"type": "ping"})),
            ],
            Self::Gemini => vec![],
            Self::Responses => {
                vec![event(json!({"type": "response.created", "response": responses_answer("in_progress", json!([]))}))]
            }
        }
    }

    /// One piece of content.
    pub fn piece(self, text: &str) -> String {
        match self {
            Self::OpenAi => openai_chunk(json!({"content": text}), None),
            Self::Anthropic => {
                event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}))
            }
            Self::Gemini => {
                gemini_chunk(json!({"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}), false)
            }
            Self::Responses => event(json!({
                "type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": text,
            })),
        }
    }

    /// The pieces, with what must stand around them for the content to begin.
    pub fn begun(self, texts: &[&str]) -> Vec<String> {
        let mut frames = self.preamble();
        if self == Self::Responses {
            let item =
                json!({"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant", "content": []});
            frames.push(event(json!({"type": "response.output_item.added", "output_index": 0, "item": item})));
            let part = json!({"type": "output_text", "text": "", "annotations": []});
            frames.push(event(json!({
                "type": "response.content_part.added", "item_id": "msg_1", "output_index": 0, "content_index": 0, "part": part,
            })));
        }
        if self == Self::Anthropic {
            frames.push(event(json!({
                "type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""},
            })));
        }
        frames.extend(texts.iter().map(|text| self.piece(text)));
        frames
    }

    /// A whole stream with usage, one frame an item.
    pub fn stream(self, texts: &[&str]) -> Vec<String> {
        let mut frames = self.begun(texts);
        match self {
            Self::OpenAi => {
                frames.push(openai_chunk(json!({}), Some("stop")));
                let usage = json!({
                    "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_767_225_600,
                    "model": "upstream-model", "choices": [], "usage": openai_usage(),
                });
                frames.push(format!("data: {usage}\n\n"));
                frames.push("data: [DONE]\n\n".into());
            }
            Self::Anthropic => {
                frames.push(event(json!({"type": "content_block_stop", "index": 0})));
                frames.push(event(json!({
                    "type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
                    "usage": {"output_tokens": 7},
                })));
                frames.push(event(json!({"type": "message_stop"})));
            }
            Self::Gemini => {
                let last =
                    json!({"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP", "index": 0});
                frames.push(gemini_chunk(last, true));
            }
            Self::Responses => {
                let item = responses_message(&texts.concat());
                let answer = responses_answer("completed", json!([item]));
                frames.push(event(json!({"type": "response.output_item.done", "output_index": 0, "item": item})));
                frames.push(event(json!({"type": "response.completed", "response": answer})));
            }
        }
        frames
    }

    /// An error event in the middle of a stream.
    pub fn error_event(self) -> String {
        match self {
            Self::OpenAi => format!(
                "data: {}\n\n",
                json!({"error": {"message": "The server had an error", "type": "server_error", "param": null, "code": null}})
            ),
            Self::Anthropic => {
                event(json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))
            }
            Self::Gemini => format!(
                "data: {}\r\n\r\n",
                json!({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}})
            ),
            Self::Responses => event(
                json!({"type": "error", "code": "server_error", "message": "The server had an error", "param": null}),
            ),
        }
    }

    /// An error body for a status.
    pub fn error(self, status: u16, message: &str) -> Value {
        match self {
            Self::OpenAi | Self::Responses => {
                let kind = if status < 500 { "invalid_request_error" } else { "server_error" };
                json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
            }
            Self::Anthropic => {
                let kind = match status {
                    400 | 413 | 422 => "invalid_request_error",
                    401 => "authentication_error",
                    404 => "not_found_error",
                    429 => "rate_limit_error",
                    529 => "overloaded_error",
                    _ => "api_error",
                };
                json!({"type": "error", "error": {"type": kind, "message": message}})
            }
            Self::Gemini => json!({"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}}),
        }
    }
}

/// An OpenAI chunk with one choice.
pub fn openai_chunk(delta: Value, finish: Option<&str>) -> String {
    let chunk = json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": "upstream-model",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    });
    format!("data: {chunk}\n\n")
}

fn openai_usage() -> Value {
    json!({
        "prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 0},
    })
}

/// An event that is named by its type.
pub fn event(data: Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().expect("every event has a type"))
}

fn responses_message(text: &str) -> Value {
    let content = json!([{"type": "output_text", "text": text, "annotations": []}]);
    json!({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content})
}

/// An answer in OpenAI's newer protocol.
pub fn responses_answer(status: &str, output: Value) -> Value {
    let usage = json!({
        "input_tokens": 11, "output_tokens": 7, "total_tokens": 18,
        "input_tokens_details": {"cached_tokens": 3}, "output_tokens_details": {"reasoning_tokens": 0},
    });
    let usage = if status == "completed" { usage } else { Value::Null };
    json!({
        "id": "resp_1", "object": "response", "created_at": 1_767_225_600, "model": "upstream-model", "status": status,
        "error": null, "incomplete_details": null, "output": output, "usage": usage,
    })
}

fn gemini_usage() -> Value {
    json!({"promptTokenCount": 11, "cachedContentTokenCount": 3, "candidatesTokenCount": 7, "totalTokenCount": 18})
}

/// Gemini ends its lines with CRLF.
fn gemini_chunk(candidate: Value, last: bool) -> String {
    let mut chunk = json!({"candidates": [candidate], "modelVersion": "upstream-model", "responseId": "resp-1"});
    if last {
        chunk["usageMetadata"] = gemini_usage();
    }
    format!("data: {chunk}\r\n\r\n")
}
