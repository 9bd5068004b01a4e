//! What is read of a request, rule by rule.

use serde_json::{Value, json};

use super::decode_request;
use crate::{
    ProtocolId,
    ir::{
        Carrier, Effort, FunctionTool, Hint, Malformed, Media, MediaKind, MediaSource, Message, Part, Reasoning,
        Request, ResponseFormat, Role, Signature, Text, Tool, ToolCall, ToolChoice, ToolResult,
    },
    json::Json,
};

fn read(body: Value) -> Result<Request, Malformed> {
    decode_request(body.to_string().as_bytes())
}

/// A small request with these fields.
fn asked(more: Value) -> Request {
    let mut body = json!({"model": "m", "input": "x"});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    read(body).unwrap()
}

fn told(input: Value) -> Request {
    asked(json!({"input": input}))
}

/// What is wrong with one item.
fn wrong(item: Value) -> String {
    read(json!({"model": "m", "input": [item]})).unwrap_err().message
}

fn json_of(value: Value) -> Json {
    Json::parse(value.to_string().as_bytes()).unwrap()
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message::new(role, parts)
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: name.into(), arguments: arguments.into(), ..ToolCall::default() }
}

fn result(id: &str, name: &str, text: &str) -> Part {
    let content = if text.is_empty() { Vec::new() } else { vec![Part::text(text)] };
    Part::ToolResult(ToolResult { id: id.into(), name: Some(name.into()), content, ..ToolResult::default() })
}

/// The paths of what another protocol cannot carry, those that must not be left out marked.
fn rest(request: &Request) -> Vec<String> {
    let mark = |refused| if refused { "!" } else { "" };
    request.rest.iter().map(|field| format!("{}{}", mark(field.refusal.is_some()), field.path)).collect()
}

#[test]
fn instructions_and_leading_directions_stand_before_the_conversation() {
    let direction = |role: &str, text: &str| json!({"role": role, "content": [{"type": "input_text", "text": text}]});
    let request = asked(json!({
        "instructions": "a",
        "input": [direction("developer", "b"), direction("user", "c"), direction("system", "d")],
    }));
    assert_eq!(request.system, [Part::text("a"), Part::text("b")]);
    assert_eq!(
        request.messages,
        [message(Role::User, vec![Part::text("c")]), message(Role::System, vec![Part::text("d")])]
    );
}

#[test]
fn a_text_alone_is_what_the_user_says() {
    assert_eq!(told(json!("Hello")).messages, [message(Role::User, vec![Part::text("Hello")])]);
    assert_eq!(told(json!([{"role": "user", "content": ""}])).messages, [message(Role::User, vec![])]);
}

#[test]
fn every_sort_of_content_is_read() {
    let request = told(json!([
        {"type": "message", "role": "user", "content": [
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
            {"type": "input_image", "file_id": "file-1", "detail": "auto"},
            {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,AAAA"},
            {"type": "input_file", "file_url": "https://a/b.pdf"},
            {"type": "input_file", "file_id": "file-2"},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
            {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
        ]},
        {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed", "phase": "final_answer", "content": [
            {"type": "output_text", "text": "b", "annotations": [{"type": "url_citation"}], "logprobs": []},
            {"type": "refusal", "refusal": "c"},
        ]},
    ]));
    let file = |id: &str| MediaSource::File { origin: ProtocolId::OpenAiChat, id: id.into() };
    let media: Vec<(MediaKind, MediaSource, Option<&str>)> = request.messages[0]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Media(media) => Some((media.kind, media.source.clone(), media.mime.as_deref())),
            _ => None,
        })
        .collect();
    let data = || MediaSource::Base64("AAAA".into());
    assert_eq!(
        media,
        [
            (MediaKind::Image, data(), Some("image/png")),
            (MediaKind::Image, file("file-1"), None),
            (MediaKind::Document, data(), Some("text/plain")),
            (MediaKind::Document, MediaSource::Url("https://a/b.pdf".into()), None),
            (MediaKind::Document, file("file-2"), None),
            (MediaKind::Audio, data(), Some("audio/mpeg")),
        ]
    );
    assert!(
        matches!(&request.messages[0].parts[0], Part::Media(Media { detail: Some(detail), .. }) if detail == "low")
    );
    assert!(matches!(&request.messages[0].parts[6], Part::Text(Text { cache: Some(_), .. })));
    let phase = Signature { origin: ProtocolId::OpenAiResponses, value: "final_answer".into() };
    let said = Part::Text(Text { text: "b".into(), signature: Some(phase), ..Text::default() });
    assert_eq!(request.messages[1].parts, [said, Part::Refusal("c".into())]);
    assert!(request.rest.is_empty());
}

#[test]
fn what_the_model_produced_in_a_row_is_one_turn() {
    let request = told(json!([
        {"role": "user", "content": "go"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{\"x\":1}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** Begin"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
        {"role": "assistant", "content": "b"},
    ]));
    let custom = ToolCall { custom: true, ..call("c2", "patch", "*** Begin") };
    let thought = Reasoning { text: "hm".into(), ..Reasoning::default() };
    let calls = [Part::ToolCall(call("c1", "f", "{\"x\":1}")), Part::ToolCall(custom)];
    let turn = [Part::Reasoning(thought), Part::text("a")].into_iter().chain(calls).collect();
    assert_eq!(
        request.messages,
        [
            message(Role::User, vec![Part::text("go")]),
            message(Role::Assistant, turn),
            message(Role::User, vec![result("c1", "f", "one"), result("c2", "patch", "two")]),
            message(Role::Assistant, vec![Part::text("b")]),
        ]
    );
}

#[test]
fn results_with_pictures_and_empty_results_are_read() {
    let request = told(json!([
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": ""},
        {"type": "function_call_output", "call_id": "c1", "output": ""},
        {"role": "user", "content": "and"},
        {"type": "function_call_output", "call_id": "c1", "output": [
            {"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "https://a/b.png"},
        ]},
    ]));
    assert_eq!(request.messages[1].parts, [result("c1", "f", "")]);
    let Part::ToolResult(seen) = &request.messages[3].parts[0] else { panic!("no result") };
    assert!(matches!(&seen.content[..], [Part::Text(_), Part::Media(_)]));
}

#[test]
fn tools_in_namespaces_stand_in_one_list_and_calls_of_them_are_named_alike() {
    let request = asked(json!({
        "tools": [
            {"type": "function", "name": "mail__send", "parameters": null, "strict": false},
            {"type": "namespace", "name": "mail", "description": "d", "tools": [
                {"type": "function", "name": "send", "parameters": {"type": "object"}, "defer_loading": true},
                {"type": "custom", "name": "write"},
            ]},
        ],
        "input": [{"type": "function_call", "call_id": "c1", "name": "send", "namespace": "mail", "arguments": "{}"}],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [
            {"type": "custom", "name": "write", "namespace": "mail"}, {"type": "web_search"},
        ]},
    }));
    let Tool::Function(FunctionTool { name, namespace, .. }) = &request.tools[1] else { panic!("no function") };
    assert!(name.starts_with("mail__send_"), "{name}");
    assert_eq!(*namespace, Some(("mail".into(), "send".into())));
    let Tool::Custom { name: custom, namespace, .. } = &request.tools[2] else { panic!("no custom tool") };
    assert_eq!((custom.as_str(), namespace.clone()), ("mail__write", Some(("mail".into(), "write".into()))));
    assert_eq!(request.messages[0].parts, [Part::ToolCall(call("c1", name, "{}"))]);
    let names = [custom.clone()].into();
    assert_eq!(request.tool_choice, Some(ToolChoice::Allowed { names, required: true }));
    assert_eq!(rest(&request), ["tools[1].description", "tool_choice.tools[1]"]);
}

#[test]
fn strictness_is_the_default_where_the_schema_leaves_nothing_open() {
    let strict = |tool: Value| match &asked(json!({"tools": [tool]})).tools[0] {
        Tool::Function(function) => function.strict,
        _ => panic!("no function"),
    };
    let tool = |parameters: Value| json!({"type": "function", "name": "f", "parameters": parameters});
    let closed = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
    let open = json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false});
    assert_eq!(strict(tool(closed.clone())), Some(true));
    assert_eq!(strict(tool(open)), None);
    assert_eq!(strict(tool(json!({"type": "object"}))), None);
    assert_eq!(strict(json!({"type": "function", "name": "f"})), None);
    assert_eq!(strict(json!({"type": "function", "name": "f", "parameters": closed, "strict": false})), Some(false));
    assert_eq!(strict(json!({"type": "function", "name": "f", "parameters": {}, "strict": true})), Some(true));
}

#[test]
fn tools_of_free_text_and_tools_that_run_at_openai_are_kept_apart() {
    let grammar = json!({"type": "grammar", "syntax": "lark", "definition": "start: /a/"});
    let request = asked(json!({"tools": [
        {"type": "custom", "name": "patch", "description": "d", "format": grammar},
        {"type": "web_search"},
        {"type": "file_search", "vector_store_ids": ["v"]},
        {"type": "tool_search"},
        {"type": "web_search", "external_web_access": false},
    ]}));
    let Tool::Custom { format, .. } = &request.tools[0] else { panic!("no custom tool") };
    let format = format.as_ref().unwrap();
    assert_eq!(format.at(&["grammar", "definition"]), Some(&Json::from("start: /a/")));
    assert_eq!((format.get("type"), format.get("syntax")), (Some(&Json::from("grammar")), None));
    let searches = |tool: &Tool| matches!(tool, Tool::Hosted { web_search: true, .. });
    assert_eq!(request.tools[1..].iter().map(searches).collect::<Vec<_>>(), [true, false]);
    assert_eq!(rest(&request), ["tools[3]", "tools[4]"]);
}

#[test]
fn tools_that_the_conversation_brings_are_offered_once() {
    let tool = |name: &str| json!({"type": "function", "name": name, "parameters": {}});
    let space = |names: &[&str]| {
        let tools: Vec<Value> = names.iter().map(|name| tool(name)).collect();
        json!({"type": "namespace", "name": "n", "description": null, "tools": tools})
    };
    let request = asked(json!({
        "tools": [tool("a"), space(&["x"])],
        "input": [
            {"type": "additional_tools", "role": "developer", "tools": [tool("a"), tool("b")]},
            {"type": "tool_search_call", "arguments": {}, "call_id": null},
            {"type": "tool_search_output", "tools": [space(&["x", "y"]), tool("b")]},
        ],
    }));
    let name = |tool: &Tool| match tool {
        Tool::Function(function) => function.name.clone(),
        _ => String::new(),
    };
    assert_eq!(request.tools.iter().map(name).collect::<Vec<_>>(), ["a", "n__x", "b", "n__y"]);
    assert_eq!(rest(&request), ["input[1]"]);
}

#[test]
fn which_tool_is_to_be_called_is_read_in_all_its_forms() {
    let choice = |value: Value| asked(json!({"tool_choice": value})).tool_choice;
    assert_eq!(choice(json!("none")), Some(ToolChoice::None));
    assert_eq!(choice(json!("required")), Some(ToolChoice::Required));
    assert_eq!(choice(json!({"type": "function", "name": "f"})), Some(ToolChoice::Named("f".into())));
    assert_eq!(choice(json!({"type": "custom", "name": "f"})), Some(ToolChoice::Named("f".into())));
    let forced = asked(json!({"tool_choice": {"type": "file_search"}}));
    assert_eq!((forced.tool_choice.clone(), rest(&forced)), (None, vec!["!tool_choice".to_owned()]));
    for odd in [json!("sometimes"), json!(1), json!({"type": "function"}), json!({"type": "allowed_tools"})] {
        let error = read(json!({"model": "m", "input": "x", "tool_choice": odd})).unwrap_err();
        assert!(error.param.starts_with("tool_choice"), "{error:?}");
    }
}

#[test]
fn proof_of_reasoning_goes_back_to_whom_it_came_from() {
    let anthropic = Signature { origin: ProtocolId::Anthropic, value: "sig".into() };
    let wrapped = Carrier::Reasoning { signature: anthropic.clone(), redacted: false }.wrap();
    let request = told(json!([
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}], "encrypted_content": wrapped},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "short"}], "content": [{"type": "reasoning_text", "text": "long"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": null},
    ]));
    let own = Signature { origin: ProtocolId::OpenAiResponses, value: "gAAA".into() };
    let thought = |text: &str, signature| {
        Part::Reasoning(Reasoning { text: text.into(), signature, redacted: false, ..Reasoning::default() })
    };
    let parts = vec![thought("a\n\nb", Some(anthropic)), thought("", Some(own)), thought("long", None)];
    assert_eq!(request.messages, [message(Role::Assistant, parts)]);
}

#[test]
fn proof_that_belongs_to_a_call_finds_it_wherever_it_stands() {
    let signature = Signature { origin: ProtocolId::Gemini, value: "s".into() };
    let wrapped = Carrier::ToolCall { id: "c1".into(), signature: signature.clone() }.wrap();
    let proof = json!({"type": "reasoning", "summary": [], "encrypted_content": wrapped});
    let made = json!({"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"});
    for input in [json!([proof, made]), json!([made, proof])] {
        let expected = ToolCall { signature: Some(signature.clone()), ..call("c1", "f", "{}") };
        assert_eq!(told(input).messages, [message(Role::Assistant, vec![Part::ToolCall(expected)])]);
    }
}

#[test]
fn the_form_and_the_depth_of_an_answer_are_read() {
    let schema = json!({"type": "object", "properties": {"z": {}, "a": {}}});
    let request = asked(json!({
        "text": {"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": true}, "verbosity": "low"},
        "reasoning": {"effort": "xhigh", "summary": "auto", "context": "all_turns"},
        "max_output_tokens": 20, "temperature": 0.2, "top_p": 0.9, "parallel_tool_calls": false,
        "top_logprobs": 3, "include": ["reasoning.encrypted_content", "message.output_text.logprobs", "file_search_call.results"],
        "safety_identifier": "s", "user": "u",
    }));
    let format = ResponseFormat::JsonSchema {
        name: Some("n".into()),
        description: None,
        schema: json_of(schema),
        strict: Some(true),
    };
    assert_eq!(request.response_format, Some(format));
    let reasoning = request.reasoning.clone().unwrap();
    assert_eq!((reasoning.effort, reasoning.visible), (Some(Effort::Xhigh), Some(true)));
    assert_eq!((request.max_output_tokens, request.logprobs), (Some(20), Some(3)));
    assert_eq!((request.sampling.temperature, request.sampling.top_p), (Some(0.2), Some(0.9)));
    assert_eq!((request.parallel_tool_calls, request.user.as_deref()), (Some(false), Some("s")));
    assert_eq!(rest(&request), ["reasoning.context", "text.verbosity", "include[2]"]);
    assert_eq!(request.rest[1].hint, Some((Hint::Verbosity, Json::from("low"))));
    assert_eq!(asked(json!({"include": ["message.output_text.logprobs"]})).logprobs, Some(0));
    assert_eq!(asked(json!({"top_logprobs": 0, "reasoning": {"effort": null}})).reasoning, None);
}

#[test]
fn what_only_openai_keeps_is_refused_and_what_others_lack_is_told() {
    let request = asked(json!({
        "previous_response_id": "resp_1", "conversation": {"id": "conv_1"}, "prompt": {"id": "pmpt_1"}, "background": true,
        "truncation": "auto", "max_tool_calls": 3, "client_metadata": {"a": "b"}, "store": true, "metadata": {"k": "v"},
        "service_tier": "flex", "prompt_cache_key": "key", "prompt_cache_retention": "24h", "provider": "p", "timeout": 3,
        "stream_options": {"include_obfuscation": true},
    }));
    let mut told = rest(&request);
    told.sort();
    assert_eq!(
        told,
        [
            "!background",
            "!conversation",
            "!previous_response_id",
            "!prompt",
            "client_metadata",
            "max_tool_calls",
            "metadata",
            "prompt_cache_key",
            "prompt_cache_retention",
            "service_tier",
            "store",
            "stream_options.include_obfuscation",
            "truncation",
        ]
    );
    let hint = |path: &str| request.rest.iter().find(|field| field.path == path).unwrap().hint.clone();
    assert_eq!(hint("store"), Some((Hint::Store, Json::from(true))));
    assert_eq!(hint("service_tier"), Some((Hint::ServiceTier, Json::from("flex"))));
    assert_eq!(hint("prompt_cache_key"), Some((Hint::PromptCacheKey, Json::from("key"))));
    assert_eq!(hint("truncation"), None);
    let defaults = json!({
        "store": false, "background": false, "truncation": "disabled", "metadata": {}, "service_tier": "auto",
        "stream_options": {"include_obfuscation": false}, "previous_response_id": null, "text": {"verbosity": "medium"},
    });
    assert!(asked(defaults).rest.is_empty(), "a default said aloud is no loss");
}

#[test]
fn calls_of_openais_own_tools_stand_as_calls_and_messages_between_agents_as_text() {
    let request = told(json!([
        {"type": "shell_call", "id": "sh_1", "call_id": "c1", "status": "completed", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "c1", "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]},
        {"type": "apply_patch_call", "call_id": "c2", "status": "completed", "operation": {"type": "delete_file", "path": "p"}},
        {"type": "apply_patch_call_output", "call_id": "c2", "status": "failed", "output": "no"},
        {"type": "computer_call", "call_id": "c3", "action": {"type": "screenshot"}},
        {"type": "computer_call_output", "call_id": "c3", "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,AAAA"}},
        {"type": "agent_message", "author": "planner", "recipient": "tester", "content": [{"type": "input_text", "text": "go on"}]},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "UklGRg=="},
    ]));
    let expected = call("c1", "shell", r#"{"action":{"commands":["ls"]}}"#);
    assert_eq!(request.messages[0].parts, [Part::ToolCall(expected)]);
    let Part::ToolResult(told) = &request.messages[1].parts[0] else { panic!("no result") };
    assert!(matches!(&told.content[..], [Part::Text(text)] if text.text.contains(r#""stdout":"a""#)));
    assert!(matches!(&request.messages[3].parts[..], [Part::ToolResult(ToolResult { is_error: true, .. })]));
    let Part::ToolResult(seen) = &request.messages[5].parts[0] else { panic!("no result") };
    assert!(matches!(&seen.content[..], [Part::Media(_)]));
    assert_eq!(request.messages[6].parts, [Part::text("[Message from planner to tester]"), Part::text("go on")]);
    let Part::Media(picture) = &request.messages[7].parts[0] else { panic!("no picture") };
    assert_eq!(picture.mime.as_deref(), Some("image/webp"));
}

#[test]
fn a_change_of_configuration_holds_for_the_answer() {
    let request = told(json!([
        {"role": "user", "content": "a"},
        {"type": "configuration_update", "reasoning": {"effort": "high"}, "text": {"format": {"type": "json_object"}}},
    ]));
    assert_eq!(request.reasoning.unwrap().effort, Some(Effort::High));
    assert_eq!(request.response_format, Some(ResponseFormat::JsonObject));
}

#[test]
fn items_that_ran_at_openai_are_left_out_and_named() {
    let search = json!({"type": "web_search_call", "id": "ws_1", "status": "completed"});
    let request = told(json!([
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "a"},
        search,
        {"type": "function_call_output", "call_id": "c2", "output": "b"},
        {"type": "item_reference", "id": "msg_1"},
        {"id": "rs_1"},
    ]));
    assert_eq!(request.messages[1].parts.len(), 2, "results on both sides of it are together");
    assert_eq!(rest(&request), ["input[3]", "!input[5]", "!input[6]"]);
}

#[test]
fn what_nobody_else_can_read_is_refused_by_its_name() {
    for kind in ["compaction", "compaction_trigger", "program", "mcp_approval_request", "brand_new"] {
        let message = wrong(json!({"type": kind}));
        assert!(message.contains("input[0]") && message.contains(kind), "{message}");
    }
    let part = wrong(json!({"role": "user", "content": [{"type": "encrypted_content"}]}));
    assert!(part.contains("input[0].content[0]") && part.contains("encrypted_content"), "{part}");
}

#[test]
fn a_mistake_is_told_with_its_path() {
    for (item, path) in [
        (json!("x"), "input[0]"),
        (json!({}), "input[0].type"),
        (json!({"role": "robot"}), "input[0].role"),
        (json!({"role": "user", "content": 1}), "input[0].content"),
        (json!({"role": "user", "content": [{"type": "input_text"}]}), "input[0].content[0].text"),
        (
            json!({"role": "user", "content": [{"type": "input_image", "image_url": "ftp://a"}]}),
            "input[0].content[0].image_url",
        ),
        (json!({"type": "function_call", "name": "f"}), "input[0].call_id"),
        (json!({"type": "function_call_output", "output": ""}), "input[0].call_id"),
        (json!({"type": "additional_tools"}), "input[0].tools"),
    ] {
        let error = read(json!({"model": "m", "input": [item]})).unwrap_err();
        assert_eq!(error.param, path);
        assert!(error.message.contains(path), "{}", error.message);
    }
    for (fields, path) in [
        (json!({"tools": {}}), "tools"),
        (json!({"tools": [{"name": "f"}]}), "tools[0].type"),
        (json!({"tools": [{"type": "function"}]}), "tools[0].name"),
        (json!({"tools": [{"type": "function", "name": "f", "parameters": []}]}), "tools[0].parameters"),
        (json!({"tools": [{"type": "namespace", "name": "n"}]}), "tools[0].tools"),
        (json!({"text": {"format": {"type": "xml"}}}), "text.format.type"),
        (json!({"reasoning": {"effort": "huge"}}), "reasoning.effort"),
        (json!({"top_logprobs": 21}), "top_logprobs"),
    ] {
        let mut body = json!({"model": "m", "input": "x"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        assert_eq!(read(body).unwrap_err().param, path);
    }
}
