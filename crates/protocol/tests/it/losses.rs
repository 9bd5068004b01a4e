//! What is lost is told by where the client wrote it: of any request, to any upstream, every path leads somewhere.

use llm_protocol::{
    OUTBOUND, ProtocolId, Target, inbound,
    ir::{Loss, Losses},
    models::Models,
};
use proptest::{prelude::*, sample::subsequence};
use serde_json::{Map, Value, json};

/// Models of each family, as a provider's name for them.
const MODELS: [&str; 10] = [
    "gpt-5",
    "gpt-4o",
    "claude-opus-5",
    "claude-haiku-4-5",
    "gemini-3-pro",
    "gemini-2.5-flash",
    "mistral-small",
    "amazon.nova-pro-v1:0",
    "meta.llama3-1-70b",
    "nobody-knows-it",
];

/// What a client of one protocol may say: fields of the request, pieces of its conversation, tools.
struct Words {
    protocol: ProtocolId,
    always: Value,
    fields: Value,
    conversation: (&'static str, Value),
    tools: Value,
}

fn chat() -> Words {
    Words {
        protocol: ProtocolId::OpenAiChat,
        always: json!({"model": "m"}),
        fields: json!({
            "temperature": 1.9, "top_p": 0.5, "top_k": 5, "presence_penalty": 2, "frequency_penalty": 1, "seed": 99_999_999_999_u64,
            "n": 9, "logprobs": true, "stop": ["a", "b", "c", "d", "e", "f", " "], "user": "u".repeat(300), "safety_identifier": "s".repeat(300),
            "max_tokens": 10_000_000, "max_completion_tokens": 9_000_000, "reasoning_effort": "xhigh",
            "thinking": {"type": "enabled", "budget_tokens": 5}, "reasoning": {"effort": "minimal"},
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": {"type": "object", "minProperties": 2}}},
            "verbosity": "low", "metadata": {"a": "b"}, "store": true, "prediction": {"type": "content"}, "modalities": ["audio"],
            "audio": {"voice": "v"}, "web_search_options": {}, "service_tier": "flex", "parallel_tool_calls": false,
            "tool_choice": "required", "logit_bias": {"5": 1}, "of_next_year": [1], "stream_options": {"include_obfuscation": true},
            "stream": true, "functions": [{"name": "old", "cache_control": {"type": "ephemeral"}}],
        }),
        conversation: (
            "messages",
            json!([
                {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "2h"}}]},
                {"role": "system", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
                {"role": "assistant", "content": "first", "audio": {"id": "a"}, "prefix": true},
                {"role": "user", "content": "", "name": "n"},
                {"role": "user", "content": [{"type": "text", "text": "t", "prompt_cache_breakpoint": {}}], "cache_control": {"type": "ephemeral"}},
                {"role": "user", "content": [
                    {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "high"}},
                    {"type": "image_url", "image_url": "data:image/tiff;base64,eA=="},
                    {"type": "input_audio", "input_audio": {"data": "eA==", "format": "ogg"}},
                    {"type": "video_url", "video_url": {"url": "https://x/y.mp4"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,eA=="}, "cache_control": {"type": "ephemeral"}},
                    {"type": "file", "file": {"file_id": "file_1"}},
                    {"type": "of_next_year"},
                    {"type": "thinking", "thinking": "hm"},
                ]},
                {"role": "assistant", "content": null, "reasoning_content": "r", "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "[not json"}},
                    {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "free"}},
                ]},
                {"role": "tool", "tool_call_id": "c1", "content": [
                    {"type": "text", "text": "r", "cache_control": {"type": "ephemeral"}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA==", "detail": "low"}},
                ]},
                {"role": "tool", "tool_call_id": "c2", "content": "r"},
                {"role": "assistant", "content": null, "function_call": {"name": "old", "arguments": "7"}},
                {"role": "system", "content": "later"},
                {"role": "assistant", "content": "a", "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}]},
            ]),
        ),
        tools: json!([
            {"type": "function", "function": {"name": "f", "strict": true, "parameters": {"type": "object", "properties": {"a": {"$ref": "#"}}}}, "cache_control": {"type": "ephemeral"}},
            {"type": "function", "function": {"name": "f"}},
            {"type": "function", "function": {"name": "ünfit name", "parameters": {"anyOf": []}}},
            {"type": "function", "function": {"name": "h", "parameters": {"anyOf": []}}},
            {"type": "custom", "custom": {"name": "g", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}},
            {"type": "custom", "custom": {"name": "k"}},
            {"type": "web_search_preview"},
            {"type": "of_next_year"},
        ]),
    }
}

fn responses() -> Words {
    Words {
        protocol: ProtocolId::OpenAiResponses,
        always: json!({"model": "m"}),
        fields: json!({
            "instructions": "i", "temperature": 1.9, "top_p": 0.5, "max_output_tokens": 10_000_000, "parallel_tool_calls": false,
            "stream": true, "safety_identifier": "s".repeat(300), "user": "u".repeat(300),
            "reasoning": {"effort": "xhigh", "summary": "auto", "context": "all"},
            "text": {"verbosity": "low", "of_next_year": 1, "format": {"type": "json_schema", "name": "n", "description": "d", "schema": {"type": "object", "minProperties": 2}}},
            "include": ["message.output_text.logprobs", "file_search_call.results"], "top_logprobs": 3, "tool_choice": "required",
            "metadata": {"a": "b"}, "store": true, "service_tier": "flex", "truncation": "auto", "background": true,
            "previous_response_id": "resp_1", "conversation": "conv_1", "prompt": {"id": "p"}, "of_next_year": 1,
            "stream_options": {"include_obfuscation": true},
        }),
        conversation: (
            "input",
            json!([
                {"role": "developer", "content": [{"type": "input_text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "2h"}}]},
                {"role": "system", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "first"}]},
                {"type": "message", "role": "user", "content": ""},
                {"type": "message", "role": "user", "content": [
                    {"type": "input_image", "image_url": "https://x/y.png", "detail": "high"},
                    {"type": "input_image", "file_id": "file_1"},
                    {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,eA=="},
                    {"type": "input_file", "file_url": "https://x/y.pdf"},
                    {"type": "input_audio", "input_audio": {"data": "eA==", "format": "ogg"}},
                ]},
                {"type": "reasoning", "summary": [], "encrypted_content": "x"},
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "[not json"},
                {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "free"},
                {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_image", "image_url": "data:image/png;base64,eA==", "detail": "low"}]},
                {"type": "custom_tool_call_output", "call_id": "c2", "output": "r"},
                {"type": "web_search_call", "id": "ws_1"},
                {"type": "item_reference", "id": "x"},
                {"type": "additional_tools", "tools": [
                    {"type": "function", "name": "n1", "parameters": {"anyOf": []}}, {"type": "custom", "name": "n2", "format": {"type": "text"}}, {"type": "file_search"},
                ]},
                {"role": "system", "content": "later"},
                {"type": "image_generation_call", "id": "ig", "result": "eA=="},
            ]),
        ),
        tools: json!([
            {"type": "function", "name": "f", "strict": true, "parameters": {"type": "object", "properties": {"a": {"$ref": "#"}}}, "cache_control": {"type": "ephemeral"}},
            {"type": "function", "name": "f", "output_schema": {}},
            {"type": "function", "name": "ünfit name", "parameters": {"anyOf": []}},
            {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
            {"type": "namespace", "name": "ns", "description": "d", "tools": [
                {"type": "function", "name": "f", "parameters": {"anyOf": []}}, {"type": "custom", "name": "g", "async": true},
            ]},
            {"type": "tool_search"},
            {"type": "web_search"},
            {"type": "web_search", "external_web_access": false},
            {"type": "of_next_year"},
        ]),
    }
}

fn anthropic() -> Words {
    Words {
        protocol: ProtocolId::Anthropic,
        always: json!({"model": "m", "max_tokens": 10_000_000}),
        fields: json!({
            "system": [
                {"type": "text", "text": "x-anthropic-billing-header: 1"},
                {"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "2h"}, "of_next_year": 1},
                {"type": "of_next_year"},
            ],
            "temperature": 0.5, "top_p": 0.5, "top_k": 5, "stop_sequences": ["a", "b", "c", "d", "e", "f", " "], "stream": true,
            "thinking": {"type": "enabled", "budget_tokens": 5, "of_next_year": 1},
            "output_config": {"effort": "max", "of_next_year": 1, "format": {"type": "json_schema", "schema": {"type": "object", "minProperties": 2}}},
            "metadata": {"user_id": "u".repeat(300), "of_next_year": 1}, "cache_control": {"type": "ephemeral"},
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true, "of_next_year": 1},
            "service_tier": "standard_only", "container": "c", "context_management": {}, "thread": {"previous_message_id": "m"},
            "of_next_year": 1,
        }),
        conversation: (
            "messages",
            json!([
                {"role": "assistant", "content": "first"},
                {"role": "user", "content": " "},
                {"role": "user", "content": [
                    {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}, "of_next_year": 1},
                    {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}, "cache_control": {"type": "ephemeral"}},
                    {"type": "document", "title": "a.pdf", "citations": {"enabled": true}, "source": {"type": "base64", "media_type": "application/pdf", "data": "eA=="}},
                    {"type": "document", "title": "t", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
                    {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
                    {"type": "search_result", "title": "t", "source": "s", "content": [{"type": "text", "text": "x"}], "cache_control": {"type": "ephemeral"}},
                    {"type": "of_next_year"},
                ]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "eA=="},
                    {"type": "redacted_thinking", "data": "eA=="},
                    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {}, "caller": {"type": "other"}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "is_error": true, "cache_control": {"type": "ephemeral"}, "content": [
                        {"type": "text", "text": "r", "cache_control": {"type": "ephemeral"}},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/tiff", "data": "eA=="}},
                        {"type": "of_next_year"},
                    ]},
                    {"type": "text", "text": "and?"},
                ], "of_next_year": 1},
                {"role": "system", "content": "later"},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c9"}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c2", "name": "f", "input": {"a": 1}}]},
            ]),
        ),
        tools: json!([
            {"name": "f", "strict": true, "input_schema": {"type": "object", "properties": {"a": {"$ref": "#"}}}, "cache_control": {"type": "ephemeral"}, "eager_input_streaming": true},
            {"name": "f"},
            {"name": "ünfit name", "input_schema": {"anyOf": []}},
            {"name": "h", "input_schema": {"anyOf": []}},
            {"type": "web_search_20250305", "name": "web_search"},
            {"type": "of_next_year", "name": "x"},
        ]),
    }
}

fn gemini() -> Words {
    Words {
        protocol: ProtocolId::Gemini,
        always: json!({}),
        fields: json!({
            "systemInstruction": {"parts": [{"text": "s"}, {"inlineData": {"mimeType": "image/png", "data": "eA=="}}], "of_next_year": 1},
            "generationConfig": {
                "temperature": 1.9, "topP": 0.5, "topK": 5, "presencePenalty": 2, "frequencyPenalty": 1, "seed": 99_999_999_999_u64,
                "candidateCount": 9, "maxOutputTokens": 10_000_000, "stopSequences": ["a", "b", "c", "d", "e", "f", " "],
                "responseLogprobs": true, "logprobs": 3, "responseSchema": {"type": "OBJECT", "minProperties": 2},
                "thinkingConfig": {"thinkingLevel": "XHIGH", "of_next_year": 1}, "responseModalities": ["AUDIO"], "of_next_year": 1,
            },
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "of_next_year": 1}, "of_next_year": 1},
            "safetySettings": [{"category": "x"}], "cachedContent": "c", "store": true, "of_next_year": 1,
        }),
        conversation: (
            "contents",
            json!([
                {"role": "model", "parts": [{"text": "first"}]},
                {"role": "user", "parts": [{"text": ""}]},
                {"role": "user", "parts": [
                    {"text": "t", "of_next_year": 1},
                    {"inlineData": {"mimeType": "image/tiff", "data": "eA==", "displayName": "n"}, "videoMetadata": {"fps": 1}},
                    {"fileData": {"mimeType": "application/pdf", "fileUri": "https://x/y.pdf"}},
                    {"fileData": {"mimeType": "video/mp4", "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}},
                    {"inlineData": {"mimeType": "audio/ogg", "data": "eA=="}},
                    {"of_next_year": {}},
                ]},
                {"role": "model", "parts": [
                    {"text": "hm", "thought": true},
                    {"executableCode": {"code": "x"}},
                    {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}, "of_next_year": 1}, "thoughtSignature": "eA=="},
                ]},
                {"role": "user", "parts": [
                    {"functionResponse": {"id": "c1", "name": "f", "response": {"output": "r"}, "of_next_year": 1, "parts": [{"inlineData": {"mimeType": "image/png", "data": "eA=="}}]}},
                    {"text": "and?"},
                ]},
                {"role": "user", "parts": [{"functionResponse": {"name": "g", "response": {"a": 1}}}]},
                {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
            ]),
        ),
        tools: json!([
            {"functionDeclarations": [
                {"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}, "response": {}},
                {"name": "ünfit name", "parameters": {"anyOf": []}},
                {"name": "f"},
            ]},
            {"googleSearch": {}},
            {"codeExecution": {}},
        ]),
    }
}

/// Requests that say some of the words of a protocol, in their order.
fn requests(words: Words) -> impl Strategy<Value = (ProtocolId, Value)> {
    let Words { protocol, always, fields, conversation: (key, pieces), tools } = words;
    let some = |list: Value| {
        let Value::Array(list) = list else { panic!("a list") };
        let count = list.len();
        subsequence(list, 0..=count)
    };
    let Value::Object(fields) = fields else { panic!("an object") };
    let fields: Vec<(String, Value)> = fields.into_iter().collect();
    let count = fields.len();
    (subsequence(fields, 0..=count), some(pieces), some(tools)).prop_map(move |(fields, mut pieces, tools)| {
        if pieces.is_empty() {
            pieces.push(match protocol {
                ProtocolId::Gemini => json!({"role": "user", "parts": [{"text": "hi"}]}),
                _ => json!({"role": "user", "content": "hi"}),
            });
        }
        let mut body: Map<String, Value> = always.as_object().cloned().unwrap_or_default();
        body.extend(fields);
        body.insert(key.to_owned(), json!(pieces));
        body.insert("tools".to_owned(), json!(tools));
        (protocol, Value::Object(body))
    })
}

fn anything() -> impl Strategy<Value = (ProtocolId, Value)> {
    prop_oneof![requests(chat()), requests(responses()), requests(anthropic()), requests(gemini())]
}

/// Whether there is something at a path of names and `[numbers]`.
fn leads_somewhere(body: &Value, path: &str) -> bool {
    let mut at = body;
    for step in path.replace('[', ".[").split('.') {
        let next = match step.strip_prefix('[').and_then(|number| number.strip_suffix(']')) {
            Some(number) => number.parse::<usize>().ok().and_then(|number| at.get(number)),
            None => at.get(step),
        };
        let Some(next) = next else { return false };
        at = next;
    }
    true
}

/// Paths that lead nowhere, and why.
fn may_lead_nowhere(protocol: ProtocolId, path: &str) -> bool {
    // Who says nothing of a tool's strictness asks for it in Responses.
    protocol == ProtocolId::OpenAiResponses && path.ends_with(".strict")
}

/// The names in a request's choice of tools, and those of the tools that it offers.
fn chosen_and_offered(upstream: ProtocolId, body: &Value) -> (Vec<&str>, Vec<&str>) {
    let list = |value: &'static str| body.pointer(value).and_then(Value::as_array).into_iter().flatten();
    let name = |value: &'static str| body.pointer(value).and_then(Value::as_str).into_iter().collect();
    match upstream {
        ProtocolId::OpenAiChat => (
            name("/tool_choice/function/name"),
            list("/tools").filter_map(|tool| tool.pointer("/function/name")?.as_str()).collect(),
        ),
        ProtocolId::OpenAiResponses | ProtocolId::Anthropic => {
            (name("/tool_choice/name"), list("/tools").filter_map(|tool| tool["name"].as_str()).collect())
        }
        ProtocolId::Gemini => (
            list("/toolConfig/functionCallingConfig/allowedFunctionNames").filter_map(Value::as_str).collect(),
            list("/tools")
                .flat_map(|tool| tool["functionDeclarations"].as_array().into_iter().flatten())
                .filter_map(|tool| tool["name"].as_str())
                .collect(),
        ),
        ProtocolId::BedrockConverse => (
            name("/toolConfig/toolChoice/tool/name"),
            list("/toolConfig/tools").filter_map(|tool| tool.pointer("/toolSpec/name")?.as_str()).collect(),
        ),
    }
}

/// The same request, with its choice of tools fallen on one that not every upstream takes.
fn forced(protocol: ProtocolId, mut body: Value) -> Value {
    const ODD: &str = "ünfit name";
    match protocol {
        ProtocolId::OpenAiChat => body["tool_choice"] = json!({"type": "function", "function": {"name": ODD}}),
        ProtocolId::Gemini => {
            body["toolConfig"] = json!({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [ODD]}});
        }
        ProtocolId::Anthropic => body["tool_choice"] = json!({"type": "tool", "name": ODD}),
        _ => body["tool_choice"] = json!({"type": "function", "name": ODD}),
    }
    body
}

/// All that is lost of a request on its way to a model, whatever is spoken there.
fn lost(protocol: ProtocolId, body: &Value, model: &str) -> Vec<(ProtocolId, Loss)> {
    let client = inbound(protocol).expect("it has clients");
    let request = client.decode_request(body.to_string().as_bytes());
    let request = request.unwrap_or_else(|wrong| panic!("{wrong:?}: {body}"));
    let mut all = Vec::new();
    for upstream in OUTBOUND.iter().filter(|upstream| upstream.id() != protocol) {
        let rules = Models::builtin().rules(upstream.id(), "", model);
        let mut losses = Losses::default();
        upstream.encode_request(&request, Target { model, rules: &rules }, &mut losses);
        all.extend(losses.iter().map(|loss| (upstream.id(), loss.clone())));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_loss_is_told_by_a_path_of_the_clients_own_request((protocol, body) in anything(), model in 0..MODELS.len()) {
        for (upstream, loss) in lost(protocol, &body, MODELS[model]) {
            prop_assert!(
                leads_somewhere(&body, &loss.path) || may_lead_nowhere(protocol, &loss.path),
                "{} to {}: {loss:?} in {body}", protocol.as_str(), upstream.as_str()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_as_left_out_is_left_out((protocol, body) in anything(), force in any::<bool>(), model in 0..MODELS.len()) {
        let (body, model) = (if force { forced(protocol, body) } else { body }, MODELS[model]);
        let request = inbound(protocol).expect("it has clients").decode_request(body.to_string().as_bytes()).expect("it is valid");
        for upstream in OUTBOUND.iter().filter(|upstream| upstream.id() != protocol) {
            let rules = Models::builtin().rules(upstream.id(), "", model);
            let mut losses = Losses::default();
            let sent = upstream.encode_request(&request, Target { model, rules: &rules }, &mut losses);
            let text = String::from_utf8(sent).expect("JSON is text");
            let (from, to) = (protocol.as_str(), upstream.id().as_str());
            // Fields, blocks and tools that nobody but the client's own providers could know.
            prop_assert!(!text.contains("of_next_year"), "{from} to {to}: {text}");
            let sent: Value = serde_json::from_str(&text).expect("requests are JSON");
            let (chosen, offered) = chosen_and_offered(upstream.id(), &sent);
            prop_assert!(chosen.iter().all(|name| offered.contains(name)), "{from} to {to}: {chosen:?} of {offered:?}");
            if losses.refusals().any(|(path, _)| path == "n" || path.ends_with("candidateCount")) {
                prop_assert!(sent.get("n").is_none() && sent["generationConfig"].get("candidateCount").is_none());
            }
        }
    }
}

#[test]
fn nested_losses_are_told_by_the_field_that_is_lost() {
    let whole = |words: Words| {
        let mut body = words.always;
        body[words.conversation.0] = words.conversation.1;
        body["tools"] = words.tools;
        (words.protocol, body)
    };
    for (words, model, paths) in [
        (
            chat(),
            "claude-haiku-4-5",
            &[
                "messages[0].content[0].cache_control",
                "messages[5].content[0].image_url.detail",
                "messages[5].content[2].input_audio",
                "messages[6].tool_calls[0].function.arguments",
                "tools[3].function.parameters",
                "tools[4].custom.format",
            ][..],
        ),
        (
            responses(),
            "claude-haiku-4-5",
            &[
                "input[4].content[0].detail",
                "input[6].arguments",
                "tools[3].format",
                "tools[4].tools[0].parameters",
                "tools[4].tools[1].async",
                "input[12].tools[0].parameters",
            ],
        ),
        (
            anthropic(),
            "gpt-4o",
            &[
                "messages[2].content[0].cache_control",
                "messages[2].content[2].citations",
                "messages[4].content[0].content[2]",
                "tools[0].cache_control",
                "tools[0].eager_input_streaming",
            ],
        ),
        (
            gemini(),
            "gpt-4o",
            &[
                "contents[2].parts[1].videoMetadata",
                "contents[3].parts[1]",
                "contents[4].parts[0].functionResponse.of_next_year",
                "tools[0].functionDeclarations[0].response",
                "tools[2].codeExecution",
            ],
        ),
    ] {
        let (protocol, body) = whole(words);
        let told = lost(protocol, &body, model);
        for path in paths {
            assert!(told.iter().any(|(_, loss)| loss.path == *path), "{path} in {told:#?}");
        }
    }
}
