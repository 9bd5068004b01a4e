//! What a request of this protocol means, and what of it is told as lost.

use serde_json::{Value, json};

use super::decode_request;
use crate::{
    ProtocolId,
    ir::{
        Cache, Carrier, Effort, Hint, Malformed, MediaKind, MediaSource, Message, Part, Reasoning, ReasoningRequest,
        Request, ResponseFormat, Role, Signature, Text, Tool, ToolCall, ToolChoice, ToolResult,
    },
};

/// A request of these messages.
fn said(messages: Value) -> Request {
    with(json!({"messages": messages})).unwrap()
}

/// A request with `more` in its body.
fn with(more: Value) -> Result<Request, Malformed> {
    let mut body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    decode_request(body.to_string().as_bytes())
}

/// The parts of one assistant's message.
fn assistant(blocks: Value) -> Vec<Part> {
    said(json!([{"role": "assistant", "content": blocks}])).messages.remove(0).parts
}

fn user_block(block: Value) -> Part {
    said(json!([{"role": "user", "content": [block]}])).messages.remove(0).parts.remove(0)
}

fn paths(request: &Request) -> Vec<&str> {
    request.rest.iter().map(|field| field.path.as_str()).collect()
}

fn foreign() -> Signature {
    Signature { origin: ProtocolId::Gemini, value: "sig".into() }
}

#[test]
fn system_text_keeps_its_blocks_and_its_place() {
    let request = with(json!({
        "system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": "c"}, {"role": "system", "content": "d"}],
    }))
    .unwrap();
    let cached =
        Text { text: "b".into(), cache: Some(Cache { ttl: Some("1h".into()), ..Cache::default() }), ..Text::default() };
    assert_eq!(request.system, [Part::text("a"), Part::Text(cached)]);
    assert_eq!(request.messages[1], Message::new(Role::System, vec![Part::text("d")]));
    assert_eq!(with(json!({"system": "x"})).unwrap().system, [Part::text("x")]);
}

#[test]
fn accounting_addressed_to_anthropics_servers_is_shown_to_no_model() {
    let request = with(json!({"system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=1;"}, {"type": "text", "text": "be brief"},
    ]}))
    .unwrap();
    assert_eq!((request.system.as_slice(), paths(&request)), (&[Part::text("be brief")][..], vec!["system[0]"]));
}

#[test]
fn results_of_tools_come_first_in_a_message_of_their_own_with_the_tools_name() {
    let request = said(json!([
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"b": 1, "a": [2.0]}}]},
        {"role": "user", "content": [
            {"type": "text", "text": "look"},
            {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [
                {"type": "text", "text": "r"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            ], "cache_control": {"type": "ephemeral"}},
            {"type": "tool_result", "tool_use_id": "toolu_2"},
        ]},
    ]));
    let call = ToolCall {
        id: "toolu_1".into(),
        name: "f".into(),
        arguments: r#"{"a":[2.0],"b":1}"#.into(),
        ..ToolCall::default()
    };
    assert_eq!(request.messages[0].parts, [Part::ToolCall(call)]);
    let [Part::ToolResult(first), Part::ToolResult(second)] = &request.messages[1].parts[..] else {
        panic!("{:?}", request.messages)
    };
    assert_eq!((first.name.as_deref(), first.is_error, first.content.len()), (Some("f"), true, 2));
    assert_eq!(first.cache, Some(Cache::default()));
    assert_eq!(second, &ToolResult { id: "toolu_2".into(), ..ToolResult::default() });
    assert_eq!(request.messages[2], Message::new(Role::User, vec![Part::text("look")]));
    assert_eq!(request.messages.len(), 3);
}

#[test]
fn pictures_and_documents_come_from_every_sort_of_source() {
    let medium = |kind: &str, source: Value| {
        let Part::Media(media) = user_block(json!({"type": kind, "title": "t", "source": source})) else {
            panic!("{source}")
        };
        (media.kind, media.source, media.mime)
    };
    let text = |text: &str| Some(text.to_owned());
    for (kind, source, expected) in [
        (
            "image",
            json!({"type": "base64", "media_type": "image/PNG", "data": "AA=="}),
            (MediaKind::Image, MediaSource::Base64("AA==".into()), text("image/png")),
        ),
        (
            "image",
            json!({"type": "url", "url": "https://a/b"}),
            (MediaKind::Image, MediaSource::Url("https://a/b".into()), None),
        ),
        (
            "image",
            json!({"type": "file", "file_id": "file_1"}),
            (MediaKind::Image, MediaSource::File { origin: ProtocolId::Anthropic, id: "file_1".into() }, None),
        ),
        (
            "document",
            json!({"type": "text", "media_type": "text/plain", "data": "hié"}),
            (MediaKind::Document, MediaSource::Base64("aGnDqQ==".into()), text("text/plain")),
        ),
        (
            "document",
            json!({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}),
            (MediaKind::Document, MediaSource::Base64("JVBERi0=".into()), text("application/pdf")),
        ),
    ] {
        assert_eq!(medium(kind, source), expected);
    }
}

#[test]
fn a_document_of_blocks_and_a_search_result_are_told_as_what_they_hold() {
    let content = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
    let request = said(json!([{"role": "user", "content": [
        {"type": "document", "title": "t", "source": {"type": "content", "content": content},
         "cache_control": {"type": "ephemeral"}},
        {"type": "search_result", "source": "https://a/b", "title": "T", "content": [{"type": "text", "text": "found"}],
         "citations": {"enabled": true}},
    ]}]));
    let cached = Part::Text(Text { text: "b".into(), cache: Some(Cache::default()), ..Text::default() });
    assert_eq!(
        request.messages[0].parts,
        [Part::text("t"), Part::text("a"), cached, Part::text("T\nhttps://a/b\nfound")]
    );
    assert!(request.rest.is_empty(), "{:?}", request.rest);
}

#[test]
fn blocks_that_only_anthropic_understands_stay_whole() {
    for kind in ["server_tool_use", "web_search_tool_result", "mcp_tool_use", "container_upload", "of_next_year"] {
        let raw = json!({"type": kind, "id": "x"});
        let Part::Opaque { origin: ProtocolId::Anthropic, raw: kept, .. } = user_block(raw.clone()) else {
            panic!("{kind}")
        };
        assert_eq!(serde_json::to_value(&kept).unwrap(), raw);
    }
}

#[test]
fn thinking_keeps_anthropics_own_signature() {
    let own = |value: &str| Some(Signature { origin: ProtocolId::Anthropic, value: value.into() });
    assert_eq!(
        assistant(json!([
            {"type": "thinking", "thinking": "t", "signature": "EqQB"},
            {"type": "redacted_thinking", "data": "Eo8B"},
            {"type": "thinking", "thinking": "", "signature": "Er=="},
            {"type": "thinking", "thinking": "u", "signature": ""},
        ])),
        [
            Part::Reasoning(Reasoning {
                text: "t".into(),
                signature: own("EqQB"),
                redacted: false,
                ..Reasoning::default()
            }),
            Part::Reasoning(Reasoning {
                text: String::new(),
                signature: own("Eo8B"),
                redacted: true,
                ..Reasoning::default()
            }),
            Part::Reasoning(Reasoning {
                text: String::new(),
                signature: own("Er=="),
                redacted: false,
                ..Reasoning::default()
            }),
            Part::Reasoning(Reasoning { text: "u".into(), signature: None, redacted: false, ..Reasoning::default() }),
        ]
    );
}

#[test]
fn another_models_proofs_come_back_to_what_they_prove() {
    let reasoned = Carrier::Reasoning { signature: foreign(), redacted: true }.wrap();
    let called = Carrier::ToolCall { id: "call_1".into(), signature: foreign() }.wrap();
    let said = Carrier::Text { signature: foreign() }.wrap();
    let unsigned =
        Carrier::Reasoning { signature: Signature { value: String::new(), ..foreign() }, redacted: false }.wrap();
    let parts = assistant(json!([
        {"type": "thinking", "thinking": "t", "signature": reasoned},
        {"type": "thinking", "thinking": "u", "signature": unsigned},
        {"type": "thinking", "thinking": "v", "signature": "LLMO-damaged"},
        {"type": "text", "text": "a"},
        {"type": "redacted_thinking", "data": said},
        {"type": "redacted_thinking", "data": said},
        {"type": "redacted_thinking", "data": called},
        {"type": "tool_use", "id": "call_1", "name": "f", "input": {}},
        {"type": "tool_use", "id": "call_2", "name": "f", "input": {}},
    ]));
    let call = |id: &str, signature: Option<Signature>| {
        let (name, arguments) = ("f".into(), "{}".into());
        Part::ToolCall(ToolCall { id: id.into(), name, arguments, signature, custom: false, ..ToolCall::default() })
    };
    let thought = |text: &str| Part::Reasoning(Reasoning { text: text.into(), ..Reasoning::default() });
    let signed =
        |text: &str| Part::Text(Text { text: text.into(), cache: None, signature: Some(foreign()), ..Text::default() });
    assert_eq!(
        parts,
        [
            Part::Reasoning(Reasoning {
                text: "t".into(),
                signature: Some(foreign()),
                redacted: true,
                ..Reasoning::default()
            }),
            thought("u"),
            thought("v"),
            signed("a"),
            signed(""),
            call("call_1", Some(foreign())),
            call("call_2", None),
        ]
    );
}

#[test]
fn tools_are_read_and_their_extras_are_told_by_where_they_stood() {
    let request = with(json!({"tools": [
        {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": true,
         "cache_control": {"type": "ephemeral"}, "eager_input_streaming": true, "input_examples": []},
        {"type": "custom", "name": "g", "eager_input_streaming": true},
        {"type": "web_search_20260209", "name": "web_search"},
        {"type": "bash_20250124", "name": "bash"},
    ]}))
    .unwrap();
    let [Tool::Function(f), Tool::Function(g), Tool::Hosted { web_search: true, .. }, Tool::Hosted { raw, .. }] =
        &request.tools[..]
    else {
        panic!("{:?}", request.tools)
    };
    assert_eq!((f.name.as_str(), f.description.as_deref(), f.strict), ("f", Some("d"), Some(true)));
    assert_eq!((f.cache.is_some(), f.parameters.is_some(), g.parameters.is_none()), (true, true, true));
    assert_eq!(raw.get("type").and_then(|kind| kind.as_str()), Some("bash_20250124"));
    assert_eq!(paths(&request), ["tools[0].eager_input_streaming", "tools[1].eager_input_streaming"]);
}

#[test]
fn a_choice_of_tools_is_read_with_its_ban_on_parallel_calls() {
    for (choice, expected, parallel) in [
        (json!({"type": "auto"}), ToolChoice::Auto, None),
        (json!({"type": "any", "disable_parallel_tool_use": true}), ToolChoice::Required, Some(false)),
        (json!({"type": "tool", "name": "f", "disable_parallel_tool_use": false}), ToolChoice::Named("f".into()), None),
        (json!({"type": "none"}), ToolChoice::None, None),
    ] {
        let request = with(json!({"tool_choice": choice})).unwrap();
        assert_eq!((request.tool_choice, request.parallel_tool_calls), (Some(expected), parallel));
    }
    assert_eq!(with(json!({"tool_choice": {"type": "maybe"}})).unwrap_err().param, "tool_choice.type");
    assert_eq!(with(json!({"tool_choice": {"type": "tool"}})).unwrap_err().param, "tool_choice.name");
}

#[test]
fn thinking_and_effort_are_asked_for_in_every_way() {
    let asked = |thinking: Value, effort: Value| {
        with(json!({"thinking": thinking, "output_config": {"effort": effort}})).unwrap().reasoning
    };
    let want = |effort, budget, visible| Some(ReasoningRequest { effort, budget, visible });
    let none = Value::Null;
    for (thinking, effort, expected) in [
        (none.clone(), none.clone(), None),
        (none.clone(), json!("low"), want(Some(Effort::Low), None, None)),
        (json!({"type": "enabled", "budget_tokens": 2048}), none.clone(), want(None, Some(2048), Some(true))),
        (json!({"type": "disabled"}), json!("high"), want(Some(Effort::None), Some(0), None)),
        (json!({"type": "adaptive"}), none.clone(), want(None, None, None)),
        (json!({"type": "adaptive", "display": "omitted"}), json!("max"), want(Some(Effort::Max), None, Some(false))),
        (
            json!({"type": "between_tools", "display": "summarized"}),
            json!("medium"),
            want(Some(Effort::Medium), None, Some(true)),
        ),
        (json!({"type": "of_next_year"}), none.clone(), None),
    ] {
        assert_eq!(asked(thinking.clone(), effort), expected, "{thinking}");
    }
    let unknown = with(json!({"thinking": {"type": "of_next_year"}, "output_config": {"effort": "heroic"}})).unwrap();
    assert_eq!(paths(&unknown), ["output_config.effort", "thinking.type"]);
}

#[test]
fn a_schema_is_strict_where_openai_would_take_it_so() {
    let strict = |schema: Value| {
        let format = json!({"type": "json_schema", "schema": schema});
        match with(json!({"output_config": {"format": format}})).unwrap().response_format {
            Some(ResponseFormat::JsonSchema { strict, .. }) => strict,
            other => panic!("{other:?}"),
        }
    };
    let inner = json!({"type": "object", "properties": {"b": {}}, "required": ["b"], "additionalProperties": false});
    let outer = |inner: &Value| json!({"type": "object", "properties": {"a": {"anyOf": [inner]}}, "required": ["a"], "additionalProperties": false});
    assert_eq!(strict(outer(&inner)), Some(true));
    assert_eq!(strict(outer(&json!({"type": "object", "properties": {"b": {}}}))), None);
    assert!(with(json!({"output_format": {"type": "json_schema", "schema": {}}})).unwrap().response_format.is_some());
}

#[test]
fn scalars_are_read_and_the_smallest_answer_stands_for_none() {
    let request = with(json!({
        "temperature": 0.5, "top_p": 1, "top_k": 4, "stop_sequences": ["x"], "stream": true, "max_tokens": 0,
        "metadata": {"user_id": "u", "team": "t"},
    }))
    .unwrap();
    assert_eq!((request.sampling.temperature, request.sampling.top_k), (Some(0.5), Some(4)));
    assert_eq!((request.stop.as_slice(), request.stream), (&["x".to_owned()][..], true));
    assert_eq!((request.max_output_tokens, request.user.as_deref()), (Some(1), Some("u")));
    assert_eq!(paths(&request), ["metadata.team"]);
}

#[test]
fn a_hint_for_the_whole_request_stands_at_its_last_block() {
    let request = with(json!({"cache_control": {"type": "ephemeral", "ttl": "5m"}})).unwrap();
    let Part::Text(text) = &request.messages[0].parts[0] else { panic!("no text") };
    assert_eq!(text.cache, Some(Cache { ttl: Some("5m".into()), ..Cache::default() }));
}

#[test]
fn fields_that_nobody_knows_are_no_mistake_but_told() {
    let request = with(json!({
        "context_management": {"edits": [{"type": "clear_thinking_20251015"}]}, "container": "c", "mcp_servers": [],
        "speed": "fast", "inference_geo": "us", "of_next_year": {"a": 1}, "provider": "p", "timeout": 3,
        "service_tier": "standard_only", "output_config": {"task_budget": 4},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a", "of_next_year": 1}]},
            {"role": "system", "content": "s", "output_config": {"effort": "medium"}},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "x", "name": "f", "input": {}, "caller": {"type": "direct"}},
                {"type": "text", "text": "b", "citations": null},
            ]},
        ],
    }))
    .unwrap();
    let mut told = paths(&request);
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "container",
            "context_management",
            "inference_geo",
            "messages[0].content[0].of_next_year",
            "messages[1].output_config",
            "of_next_year",
            "output_config.task_budget",
            "service_tier",
            "speed",
        ]
    );
    let tier = request.rest.iter().find(|field| field.path == "service_tier").unwrap();
    assert_eq!(tier.hint, Some((Hint::ServiceTier, "default".into())));
    assert!(request.rest.iter().all(|field| field.refusal.is_none()));
}

#[test]
fn a_conversation_that_another_provider_keeps_cannot_go_on_here() {
    let refused = |thread: Value| {
        let request = with(json!({"thread": thread})).unwrap();
        request.rest.iter().any(|field| field.path == "thread" && field.refusal.is_some())
    };
    assert!(refused(json!({"type": "continue", "previous_message_id": "msg_1"})));
    assert!(!refused(json!({"type": "create"})));
}

#[test]
fn a_mistake_is_told_with_its_path() {
    for (messages, param) in [
        (json!([{"role": "user"}]), "messages[0].content"),
        (json!([{"role": "user", "content": 5}]), "messages[0].content"),
        (json!([{"role": "user", "content": [5]}]), "messages[0].content[0]"),
        (json!([{"role": "user", "content": [{"text": "a"}]}]), "messages[0].content[0].type"),
        (json!([{"role": "user", "content": [{"type": "text"}]}]), "messages[0].content[0].text"),
        (json!([{"role": "user", "content": [{"type": "image"}]}]), "messages[0].content[0].source"),
        (
            json!([{"role": "user", "content": [{"type": "image", "source": {"type": "ftp"}}]}]),
            "messages[0].content[0].source.type",
        ),
        (
            json!([{"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "f", "input": []}]}]),
            "messages[0].content[0].input",
        ),
        (
            json!([{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]),
            "messages[0].content[0].tool_use_id",
        ),
    ] {
        let error = with(json!({"messages": messages})).unwrap_err();
        assert_eq!(error.param, param, "{messages}");
        assert!(error.message.contains(param), "{}", error.message);
    }
}
