//! What an upstream is asked when the client spoke another protocol.

use std::collections::BTreeSet;

use crate::{
    Outbound, ProtocolId, Target,
    ir::{
        Cache, Effort, FunctionTool, Hint, Losses, Media, MediaKind, MediaSource, Message, Part, Place, Reasoning,
        ReasoningRequest, Request, ResponseFormat, Role, Sampling, Signature, Text, Tool, ToolCall, ToolChoice,
        ToolResult, Unmapped,
    },
    json::Json,
    models::Models,
    openai_responses::OpenAiResponses,
};

fn encode(request: &Request, model: &str) -> (Json, Losses) {
    let rules = Models::builtin().rules(ProtocolId::OpenAiResponses, "openai", model);
    let mut losses = Losses::default();
    let body = OpenAiResponses.encode_request(request, Target { model, rules: &rules }, &mut losses);
    (Json::parse(&body).unwrap(), losses)
}

/// One field, and what was lost.
fn field(request: &Request, model: &str, key: &str) -> (String, String) {
    let (body, losses) = encode(request, model);
    (body.get(key).map(Json::to_string).unwrap_or_default(), losses.paths())
}

fn input(messages: Vec<Message>) -> (String, String) {
    field(&Request { messages, ..Request::default() }, "x", "input")
}

fn user(parts: Vec<Part>) -> Message {
    Message::new(Role::User, parts)
}

fn assistant(parts: Vec<Part>) -> Message {
    Message::new(Role::Assistant, parts)
}

fn thought(origin: ProtocolId) -> Part {
    let signature = Some(Signature { origin, value: "s".into() });
    Part::Reasoning(Reasoning { text: "t".into(), signature, redacted: false, ..Reasoning::default() })
}

fn call(id: &str, custom: bool) -> Part {
    Part::ToolCall(ToolCall { id: id.into(), name: "f".into(), custom, ..ToolCall::default() })
}

fn result(id: &str, content: Vec<Part>, is_error: bool) -> Part {
    Part::ToolResult(ToolResult { id: id.into(), content, is_error, ..ToolResult::default() })
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

#[test]
fn a_plain_question_is_asked_and_nothing_is_left_with_the_provider() {
    let request = Request {
        system: vec![
            Part::text("a"),
            Part::Text(Text {
                text: "b".into(),
                cache: Some(Cache { place: "system[1].cache_control".into(), ..Cache::default() }),
                ..Text::default()
            }),
        ],
        messages: vec![user(vec![Part::text("hi")])],
        stream: true,
        user: Some("u".into()),
        ..Request::default()
    };
    let (body, losses) = encode(&request, "gpt-4o");
    assert_eq!(
        body.to_string(),
        r#"{"model":"gpt-4o","instructions":"a\n\nb","input":[{"type":"message","role":"user","content":"hi"}],"user":"u","stream":true,"store":false}"#
    );
    assert_eq!(losses.paths(), "system[1].cache_control");
}

#[test]
fn instructions_alone_are_input_and_later_ones_keep_their_place() {
    let alone = Request { system: vec![Part::text("a")], ..Request::default() };
    assert_eq!(field(&alone, "x", "input").0, r#"[{"type":"message","role":"system","content":"a"}]"#);
    assert_eq!(field(&alone, "x", "instructions").0, "");
    let later = vec![user(vec![Part::text("a")]), Message::new(Role::System, vec![Part::text("b")])];
    assert!(input(later).0.ends_with(r#",{"type":"message","role":"system","content":"b"}]"#));
}

#[test]
fn what_the_model_did_is_told_in_the_order_in_which_it_did_it() {
    let turn = vec![
        user(vec![Part::text("q")]),
        assistant(vec![
            thought(ProtocolId::OpenAiResponses),
            Part::text("a"),
            Part::text("b"),
            Part::Refusal("no".into()),
            call("1", false),
            call("2", true),
        ]),
        user(vec![result("1", vec![Part::text("x"), Part::text("y")], true), result("2", Vec::new(), false)]),
    ];
    let (written, losses) = input(turn);
    assert_eq!(
        written,
        concat!(
            r#"[{"type":"message","role":"user","content":"q"},"#,
            r#"{"type":"reasoning","summary":[{"type":"summary_text","text":"t"}],"encrypted_content":"s"},"#,
            r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"},{"type":"output_text","text":"b"},{"type":"refusal","refusal":"no"}]},"#,
            r#"{"type":"function_call","call_id":"1","name":"f","arguments":"{}"},"#,
            r#"{"type":"custom_tool_call","call_id":"2","name":"f","input":""},"#,
            r#"{"type":"function_call_output","call_id":"1","output":"Error: x\ny"},"#,
            r#"{"type":"custom_tool_call_output","call_id":"2","output":""}]"#
        )
    );
    assert_eq!(losses, "");
}

#[test]
fn reasoning_goes_back_to_whom_it_came_from_and_never_without_what_it_led_to() {
    let kept = |parts| input(vec![assistant(parts), user(vec![Part::text("q")])]).0.matches("reasoning").count();
    assert_eq!(kept(vec![thought(ProtocolId::OpenAiResponses), call("1", false)]), 1);
    assert_eq!(kept(vec![thought(ProtocolId::OpenAiResponses)]), 0);
    assert_eq!(kept(vec![thought(ProtocolId::Anthropic), Part::text("a")]), 0);
    assert_eq!(kept(vec![Part::Reasoning(Reasoning { text: "t".into(), ..Reasoning::default() }), Part::text("a")]), 0);
}

#[test]
fn long_ids_of_calls_become_short_ones_that_still_match() {
    let id = "c".repeat(80);
    let (body, _) = encode(
        &Request {
            messages: vec![assistant(vec![call(&id, false)]), user(vec![result(&id, vec![Part::text("x")], false)])],
            ..Request::default()
        },
        "x",
    );
    let items = body.get("input").unwrap().items().unwrap();
    let ids: Vec<_> = items.iter().map(|item| item.get("call_id").unwrap().as_str().unwrap()).collect();
    assert!(ids[0] == ids[1] && ids[0].len() <= 64);
}

#[test]
fn files_are_written_as_the_protocol_has_them_or_refused() {
    let data = |kind, mime| media(kind, MediaSource::Base64("aGk=".into()), mime);
    let file = |origin| MediaSource::File { origin, id: "f".into() };
    for (part, written) in [
        (
            data(MediaKind::Image, "image/png"),
            r#"{"type":"input_image","image_url":"data:image/png;base64,aGk=","detail":"auto"}"#,
        ),
        (
            media(MediaKind::Image, MediaSource::Url("https://x".into()), "image/png"),
            r#"{"type":"input_image","image_url":"https://x","detail":"auto"}"#,
        ),
        (
            media(MediaKind::Image, file(ProtocolId::OpenAiChat), "image/png"),
            r#"{"type":"input_image","file_id":"f","detail":"auto"}"#,
        ),
        (
            data(MediaKind::Document, "application/pdf"),
            r#"{"type":"input_file","filename":"document.pdf","file_data":"data:application/pdf;base64,aGk="}"#,
        ),
        (
            media(MediaKind::Document, MediaSource::Url("https://x".into()), "application/pdf"),
            r#"{"type":"input_file","file_url":"https://x"}"#,
        ),
        (
            media(MediaKind::Document, file(ProtocolId::OpenAiResponses), "application/pdf"),
            r#"{"type":"input_file","file_id":"f"}"#,
        ),
    ] {
        let (user_input, losses) = input(vec![user(vec![part.clone()])]);
        assert_eq!(
            (user_input, losses.as_str()),
            (format!(r#"[{{"type":"message","role":"user","content":[{written}]}}]"#), "")
        );
        let (answered, losses) = input(vec![user(vec![result("1", vec![Part::text("x"), part], true)])]);
        let output =
            format!(r#"[{{"type":"input_text","text":"Error:"}},{{"type":"input_text","text":"x"}},{written}]"#);
        assert_eq!(
            (answered, losses.as_str()),
            (format!(r#"[{{"type":"function_call_output","call_id":"1","output":{output}}}]"#), "")
        );
    }
    assert!(input(vec![user(vec![data(MediaKind::Document, "text/plain")])]).0.contains(r#""content":"hi""#));
    for refused in [
        data(MediaKind::Audio, "audio/wav"),
        data(MediaKind::Video, "video/mp4"),
        media(MediaKind::Document, file(ProtocolId::Anthropic), "application/pdf"),
    ] {
        let (_, losses) = encode(&Request { messages: vec![user(vec![refused])], ..Request::default() }, "x");
        assert_eq!(losses.refusals().map(|(path, _)| path).collect::<Vec<_>>(), ["messages[0].content[2]"]);
    }
}

fn hosted(origin: ProtocolId, web_search: bool) -> Tool {
    Tool::Hosted { origin, raw: Json::parse(br#"{"type":"theirs"}"#).unwrap(), web_search, place: Place::default() }
}

fn function(name: &str, strict: Option<bool>) -> Tool {
    Tool::Function(FunctionTool { name: name.into(), strict, ..FunctionTool::default() })
}

#[test]
fn tools_are_flat_and_say_whether_they_are_strict() {
    let nested = Json::parse(br#"{"type":"grammar","grammar":{"syntax":"lark","definition":"d"}}"#).unwrap();
    let custom = Tool::Custom {
        name: "p".into(),
        namespace: None,
        description: Some("d".into()),
        format: Some(nested),
        place: Place::default(),
    };
    let request = Request {
        tools: vec![
            function("f", None),
            function("g", Some(true)),
            custom,
            hosted(ProtocolId::OpenAiResponses, false),
            hosted(ProtocolId::Anthropic, true),
            hosted(ProtocolId::Anthropic, false),
        ],
        parallel_tool_calls: Some(false),
        ..Request::default()
    };
    let (body, losses) = encode(&request, "x");
    assert_eq!(
        body.get("tools").unwrap().to_string(),
        concat!(
            r#"[{"type":"function","name":"f","parameters":{"type":"object","properties":{}},"strict":false},"#,
            r#"{"type":"function","name":"g","parameters":{"type":"object","properties":{}},"strict":true},"#,
            r#"{"type":"custom","name":"p","description":"d","format":{"type":"grammar","syntax":"lark","definition":"d"}},"#,
            r#"{"type":"theirs"},{"type":"web_search"}]"#
        )
    );
    assert_eq!(losses.refusals().map(|(path, _)| path).collect::<Vec<_>>(), ["tools[5]"]);
    assert_eq!(body.get("parallel_tool_calls"), Some(&Json::Bool(false)));
}

#[test]
fn a_choice_of_tools_is_flat_and_stands_beside_tools_only() {
    let asked = |choice, tools| Request { tool_choice: Some(choice), tools, ..Request::default() };
    let custom =
        || Tool::Custom { name: "p".into(), namespace: None, description: None, format: None, place: Place::default() };
    let written = |choice| field(&asked(choice, vec![function("f", None), custom()]), "x", "tool_choice").0;
    assert_eq!(written(ToolChoice::Auto), r#""auto""#);
    assert_eq!(written(ToolChoice::None), r#""none""#);
    assert_eq!(written(ToolChoice::Required), r#""required""#);
    assert_eq!(written(ToolChoice::Named("f".into())), r#"{"type":"function","name":"f"}"#);
    assert_eq!(written(ToolChoice::Named("p".into())), r#"{"type":"custom","name":"p"}"#);
    let one = ToolChoice::Allowed { names: BTreeSet::from(["p".to_owned()]), required: true };
    assert_eq!(written(one.clone()), r#""required""#);
    let (tools, _) = field(&asked(one, vec![function("f", None), custom()]), "x", "tools");
    assert_eq!(tools, r#"[{"type":"custom","name":"p"}]"#);
    assert_eq!(field(&asked(ToolChoice::Required, Vec::new()), "x", "tool_choice").0, "");
}

#[test]
fn reasoning_is_asked_for_in_the_models_own_efforts_and_its_proof_comes_back() {
    let asked = |effort, visible| Request {
        reasoning: Some(ReasoningRequest { effort, budget: None, visible }),
        ..Request::default()
    };
    for (effort, visible, model, reasoning, include) in [
        (Some(Effort::High), None, "gpt-5", r#"{"effort":"high"}"#, true),
        (Some(Effort::Max), Some(true), "gpt-5.6", r#"{"effort":"xhigh","summary":"auto"}"#, true),
        (None, Some(true), "o3", r#"{"summary":"auto"}"#, true),
        (None, None, "o3", "", true),
        (Some(Effort::None), Some(true), "gpt-5.2", r#"{"effort":"none"}"#, false),
        (Some(Effort::High), Some(true), "gpt-4o", "", false),
        (None, Some(true), "anything", "", false),
    ] {
        let request = asked(effort, visible);
        assert_eq!(field(&request, model, "reasoning").0, reasoning, "{model}");
        let included = if include { r#"["reasoning.encrypted_content"]"# } else { "" };
        assert_eq!(field(&request, model, "include").0, included, "{model}");
    }
}

#[test]
fn sampling_is_left_out_while_a_model_reasons() {
    let sampling = Sampling {
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(4),
        presence_penalty: Some(1.0),
        frequency_penalty: Some(1.0),
        seed: Some(1),
    };
    let request = Request { sampling, stop: vec!["x".into()], ..Request::default() };
    assert_eq!(
        field(&request, "gpt-4o", "temperature"),
        ("0.5".into(), "top_k,presence_penalty,frequency_penalty,seed,stop".into())
    );
    assert_eq!(
        field(&request, "gpt-5", "temperature"),
        (String::new(), "temperature,top_p,top_k,presence_penalty,frequency_penalty,seed,stop".into())
    );
}

#[test]
fn a_limit_of_output_is_no_smaller_than_the_protocol_takes() {
    let asked = |limit| Request { max_output_tokens: Some(limit), ..Request::default() };
    assert_eq!(field(&asked(1), "gpt-4o", "max_output_tokens"), ("16".into(), "max_tokens".into()));
    assert_eq!(field(&asked(16), "gpt-4o", "max_output_tokens"), ("16".into(), String::new()));
    assert_eq!(field(&asked(99_999), "gpt-4o", "max_output_tokens"), ("16384".into(), "max_tokens".into()));
}

#[test]
fn the_form_of_the_answer_is_asked_for_beside_its_verbosity() {
    let hint = Unmapped { path: "verbosity".into(), refusal: None, hint: Some((Hint::Verbosity, Json::from("low"))) };
    let schema = ResponseFormat::JsonSchema {
        name: None,
        description: None,
        schema: Json::parse(br#"{"type":"object"}"#).unwrap(),
        strict: Some(true),
    };
    let request = |format, text: &str| Request {
        response_format: Some(format),
        messages: vec![user(vec![Part::text(text)])],
        rest: vec![hint.clone()],
        ..Request::default()
    };
    assert_eq!(
        field(&request(schema, "hi"), "gpt-5", "text"),
        (r#"{"format":{"type":"json_schema","name":"response","schema":{"type":"object"},"strict":true},"verbosity":"low"}"#.into(), String::new())
    );
    let (body, _) = encode(&request(ResponseFormat::JsonObject, "hi"), "gpt-5");
    assert_eq!(body.get("text").unwrap().to_string(), r#"{"format":{"type":"json_object"},"verbosity":"low"}"#);
    assert!(
        body.get("input").unwrap().to_string().contains("Answer with a JSON object."),
        "the word JSON is wanted in the input"
    );
    assert!(!field(&request(ResponseFormat::JsonObject, "as json"), "gpt-5", "input").0.contains("Answer"));
}

#[test]
fn what_both_of_openais_protocols_know_is_handed_on_and_the_rest_is_told() {
    let hint = |hint: Hint, value: &str| Unmapped {
        path: hint.as_str().into(),
        refusal: None,
        hint: Some((hint, Json::parse(value.as_bytes()).unwrap())),
    };
    let request = Request {
        logprobs: Some(2),
        candidates: Some(2),
        rest: vec![
            hint(Hint::ServiceTier, "\"flex\""),
            hint(Hint::PromptCacheKey, "\"k\""),
            hint(Hint::PromptCacheRetention, "\"24h\""),
            hint(Hint::Metadata, r#"{"a":"b"}"#),
            hint(Hint::Store, "true"),
            Unmapped { path: "logit_bias".into(), refusal: Some("no"), hint: None },
            Unmapped { path: "later".into(), ..Unmapped::default() },
        ],
        ..Request::default()
    };
    let (body, losses) = encode(&request, "gpt-5");
    assert_eq!(
        body.to_string(),
        r#"{"model":"gpt-5","input":[],"service_tier":"flex","prompt_cache_key":"k","prompt_cache_retention":"24h","metadata":{"a":"b"},"store":true,"top_logprobs":2,"include":["message.output_text.logprobs"]}"#
    );
    assert_eq!(losses.paths(), "n,logit_bias,later");
    assert_eq!(losses.refusals().map(|(path, _)| path).collect::<Vec<_>>(), ["n", "logit_bias"]);
}

#[test]
fn a_message_is_of_one_phase_wherever_its_mark_stood() {
    let text = |text: &str, phase: Option<&str>| {
        let signature = phase.map(|value| Signature { origin: ProtocolId::OpenAiResponses, value: value.into() });
        Part::Text(Text { text: text.into(), signature, ..Text::default() })
    };
    let of = |parts| {
        let items = Json::parse(input(vec![assistant(parts)]).0.as_bytes()).unwrap();
        let told = |item: &Json| (item.get("phase").map(Json::to_string), item.get("content").map(Json::to_string));
        items.items().unwrap().iter().map(told).collect::<Vec<_>>()
    };
    let (remark, answer) = (Some(r#""commentary""#.to_owned()), Some(r#""final_answer""#.to_owned()));
    let expected = [(remark.clone(), Some(r#""a""#.to_owned())), (answer, Some(r#""b""#.to_owned()))];
    assert_eq!(of(vec![text("a", Some("commentary")), text("b", Some("final_answer"))]), expected);
    // A stream of Gemini's protocol has the mark in a part of its own, before the text.
    let apart = [("", Some("commentary")), ("a", None), ("", Some("final_answer")), ("b", None)];
    assert_eq!(of(apart.map(|(said, phase)| text(said, phase)).to_vec()), expected);
    assert_eq!(of(vec![text("a", Some("commentary")), text("b", Some("commentary"))]).len(), 1);
    let foreign = Signature { origin: ProtocolId::Gemini, value: "x".into() };
    let signed = Part::Text(Text { text: "a".into(), signature: Some(foreign), ..Text::default() });
    assert_eq!(of(vec![signed])[0].0, None);
}
