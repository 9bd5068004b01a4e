//! Answers that only these tests need: calls of a tool, JSON by a schema, and those of operations beside chat.

use serde_json::{Value, json};

use crate::support::{Dialect, Script, acting};

/// An object by the schema that the scripts ask for.
pub const STRUCTURED: &str = r#"{"name": "Science fair", "date": "Friday", "participants": ["Alice", "Bob"]}"#;

/// The model calls `get_weather` for Paris.
pub fn tool_call(dialect: Dialect, streamed: bool) -> Script {
    acting::call(dialect, streamed, "call_1", "get_weather", &json!({"city": "Paris"}))
}

/// What an OpenAI account answers to `python_operations.py`, in order.
pub fn operations() -> Vec<Script> {
    let json = |body: Value| Script::json(200, &body);
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7});
    let text = |text: &str, finish: Option<&str>| {
        json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m",
        "choices": [{"text": text, "index": 0, "logprobs": null, "finish_reason": finish}], "usage": usage})
    };
    let event = |data: Value| format!("data: {data}\n\n");
    let picture = || json(json!({"created": 1, "data": [{"b64_json": "aGk="}]}));
    let file = || json!({"id": "file-1", "object": "file", "bytes": 3, "created_at": 1, "filename": "a.jsonl", "purpose": "batch", "status": "processed"});
    let batch = || {
        json!({"id": "batch_1", "object": "batch", "endpoint": "/v1/embeddings", "input_file_id": "file-1",
        "completion_window": "24h", "status": "in_progress", "created_at": 1})
    };
    let list = |item: Value| json(json!({"object": "list", "data": [item], "has_more": false}));
    vec![
        json(text("Hello", Some("stop"))),
        Script::sse(&[event(text("Hel", None)), event(text("lo", Some("stop"))), "data: [DONE]\n\n".into()]),
        picture(),
        picture(),
        Script::bytes(200, "audio/mpeg", b"\xff\xfb\x00sound"),
        json(json!({"text": "hi"})),
        json(json!({"text": "hi"})),
        json(
            json!({"id": "modr-1", "model": "omni-moderation-latest", "results": [{"flagged": false, "categories": {},
            "category_scores": {}, "category_applied_input_types": {}}]}),
        ),
        json(file()),
        json(file()),
        Script::bytes(200, "application/octet-stream", "{}\n"),
        json(batch()),
        json(batch()),
        json(batch()),
        list(batch()),
        list(file()),
        json(json!({"id": "file-1", "object": "file", "deleted": true})),
    ]
}
