//! What a request becomes, and what an answer is read as, seen from outside.

use crate::{
    Outbound, ProtocolId, StreamDecoder, Target,
    gemini::Gemini,
    ir::*,
    json::Json,
    models::{ModelRules, Models, Thinking},
    sse::Framer,
};

const OLD: &str = "gemini-2.5-flash.fx-1";
const NEW: &str = "gemini-3-flash-preview.fx-1";

fn rules(model: &str) -> ModelRules {
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
    assert_eq!(
        encoded(NEW, &request).to_string(),
        concat!(
            r#"{"systemInstruction":{"parts":[{"text":"be brief"}]},"contents":[{"role":"user","parts":"#,
            r#"[{"text":"hi"},{"text":"<system>\nnow German\n</system>"}]}]}"#
        )
    );
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
fn foreign_reasoning_is_left_out() {
    let thought = Reasoning {
        text: "hm".into(),
        signature: signature(ProtocolId::Anthropic),
        redacted: false,
        ..Reasoning::default()
    };
    let history = vec![user("hi"), message(Role::Assistant, [Part::Reasoning(thought), Part::text("a")])];
    let (body, losses) = encode(NEW, &request(history));
    assert!(!body.to_string().contains("hm") && losses.is_empty());
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

fn decode(body: &str) -> Result<Response, ApiError> {
    Gemini.decode_response(body.as_bytes())
}

fn stream(frames: &[&str]) -> (Vec<Event>, Result<(), ApiError>) {
    let mut framer = Framer::new(1 << 20);
    frames.iter().for_each(|frame| framer.push(format!("data: {frame}\r\n\r\n").as_bytes()));
    let (mut decoder, mut events, mut grammar) = (Gemini.decoder(), Vec::new(), Grammar::default());
    let outcome = read(&mut *decoder, &mut framer, &mut events);
    events.iter().for_each(|event| grammar.accept(event).unwrap());
    (events, outcome)
}

fn read(decoder: &mut dyn StreamDecoder, framer: &mut Framer, events: &mut Vec<Event>) -> Result<(), ApiError> {
    while let Some(frame) = framer.next_frame().unwrap() {
        decoder.push(&frame, events)?;
    }
    decoder.end(events)
}

#[test]
fn calls_without_ids_get_ones_that_no_other_answer_has() {
    let body = |id: &str| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"f","args":{{ "b": 1.0 }}}}}},{{"functionCall":{{"name":"f"}}}}]}},"finishReason":"STOP"}}],"responseId":"{id}"}}"#
        )
    };
    let calls = |id: &str| -> Vec<ToolCall> {
        let output = decode(&body(id)).unwrap().outputs.remove(0);
        assert_eq!(output.reason(), FinishReason::ToolCalls);
        output
            .parts
            .into_iter()
            .map(|part| if let Part::ToolCall(call) = part { call } else { panic!("{part:?}") })
            .collect()
    };
    let (first, second) = (calls("r1"), calls("r2"));
    assert_eq!((&*first[0].arguments, &*first[1].arguments), (r#"{"b":1.0}"#, "{}"));
    assert_eq!(first, calls("r1"));
    let mut ids: Vec<_> = first.iter().chain(&second).map(|call| &call.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    let (events, _) = stream(&[&body("r1")]);
    assert_eq!(Response::fold(&events).outputs[0].parts, first.into_iter().map(Part::ToolCall).collect::<Vec<_>>());
}

#[test]
fn signed_texts_stay_apart_and_unsigned_neighbours_join() {
    let (events, outcome) = stream(&[
        r#"{"candidates":[{"content":{"parts":[{"text":"a"},{"text":"b"}]}}],"responseId":"r","modelVersion":"m"}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"c"}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"s"}]},"finishReason":"STOP"}]}"#,
    ]);
    outcome.unwrap();
    let signed = Signature { origin: ProtocolId::Gemini, value: "s".into() };
    assert_eq!(
        Response::fold(&events).outputs[0].parts,
        [Part::text("abc"), Part::Text(Text { signature: Some(signed), ..Text::default() })]
    );
}

#[test]
fn an_answer_with_calls_ends_in_calls_even_if_its_last_frame_is_empty() {
    let (events, outcome) = stream(&[
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]}}],"usageMetadata":{"promptTokenCount":3}}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}"#,
        r#"{"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}"#,
    ]);
    outcome.unwrap();
    let folded = Response::fold(&events);
    assert_eq!(folded.outputs[0].reason(), FinishReason::ToolCalls);
    assert_eq!(folded.usage.unwrap().total(), 5);
    assert!(matches!(events.last(), Some(Event::Finish(_))));
}

#[test]
fn a_stream_without_its_finish_is_broken_off() {
    let (events, outcome) = stream(&[r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#]);
    assert_eq!(outcome.unwrap_err().reason, Some("truncated"));
    assert!(!events.iter().any(|event| matches!(event, Event::Finish(_))));
    assert_eq!(stream(&[]).1.unwrap_err().reason, Some("truncated"));
}

#[test]
fn an_error_in_a_stream_is_an_error() {
    let overloaded = r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;
    let (events, outcome) = stream(&[overloaded]);
    assert!(events.is_empty());
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::Overloaded);
    let (_, outcome) = stream(&[r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#, overloaded]);
    assert_eq!(outcome.unwrap_err().kind, ErrorKind::Overloaded);
}

#[test]
fn a_failed_generation_is_an_error_and_a_filtered_one_a_refusal() {
    let ended = |word: &str| decode(&format!(r#"{{"candidates":[{{"content":{{}},"finishReason":"{word}"}}]}}"#));
    assert_eq!(ended("MALFORMED_FUNCTION_CALL").unwrap_err().reason, Some("malformed_function_call"));
    assert_eq!(ended("MISSING_THOUGHT_SIGNATURE").unwrap_err().reason, Some("missing_thought_signature"));
    assert_eq!(ended("OTHER").unwrap_err().reason, Some("no_answer"));
    assert_eq!(ended("MAX_TOKENS").unwrap().outputs[0].reason(), FinishReason::Length);
    let filtered = ended("SAFETY").unwrap().outputs.remove(0);
    assert_eq!(filtered.reason(), FinishReason::ContentFilter);
    assert!(matches!(&filtered.parts[..], [Part::Refusal(_)]));
    assert_eq!(decode("{}").unwrap_err().reason, Some("malformed"));
    assert_eq!(decode(r#"{"candidates":[{}]}"#).unwrap_err().reason, Some("malformed"));
    let unknown = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"NEW"}]}"#;
    assert_eq!(decode(unknown).unwrap().outputs[0].reason(), FinishReason::Stop);
}

#[test]
fn a_blocked_prompt_is_answered_with_a_refusal() {
    let body = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":2}}"#;
    let whole = decode(body).unwrap();
    assert_eq!(whole.outputs[0].reason(), FinishReason::ContentFilter);
    let (events, outcome) = stream(&[body]);
    outcome.unwrap();
    assert_eq!(Response::fold(&events).outputs, whole.outputs);
}

#[test]
fn several_candidates_are_several_outputs() {
    let body = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"},{"content":{"parts":[{"text":"b"}]},"finishReason":"MAX_TOKENS","index":1}]}"#;
    let outputs = decode(body).unwrap().outputs;
    assert_eq!(outputs.iter().map(Output::reason).collect::<Vec<_>>(), [FinishReason::Stop, FinishReason::Length]);
}

#[test]
fn sources_and_likelihoods_belong_to_the_text() {
    let body = r#"{"candidates":[{"content":{"parts":[{"text":"ab"}]},"finishReason":"STOP",
        "groundingMetadata":{"groundingChunks":[{"web":{"uri":"u"}}],"groundingSupports":[{"segment":{"startIndex":1,"endIndex":2},"groundingChunkIndices":[0]}]},
        "logprobsResult":{"chosenCandidates":[{"token":"ab","logProbability":-1}]}}]}"#;
    let output = decode(body).unwrap().outputs.remove(0);
    assert_eq!(output.parts, [Part::text("ab")]);
    assert_eq!(output.citations[0].span, Some((1, 2)));
    assert!(output.logprobs.is_some());
}

#[test]
fn what_ran_at_google_is_no_call_and_pictures_are_kept() {
    let body = r#"{"candidates":[{"content":{"parts":[{"executableCode":{"code":"1"}},{"toolCall":{"id":"x"},"thoughtSignature":"s"},
        {"inlineData":{"mimeType":"image/png","data":"AA=="}},{"text":"no","thought":true}]},"finishReason":"STOP"}]}"#;
    let output = decode(body).unwrap().outputs.remove(0);
    assert_eq!(output.reason(), FinishReason::Stop);
    assert!(matches!(&output.parts[..], [Part::Media(_), Part::Reasoning(_)]));
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
