//! What a client's request is read as.

use super::{decode_request, proof::Proof};
use crate::{ProtocolId, ir::*, json::Json};

fn read(body: &str) -> Request {
    decode_request(body.as_bytes()).unwrap_or_else(|error| panic!("{}: {body}", error.message))
}

fn contents(contents: &str) -> Vec<Message> {
    read(&format!(r#"{{"contents":{contents}}}"#)).messages
}

/// A request that has this beside a conversation.
fn with(members: &str) -> Request {
    read(&format!(r#"{{"contents":[{{"parts":[{{"text":"hi"}}]}}],{members}}}"#))
}

fn wrong(members: &str) -> String {
    let body = format!(r#"{{"contents":[{{"parts":[{{"text":"hi"}}]}}],{members}}}"#);
    let error = decode_request(body.as_bytes()).unwrap_err();
    assert!(error.message.contains(&error.param), "{}", error.message);
    error.param
}

fn message(role: Role, parts: impl IntoIterator<Item = Part>) -> Message {
    Message::new(role, parts.into_iter().collect())
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into(), ..ToolCall::default() })
}

fn result(id: &str, name: &str, text: &str) -> Part {
    let content = vec![Part::text(text)];
    Part::ToolResult(ToolResult { id: id.into(), name: Some(name.into()), content, ..ToolResult::default() })
}

fn left(request: &Request) -> Vec<(&str, bool)> {
    request.rest.iter().map(|field| (&*field.path, field.refusal.is_some())).collect()
}

#[test]
fn both_spellings_of_a_request_mean_the_same() {
    let camel = read(
        r#"{"systemInstruction":{"role":"user","parts":[{"text":"be"}]},"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"AA=="}}]}],
            "tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object"}}]}],
            "toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}},
            "generationConfig":{"maxOutputTokens":5,"topP":0.5,"stopSequences":["x"],"thinkingConfig":{"thinkingBudget":0}}}"#,
    );
    let snake = read(
        r#"{"system_instruction":{"parts":{"text":"be"}},"contents":{"parts":{"inline_data":{"mime_type":"image/png","data":"AA=="}}},
            "tools":{"function_declarations":{"name":"f","parameters_json_schema":{"type":"object"}}},
            "tool_config":{"function_calling_config":{"mode":"any","allowed_function_names":"f"}},
            "generation_config":{"max_output_tokens":"5","top_p":0.5,"stop_sequences":["x"],"thinking_config":{"thinking_budget":0}}}"#,
    );
    assert_eq!(camel, snake);
    assert_eq!(camel.system, [Part::text("be")]);
    assert_eq!(camel.tool_choice, Some(ToolChoice::Named("f".into())));
    assert!(camel.rest.is_empty());
}

#[test]
fn a_conversation_has_two_sides_whatever_the_roles_are_called() {
    let told = contents(
        r#"[{"parts":[{"text":"a"},{"text":"b"}]},{"role":"USER","parts":[{"text":""}]},{"role":"model","parts":[{"text":"c"}]}]"#,
    );
    let user = message(Role::User, [Part::text("a"), Part::text("b")]);
    assert_eq!(told, [user, message(Role::Assistant, [Part::text("c")])]);
    let error = decode_request(br#"{"contents":[{"role":"system","parts":[]}]}"#).unwrap_err();
    assert_eq!(error.param, "contents[0].role");
}

#[test]
fn the_pieces_of_a_stream_are_one_turn() {
    let told = contents(
        r#"[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"text":"I ","thought":true}]},{"role":"model","parts":[{"text":"think","thought":true}]},
            {"role":"model","parts":[{"text":"Hel"}]},{"role":"model","parts":[{"text":"lo"}]},{"role":"model","parts":[{"text":""}]}]"#,
    );
    let thought = Part::Reasoning(Reasoning { text: "I think".into(), ..Reasoning::default() });
    assert_eq!(told[1..], [message(Role::Assistant, [thought, Part::text("Hello")])]);
}

#[test]
fn results_without_ids_answer_the_calls_of_their_name_in_order() {
    let told = contents(
        r#"[{"role":"user","parts":[{"text":"hi"}]},
            {"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":1}}},{"functionCall":{"name":"g"}},{"functionCall":{"name":"f","args":{"a":2}}}]},
            {"role":"function","parts":[{"functionResponse":{"name":"g","response":{"x":[1]}}},{"functionResponse":{"name":"f","response":{"output":"one"}}}]},
            {"role":"user","parts":[{"text":"and"},{"functionResponse":{"name":"f","response":{"output":{"b":2}}}}]}]"#,
    );
    let calls = [call("call_1", "f", r#"{"a":1}"#), call("call_2", "g", ""), call("call_3", "f", r#"{"a":2}"#)];
    let results =
        [result("call_2", "g", r#"{"x":[1]}"#), result("call_1", "f", "one"), result("call_3", "f", r#"{"b":2}"#)];
    assert_eq!(
        told[1..],
        [message(Role::Assistant, calls), message(Role::User, results), message(Role::User, [Part::text("and")])]
    );
}

#[test]
fn ids_that_are_given_are_kept() {
    let told = contents(
        r#"[{"role":"model","parts":[{"functionCall":{"id":"x","name":"f","args":{}}},{"functionCall":{"id":"y","name":"f","args":{}}}]},
            {"role":"user","parts":[{"functionResponse":{"id":"y","name":"f","response":{"output":"2"}}},{"functionResponse":{"id":"x","name":"f","response":{"output":"1"}}}]}]"#,
    );
    assert_eq!(told[0], message(Role::Assistant, [call("x", "f", "{}"), call("y", "f", "{}")]));
    assert_eq!(told[1], message(Role::User, [result("y", "f", "2"), result("x", "f", "1")]));
}

#[test]
fn a_result_says_that_it_failed_and_may_hold_pictures() {
    let told = contents(
        r#"[{"parts":[{"functionResponse":{"id":"x","name":"f","response":{"error":"no such file"}}},
            {"functionResponse":{"id":"y","name":"f","response":{"output":"","error":"e"},"parts":[{"inlineData":{"mimeType":"image/png","data":"AA=="}}]}}]}]"#,
    );
    let [Part::ToolResult(failed), Part::ToolResult(drawn)] = &told[0].parts[..] else { panic!("{told:?}") };
    assert!(failed.is_error && failed.content == [Part::text("no such file")]);
    assert!(!drawn.is_error);
    assert!(
        matches!(&drawn.content[..], [Part::Text(text), Part::Media(_)] if text.text == r#"{"output":"","error":"e"}"#)
    );
}

#[test]
fn geminis_signature_stays_geminis_and_a_placeholder_is_none() {
    let told = contents(
        r#"[{"role":"model","parts":[{"text":"a","thoughtSignature":"c2ln"},{"functionCall":{"name":"f"},"thought_signature":"c2ln"},
            {"functionCall":{"name":"g"},"thoughtSignature":"skip_thought_signature_validator"},{"text":"","thoughtSignature":"ZQ=="}]}]"#,
    );
    let signature = |value: &str| Some(Signature { origin: ProtocolId::Gemini, value: value.into() });
    let signatures: Vec<_> = told[0]
        .parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.signature.clone(),
            Part::ToolCall(call) => call.signature.clone(),
            _ => panic!("{part:?}"),
        })
        .collect();
    assert_eq!(signatures, [signature("c2ln"), signature("c2ln"), None, signature("ZQ==")]);
}

#[test]
fn what_another_model_thought_comes_back_whether_or_not_its_copy_does() {
    let signature = Some(Signature { origin: ProtocolId::Anthropic, value: "sig".into() });
    let thought = Reasoning { text: "hmm".into(), signature, redacted: false, ..Reasoning::default() };
    let carried = Proof { thoughts: vec![thought.clone()], own: None }.write();
    let bare = format!(
        r#"[{{"role":"model","parts":[{{"text":"So","thoughtSignature":"{carried}"}},{{"text":" far"}},{{"functionCall":{{"id":"x","name":"f"}},"thoughtSignature":"LLMOe30="}}]}}]"#
    );
    let whole = bare.replace(r#""parts":["#, r#""parts":[{"text":"hm","thought":true},{"text":"m","thought":true},"#);
    let expected = [message(Role::Assistant, [Part::Reasoning(thought), Part::text("So far"), call("x", "f", "")])];
    assert_eq!(contents(&bare), expected);
    assert_eq!(contents(&whole), expected);
}

#[test]
fn what_ran_at_google_is_geminis_alone_and_unknown_content_is_not_left_out() {
    let request = read(
        r#"{"contents":[{"role":"model","parts":[{"executableCode":{"code":"1"},"thoughtSignature":"s"},{"tool_call":{}}]},
            {"role":"user","parts":[{"text":"a","videoMetadata":{"fps":1}},{"hologram":{}},{}]}]}"#,
    );
    assert!(
        request.messages[0].parts.iter().all(|part| matches!(part, Part::Opaque { origin: ProtocolId::Gemini, .. }))
    );
    assert_eq!(left(&request), [("contents[1].parts[0].videoMetadata", false), ("contents[1].parts[1]", true)]);
}

#[test]
fn functions_and_googles_own_tools_stand_in_one_list() {
    let request = with(
        r#""tools":[{"functionDeclarations":[{"name":"f","description":"d","parameters":{"type":"OBJECT","properties":{"a":{"type":"STRING"}}},"behavior":"BLOCKING"},{"name":"g"}]},
            {"google_search":{}},{"codeExecution":{},"urlContext":null}]"#,
    );
    let schema = Json::parse(br#"{"type":"object","properties":{"a":{"type":"string"}}}"#).unwrap();
    let [
        Tool::Function(f),
        Tool::Function(g),
        Tool::Hosted { web_search: true, .. },
        Tool::Hosted { raw, web_search: false, .. },
    ] = &request.tools[..]
    else {
        panic!("{:?}", request.tools)
    };
    assert_eq!((f.parameters.as_ref(), f.description.as_deref()), (Some(&schema), Some("d")));
    assert_eq!((g.parameters.as_ref(), raw.to_string().as_str()), (None, r#"{"codeExecution":{}}"#));
    assert_eq!(left(&request), [("tools[0].functionDeclarations[0].behavior", false)]);
}

#[test]
fn modes_of_calling_are_choices_among_tools() {
    let choice = |config: &str| with(&format!(r#""toolConfig":{{"functionCallingConfig":{config}}}"#)).tool_choice;
    let names = || ["f", "g"].map(str::to_owned).into();
    assert_eq!(choice(r#"{}"#), None);
    assert_eq!(choice(r#"{"mode":"AUTO","streamFunctionCallArguments":true}"#), Some(ToolChoice::Auto));
    assert_eq!(choice(r#"{"mode":"NONE"}"#), Some(ToolChoice::None));
    assert_eq!(choice(r#"{"mode":"ANY"}"#), Some(ToolChoice::Required));
    let any = choice(r#"{"mode":"ANY","allowedFunctionNames":["f","g"]}"#);
    assert_eq!(any, Some(ToolChoice::Allowed { names: names(), required: true }));
    let validated =
        with(r#""toolConfig":{"functionCallingConfig":{"mode":"VALIDATED","allowedFunctionNames":["f","g"]}}"#);
    assert_eq!(validated.tool_choice, Some(ToolChoice::Allowed { names: names(), required: false }));
    assert_eq!(left(&validated), [("toolConfig.functionCallingConfig.mode", false)]);
    assert_eq!(
        wrong(r#""toolConfig":{"functionCallingConfig":{"mode":"MAYBE"}}"#),
        "toolConfig.functionCallingConfig.mode"
    );
}

#[test]
fn settings_are_read() {
    let request = with(
        r#""generationConfig":{"temperature":1,"topP":0.95,"topK":64.0,"candidateCount":2,"maxOutputTokens":100,"stopSequences":["a"],"seed":-1,
            "presencePenalty":0.5,"frequencyPenalty":-0.5,"responseLogprobs":true,"logprobs":3}"#,
    );
    let sampling = Sampling {
        temperature: Some(1.0),
        top_p: Some(0.95),
        top_k: Some(64),
        presence_penalty: Some(0.5),
        frequency_penalty: Some(-0.5),
        seed: Some(-1),
    };
    assert_eq!(request.sampling, sampling);
    assert_eq!((request.candidates, request.max_output_tokens, request.logprobs), (Some(2), Some(100), Some(3)));
    assert!(request.rest.is_empty() && request.include_usage);
    for (config, field) in [
        (r#"{"temperature":3}"#, "temperature"),
        (r#"{"temperature":"hot"}"#, "temperature"),
        (r#"{"maxOutputTokens":0}"#, "maxOutputTokens"),
        (r#"{"stopSequences":[1]}"#, "stopSequences"),
        (r#"{"responseSchema":"x"}"#, "responseSchema"),
        (r#"{"thinkingConfig":{"thinkingLevel":"MAX"}}"#, "thinkingConfig.thinkingLevel"),
        (r#"{"thinkingConfig":{"thinkingBudget":-2}}"#, "thinkingConfig.thinkingBudget"),
    ] {
        assert_eq!(wrong(&format!(r#""generationConfig":{config}"#)), format!("generationConfig.{field}"));
    }
}

#[test]
fn thinking_is_a_level_or_a_budget_or_left_to_the_model() {
    let asked = |config: &str| with(&format!(r#""generationConfig":{{"thinkingConfig":{config}}}"#)).reasoning.unwrap();
    let request = |effort, budget, visible| ReasoningRequest { effort, budget, visible };
    assert_eq!(asked(r#"{"thinkingBudget":8192,"includeThoughts":true}"#), request(None, Some(8192), Some(true)));
    assert_eq!(asked(r#"{"thinkingBudget":0}"#), request(None, Some(0), None));
    assert_eq!(asked(r#"{"thinkingBudget":-1}"#), request(None, None, None));
    assert_eq!(asked(r#"{"thinkingLevel":"HIGH"}"#), request(Some(Effort::High), None, None));
    assert_eq!(asked(r#"{"thinkingLevel":"THINKING_LEVEL_UNSPECIFIED"}"#), request(None, None, None));
}

#[test]
fn answers_in_json_are_asked_for_by_type_and_schema() {
    let request = |config: &str| with(&format!(r#""generationConfig":{config}"#));
    let schema = |text: &str| {
        let schema = Json::parse(text.as_bytes()).unwrap();
        Some(ResponseFormat::JsonSchema { name: None, description: None, schema, strict: None })
    };
    let both = r#"{"responseMimeType":"application/json","responseSchema":{"type":"STRING","enum":["a"]}}"#;
    assert_eq!(request(both).response_format, schema(r#"{"type":"string","enum":["a"]}"#));
    assert_eq!(request(r#"{"responseJsonSchema":{"type":"OBJECT"}}"#).response_format, schema(r#"{"type":"object"}"#));
    assert_eq!(request(r#"{"responseMimeType":"application/json"}"#).response_format, Some(ResponseFormat::JsonObject));
    assert_eq!(request(r#"{"responseMimeType":"text/plain"}"#).response_format, None);
    let words = request(r#"{"responseMimeType":"text/x.enum","responseSchema":{"type":"STRING"}}"#);
    assert_eq!(left(&words), [("generationConfig.responseMimeType", true)]);
}

#[test]
fn what_only_gemini_knows_is_told_and_what_matters_is_not_left_out() {
    let request = with(
        r#""safetySettings":[{}],"labels":{"a":"b"},"cachedContent":"cachedContents/x","store":false,"model":"models/m","provider":"a","timeout":3,
            "generationConfig":{"mediaResolution":"LOW","responseModalities":["TEXT","IMAGE"],"speechConfig":null}"#,
    );
    assert_eq!(
        left(&request),
        [
            ("generationConfig.responseModalities", true),
            ("generationConfig.mediaResolution", false),
            ("cachedContent", true),
            ("safetySettings", false),
            ("labels", false),
        ]
    );
}

#[test]
fn a_mistake_is_told_with_its_path() {
    for (contents, path) in [
        (r#"[{"parts":["hi"]}]"#, "contents[0].parts[0]"),
        (r#"[{"parts":[{"text":1}]}]"#, "contents[0].parts[0].text"),
        (r#"[{"parts":[{"functionCall":{"name":"f"}}]}]"#, "contents[0].parts[0].functionCall"),
        (r#"[{"role":"model","parts":[{"functionCall":{"args":{}}}]}]"#, "contents[0].parts[0].functionCall.name"),
        (
            r#"[{"role":"model","parts":[{"functionCall":{"name":"f","args":"x"}}]}]"#,
            "contents[0].parts[0].functionCall.args",
        ),
        (r#"[{"parts":[{"functionResponse":{"response":{}}}]}]"#, "contents[0].parts[0].functionResponse.name"),
        (r#"[{"parts":[{"inlineData":{"mimeType":"image/png"}}]}]"#, "contents[0].parts[0].inlineData.data"),
    ] {
        let error = decode_request(format!(r#"{{"contents":{contents}}}"#).as_bytes()).unwrap_err();
        assert_eq!(error.param, path);
    }
}
