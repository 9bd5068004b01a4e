//! Answers that only these tests need: calls of a tool, and JSON by a schema.

use serde_json::{Value, json};

use crate::support::{
    Dialect, Script,
    canned::{event, openai_chunk, responses_answer},
};

/// An object by the schema that the scripts ask for.
pub const STRUCTURED: &str = r#"{"name": "Science fair", "date": "Friday", "participants": ["Alice", "Bob"]}"#;

const PARIS: &str = r#"{"city": "Paris"}"#;

/// A call in OpenAI's newer protocol, as far as its arguments have come.
fn weather(arguments: &str) -> Value {
    json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "get_weather", "arguments": arguments})
}

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
                .map(event),
            );
            Script::sse(&frames)
        }
        (Dialect::Gemini, streamed) => {
            let mut answer = dialect.whole("");
            answer["candidates"][0]["content"]["parts"] =
                json!([{"functionCall": {"name": "get_weather", "args": {"city": "Paris"}}}]);
            if streamed { Script::sse(&[format!("data: {answer}\r\n\r\n")]) } else { Script::json(200, &answer) }
        }
        (Dialect::Responses, false) => Script::json(200, &responses_answer("completed", json!([weather(PARIS)]))),
        (Dialect::Responses, true) => {
            let item = weather(PARIS);
            let delta = |json: &str| json!({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": json});
            let mut frames = dialect.preamble();
            frames.extend(
                [
                    json!({"type": "response.output_item.added", "output_index": 0, "item": weather("")}),
                    delta(r#"{"city": "Pa"#),
                    delta(r#"ris"}"#),
                    json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
                    json!({"type": "response.completed", "response": responses_answer("completed", json!([item]))}),
                ]
                .map(event),
            );
            Script::sse(&frames)
        }
    }
}
