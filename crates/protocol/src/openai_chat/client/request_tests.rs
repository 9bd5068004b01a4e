//! What a chat request means, and what of it is refused.

use super::decode_request;
use crate::{
    ProtocolId,
    ir::{
        Cache, Effort, Malformed, MediaKind, MediaSource, Message, Part, ReasoningRequest, Request, ResponseFormat,
        Role, Signature, Tool, ToolChoice,
    },
    json::Json,
};

/// A request of `model`, one user message and `more`.
fn with(more: &str) -> Result<Request, Malformed> {
    decode_request(format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{more}}}"#).as_bytes())
}

fn messages(messages: &str) -> Result<Request, Malformed> {
    decode_request(format!(r#"{{"model":"m","messages":[{messages}]}}"#).as_bytes())
}

fn user_part(part: &str) -> Result<Part, Malformed> {
    messages(&format!(r#"{{"role":"user","content":[{part}]}}"#))
        .map(|mut request| request.messages.remove(0).parts.remove(0))
}

fn param(result: Result<Request, Malformed>) -> String {
    let error = result.unwrap_err();
    assert!(error.message.contains(&error.param), "{}", error.message);
    error.param
}

#[test]
fn leading_system_text_is_apart_and_later_system_text_keeps_its_place() {
    let request = messages(
        r#"{"role":"system","content":"a"},{"role":"developer","content":[{"type":"text","text":"b"}]},{"role":"user","content":"c"},{"role":"developer","content":"d"}"#,
    )
    .unwrap();
    assert_eq!(request.system, [Part::text("a"), Part::text("b")]);
    assert_eq!(request.messages[0], Message::new(Role::User, vec![Part::text("c")]));
    assert_eq!(request.messages[1], Message::new(Role::System, vec![Part::text("d")]));
}

#[test]
fn scalars_are_read_and_the_newer_output_limit_counts() {
    let request = with(
        r#","temperature":1,"top_p":0.5,"top_k":4,"n":2.0,"seed":-3,"presence_penalty":-2,"frequency_penalty":null,"max_tokens":5,"max_completion_tokens":6,"logprobs":true,"top_logprobs":2,"stop":"x","stream":true,"stream_options":{"include_usage":true},"user":"u","safety_identifier":"s","parallel_tool_calls":false"#,
    )
    .unwrap();
    assert_eq!(
        (request.sampling.temperature, request.sampling.top_k, request.sampling.seed),
        (Some(1.0), Some(4), Some(-3))
    );
    assert_eq!((request.sampling.presence_penalty, request.sampling.frequency_penalty), (Some(-2.0), None));
    assert_eq!((request.candidates, request.max_output_tokens, request.logprobs), (Some(2), Some(6), Some(2)));
    assert_eq!((request.stop, request.user.as_deref()), (vec!["x".to_owned()], Some("s")));
    assert!(request.stream && request.include_usage && request.parallel_tool_calls == Some(false));
    assert!(request.rest.is_empty());
}

#[test]
fn a_wrong_field_is_named_with_its_path() {
    for (more, path) in [
        (r#","stop":[1]"#, "stop[0]"),
        (r#","stop":{}"#, "stop"),
        (r#","top_logprobs":3"#, "logprobs"),
        (r#","logprobs":true,"top_logprobs":21"#, "top_logprobs"),
        (r#","seed":"x""#, "seed"),
        (r#","reasoning_effort":"huge""#, "reasoning_effort"),
        (r#","thinking":{"type":"maybe"}"#, "thinking.type"),
        (r#","response_format":{"type":"xml"}"#, "response_format.type"),
        (r#","response_format":"json""#, "response_format"),
        (
            r#","response_format":{"type":"json_schema","json_schema":{"schema":1}}"#,
            "response_format.json_schema.schema",
        ),
        (r#","tools":{}"#, "tools"),
        (r#","tools":[1]"#, "tools[0]"),
        (r#","tools":[{"type":"function"}]"#, "tools[0].function"),
        (r#","tools":[{"type":"function","function":{}}]"#, "tools[0].function.name"),
        (r#","tools":[{"type":"function","function":{"name":"f","parameters":[]}}]"#, "tools[0].function.parameters"),
        (r#","tool_choice":"maybe""#, "tool_choice"),
        (r#","tool_choice":{"type":"function","function":{}}"#, "tool_choice.function.name"),
        (r#","parallel_tool_calls":1"#, "parallel_tool_calls"),
        (r#","user":1"#, "user"),
    ] {
        assert_eq!(param(with(more)), path, "{more}");
    }
    for (message, path) in [
        (r#"{"role":"user","content":1}"#, "messages[0].content"),
        (r#"{"role":"user","content":[1]}"#, "messages[0].content[0]"),
        (r#"{"role":"user","content":[{"text":"x"}]}"#, "messages[0].content[0].type"),
        (r#"{"role":"user","content":[{"type":"text"}]}"#, "messages[0].content[0].text"),
        (r#"{"role":"user","content":[{"type":"image_url"}]}"#, "messages[0].content[0].image_url"),
        (
            r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"ftp://x"}}]}"#,
            "messages[0].content[0].image_url.url",
        ),
        (
            r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png,x"}}]}"#,
            "messages[0].content[0].image_url.url",
        ),
        (
            r#"{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"eA=="}}]}"#,
            "messages[0].content[0].input_audio.format",
        ),
        (r#"{"role":"tool","content":"x"}"#, "messages[0].tool_call_id"),
        (r#"{"role":"function","content":"x"}"#, "messages[0].name"),
        (
            r#"{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f"}}]}"#,
            "messages[0].tool_calls[0].id",
        ),
        (r#"{"role":"assistant","tool_calls":[{"id":"a","type":"function"}]}"#, "messages[0].tool_calls[0].function"),
    ] {
        assert_eq!(param(messages(message)), path, "{message}");
    }
}

#[test]
fn pictures_sound_and_files_are_told_apart() {
    let Part::Media(image) = user_part(
        r#"{"type":"image_url","image_url":{"url":"data:image/JPG;base64,/9j/","detail":"low"},"cache_control":{"type":"ephemeral","ttl":"1h"}}"#,
    )
    .unwrap() else {
        panic!()
    };
    assert_eq!(
        (image.kind, image.mime.as_deref(), image.detail.as_deref()),
        (MediaKind::Image, Some("image/jpeg"), Some("low"))
    );
    assert_eq!(image.source, MediaSource::Base64("/9j/".into()));
    assert_eq!(image.cache, Some(Cache { ttl: Some("1h".into()), ..Cache::default() }));

    let Part::Media(link) = user_part(r#"{"type":"image_url","image_url":"https://x/y.png"}"#).unwrap() else {
        panic!()
    };
    assert_eq!(link.source, MediaSource::Url("https://x/y.png".into()));

    let Part::Media(sound) =
        user_part(r#"{"type":"input_audio","input_audio":{"data":"eA==","format":"mp3"}}"#).unwrap()
    else {
        panic!()
    };
    assert_eq!((sound.kind, sound.mime.as_deref()), (MediaKind::Audio, Some("audio/mpeg")));

    let Part::Media(file) = user_part(r#"{"type":"file","file":{"filename":"a.txt","file_data":"aGk="}}"#).unwrap()
    else {
        panic!()
    };
    assert_eq!(
        (file.kind, file.mime.as_deref(), file.name.as_deref()),
        (MediaKind::Document, Some("text/plain"), Some("a.txt"))
    );

    let Part::Media(uploaded) = user_part(r#"{"type":"file","file":{"file_id":"file-1"}}"#).unwrap() else { panic!() };
    assert_eq!(uploaded.source, MediaSource::File { origin: ProtocolId::OpenAiChat, id: "file-1".into() });
}

#[test]
fn results_of_parallel_calls_stand_in_one_message_and_know_their_tools_names() {
    let request = messages(
        r#"{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"custom","custom":{"name":"g","input":"free"}}]},{"role":"tool","tool_call_id":"a","content":"1"},{"role":"tool","tool_call_id":"b","content":[{"type":"text","text":"2"},{"type":"image_url","image_url":{"url":"https://x"}}],"is_error":true},{"role":"user","content":"y"}"#,
    )
    .unwrap();
    assert_eq!(request.messages.len(), 4);
    let results = &request.messages[2];
    assert_eq!((results.role, results.parts.len()), (Role::User, 2));
    let (Part::ToolResult(first), Part::ToolResult(second)) = (&results.parts[0], &results.parts[1]) else { panic!() };
    assert_eq!((first.id.as_str(), first.name.as_deref(), first.is_error), ("a", Some("f"), false));
    assert_eq!((second.name.as_deref(), second.content.len(), second.is_error), (Some("g"), 2, true));
    let Part::ToolCall(custom) = &request.messages[1].parts[1] else { panic!() };
    assert!(custom.custom && custom.arguments == "free");
}

#[test]
fn functions_of_the_old_form_get_ids_that_pair_up() {
    let body = r#"{"model":"m","functions":[{"name":"f","parameters":{"type":"object"}}],"function_call":{"name":"f"},"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"1"}]}"#;
    let request = decode_request(body.as_bytes()).unwrap();
    assert!(request.legacy_functions);
    assert_eq!(request.tool_choice, Some(ToolChoice::Named("f".into())));
    assert!(matches!(&request.tools[..], [Tool::Function(function)] if function.name == "f"));
    let (Part::ToolCall(call), Part::ToolResult(result)) =
        (&request.messages[1].parts[0], &request.messages[2].parts[0])
    else {
        panic!()
    };
    assert_eq!((&call.id, result.name.as_deref()), (&result.id, Some("f")));
    assert_eq!(decode_request(body.as_bytes()).unwrap(), request);
}

#[test]
fn tools_and_choices_are_read_in_all_their_forms() {
    let request = with(
        r#","tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"z":1,"a":2},"strict":true},"cache_control":{"type":"ephemeral"}},{"type":"custom","custom":{"name":"g","format":{"type":"text"}}},{"type":"web_search"}]"#,
    )
    .unwrap();
    let [Tool::Function(function), Tool::Custom { name, .. }, Tool::Hosted { raw, .. }] = &request.tools[..] else {
        panic!()
    };
    assert_eq!(function.parameters.as_ref().unwrap().to_string(), r#"{"z":1,"a":2}"#);
    assert_eq!((function.strict, function.cache.clone()), (Some(true), Some(Cache::default())));
    assert_eq!((name.as_str(), raw.get("type").and_then(Json::as_str)), ("g", Some("web_search")));
    for (choice, expected) in [
        (r#""none""#, ToolChoice::None),
        (r#""auto""#, ToolChoice::Auto),
        (r#""required""#, ToolChoice::Required),
        (r#"{"type":"function","function":{"name":"f"}}"#, ToolChoice::Named("f".into())),
        (r#"{"type":"custom","custom":{"name":"g"}}"#, ToolChoice::Named("g".into())),
        (
            r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#,
            ToolChoice::Allowed { names: ["f".into()].into(), required: true },
        ),
    ] {
        assert_eq!(with(&format!(r#","tool_choice":{choice}"#)).unwrap().tool_choice, Some(expected));
    }
}

#[test]
fn thinking_blocks_come_back_first_and_count_for_more_than_plain_reasoning() {
    let request = messages(
        r#"{"role":"user","content":"x"},{"role":"assistant","content":"y","reasoning_content":"plain","thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"d"}]},{"role":"assistant","content":"z","reasoning_content":"plain"}"#,
    )
    .unwrap();
    let [Part::Reasoning(shown), Part::Reasoning(hidden), Part::Text(_)] = &request.messages[1].parts[..] else {
        panic!()
    };
    assert_eq!((shown.text.as_str(), hidden.redacted), ("t", true));
    assert_eq!(shown.signature, Some(Signature { origin: ProtocolId::Anthropic, value: "s".into() }));
    let [Part::Reasoning(plain), Part::Text(_)] = &request.messages[2].parts[..] else { panic!() };
    assert_eq!((plain.text.as_str(), &plain.signature), ("plain", &None));
}

#[test]
fn geminis_signatures_come_back_from_where_they_were_put() {
    let request = messages(
        r#"{"role":"user","content":"x"},{"role":"assistant","content":"y","extra_content":{"google":{"thought_signature":"t"}},"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":""},"extra_content":{"google":{"thought_signature":"c"}}}]},{"role":"assistant","content":null,"extra_content":{"google":{"thought_signature":"e"}}}"#,
    )
    .unwrap();
    let signature = |value: &str| Some(Signature { origin: ProtocolId::Gemini, value: value.into() });
    let [Part::Text(text), Part::ToolCall(call)] = &request.messages[1].parts[..] else { panic!() };
    assert_eq!((&text.signature, &call.signature), (&signature("t"), &signature("c")));
    let [Part::Text(empty)] = &request.messages[2].parts[..] else { panic!() };
    assert_eq!((empty.text.as_str(), &empty.signature), ("", &signature("e")));
}

#[test]
fn effort_and_budget_are_read_from_each_of_their_fields() {
    let asked = |effort, budget| Some(ReasoningRequest { effort, budget, ..ReasoningRequest::default() });
    for (more, expected) in [
        (r#","reasoning_effort":"xhigh""#, asked(Some(Effort::Xhigh), None)),
        (r#","thinking":{"type":"enabled","budget_tokens":2000}"#, asked(None, Some(2000))),
        (r#","thinking":{"type":"disabled"}"#, asked(None, Some(0))),
        (r#","thinking":{"type":"adaptive"},"reasoning_effort":"low""#, asked(Some(Effort::Low), None)),
        (r#","reasoning":{"effort":"high"}"#, asked(Some(Effort::High), None)),
        (r#","reasoning":{"max_tokens":9}"#, asked(None, Some(9))),
        (r#","reasoning":{"enabled":false}"#, asked(Some(Effort::None), None)),
        ("", None),
    ] {
        assert_eq!(with(more).unwrap().reasoning, expected, "{more}");
    }
}

#[test]
fn the_form_of_the_answer_is_read() {
    assert_eq!(with(r#","response_format":{"type":"text"}"#).unwrap().response_format, Some(ResponseFormat::Text));
    assert_eq!(
        with(r#","response_format":{"type":"json_object"}"#).unwrap().response_format,
        Some(ResponseFormat::JsonObject)
    );
    let format = with(
        r#","response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"b":1,"a":2}}}"#,
    );
    let Some(ResponseFormat::JsonSchema { name, schema, strict, .. }) = format.unwrap().response_format else {
        panic!()
    };
    assert_eq!((name.as_deref(), schema.to_string().as_str(), strict), (Some("n"), r#"{"b":1,"a":2}"#, Some(true)));
}

#[test]
fn what_has_no_counterpart_is_refused_or_reported_and_defaults_are_neither() {
    let request = with(
        r#","logit_bias":{"1":2},"prediction":{"type":"content","content":"x"},"modalities":["text","audio"],"audio":{},"web_search_options":{},"store":true,"metadata":{"a":"b"},"service_tier":"flex","prompt_cache_key":"k","verbosity":"low","brand_new":1,"provider":{"order":[]}"#,
    )
    .unwrap();
    let refused: Vec<&str> =
        request.rest.iter().filter(|field| field.refusal.is_some()).map(|field| field.path.as_str()).collect();
    let hints: Vec<&str> =
        request.rest.iter().filter(|field| field.refusal.is_none()).map(|field| field.path.as_str()).collect();
    assert_eq!(refused, ["logit_bias", "prediction", "modalities", "audio", "web_search_options"]);
    assert_eq!(hints, ["store", "metadata", "service_tier", "prompt_cache_key", "verbosity", "brand_new", "provider"]);
    let carried: Vec<String> = request
        .rest
        .iter()
        .filter_map(|field| field.hint.as_ref())
        .map(|(hint, value)| format!("{}={value}", hint.as_str()))
        .collect();
    assert_eq!(
        carried,
        [
            "store=true",
            r#"metadata={"a":"b"}"#,
            r#"service_tier="flex""#,
            r#"prompt_cache_key="k""#,
            r#"verbosity="low""#
        ]
    );
    let defaults = with(
        r#","logit_bias":{},"modalities":["text"],"store":false,"n":1,"logprobs":false,"top_logprobs":0,"service_tier":"auto","verbosity":"medium","metadata":{},"audio":null,"provider":"p","fallback_providers":["q"],"timeout":3,"retry_count":1,"stream_options":{"include_obfuscation":false}"#,
    )
    .unwrap();
    assert_eq!((defaults.rest, defaults.logprobs), (Vec::new(), None));
}

#[test]
fn parts_of_an_unknown_sort_and_participants_names_are_reported() {
    let request = messages(
        r#"{"role":"user","name":"bob","content":[{"type":"hologram"}]},{"role":"assistant","audio":{"id":"a"}}"#,
    )
    .unwrap();
    let paths: Vec<(&str, bool)> =
        request.rest.iter().map(|field| (field.path.as_str(), field.refusal.is_some())).collect();
    assert_eq!(paths, [("messages[0].content[0]", true), ("messages[0].name", false), ("messages[1].audio", true)]);
}
