//! What a request becomes, seen from outside.

use std::sync::Arc;

use crate::{
    Outbound, ProtocolId, Target,
    gemini::Gemini,
    ir::*,
    json::Json,
    models::{ModelRules, Models, Thinking},
};

const OLD: &str = "gemini-2.5-flash.fx-1";
const NEW: &str = "gemini-3-flash-preview.fx-1";

fn rules(model: &str) -> Arc<ModelRules> {
    Models::builtin().rules(ProtocolId::Gemini, "gemini", model)
}

fn encode(model: &str, request: &Request) -> (Json, Losses) {
    let mut losses = Losses::default();
    let body = Gemini.encode_request(request, Target { model, rules: &rules(model) }, &mut losses);
    (Json::parse(&body).unwrap(), losses)
}

fn encoded(model: &str, request: &Request) -> Json {
    encode(model, request).0
}

fn contents(model: &str, messages: Vec<Message>) -> String {
    encoded(model, &Request { messages, ..Request::default() }).get("contents").unwrap().to_string()
}

fn message(role: Role, parts: impl IntoIterator<Item = Part>) -> Message {
    Message::new(role, parts.into_iter().collect())
}

fn user(text: &str) -> Message {
    message(Role::User, [Part::text(text)])
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: name.into(), arguments: arguments.into(), ..ToolCall::default() }
}

fn result(id: &str, text: &str) -> Part {
    Part::ToolResult(ToolResult { id: id.into(), content: vec![Part::text(text)], ..ToolResult::default() })
}

fn signature(origin: ProtocolId) -> Option<Signature> {
    Some(Signature { origin, value: "sig==".into() })
}

fn picture(mime: &str) -> Part {
    let source = MediaSource::Base64("AA==".into());
    Part::Media(Media {
        kind: MediaKind::Image,
        source,
        mime: Some(mime.into()),
        name: None,
        detail: None,
        cache: None,
        place: Place::default(),
    })
}

fn function(name: &str) -> Tool {
    let schema = br#"{"type":"object","properties":{"z":{"type":["string","null"]},"a":{"$ref":"x"}}}"#;
    Tool::Function(FunctionTool {
        name: name.into(),
        parameters: Some(Json::parse(schema).unwrap()),
        ..FunctionTool::default()
    })
}

fn request(messages: Vec<Message>) -> Request {
    Request { messages, ..Request::default() }
}

fn asking() -> Request {
    request(vec![user("hi")])
}

#[test]
fn system_text_stands_apart_and_in_the_middle_it_is_tagged() {
    let request = Request {
        system: vec![Part::text("be brief"), Part::text("")],
        ..request(vec![user("hi"), message(Role::System, [Part::text("now German")])])
    };
    let (body, losses) = encode(NEW, &request);
    assert_eq!(
        body.to_string(),
        concat!(
            r#"{"systemInstruction":{"parts":[{"text":"be brief"}]},"contents":[{"role":"user","parts":"#,
            r#"[{"text":"hi"},{"text":"<system>\nnow German\n</system>"}]}]}"#
        )
    );
    assert!(losses.iter().all(|loss| loss.kind == LossKind::Approximated) && losses.iter().count() == 1);
}

#[test]
fn the_grammar_of_free_text_is_told_in_words() {
    let patch = Tool::Custom {
        name: "patch".into(),
        namespace: None,
        description: None,
        format: Json::parse(br#"{"type":"grammar","syntax":"lark","definition":"start: x"}"#).ok(),
        place: Place::default(),
    };
    let (body, losses) = encode(NEW, &Request { tools: vec![patch], ..request(vec![user("hi")]) });
    let tool =
        &body.get("tools").and_then(Json::items).unwrap()[0].get("functionDeclarations").unwrap().items().unwrap()[0];
    assert_eq!(tool.get("description").and_then(Json::as_str), Some("`input` must follow this grammar:\nstart: x"));
    assert_eq!(losses.paths(), "tools[0].format");
}

#[test]
fn what_only_another_protocol_understands_is_left_out_of_the_models_turns_and_missed_in_the_users() {
    let block =
        || Part::Opaque { origin: ProtocolId::Anthropic, raw: Json::from("x"), place: "messages[0].content[0]".into() };
    let theirs = request(vec![user("hi"), message(Role::Assistant, [block(), Part::text("a")]), user("go on")]);
    let (_, losses) = encode(NEW, &theirs);
    assert_eq!((losses.paths().as_str(), losses.refusals().count()), ("messages[0].content[0]", 0));
    let (_, losses) = encode(NEW, &request(vec![message(Role::User, [block()])]));
    assert_eq!(losses.impossible().count(), 1);
}

#[test]
fn empty_text_is_left_out_unless_it_is_signed() {
    let signed = Part::Text(Text { signature: signature(ProtocolId::Gemini), ..Text::default() });
    let history = vec![user("hi"), message(Role::Assistant, [Part::text(""), signed]), user("")];
    assert_eq!(
        contents(NEW, history),
        concat!(
            r#"[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"text":"","thoughtSignature":"sig=="}]},"#,
            r#"{"role":"user","parts":[{"text":" "}]}]"#
        )
    );
}

#[test]
fn somebody_always_speaks_and_the_user_does_first() {
    assert_eq!(contents(NEW, vec![]), r#"[{"role":"user","parts":[{"text":" "}]}]"#);
    let history = vec![message(Role::Assistant, [Part::text("a")]), message(Role::Assistant, [Part::text("b")])];
    assert_eq!(
        contents(NEW, history),
        r#"[{"role":"user","parts":[{"text":" "}]},{"role":"model","parts":[{"text":"a"},{"text":"b"}]}]"#
    );
}

#[test]
fn results_stand_alone_in_the_order_of_their_calls_and_before_what_the_user_says() {
    let calls = [call("call_1", "f", r#"{"b":1,"a":2}"#), call("call_2", "g", "")].map(Part::ToolCall);
    let history = vec![
        user("hi"),
        message(Role::Assistant, calls),
        message(Role::User, [result("call_2", r#"{"x":[1]}"#)]),
        message(Role::User, [result("call_1", "[1, 2]")]),
        user("and?"),
    ];
    assert_eq!(
        contents(OLD, history),
        concat!(
            r#"[{"role":"user","parts":[{"text":"hi"}]},"#,
            r#"{"role":"model","parts":[{"functionCall":{"name":"f","args":{"b":1,"a":2}}},{"functionCall":{"name":"g","args":{}}}]},"#,
            r#"{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"output":[1,2]}}},"#,
            r#"{"functionResponse":{"name":"g","response":{"x":[1]}}}]},"#,
            r#"{"role":"user","parts":[{"text":"and?"}]}]"#
        )
    );
}

#[test]
fn a_missing_result_is_told_and_a_stray_one_becomes_text() {
    let history = vec![
        user("hi"),
        message(Role::Assistant, [Part::ToolCall(call("call_1", "f", "{}"))]),
        message(Role::User, [result("call_9", "late")]),
    ];
    assert_eq!(
        contents(OLD, history).split_once(r#""functionResponse""#).unwrap().1,
        concat!(
            r#":{"name":"f","response":{"error":"no result was given"}}}]},"#,
            r#"{"role":"user","parts":[{"text":"Result of call_9: late"}]}]"#
        )
    );
}

#[test]
fn errors_and_plain_text_are_wrapped() {
    let failed =
        ToolResult { id: "call_1".into(), content: vec![Part::text("no")], is_error: true, ..ToolResult::default() };
    let history = |answer| {
        vec![
            user("hi"),
            message(Role::Assistant, [Part::ToolCall(call("call_1", "f", "{}"))]),
            message(Role::User, [answer]),
        ]
    };
    assert!(contents(OLD, history(Part::ToolResult(failed))).contains(r#""response":{"error":"no"}"#));
    assert!(contents(OLD, history(result("call_1", "15"))).contains(r#""response":{"output":"15"}"#));
    assert!(contents(OLD, history(result("call_1", ""))).contains(r#""response":{"output":""}"#));
}

#[test]
fn only_geminis_own_call_ids_are_sent_back() {
    let sent = |call: ToolCall| {
        let id = call.id.clone();
        contents(NEW, vec![message(Role::Assistant, [Part::ToolCall(call)]), message(Role::User, [result(&id, "x")])])
    };
    assert_eq!(sent(call("0b3pdf3o", "f", "{}")).matches(r#""id":"0b3pdf3o""#).count(), 2);
    let signed = ToolCall { signature: signature(ProtocolId::Gemini), ..call("odd:id", "f", "{}") };
    assert_eq!(sent(signed).matches(r#""id":"odd:id""#).count(), 2);
    assert_eq!(sent(call("call_abc", "f", "{}")).matches(r#""id""#).count(), 0);
    assert_eq!(sent(call("gemcall_00_0", "f", "{}")).matches(r#""id""#).count(), 0);
}

#[test]
fn the_first_call_of_a_step_is_signed_and_no_other() {
    let step = |signature| {
        let first = ToolCall { signature, ..call("call_1", "f", "{}") };
        vec![message(Role::Assistant, [Part::ToolCall(first), Part::ToolCall(call("call_2", "f", "{}"))])]
    };
    let dummy = r#""thoughtSignature":"skip_thought_signature_validator""#;
    assert_eq!(contents(NEW, step(None)).matches(dummy).count(), 1);
    assert_eq!(contents(NEW, step(signature(ProtocolId::Anthropic))).matches(dummy).count(), 1);
    assert_eq!(contents(OLD, step(None)).matches("thoughtSignature").count(), 0);
    let own = contents(NEW, step(signature(ProtocolId::Gemini)));
    assert!(own.contains(r#""thoughtSignature":"sig==""#) && !own.contains(dummy));
}

#[test]
fn foreign_reasoning_is_left_out_and_told() {
    let thought = Reasoning {
        text: "hm".into(),
        signature: signature(ProtocolId::Anthropic),
        redacted: false,
        place: "here".into(),
    };
    let history = vec![user("hi"), message(Role::Assistant, [Part::Reasoning(thought), Part::text("a")])];
    let (body, losses) = encode(NEW, &request(history));
    assert!(!body.to_string().contains("hm"));
    assert_eq!(losses.paths(), "here");
}

#[test]
fn arguments_that_are_no_object_are_handed_on_inside_one() {
    let history = vec![message(Role::Assistant, [Part::ToolCall(call("call_1", "f", r#"{"a": "#))])];
    let (body, losses) = encode(OLD, &request(history));
    assert!(body.to_string().contains(r#""args":{"input":"{\"a\": "}"#));
    assert_eq!(losses.paths(), "arguments");
}

#[test]
fn media_are_inline_or_by_address() {
    let by = |source| Media {
        kind: MediaKind::Image,
        source,
        mime: None,
        name: None,
        detail: None,
        cache: None,
        place: Place::default(),
    };
    let parts = [
        picture("image/jpg"),
        Part::Media(by(MediaSource::Url("https://x.org/a.webp".into()))),
        Part::Media(by(MediaSource::File { origin: ProtocolId::Gemini, id: "files/abc".into() })),
    ];
    assert_eq!(
        contents(NEW, vec![message(Role::User, parts)]),
        concat!(
            r#"[{"role":"user","parts":[{"inlineData":{"mimeType":"image/jpeg","data":"AA=="}},"#,
            r#"{"fileData":{"mimeType":"image/webp","fileUri":"https://x.org/a.webp"}},"#,
            r#"{"fileData":{"mimeType":"image/jpeg","fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}]}]"#
        )
    );
    let foreign = by(MediaSource::File { origin: ProtocolId::OpenAiChat, id: "file-1".into() });
    let (_, losses) = encode(NEW, &request(vec![message(Role::User, [Part::Media(foreign)])]));
    assert_eq!(losses.refusals().count(), 1);
}

#[test]
fn media_of_a_result_go_inside_it_where_the_model_takes_them() {
    let history = || {
        let content = vec![Part::text("ok"), picture("image/png")];
        let seen = ToolResult { id: "call_1".into(), content, ..ToolResult::default() };
        vec![
            message(Role::Assistant, [Part::ToolCall(call("call_1", "f", "{}"))]),
            message(Role::User, [Part::ToolResult(seen)]),
        ]
    };
    let inside = r#""response":{"output":"ok"},"parts":[{"inlineData":{"mimeType":"image/png","data":"AA=="}}]}}]}]"#;
    assert!(contents(NEW, history()).ends_with(inside));
    let beside = concat!(
        r#"{"output":"ok"}}}]},{"role":"user","parts":[{"text":"Media in the result of f:"},"#,
        r#"{"inlineData":{"mimeType":"image/png","data":"AA=="}}]}]"#
    );
    assert!(contents(OLD, history()).ends_with(beside));
}

#[test]
fn functions_keep_their_schema_and_share_one_list() {
    let empty = FunctionTool {
        name: "1st".into(),
        parameters: Some(Json::object([("type", Json::from("object"))])),
        ..FunctionTool::default()
    };
    let request = Request { tools: vec![function("f"), Tool::Function(empty)], ..asking() };
    assert_eq!(
        encoded(NEW, &request).get("tools").unwrap().to_string(),
        concat!(
            r#"[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object","properties":"#,
            r#"{"z":{"type":["string","null"]},"a":{"$ref":"x"}}}},{"name":"fn__1st"}]}]"#
        )
    );
}

#[test]
fn the_choice_among_tools_is_made_by_mode() {
    let config = |tool_choice: Option<ToolChoice>| {
        let request = Request { tools: vec![function("f"), function("g")], tool_choice, ..asking() };
        encoded(NEW, &request).at(&["toolConfig", "functionCallingConfig"]).map(Json::to_string)
    };
    assert_eq!(config(None), None);
    assert_eq!(config(Some(ToolChoice::Auto)).unwrap(), r#"{"mode":"AUTO"}"#);
    assert_eq!(config(Some(ToolChoice::None)).unwrap(), r#"{"mode":"NONE"}"#);
    assert_eq!(config(Some(ToolChoice::Required)).unwrap(), r#"{"mode":"ANY"}"#);
    let named = r#"{"mode":"ANY","allowedFunctionNames":["f"]}"#;
    assert_eq!(config(Some(ToolChoice::Named("f".into()))).unwrap(), named);
    let allowed = |required| Some(ToolChoice::Allowed { names: ["f".into()].into(), required });
    assert_eq!(config(allowed(true)).unwrap(), named);
    let request = Request { tools: vec![function("f"), function("g")], tool_choice: allowed(false), ..asking() };
    let body = encoded(NEW, &request).to_string();
    assert!(body.contains(r#""mode":"AUTO""#) && !body.contains(r#""name":"g""#));
    let none = Request { tool_choice: Some(ToolChoice::Auto), ..asking() };
    assert!(encoded(NEW, &none).get("toolConfig").is_none());
}

#[test]
fn a_strict_function_is_validated_and_one_call_at_a_time_cannot_be_asked_for() {
    let Tool::Function(mut strict) = function("f") else { unreachable!() };
    strict.strict = Some(true);
    let request = Request { tools: vec![Tool::Function(strict)], parallel_tool_calls: Some(false), ..asking() };
    let (body, losses) = encode(NEW, &request);
    assert_eq!(body.at(&["toolConfig", "functionCallingConfig", "mode"]).unwrap().as_str(), Some("VALIDATED"));
    assert_eq!(losses.paths(), "parallel_tool_calls");
}

#[test]
fn tools_of_other_providers_are_refused_and_a_search_becomes_googles() {
    let hosted = |kind: &str| Tool::Hosted {
        origin: ProtocolId::Anthropic,
        raw: Json::object([("type", Json::from(kind))]),
        web_search: false,
        place: Place::default(),
    };
    let (_, losses) = encode(NEW, &Request { tools: vec![hosted("bash_20250124")], ..asking() });
    assert_eq!(losses.refusals().count(), 1);
    let search =
        Tool::Hosted { origin: ProtocolId::Anthropic, raw: Json::Null, web_search: true, place: Place::default() };
    let offered = Request { tools: vec![function("f"), search.clone()], ..asking() };
    let (body, losses) = encode(OLD, &offered);
    assert!(!body.to_string().contains("googleSearch") && losses.refusals().count() == 0);
    assert_eq!(losses.paths(), "tools[1]");
    let (body, losses) = encode(NEW, &Request { tools: vec![search], ..asking() });
    assert_eq!(
        (body.get("tools").unwrap().to_string(), losses.paths()),
        (r#"[{"googleSearch":{}}]"#.into(), "tools[0]".into())
    );
    let rest = vec![Unmapped { path: "web_search_options".into(), refusal: Some("…"), ..Unmapped::default() }];
    let both = Request { tools: vec![function("f")], rest, ..asking() };
    let (body, losses) = encode(NEW, &both);
    assert!(
        body.to_string().contains(r#"{"googleSearch":{}}],"toolConfig":{"includeServerSideToolInvocations":true}"#)
    );
    assert_eq!(losses.refusals().count(), 0);
    assert_eq!(encode(OLD, &both).1.refusals().count(), 1);
}

#[test]
fn settings_have_their_names_and_limits() {
    let sampling = Sampling {
        temperature: Some(1.5),
        top_p: Some(0.5),
        top_k: Some(3),
        presence_penalty: Some(0.0),
        frequency_penalty: Some(1.0),
        seed: Some(i64::MAX),
    };
    let request = Request {
        sampling,
        logprobs: Some(2),
        max_output_tokens: Some(1 << 40),
        stop: vec!["a".into(), String::new()],
        user: Some("u".into()),
        ..asking()
    };
    let (body, losses) = encode(NEW, &request);
    assert_eq!(
        body.get("generationConfig").unwrap().to_string(),
        concat!(
            r#"{"temperature":1.5,"topP":0.5,"topK":3,"seed":-2147483648,"maxOutputTokens":65536,"#,
            r#""stopSequences":["a"],"responseLogprobs":true,"logprobs":2}"#
        )
    );
    assert_eq!(losses.paths(), "max_tokens,seed,frequency_penalty,user");
}

#[test]
fn several_answers_are_asked_for_whole_and_not_in_a_stream() {
    let several = Request { candidates: Some(3), ..asking() };
    assert_eq!(encoded(NEW, &several).at(&["generationConfig", "candidateCount"]).unwrap().as_u64(), Some(3));
    let (_, losses) = encode(NEW, &Request { stream: true, ..several });
    assert_eq!(losses.refusals().next().unwrap().0, "n");
}

#[test]
fn thinking_is_asked_for_in_the_models_own_way() {
    let asked = |model, effort, budget| {
        let request =
            Request { reasoning: Some(ReasoningRequest { effort, budget, ..ReasoningRequest::default() }), ..asking() };
        let (body, losses) = encode(model, &request);
        let config = body.at(&["generationConfig", "thinkingConfig"]).map(Json::to_string).unwrap_or_default();
        (config, losses.paths())
    };
    let exact = String::new();
    let near = "reasoning_effort".to_owned();
    let old = |effort| asked(OLD, Some(effort), None);
    assert_eq!(old(Effort::None), (r#"{"thinkingBudget":0}"#.into(), exact.clone()));
    assert_eq!(old(Effort::Medium), (r#"{"includeThoughts":true,"thinkingBudget":8192}"#.into(), exact.clone()));
    assert_eq!(old(Effort::Max), (r#"{"includeThoughts":true,"thinkingBudget":24576}"#.into(), exact.clone()));
    let pro = asked("gemini-2.5-pro", Some(Effort::None), None);
    assert_eq!(pro, (r#"{"thinkingBudget":128}"#.into(), near.clone()));
    let new = |effort| asked(NEW, Some(effort), None);
    assert_eq!(new(Effort::Minimal), (r#"{"includeThoughts":true,"thinkingLevel":"MINIMAL"}"#.into(), exact.clone()));
    assert_eq!(new(Effort::None), (r#"{"thinkingLevel":"MINIMAL"}"#.into(), near.clone()));
    assert_eq!(new(Effort::Max), (r#"{"includeThoughts":true,"thinkingLevel":"HIGH"}"#.into(), near.clone()));
    assert_eq!(asked("gemini-9", Some(Effort::Minimal), None).0, r#"{"includeThoughts":true,"thinkingLevel":"LOW"}"#);
    assert_eq!(asked(NEW, None, Some(5000)).0, r#"{"includeThoughts":true,"thinkingLevel":"MEDIUM"}"#);
    assert_eq!(asked("gemini-2.0-flash", Some(Effort::High), None), (String::new(), near));
}

#[test]
fn a_schema_is_a_setting_or_words_where_the_model_takes_no_setting_beside_tools() {
    let schema = Json::object([("type", Json::from("object"))]);
    let format = ResponseFormat::JsonSchema { name: None, description: None, schema, strict: Some(true) };
    let request = Request { response_format: Some(format), tools: vec![function("f")], ..asking() };
    let setting =
        r#""generationConfig":{"responseMimeType":"application/json","responseJsonSchema":{"type":"object"}}"#;
    assert!(encoded(NEW, &request).to_string().contains(setting));
    let (body, losses) = encode(OLD, &request);
    assert!(body.get("generationConfig").is_none() && body.get("systemInstruction").is_some());
    assert_eq!(losses.paths(), "response_format");
    assert!(encoded(OLD, &Request { tools: vec![], ..request }).to_string().contains(setting));
}

#[test]
fn rules_are_found_by_names_with_additions() {
    assert_eq!(rules("gemini-2.5-flash.fx-foo").thinking, Thinking::Budget);
    assert_eq!(rules("gemini-2.5-flash-lite").thinking_budget, Some((512, 24_576)));
    assert_eq!(rules("gemini-3.1-flash-lite.fx-1").efforts.len(), 4);
    assert_eq!(rules("gemini-3.1-pro-preview.fx-1").efforts.len(), 3);
    assert_eq!(rules("gemini-3.7-flash").efforts[0], Effort::Low);
    assert!(rules("gemini-flash-latest").signed_tool_calls && !rules("gemini-2.0-flash").signed_tool_calls);
}

#[test]
fn very_many_results_find_their_calls_whatever_their_order() {
    let names: Vec<String> = (0..50_000).map(|number| format!("call_{number}")).collect();
    let calls = names.iter().map(|id| Part::ToolCall(call(id, "f", "{}")));
    let results = names.iter().rev().map(|id| result(id, id));
    let told =
        contents("gemini-2.5-pro", vec![user("hi"), message(Role::Assistant, calls), message(Role::User, results)]);
    assert!(!told.contains("Result of"), "every result has a call");
    let (first, last) = (told.find("\"call_0\"}").unwrap(), told.find("\"call_49999\"}").unwrap());
    assert!(first < last, "results stand in the order of their calls");
}
