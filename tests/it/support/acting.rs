//! An upstream that plays a model which uses tools: it asks for one tool after the other, then says that it is done.

use serde_json::{Value, json};

use super::{
    Dialect, Script,
    canned::{event, openai_chunk, responses_answer},
    upstream::Seen,
};

/// What a model wants back unharmed on the next turn.
pub const SIGNATURE: &str = "c2lnbmVkIGJ5IHRoZSB1cHN0cmVhbQ==";

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name, as the client's tools begin: some clients' names carry a suffix.
    pub tool: &'static str,
    pub arguments: Value,
}

/// What to answer to a request: the next step whose tool the request offers, else the last words. Requests without tools
/// (titles, routing between models) get the last words too.
pub fn act(seen: &Seen, steps: &[Step], last_words: &str) -> Script {
    let path = seen.path.split('?').next().unwrap_or_default();
    let (dialect, body) = (Dialect::of(path), seen.json());
    let streamed = body["stream"] == true || path.contains("streamGenerateContent");
    let done = results(dialect, &body);
    match steps.get(done).filter(|step| offers(&body, step.tool)) {
        Some(step) => call(dialect, streamed, &format!("call_{done}"), step.tool, &step.arguments),
        None if streamed => Script::sse(&dialect.stream(&[last_words])),
        None => Script::json(200, &dialect.whole(last_words)),
    }
}

/// Whether a request defines a tool of this name.
fn offers(body: &Value, tool: &str) -> bool {
    body["tools"].to_string().contains(&format!("\"name\":\"{tool}\""))
}

/// How many results of tools a request holds.
fn results(dialect: Dialect, body: &Value) -> usize {
    let count = |list: &Value, is_result: &dyn Fn(&Value) -> bool| {
        list.as_array().map_or(0, |items| items.iter().filter(|item| is_result(item)).count())
    };
    match dialect {
        Dialect::OpenAi => count(&body["messages"], &|message| message["role"] == "tool"),
        Dialect::Responses => {
            count(&body["input"], &|item| item["type"].as_str().is_some_and(|kind| kind.ends_with("_call_output")))
        }
        Dialect::Anthropic => body["messages"].as_array().map_or(0, |messages| {
            messages.iter().map(|message| count(&message["content"], &|block| block["type"] == "tool_result")).sum()
        }),
        Dialect::Gemini => body["contents"].as_array().map_or(0, |contents| {
            let is_result = |part: &Value| part.get("functionResponse").is_some();
            contents.iter().map(|content| count(&content["parts"], &is_result)).sum()
        }),
    }
}

/// The model calls one tool.
pub fn call(dialect: Dialect, streamed: bool, id: &str, tool: &str, arguments: &Value) -> Script {
    let text = arguments.to_string();
    // Cut between two characters, so that nobody can read the arguments before they are whole.
    let (first, rest) = text.split_at(text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at));
    match (dialect, streamed) {
        (Dialect::OpenAi, false) => {
            let mut answer = dialect.whole("");
            answer["choices"][0]["message"] = json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": id, "type": "function", "function": {"name": tool, "arguments": text}},
            ]});
            answer["choices"][0]["finish_reason"] = "tool_calls".into();
            Script::json(200, &answer)
        }
        (Dialect::OpenAi, true) => {
            let piece = |call: Value| openai_chunk(json!({"tool_calls": [call]}), None);
            let function = json!({"name": tool, "arguments": ""});
            let mut frames = dialect.preamble();
            frames.push(piece(json!({"index": 0, "id": id, "type": "function", "function": function})));
            frames.extend([first, rest].map(|more| piece(json!({"index": 0, "function": {"arguments": more}}))));
            frames.push(openai_chunk(json!({}), Some("tool_calls")));
            frames.push("data: [DONE]\n\n".into());
            Script::sse(&frames)
        }
        (Dialect::Anthropic, false) => {
            let mut answer = dialect.whole("");
            answer["content"] = json!([
                {"type": "thinking", "thinking": "Paris, then.", "signature": SIGNATURE},
                {"type": "text", "text": "I shall look."},
                {"type": "tool_use", "id": id, "name": tool, "input": arguments},
            ]);
            answer["stop_reason"] = "tool_use".into();
            Script::json(200, &answer)
        }
        (Dialect::Anthropic, true) => {
            let thought = |delta: Value| json!({"type": "content_block_delta", "index": 0, "delta": delta});
            let arguments = |json: &str| json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": json}});
            let thinking = json!({"type": "thinking", "thinking": "", "signature": ""});
            let block = json!({"type": "tool_use", "id": id, "name": tool, "input": {}});
            let events = [
                json!({"type": "content_block_start", "index": 0, "content_block": thinking}),
                thought(json!({"type": "thinking_delta", "thinking": "Paris, then."})),
                thought(json!({"type": "signature_delta", "signature": SIGNATURE})),
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "content_block_start", "index": 1, "content_block": block}),
                arguments(""),
                arguments(first),
                arguments(rest),
                json!({"type": "content_block_stop", "index": 1}),
                json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
                    "usage": {"output_tokens": 7}}),
                json!({"type": "message_stop"}),
            ];
            Script::sse(&dialect.preamble().into_iter().chain(events.map(event)).collect::<Vec<_>>())
        }
        (Dialect::Gemini, streamed) => {
            let mut answer = dialect.whole("");
            answer["candidates"][0]["content"]["parts"] =
                json!([{"functionCall": {"name": tool, "args": arguments}, "thoughtSignature": SIGNATURE}]);
            if streamed { Script::sse(&[format!("data: {answer}\r\n\r\n")]) } else { Script::json(200, &answer) }
        }
        (Dialect::Responses, false) => {
            Script::json(200, &responses_answer("completed", json!([reasoning(), function_call(id, tool, &text)])))
        }
        (Dialect::Responses, true) => {
            let item = function_call(id, tool, &text);
            let arguments = |json: &str| json!({"type": "response.function_call_arguments.delta", "output_index": 1, "item_id": item["id"], "delta": json});
            let added = |index: u8, item: Value| json!({"type": "response.output_item.added", "output_index": index, "item": item});
            let done = |index: u8, item: &Value| json!({"type": "response.output_item.done", "output_index": index, "item": item});
            let answer = responses_answer("completed", json!([reasoning(), item]));
            let events = [
                added(0, json!({"type": "reasoning", "id": "rs_1", "summary": []})),
                done(0, &reasoning()),
                added(1, function_call(id, tool, "")),
                arguments(first),
                arguments(rest),
                done(1, &item),
                json!({"type": "response.completed", "response": answer}),
            ];
            Script::sse(&dialect.preamble().into_iter().chain(events.map(event)).collect::<Vec<_>>())
        }
    }
}

/// What a model of OpenAI thinks before it calls a tool: for nobody else to read.
fn reasoning() -> Value {
    json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SIGNATURE})
}

fn function_call(id: &str, tool: &str, arguments: &str) -> Value {
    json!({
        "type": "function_call", "id": "fc_1", "call_id": id, "name": tool, "arguments": arguments, "status": "completed",
    })
}
