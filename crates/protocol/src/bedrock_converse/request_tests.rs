//! What a request becomes.

use serde_json::{Value, json};

use super::BedrockConverse;
use crate::{
    Outbound, ProtocolId, Target,
    ir::{
        Cache, Effort, FunctionTool, Losses, Media, MediaKind, MediaSource, Message, Part, Place, Reasoning,
        ReasoningRequest, Request, ResponseFormat, Role, Sampling, Signature, Text, Tool, ToolCall, ToolChoice,
        ToolResult,
    },
    json::Json,
    models::Models,
};

const CLAUDE: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
const CLAUDE_5: &str = "global.anthropic.claude-opus-5-v1:0";
const NOVA: &str = "amazon.nova-lite-v1:0";
const NOVA_2: &str = "us.amazon.nova-2-lite-v1:0";
const LLAMA: &str = "meta.llama3-1-70b-instruct-v1:0";

fn encode(model: &str, request: &Request) -> (Value, Losses) {
    let rules = Models::builtin().rules(ProtocolId::BedrockConverse, "bedrock", model);
    let mut losses = Losses::default();
    let body = BedrockConverse.encode_request(request, Target { model, rules: &rules }, &mut losses);
    (serde_json::from_slice(&body).unwrap(), losses)
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message::new(role, parts)
}

fn asking(parts: Vec<Part>) -> Request {
    Request { messages: vec![message(Role::User, parts)], ..Request::default() }
}

fn question() -> Request {
    asking(vec![Part::text("Hi")])
}

fn tool(name: &str) -> Tool {
    let parameters = Json::parse(br#"{"type":"object","properties":{"b":{},"a":{}}}"#).ok();
    Tool::Function(FunctionTool { name: name.into(), parameters, ..FunctionTool::default() })
}

fn call(id: &str) -> Part {
    Part::ToolCall(ToolCall {
        id: id.into(),
        name: "look".into(),
        arguments: "{\"a\": 1.0}".into(),
        ..ToolCall::default()
    })
}

fn result(id: &str, content: Vec<Part>) -> Part {
    Part::ToolResult(ToolResult { id: id.into(), content, ..ToolResult::default() })
}

fn file(kind: MediaKind, mime: &str, name: Option<&str>) -> Part {
    Part::Media(Media {
        kind,
        source: MediaSource::Base64("AAAA".into()),
        mime: Some(mime.into()),
        name: name.map(str::to_owned),
        detail: None,
        cache: None,
        place: Place::default(),
    })
}

fn content(body: &Value, at: usize) -> &Value {
    &body["messages"][at]["content"]
}

#[test]
fn a_plain_request_says_what_was_asked_and_no_more() {
    let (body, losses) = encode(LLAMA, &question());
    assert_eq!(body, json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "inferenceConfig": {}}));
    assert!(losses.is_empty());
}

#[test]
fn numbers_go_into_the_inference_config_and_top_k_where_the_model_reads_it() {
    let request = Request {
        system: vec![Part::text("Be brief.")],
        max_output_tokens: Some(5),
        sampling: Sampling { temperature: Some(0.5), top_k: Some(3), ..Sampling::default() },
        stop: vec!["END".into(), " ".into()],
        ..question()
    };
    let (body, losses) = encode(CLAUDE, &request);
    assert_eq!(body["system"], json!([{"text": "Be brief."}]));
    assert_eq!(body["inferenceConfig"], json!({"maxTokens": 5, "temperature": 0.5, "stopSequences": ["END"]}));
    assert_eq!(body["additionalModelRequestFields"], json!({"top_k": 3}));
    assert_eq!(body["additionalModelResponseFieldPaths"], json!(["/stop_sequence"]));
    assert_eq!(losses.paths(), "stop");
    let (body, _) = encode(NOVA, &request);
    assert_eq!(body["additionalModelRequestFields"], json!({"inferenceConfig": {"topK": 3}}));
    assert!(encode(LLAMA, &request).1.paths().contains("top_k"));
}

#[test]
fn a_model_that_is_not_told_a_limit_keeps_its_own_and_claude_gets_its_greatest() {
    assert_eq!(encode(CLAUDE, &question()).0["inferenceConfig"]["maxTokens"], 64_000);
    assert_eq!(encode(LLAMA, &question()).0["inferenceConfig"].get("maxTokens"), None);
}

#[test]
fn results_of_tools_come_first_and_together_and_blank_text_not_at_all() {
    let request = Request {
        messages: vec![
            message(Role::User, vec![Part::text("Look.")]),
            message(Role::Assistant, vec![Part::text(""), call("call.1"), call("call.2")]),
            message(Role::User, vec![result("call.1", vec![Part::text("one")])]),
            message(Role::User, vec![result("call.2", Vec::new())]),
            message(Role::User, vec![Part::text("And?")]),
        ],
        tools: vec![tool("look")],
        ..Request::default()
    };
    let (body, losses) = encode(CLAUDE, &request);
    let calls = content(&body, 1).as_array().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0]["toolUse"]["input"], json!({"a": 1.0}));
    let ids: Vec<&str> = calls.iter().map(|call| call["toolUse"]["toolUseId"].as_str().unwrap()).collect();
    assert!(ids[0] != ids[1] && !ids[0].contains('.'), "{ids:?}");
    assert_eq!(
        *content(&body, 2),
        json!([
            {"toolResult": {"toolUseId": ids[0], "content": [{"text": "one"}]}},
            {"toolResult": {"toolUseId": ids[1], "content": [{"text": "(no output)"}]}},
            {"text": "And?"},
        ])
    );
    assert!(losses.is_empty());
}

#[test]
fn long_ids_of_calls_are_cut_and_stay_different() {
    let long = |end: &str| format!("{}{end}", "x".repeat(80));
    let request = Request {
        messages: vec![
            message(Role::User, vec![Part::text("Look.")]),
            message(Role::Assistant, vec![call(&long("a")), call(&long("b"))]),
            message(Role::User, vec![result(&long("a"), Vec::new()), result(&long("b"), Vec::new())]),
        ],
        ..Request::default()
    };
    let (body, _) = encode(CLAUDE, &request);
    let id = |at: usize, of: usize, name: &str| content(&body, at)[of][name]["toolUseId"].as_str().unwrap().to_owned();
    assert_eq!(id(1, 0, "toolUse").len(), 64);
    assert_ne!(id(1, 0, "toolUse"), id(1, 1, "toolUse"));
    assert_eq!([id(1, 0, "toolUse"), id(1, 1, "toolUse")], [id(2, 0, "toolResult"), id(2, 1, "toolResult")]);
}

#[test]
fn a_history_with_tools_declares_them_and_a_failed_result_says_so() {
    let mut failed = result("a", vec![Part::text("no")]);
    if let Part::ToolResult(result) = &mut failed {
        result.is_error = true;
    }
    let request = Request {
        messages: vec![
            message(Role::User, vec![Part::text("Look.")]),
            message(Role::Assistant, vec![call("a")]),
            message(Role::User, vec![failed]),
        ],
        ..Request::default()
    };
    let (body, losses) = encode(CLAUDE, &request);
    assert_eq!(body["toolConfig"]["tools"][0]["toolSpec"]["name"], "look");
    assert_eq!(body["toolConfig"].get("toolChoice"), None);
    assert_eq!(content(&body, 2)[0]["toolResult"]["status"], "error");
    assert!(losses.is_empty());
}

#[test]
fn choices_of_tools_have_their_words_and_none_leaves_the_tools_out() {
    let with = |choice| Request { tools: vec![tool("look")], tool_choice: Some(choice), ..question() };
    for (choice, word) in [
        (ToolChoice::Auto, json!({"auto": {}})),
        (ToolChoice::Required, json!({"any": {}})),
        (ToolChoice::Named("look".into()), json!({"tool": {"name": "look"}})),
    ] {
        let (body, losses) = encode(CLAUDE, &with(choice));
        assert_eq!(body["toolConfig"]["toolChoice"], word);
        assert!(losses.is_empty());
    }
    let (body, losses) = encode(CLAUDE, &with(ToolChoice::None));
    assert_eq!(body.get("toolConfig"), None);
    assert!(losses.is_empty());
    let one = Request { parallel_tool_calls: Some(false), ..with(ToolChoice::Required) };
    assert_eq!(encode(CLAUDE, &one).1.paths(), "parallel_tool_calls");
    assert_eq!(encode(LLAMA, &with(ToolChoice::Required)).0["toolConfig"]["toolChoice"], json!({"auto": {}}));
}

#[test]
fn a_tools_schema_keeps_its_order_and_its_name_has_at_most_64_letters() {
    let request = Request { tools: vec![tool("look")], ..question() };
    let rules = Models::builtin().rules(ProtocolId::BedrockConverse, "bedrock", CLAUDE);
    let body =
        BedrockConverse.encode_request(&request, Target { model: CLAUDE, rules: &rules }, &mut Losses::default());
    let text = String::from_utf8(body).unwrap();
    assert!(text.contains(r#""inputSchema":{"json":{"type":"object","properties":{"b":{},"a":{}}}}"#), "{text}");
    let long = Request { tools: vec![tool(&"x".repeat(65))], ..question() };
    assert!(encode(CLAUDE, &long).1.refusals().next().unwrap().1.contains("64"));
}

#[test]
fn marks_for_caching_stand_behind_what_they_mark_where_the_model_knows_them() {
    let marked = |text: &str, ttl: &str| {
        Part::Text(Text {
            text: text.into(),
            cache: Some(Cache { ttl: Some(ttl.into()), place: format!("{text}.cache_control").into() }),
            ..Text::default()
        })
    };
    let Tool::Function(look) = tool("look") else { unreachable!() };
    let request = Request {
        system: vec![marked("Long.", "1h")],
        tools: vec![Tool::Function(FunctionTool {
            cache: Some(Cache { place: "tools[0]".into(), ..Cache::default() }),
            ..look
        })],
        ..asking(vec![marked("Hi", "5m")])
    };
    let (body, losses) = encode(CLAUDE, &request);
    assert_eq!(body["system"], json!([{"text": "Long."}, {"cachePoint": {"type": "default", "ttl": "1h"}}]));
    assert_eq!(*content(&body, 0), json!([{"text": "Hi"}, {"cachePoint": {"type": "default"}}]));
    assert_eq!(body["toolConfig"]["tools"][1], json!({"cachePoint": {"type": "default"}}));
    assert!(losses.is_empty());
    let (body, losses) = encode(LLAMA, &request);
    assert_eq!(*content(&body, 0), json!([{"text": "Hi"}]));
    assert_eq!(losses.paths(), "Long..cache_control,Hi.cache_control,tools[0]");
}

#[test]
fn signed_reasoning_goes_back_to_claude_and_to_nobody_else() {
    let thought = |origin, redacted| {
        let signature = Some(Signature { origin, value: "c2ln".into() });
        Part::Reasoning(Reasoning { text: "Hm.".into(), signature, redacted, ..Reasoning::default() })
    };
    let request = |part| Request {
        messages: vec![
            message(Role::User, vec![Part::text("Hi")]),
            message(Role::Assistant, vec![part, Part::text("Ho")]),
            message(Role::User, vec![Part::text("And?")]),
        ],
        ..Request::default()
    };
    let signed = request(thought(ProtocolId::Anthropic, false));
    assert_eq!(
        content(&encode(CLAUDE, &signed).0, 1)[0],
        json!({"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}})
    );
    assert_eq!(*content(&encode(NOVA, &signed).0, 1), json!([{"text": "Ho"}]));
    let redacted = request(thought(ProtocolId::BedrockConverse, true));
    assert_eq!(content(&encode(CLAUDE, &redacted).0, 1)[0], json!({"reasoningContent": {"redactedContent": "c2ln"}}));
    for other in [thought(ProtocolId::Gemini, false), thought(ProtocolId::Anthropic, true)] {
        assert_eq!(*content(&encode(CLAUDE, &request(other)).0, 1), json!([{"text": "Ho"}]));
    }
}

#[test]
fn thinking_is_asked_for_in_each_familys_words() {
    let reasoning = Some(ReasoningRequest { effort: Some(Effort::High), ..ReasoningRequest::default() });
    let request = Request { reasoning, ..question() };
    let (body, _) = encode(CLAUDE, &request);
    assert_eq!(body["additionalModelRequestFields"], json!({"thinking": {"type": "enabled", "budget_tokens": 16_384}}));
    let (body, _) = encode(CLAUDE_5, &request);
    assert_eq!(body["additionalModelRequestFields"]["thinking"]["type"], "adaptive");
    assert_eq!(body["outputConfig"], json!({"effort": "high"}));
    let (body, losses) = encode(NOVA_2, &request);
    let expected = json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}});
    assert_eq!((&body["additionalModelRequestFields"], losses.is_empty()), (&expected, true));
    let (body, _) = encode("openai.gpt-oss-120b-1:0", &request);
    assert_eq!(body["additionalModelRequestFields"], json!({"reasoning_effort": "high"}));
    assert_eq!(encode(LLAMA, &request).1.paths(), "reasoning_effort");
}

#[test]
fn an_answer_is_held_to_a_schema_where_the_model_can_be_and_else_asked_in_words() {
    let schema = Json::parse(br#"{"type":"object","properties":{},"additionalProperties":false}"#).unwrap();
    let response_format =
        Some(ResponseFormat::JsonSchema { name: Some("answer".into()), description: None, schema, strict: None });
    let request = Request { response_format, ..question() };
    let (body, losses) = encode(CLAUDE, &request);
    let told = &body["outputConfig"]["textFormat"];
    assert_eq!(told["type"], "json_schema");
    assert_eq!(told["structure"]["jsonSchema"]["name"], "answer");
    let schema: Value = serde_json::from_str(told["structure"]["jsonSchema"]["schema"].as_str().unwrap()).unwrap();
    assert_eq!(schema["type"], "object");
    assert!(losses.is_empty());
    let (body, losses) = encode(LLAMA, &request);
    assert!(body["system"][0]["text"].as_str().unwrap().contains("JSON Schema"));
    assert_eq!(losses.paths(), "response_format");
}

#[test]
fn files_go_by_bedrocks_words_and_documents_have_plain_names_of_their_own() {
    let request = asking(vec![
        file(MediaKind::Image, "image/jpg", None),
        file(MediaKind::Video, "video/mp4", None),
        file(MediaKind::Document, "application/pdf", Some("Annual_report 2025!.pdf")),
        file(MediaKind::Document, "text/x-rust; charset=utf-8", Some("Annual report 2025 pdf")),
        file(MediaKind::Document, "text/csv", None),
    ]);
    let (body, losses) = encode(NOVA, &request);
    let source = json!({"bytes": "AAAA"});
    let document = |format, name| json!({"document": {"format": format, "name": name, "source": source}});
    assert_eq!(
        *content(&body, 0),
        json!([
            {"image": {"format": "jpeg", "source": source}},
            {"video": {"format": "mp4", "source": source}},
            document("pdf", "Annual report 2025 pdf"),
            document("txt", "Annual report 2025 pdf 2"),
            document("csv", "Document"),
            {"text": "(no text)"},
        ]),
        "a document does not stand without a word"
    );
    assert_eq!(losses.paths(), "messages");
}

#[test]
fn files_that_bedrock_cannot_have_are_refused() {
    let Part::Media(picture) = file(MediaKind::Image, "image/png", None) else { unreachable!() };
    let remote = Media { source: MediaSource::Url("https://example.com/a.png".into()), ..picture };
    let (_, losses) = encode(NOVA, &asking(vec![Part::text("Hi"), Part::Media(remote)]));
    assert!(losses.refusals().next().unwrap().1.contains("base64"));
    let (_, losses) = encode(NOVA, &asking(vec![Part::text("Hi"), file(MediaKind::Image, "image/tiff", None)]));
    assert!(losses.refusals().next().unwrap().1.contains("image/tiff"));
}

#[test]
fn what_converse_has_no_word_for_is_reported_or_refused() {
    let request = Request { user: Some("u".into()), candidates: Some(2), logprobs: Some(1), ..question() };
    let (_, losses) = encode(CLAUDE, &request);
    assert_eq!(losses.refusals().map(|(path, _)| path).collect::<Vec<_>>(), ["n", "logprobs"]);
    assert!(losses.refusals().all(|(_, why)| why.contains("Bedrock")));
    assert_eq!(losses.paths(), "n,logprobs,user");
}
