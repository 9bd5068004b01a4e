//! Answers that only these tests need: calls of a tool, JSON by a schema, and those of operations beside chat.

use serde_json::{Value, json};

use crate::support::{Dialect, Script, canned::openai_chunk};

/// An object by the schema that the scripts ask for.
pub const STRUCTURED: &str = r#"{"name": "Science fair", "date": "Friday", "participants": ["Alice", "Bob"]}"#;

/// The model calls `get_weather` for Paris.
pub fn tool_call(dialect: Dialect, streamed: bool) -> Script {
    match (dialect, streamed) {
        (Dialect::OpenAi, false) => {
            let mut answer = dialect.whole("");
            answer["choices"][0]["message"] = json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": r#"{"city": "Paris"}"#}},
            ]});
            answer["choices"][0]["finish_reason"] = "tool_calls".into();
            Script::json(200, &answer)
        }
        (Dialect::OpenAi, true) => {
            let call = |call: Value| openai_chunk(json!({"tool_calls": [call]}), None);
            let begin = json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}});
            let mut frames = dialect.preamble();
            frames.push(call(begin));
            for piece in [r#"{"city":"#, r#" "Paris"}"#] {
                frames.push(call(json!({"index": 0, "function": {"arguments": piece}})));
            }
            frames.push(openai_chunk(json!({}), Some("tool_calls")));
            frames.push("data: [DONE]\n\n".into());
            Script::sse(&frames)
        }
        (Dialect::Anthropic, false) => {
            let mut answer = dialect.whole("");
            answer["content"] = json!([
                {"type": "text", "text": "I shall look."},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
            ]);
            answer["stop_reason"] = "tool_use".into();
            Script::json(200, &answer)
        }
        (Dialect::Anthropic, true) => {
            let delta = |json: &str| json!({"type": "input_json_delta", "partial_json": json});
            let block = json!({"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}});
            let mut frames = dialect.preamble();
            frames.extend(
                [
                    json!({"type": "content_block_start", "index": 0, "content_block": block}),
                    json!({"type": "content_block_delta", "index": 0, "delta": delta("")}),
                    json!({"type": "content_block_delta", "index": 0, "delta": delta(r#"{"city": "Pa"#)}),
                    json!({"type": "content_block_delta", "index": 0, "delta": delta(r#"ris"}"#)}),
                    json!({"type": "content_block_stop", "index": 0}),
                    json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
                        "usage": {"output_tokens": 7}}),
                    json!({"type": "message_stop"}),
                ]
                .map(|event| {
                    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().expect("events have types"))
                }),
            );
            Script::sse(&frames)
        }
        (Dialect::Gemini, streamed) => {
            let mut answer = dialect.whole("");
            answer["candidates"][0]["content"]["parts"] =
                json!([{"functionCall": {"name": "get_weather", "args": {"city": "Paris"}}}]);
            if streamed { Script::sse(&[format!("data: {answer}\r\n\r\n")]) } else { Script::json(200, &answer) }
        }
    }
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
