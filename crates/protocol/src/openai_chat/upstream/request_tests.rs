//! What an upstream is asked when the client spoke another protocol.

use super::encode_request;
use crate::{
    ProtocolId, Target,
    ir::{
        Cache, Effort, FunctionTool, Hint, Losses, Media, MediaKind, MediaSource, Message, Part, Place, Reasoning,
        ReasoningRequest, Request, ResponseFormat, Role, Sampling, Signature, Text, Tool, ToolCall, ToolChoice,
        ToolResult, Unmapped,
    },
    json::Json,
    models::Models,
};

fn encode(request: &Request, model: &str) -> (Json, Losses) {
    let rules = Models::builtin().rules(ProtocolId::OpenAiChat, "openai", model);
    let mut losses = Losses::default();
    let body = encode_request(request, Target { model, rules: &rules }, &mut losses);
    (Json::parse(&body).unwrap(), losses)
}

fn field(request: &Request, model: &str, key: &str) -> (String, String) {
    let (body, losses) = encode(request, model);
    (body.get(key).map(Json::to_string).unwrap_or_default(), losses.paths())
}

fn messages(messages: Vec<Message>, model: &str) -> (String, String) {
    field(&Request { messages, ..Request::default() }, model, "messages")
}

fn user(parts: Vec<Part>) -> Message {
    Message::new(Role::User, parts)
}

fn assistant(parts: Vec<Part>) -> Message {
    Message::new(Role::Assistant, parts)
}

fn media(kind: MediaKind, source: MediaSource, mime: &str) -> Part {
    Part::Media(Media {
        kind,
        source,
        mime: Some(mime.into()),
        name: None,
        detail: None,
        cache: None,
        place: "messages[0].content[2]".into(),
    })
}

fn image() -> Part {
    media(MediaKind::Image, MediaSource::Base64("eA==".into()), "image/png")
}

fn result(content: Vec<Part>, is_error: bool) -> Part {
    Part::ToolResult(ToolResult { id: "a".into(), content, is_error, ..ToolResult::default() })
}

fn call(id: &str) -> Part {
    Part::ToolCall(ToolCall { id: id.into(), name: "f".into(), ..ToolCall::default() })
}

#[test]
fn system_text_is_one_message_and_later_system_text_keeps_its_place() {
    let request = Request {
        system: vec![
            Part::text("a"),
            Part::Text(Text {
                text: "b".into(),
                cache: Some(Cache { place: "system[1].cache_control".into(), ..Cache::default() }),
                ..Text::default()
            }),
        ],
        messages: vec![user(vec![Part::text("c")]), Message::new(Role::System, vec![Part::text("d")])],
        ..Request::default()
    };
    let (messages, losses) = field(&request, "x", "messages");
    assert_eq!(
        messages,
        r#"[{"role":"system","content":"a\n\nb"},{"role":"user","content":"c"},{"role":"system","content":"d"}]"#
    );
    assert_eq!(losses, "system[1].cache_control");
}

#[test]
fn results_come_first_and_their_pictures_follow_in_the_users_message() {
    let turn = user(vec![Part::text("look"), result(vec![Part::text("ok"), image()], false), result(Vec::new(), true)]);
    assert_eq!(
        messages(vec![turn], "x").0,
        r#"[{"role":"tool","tool_call_id":"a","content":"ok"},{"role":"tool","tool_call_id":"a","content":"Error: "},{"role":"user","content":[{"type":"text","text":"Result of the tool call a:"},{"type":"image_url","image_url":{"url":"data:image/png;base64,eA=="}},{"type":"text","text":"look"}]}]"#
    );
}

#[test]
fn calls_stand_beside_null_content_and_always_have_arguments() {
    assert_eq!(
        messages(vec![assistant(vec![call("a")])], "x").0,
        r#"[{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}]"#
    );
}

#[test]
fn reasoning_goes_back_with_claudes_signatures_where_the_server_keeps_them() {
    let reasoning = |text: &str, origin, redacted| {
        let signature = Some(Signature { origin, value: "sig".into() });
        Part::Reasoning(Reasoning { text: text.into(), signature, redacted, ..Reasoning::default() })
    };
    let parts = vec![
        reasoning("a", ProtocolId::Anthropic, false),
        reasoning("", ProtocolId::Anthropic, true),
        reasoning("c", ProtocolId::Gemini, false),
        Part::text("x"),
    ];
    let request = Request { messages: vec![assistant(parts), assistant(vec![call("1")])], ..Request::default() };
    let rules = Models::builtin().rules(ProtocolId::OpenAiChat, "openrouter", "anthropic/claude-opus-5");
    let body = encode_request(&request, Target { model: "m", rules: &rules }, &mut Losses::default());
    let body = String::from_utf8(body).unwrap();
    let expected = r#""reasoning_details":[{"type":"reasoning.text","text":"a","signature":"sig","format":"anthropic-claude-v1","index":0},{"type":"reasoning.encrypted","data":"sig","format":"anthropic-claude-v1","index":1},{"type":"reasoning.text","text":"c","index":2}]"#;
    assert!(body.contains(expected), "{body}");
    assert_eq!(body.matches("reasoning_details").count(), 1, "{body}");
}

#[test]
fn reasoning_goes_back_to_models_that_want_it_only() {
    let thought = || Part::Reasoning(Reasoning { text: "t".into(), ..Reasoning::default() });
    let turn = || vec![assistant(vec![thought(), Part::text("x")]), assistant(vec![call("a")])];
    assert!(!messages(turn(), "gpt-5").0.contains("reasoning"));
    let deepseek = messages(turn(), "deepseek-v4-flash").0;
    assert!(deepseek.contains(r#"{"role":"assistant","content":"x","reasoning_content":"t"}"#), "{deepseek}");
    assert!(deepseek.contains(r#""content":null,"reasoning_content":"","tool_calls""#), "{deepseek}");
}

#[test]
fn a_signature_of_geminis_goes_back_to_gemini_only() {
    let signature = Some(Signature { origin: ProtocolId::Gemini, value: "s".into() });
    let signed = Part::ToolCall(ToolCall { id: "a".into(), name: "f".into(), signature, ..ToolCall::default() });
    let turn = || vec![assistant(vec![signed.clone()])];
    assert!(
        messages(turn(), "google/gemini-3-pro").0.contains(r#""extra_content":{"google":{"thought_signature":"s"}}"#)
    );
    assert!(!messages(turn(), "gpt-5").0.contains("extra_content"));
}

#[test]
fn ids_that_a_server_does_not_take_are_replaced_on_both_sides_of_a_call() {
    let turn = |id: &str| {
        vec![
            assistant(vec![call(id)]),
            user(vec![Part::ToolResult(ToolResult { id: id.into(), ..ToolResult::default() })]),
        ]
    };
    for (model, id, length) in
        [("mistral-large-latest", "toolu_01", 9), ("gpt-5", &*"x".repeat(80), 32), ("gpt-5", "toolu_01", 8)]
    {
        let (body, _) = encode(&Request { messages: turn(id), ..Request::default() }, model);
        let messages = body.get("messages").unwrap().items().unwrap();
        let called = messages[0].get("tool_calls").unwrap().items().unwrap()[0].get("id").unwrap();
        assert_eq!(called, messages[1].get("tool_call_id").unwrap());
        assert_eq!(called.as_str().unwrap().len(), length);
    }
}

#[test]
fn media_is_written_as_the_protocol_has_it_or_refused() {
    let wav = media(MediaKind::Audio, MediaSource::Base64("eA==".into()), "audio/wav");
    let pdf = media(MediaKind::Document, MediaSource::Base64("eA==".into()), "application/pdf");
    let text = media(MediaKind::Document, MediaSource::Base64("aGk=".into()), "text/plain");
    let (written, losses) = messages(vec![user(vec![wav, pdf, text])], "x");
    assert_eq!(
        written,
        r#"[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"eA==","format":"wav"}},{"type":"file","file":{"filename":"document.pdf","file_data":"data:application/pdf;base64,eA=="}},{"type":"text","text":"hi"}]}]"#
    );
    assert_eq!(losses, "");
    for refused in [
        media(MediaKind::Audio, MediaSource::Base64("eA==".into()), "audio/ogg"),
        media(MediaKind::Document, MediaSource::Url("https://x".into()), "application/pdf"),
        media(MediaKind::Image, MediaSource::File { origin: ProtocolId::Anthropic, id: "f".into() }, "image/png"),
    ] {
        let (_, losses) = encode(&Request { messages: vec![user(vec![refused])], ..Request::default() }, "x");
        assert_eq!(losses.refusals().map(|(path, _)| path).collect::<Vec<_>>(), ["messages[0].content[2]"]);
    }
}

#[test]
fn sampling_is_left_out_while_a_model_reasons() {
    let asked = |effort| Request {
        sampling: Sampling {
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: Some(4),
            seed: Some(1),
            ..Sampling::default()
        },
        reasoning: effort,
        ..Request::default()
    };
    let effort = |effort| Some(ReasoningRequest { effort: Some(effort), budget: None, ..ReasoningRequest::default() });
    assert_eq!(
        field(&asked(None), "gpt-5-mini.fx-foo", "temperature"),
        (String::new(), "temperature,top_p,top_k".into())
    );
    assert_eq!(field(&asked(None), "openai/gpt-5.4", "temperature"), ("0.5".into(), "top_k".into()));
    assert_eq!(field(&asked(effort(Effort::Low)), "gpt-5.4", "temperature").0, "");
    assert_eq!(field(&asked(effort(Effort::None)), "gpt-5.6", "temperature").0, "0.5");
    assert_eq!(field(&asked(None), "anything", "top_p"), ("0.9".into(), "top_k".into()));
    assert_eq!(field(&asked(None), "mistral-large", "seed"), (String::new(), "top_k,seed".into()));
}

#[test]
fn efforts_and_budgets_become_what_the_model_takes() {
    let asked = |effort, budget| Request {
        reasoning: Some(ReasoningRequest { effort, budget, ..ReasoningRequest::default() }),
        ..Request::default()
    };
    for (effort, budget, model, written, losses) in [
        (Some(Effort::Max), None, "gpt-5.6", "\"xhigh\"", "reasoning_effort"),
        (Some(Effort::None), None, "o3-mini", "\"low\"", "reasoning_effort"),
        (Some(Effort::High), None, "gpt-4o", "", "reasoning_effort"),
        (Some(Effort::None), None, "gpt-4o", "", ""),
        (None, Some(2048), "gpt-5", "\"low\"", ""),
        (None, Some(10_000), "gpt-5", "\"medium\"", ""),
        (None, Some(32_000), "gpt-5", "\"high\"", ""),
        (None, Some(0), "gpt-5.2", "\"none\"", ""),
        (None, None, "gpt-5", "", ""),
        (Some(Effort::Max), None, "anything", "\"max\"", ""),
    ] {
        assert_eq!(
            field(&asked(effort, budget), model, "reasoning_effort"),
            (written.into(), losses.into()),
            "{model}"
        );
    }
}

#[test]
fn the_output_limit_has_the_models_name_for_it_and_its_bound() {
    let asked = Request { max_output_tokens: Some(64_000), ..Request::default() };
    assert_eq!(field(&asked, "gpt-5", "max_completion_tokens").0, "64000");
    assert_eq!(field(&asked, "llama", "max_tokens").0, "64000");
    assert_eq!(field(&asked, "gpt-4o", "max_tokens"), ("16384".into(), "max_tokens".into()));
}

#[test]
fn stop_sequences_are_at_most_four_and_left_out_where_none_are_taken() {
    let asked = Request { stop: ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec(), ..Request::default() };
    assert_eq!(field(&asked, "gpt-4o", "stop"), (r#"["a","b","c","d"]"#.into(), "stop".into()));
    assert_eq!(field(&asked, "gpt-5-mini", "stop"), (String::new(), "stop".into()));
}

fn function(name: &str) -> Tool {
    Tool::Function(FunctionTool { name: name.into(), ..FunctionTool::default() })
}

#[test]
fn tools_and_choices_are_written() {
    let request = Request {
        tools: vec![
            function("f"),
            Tool::Custom {
                name: "g".into(),
                namespace: None,
                description: None,
                format: None,
                place: Place::default(),
            },
        ],
        tool_choice: Some(ToolChoice::Named("g".into())),
        parallel_tool_calls: Some(false),
        ..Request::default()
    };
    let (body, _) = encode(&request, "gpt-5");
    assert_eq!(
        body.get("tools").unwrap().to_string(),
        r#"[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}},{"type":"custom","custom":{"name":"g"}}]"#
    );
    assert_eq!(body.get("tool_choice").unwrap().to_string(), r#"{"type":"custom","custom":{"name":"g"}}"#);
    assert_eq!(body.get("parallel_tool_calls"), Some(&Json::Bool(false)));
}

#[test]
fn allowed_tools_are_the_only_ones_offered_and_a_forced_choice_is_softened_where_it_is_refused() {
    let request = Request {
        tools: vec![function("f"), function("g")],
        tool_choice: Some(ToolChoice::Allowed { names: ["g".into()].into(), required: true }),
        ..Request::default()
    };
    let (body, _) = encode(&request, "gpt-5");
    assert_eq!(
        (body.get("tools").unwrap().items().unwrap().len(), body.get("tool_choice")),
        (1, Some(&Json::from("required")))
    );
    assert_eq!(field(&request, "deepseek-v4", "tool_choice"), ("\"auto\"".into(), "tool_choice".into()));
}

#[test]
fn no_choice_is_sent_without_tools_and_foreign_tools_are_refused() {
    let raw = Json::Null;
    let request = Request {
        tools: vec![Tool::Hosted { origin: ProtocolId::Anthropic, raw, web_search: false, place: Place::default() }],
        tool_choice: Some(ToolChoice::Auto),
        parallel_tool_calls: Some(true),
        ..Request::default()
    };
    let (body, losses) = encode(&request, "x");
    assert!(
        body.get("tools").is_none() && body.get("tool_choice").is_none() && body.get("parallel_tool_calls").is_none()
    );
    assert_eq!(losses.refusals().count(), 1);
    let search = Tool::Hosted {
        origin: ProtocolId::OpenAiResponses,
        raw: Json::Null,
        web_search: true,
        place: Place::default(),
    };
    let losses = encode(&Request { tools: vec![search], ..Request::default() }, "x").1;
    assert_eq!(
        (losses.refusals().count(), losses.paths().as_str()),
        (0, "tools[0]"),
        "a search of the web is left out"
    );
}

#[test]
fn a_schema_is_asked_for_by_field_or_where_there_is_none_in_words() {
    let schema = Json::object([("type", Json::from("object"))]);
    let format = ResponseFormat::JsonSchema { name: None, description: None, schema, strict: Some(true) };
    let request = Request { response_format: Some(format), ..Request::default() };
    assert_eq!(
        field(&request, "gpt-5", "response_format").0,
        r#"{"type":"json_schema","json_schema":{"name":"response","schema":{"type":"object"},"strict":true}}"#
    );
    let (body, losses) = encode(&request, "deepseek-v4");
    assert_eq!(body.get("response_format").unwrap().to_string(), r#"{"type":"json_object"}"#);
    assert!(body.get("messages").unwrap().to_string().contains(r#"JSON Schema:\n{\"type\":\"object\"}"#));
    assert_eq!(losses.paths(), "response_format");
}

#[test]
fn the_word_json_is_added_only_where_nobody_said_it() {
    let asked = |text: &str| Request {
        messages: vec![user(vec![Part::text(text)])],
        response_format: Some(ResponseFormat::JsonObject),
        ..Request::default()
    };
    assert!(field(&asked("hi"), "x", "messages").0.contains("Answer with a JSON object."));
    assert!(!field(&asked("as Json please"), "x", "messages").0.contains("Answer"));
}

#[test]
fn a_stream_asks_for_its_usage_and_unmapped_fields_are_reported() {
    let rest = vec![Unmapped { path: "context_management".into(), refusal: None, ..Unmapped::default() }];
    let request = Request {
        stream: true,
        rest,
        user: Some("u".repeat(80)),
        candidates: Some(2),
        logprobs: Some(3),
        ..Request::default()
    };
    let (body, losses) = encode(&request, "x");
    assert_eq!(body.get("stream_options").unwrap().to_string(), r#"{"include_usage":true}"#);
    assert_eq!(body.get("user").unwrap().as_str().unwrap().len(), 32);
    assert_eq!(
        (body.get("n").and_then(Json::as_u64), body.get("top_logprobs").and_then(Json::as_u64)),
        (Some(2), Some(3))
    );
    assert_eq!(losses.paths(), "context_management");
}

#[test]
fn what_both_of_openais_protocols_know_is_handed_on_to_models_that_take_it() {
    let hint = |hint: Hint, value: &str| Unmapped {
        path: format!("their.{}", hint.as_str()),
        refusal: None,
        hint: Some((hint, Json::from(value))),
    };
    let rest = vec![hint(Hint::Verbosity, "low"), hint(Hint::PromptCacheKey, "k"), hint(Hint::TopLogprobs, "2")];
    let custom = Tool::Custom {
        name: "p".into(),
        namespace: None,
        description: None,
        format: Json::parse(br#"{"type":"grammar","syntax":"lark","definition":"d"}"#).ok(),
        place: Place::default(),
    };
    let request = Request { rest, tools: vec![custom], ..Request::default() };
    let (body, losses) = encode(&request, "gpt-5");
    assert_eq!(
        body.to_string(),
        r#"{"model":"gpt-5","messages":[],"tools":[{"type":"custom","custom":{"name":"p","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"d"}}}}],"verbosity":"low","prompt_cache_key":"k"}"#
    );
    assert_eq!(losses.paths(), "their.top_logprobs");
    let (body, losses) = encode(&request, "mistral-large");
    assert!(body.get("verbosity").is_none() && body.get("prompt_cache_key").is_none());
    assert_eq!(losses.paths(), "their.verbosity,their.prompt_cache_key,their.top_logprobs");
}
