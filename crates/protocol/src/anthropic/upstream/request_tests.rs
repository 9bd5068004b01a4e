//! What the fields of a request become.

use serde_json::{Value, json};

use crate::{
    Outbound, ProtocolId, Target,
    anthropic::Anthropic,
    ir::{
        Cache, Effort, FunctionTool, LossKind, Losses, Message, Part, Place, ReasoningRequest, Request, ResponseFormat,
        Role, Sampling, Text, Tool, ToolCall, ToolChoice, ToolResult, Unmapped,
    },
    json::Json,
    models::Models,
};

pub(super) const OPUS_5: &str = "claude-opus-5";
pub(super) const SONNET_4_6: &str = "claude-sonnet-4-6";
pub(super) const HAIKU_4_5: &str = "claude-haiku-4-5-20251001";
pub(super) const SONNET_3_5: &str = "anthropic/claude-3-5-sonnet-20241022";

/// A user's short question.
pub(super) fn question() -> Request {
    Request { messages: vec![said(Role::User, "Hi")], ..Request::default() }
}

pub(super) fn said(role: Role, text: &str) -> Message {
    Message::new(role, vec![Part::text(text)])
}

pub(super) fn json_of(value: Value) -> Json {
    Json::parse(value.to_string().as_bytes()).unwrap()
}

pub(super) fn function(name: &str, parameters: Value) -> Tool {
    let parameters = Some(json_of(parameters)).filter(|value| !value.is_null());
    Tool::Function(FunctionTool { name: name.into(), parameters, ..FunctionTool::default() })
}

pub(super) fn encode(model: &str, request: &Request) -> (Value, Losses) {
    let rules = Models::builtin().rules(ProtocolId::Anthropic, "anthropic", model);
    let mut losses = Losses::default();
    let body = Anthropic.encode_request(request, Target { model, rules: &rules }, &mut losses);
    (serde_json::from_slice(&body).unwrap(), losses)
}

fn kind_of(losses: &Losses, path: &str) -> Option<LossKind> {
    losses.iter().find(|loss| loss.path == path).map(|loss| loss.kind.clone())
}

fn is_refused(losses: &Losses, path: &str) -> bool {
    losses.refusals().any(|(refused, _)| refused == path)
}

fn thinking(effort: Effort) -> Option<ReasoningRequest> {
    Some(ReasoningRequest { effort: Some(effort), budget: None, ..ReasoningRequest::default() })
}

#[test]
fn a_plain_request_says_what_was_asked_and_the_greatest_output_the_model_has() {
    for (model, most) in [(OPUS_5, 128_000), (HAIKU_4_5, 64_000), (SONNET_3_5, 8192), ("claude-3-opus-latest", 4096)] {
        let (body, losses) = encode(model, &question());
        let expected = json!({
            "model": model, "max_tokens": most,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        });
        assert_eq!((body, losses), (expected, Losses::default()));
    }
}

#[test]
fn model_names_find_their_family_however_they_are_written() {
    let most =
        |name: &str| Models::builtin().rules(ProtocolId::Anthropic, "anthropic", name).max_output_tokens.unwrap();
    for name in ["claude-opus-4-8.fx-foo", "anthropic/claude-opus-4.6", "us.anthropic.claude-sonnet-4-6-v1:0", "new"] {
        assert_eq!(most(name), 128_000, "{name}");
    }
    for name in ["claude-sonnet-4-20250514", "claude-sonnet-4-0", "claude-sonnet-4-5@20250929", "claude-opus-4-5"] {
        assert_eq!(most(name), 64_000, "{name}");
    }
    for name in ["claude-opus-4-1-20250805", "claude-opus-4-20250514", "claude-opus-4"] {
        assert_eq!(most(name), 32_000, "{name}");
    }
}

#[test]
fn more_output_than_the_model_has_becomes_what_it_has() {
    let request = Request { max_output_tokens: Some(99_999), ..question() };
    let (body, losses) = encode(HAIKU_4_5, &request);
    assert_eq!((&body["max_tokens"], losses.paths().as_str()), (&json!(64_000), "max_tokens"));
}

#[test]
fn sampling_goes_where_the_model_takes_it_and_is_reported_where_not() {
    let sampling = Sampling { temperature: Some(1.7), top_p: Some(0.5), top_k: Some(4), ..Sampling::default() };
    let request = Request { sampling, ..question() };
    let (body, losses) = encode(OPUS_5, &request);
    assert_eq!(losses.paths(), "temperature,top_p,top_k");
    assert!(body.get("temperature").is_none() && body.get("top_p").is_none() && body.get("top_k").is_none());
    let (body, losses) = encode(HAIKU_4_5, &request);
    assert_eq!((&body["temperature"], &body["top_k"], body.get("top_p")), (&json!(1.0), &json!(4), None));
    assert_eq!(kind_of(&losses, "temperature"), Some(LossKind::Approximated));
    assert_eq!(kind_of(&losses, "top_p"), Some(LossKind::Dropped));
    let (body, losses) = encode(SONNET_3_5, &request);
    assert_eq!((&body["top_p"], losses.paths().as_str()), (&json!(0.5), "temperature"));
}

#[test]
fn a_thinking_model_takes_no_other_temperature_than_one() {
    let sampling = Sampling { temperature: Some(1.0), top_p: Some(0.97), top_k: Some(4), ..Sampling::default() };
    let request = Request { sampling, reasoning: thinking(Effort::Low), ..question() };
    let (body, losses) = encode(HAIKU_4_5, &request);
    assert_eq!((body.get("temperature"), &body["top_p"]), (None, &json!(0.97)));
    assert_eq!(losses.paths(), "top_k");
}

#[test]
fn effort_is_a_word_where_the_model_knows_words() {
    let cases = [
        (OPUS_5, Effort::Xhigh, "xhigh", ""),
        (OPUS_5, Effort::Minimal, "low", "reasoning_effort"),
        (SONNET_4_6, Effort::Xhigh, "max", "reasoning_effort"),
        (SONNET_4_6, Effort::Medium, "medium", ""),
    ];
    for (model, asked, sent, lost) in cases {
        let (body, losses) = encode(model, &Request { reasoning: thinking(asked), ..question() });
        assert_eq!((&body["output_config"]["effort"], losses.paths().as_str()), (&json!(sent), lost));
        assert_eq!(body["thinking"]["type"], "adaptive");
        assert_eq!(body["thinking"].get("display").is_some(), model == OPUS_5);
    }
}

#[test]
fn effort_is_a_budget_where_the_model_knows_numbers_only() {
    let budget = |effort, max_tokens| {
        let request = Request {
            reasoning: thinking(effort),
            max_output_tokens: max_tokens,
            messages: question().messages,
            ..Request::default()
        };
        let (body, losses) = encode(HAIKU_4_5, &request);
        (body["thinking"]["budget_tokens"].as_u64(), losses.paths())
    };
    assert_eq!(budget(Effort::Minimal, None), (Some(1024), String::new()));
    assert_eq!(budget(Effort::High, None), (Some(16_384), String::new()));
    assert_eq!(budget(Effort::Max, None), (Some(48_000), "reasoning_effort".into()));
    assert_eq!(budget(Effort::High, Some(4000)), (Some(3000), "reasoning_effort".into()));
    assert_eq!(budget(Effort::High, Some(1025)), (Some(1024), "reasoning_effort".into()));
    assert_eq!(budget(Effort::Low, Some(1024)), (None, "reasoning_effort".into()));
}

#[test]
fn a_budget_becomes_an_effort_where_the_model_knows_words_only() {
    let reasoning = Some(ReasoningRequest { effort: None, budget: Some(9000), ..ReasoningRequest::default() });
    let (body, losses) = encode(OPUS_5, &Request { reasoning, ..question() });
    assert_eq!((&body["output_config"]["effort"], losses.is_empty()), (&json!("medium"), true));
}

#[test]
fn no_effort_switches_thinking_off_where_that_is_possible() {
    let request = Request { reasoning: thinking(Effort::None), ..question() };
    assert_eq!(encode(OPUS_5, &request).0["thinking"], json!({"type": "disabled"}));
    let (body, losses) = encode("claude-fable-5", &request);
    assert_eq!((&body["output_config"]["effort"], &body["thinking"]["type"]), (&json!("low"), &json!("adaptive")));
    assert_eq!(losses.paths(), "reasoning_effort");
    let (body, losses) = encode(SONNET_3_5, &request);
    assert_eq!((body.get("thinking"), losses.is_empty()), (None, true));
}

#[test]
fn a_budget_gives_way_to_a_tool_that_must_be_called() {
    let request = Request {
        reasoning: thinking(Effort::High),
        tools: vec![function("f", Value::Null)],
        tool_choice: Some(ToolChoice::Required),
        ..question()
    };
    let (body, losses) = encode(HAIKU_4_5, &request);
    assert_eq!((body.get("thinking"), &body["tool_choice"]), (None, &json!({"type": "any"})));
    assert_eq!(losses.paths(), "reasoning_effort");
    assert_eq!(encode(OPUS_5, &request).0["thinking"]["type"], "adaptive");
}

#[test]
fn thinking_by_budget_is_left_out_when_the_last_calls_came_without_it() {
    let call = ToolCall { id: "a".into(), name: "f".into(), ..ToolCall::default() };
    let result = ToolResult { id: "a".into(), ..ToolResult::default() };
    let mut request = Request { reasoning: thinking(Effort::High), ..question() };
    request.messages.push(Message::new(Role::Assistant, vec![Part::ToolCall(call)]));
    request.messages.push(Message::new(Role::User, vec![Part::ToolResult(result)]));
    let (body, losses) = encode(HAIKU_4_5, &request);
    assert_eq!((body.get("thinking"), losses.paths().as_str()), (None, "reasoning_effort"));
    let signature = Some(crate::ir::Signature { origin: ProtocolId::Anthropic, value: "s".into() });
    let thought = Part::Reasoning(crate::ir::Reasoning { signature, ..Default::default() });
    request.messages[1].parts.insert(0, thought);
    assert_eq!(encode(HAIKU_4_5, &request).0["thinking"]["type"], "enabled");
}

#[test]
fn tools_have_an_object_as_their_schema_whatever_they_were_given() {
    let tools = vec![
        function("none", Value::Null),
        function("plain", json!({"type": "object", "properties": {"b": {}, "a": {}}, "$schema": "x"})),
        function("untyped", json!({"properties": {"a": {}}})),
        function(
            "either",
            json!({"anyOf": [
            {"type": "object", "properties": {"a": {}, "c": {}}, "required": ["a", "c"]},
            {"$ref": "#/$defs/other"},
        ], "$defs": {"other": {"properties": {"b": {}, "c": {}}, "required": ["c"]}}}),
        ),
        function("named", json!({"$ref": "#/$defs/it", "$defs": {"it": {"type": "object", "properties": {"a": {}}}}})),
    ];
    let (body, losses) = encode(OPUS_5, &Request { tools, ..question() });
    let schema = |at: usize| body["tools"][at]["input_schema"].clone();
    assert_eq!(schema(0), json!({"type": "object", "properties": {}}));
    assert_eq!(schema(1)["$schema"], "x");
    assert_eq!(schema(2), json!({"type": "object", "properties": {"a": {}}}));
    assert_eq!(schema(3)["properties"], json!({"a": {}, "b": {}, "c": {}}));
    assert_eq!((&schema(3)["required"], schema(3).get("anyOf")), (&json!(["c"]), None));
    assert_eq!((&schema(4)["type"], &schema(4)["properties"]), (&json!("object"), &json!({"a": {}})));
    assert_eq!(losses.paths(), "tools[3].parameters");
}

#[test]
fn strict_tools_are_strict_within_anthropics_limits() {
    let strict = |name: String, parameters: Value| {
        let parameters = Some(json_of(parameters));
        Tool::Function(FunctionTool { name, parameters, strict: Some(true), ..FunctionTool::default() })
    };
    let plain = json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}, "required": ["a"]});
    let tools: Vec<Tool> = (0..21).map(|at| strict(format!("t{at}"), plain.clone())).collect();
    let (body, losses) = encode(OPUS_5, &Request { tools: tools.clone(), ..question() });
    assert_eq!(body["tools"][0]["strict"], true);
    assert_eq!(
        body["tools"][0]["input_schema"],
        json!({"type": "object", "properties": {"a": {"type": "string", "description": "maxLength: 3"}},
               "required": ["a"], "additionalProperties": false})
    );
    assert_eq!((body["tools"][20].get("strict"), &body["tools"][20]["input_schema"]), (None, &plain));
    assert_eq!(kind_of(&losses, "tools[20].strict"), Some(LossKind::Dropped));
    let (body, _) = encode(SONNET_3_5, &Request { tools, ..question() });
    assert_eq!(body["tools"][0].get("strict"), None);
    let itself = json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]});
    let (body, _) = encode(OPUS_5, &Request { tools: vec![strict("t".into(), itself)], ..question() });
    assert_eq!(body["tools"][0].get("strict"), None);
}

#[test]
fn tool_choices_have_their_counterparts() {
    let tools = vec![function("f", Value::Null), function("g", Value::Null)];
    let choice = |model: &str, choice: Option<ToolChoice>, parallel: Option<bool>| {
        let request =
            Request { tools: tools.clone(), tool_choice: choice, parallel_tool_calls: parallel, ..question() };
        let (body, losses) = encode(model, &request);
        (body["tool_choice"].clone(), body["tools"].as_array().unwrap().len(), losses.paths())
    };
    let none = String::new;
    assert_eq!(choice(OPUS_5, None, Some(true)), (Value::Null, 2, none()));
    assert_eq!(
        choice(OPUS_5, None, Some(false)),
        (json!({"type": "auto", "disable_parallel_tool_use": true}), 2, none())
    );
    assert_eq!(choice(OPUS_5, Some(ToolChoice::None), Some(false)), (json!({"type": "none"}), 2, none()));
    assert_eq!(choice(OPUS_5, Some(ToolChoice::Required), None), (json!({"type": "any"}), 2, none()));
    let named = Some(ToolChoice::Named("g".into()));
    let tool = json!({"type": "tool", "name": "g", "disable_parallel_tool_use": true});
    assert_eq!(choice(OPUS_5, named.clone(), Some(false)), (tool, 2, none()));
    let allowed = Some(ToolChoice::Allowed { names: ["f".into()].into(), required: true });
    assert_eq!(choice(OPUS_5, allowed, None), (json!({"type": "any"}), 1, none()));
    assert_eq!(choice("claude-fable-5-1", named, None), (json!({"type": "auto"}), 1, "tool_choice".into()));
}

#[test]
fn a_choice_without_tools_is_not_sent() {
    let request = Request { tool_choice: Some(ToolChoice::Auto), parallel_tool_calls: Some(false), ..question() };
    let (body, losses) = encode(OPUS_5, &request);
    assert_eq!((body.get("tool_choice"), losses.is_empty()), (None, true));
    let (_, losses) = encode(OPUS_5, &Request { tool_choice: Some(ToolChoice::Required), ..question() });
    assert!(is_refused(&losses, "tool_choice"));
}

#[test]
fn tools_that_anthropic_does_not_know_are_told_apart() {
    let custom = Tool::Custom {
        namespace: None,
        name: "patch".into(),
        description: Some("Applies a patch.".into()),
        format: Some(json_of(json!({"type": "grammar", "grammar": {"definition": "start: x"}}))),
        place: Place::default(),
    };
    let raw = json_of(json!({"type": "web_search_20250305", "name": "web_search"}));
    let own =
        Tool::Hosted { origin: ProtocolId::Anthropic, raw: raw.clone(), web_search: false, place: Place::default() };
    let (body, losses) = encode(OPUS_5, &Request { tools: vec![custom, own], ..question() });
    assert_eq!(body["tools"][0]["input_schema"]["required"], json!(["input"]));
    assert!(body["tools"][0]["description"].as_str().unwrap().ends_with("start: x"));
    assert_eq!(body["tools"][1]["type"], "web_search_20250305");
    assert_eq!(losses.paths(), "tools[0].format");
    let foreign = Tool::Hosted { origin: ProtocolId::Gemini, raw, web_search: false, place: Place::default() };
    let twice = vec![foreign, function("a b", Value::Null), function("f", Value::Null), function("f", Value::Null)];
    let (body, losses) = encode(OPUS_5, &Request { tools: twice, ..question() });
    assert_eq!(body["tools"].as_array().unwrap().len(), 1);
    assert!(is_refused(&losses, "tools[0]") && is_refused(&losses, "tools[1].name"));
    assert_eq!(kind_of(&losses, "tools[3]"), Some(LossKind::Dropped));
    let raw = json_of(json!({"type": "web_search"}));
    let search = Tool::Hosted { origin: ProtocolId::OpenAiResponses, raw, web_search: true, place: Place::default() };
    let (body, losses) = encode(OPUS_5, &Request { tools: vec![search], ..question() });
    assert_eq!(body["tools"], json!([{"type": "web_search_20250305", "name": "web_search"}]));
    assert_eq!(kind_of(&losses, "tools[0]"), Some(LossKind::Approximated));
}

fn schema() -> ResponseFormat {
    let schema = json!({
        "type": "object", "$schema": "x", "required": ["n", "who"],
        "properties": {
            "n": {"type": "integer", "minimum": 1, "description": "How many"},
            "who": {"oneOf": [{"$ref": "#/$defs/who", "description": "no"}, {"type": "null"}]},
            "when": {"type": "array", "items": {"type": "string", "format": "date"}, "minItems": 2},
            "more": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "$defs": {"who": {"type": "object", "properties": {}, "additionalProperties": false}},
    });
    ResponseFormat::JsonSchema { name: None, description: None, schema: json_of(schema), strict: None }
}

#[test]
fn a_schema_for_the_answer_is_closed_and_its_unknown_keywords_are_told_in_words() {
    let (body, losses) = encode(OPUS_5, &Request { response_format: Some(schema()), ..question() });
    let expected = json!({
        "type": "object", "required": ["n", "who"], "additionalProperties": false,
        "properties": {
            "n": {"type": "integer", "description": "How many (minimum: 1)"},
            "who": {"anyOf": [{"$ref": "#/$defs/who"}, {"type": "null"}]},
            "when": {"type": "array", "items": {"type": "string", "format": "date"}, "description": "minItems: 2"},
            "more": {"type": "object", "additionalProperties": false,
                     "description": "additionalProperties: {\"type\":\"string\"}"},
        },
        "$defs": {"who": {"type": "object", "properties": {}, "additionalProperties": false}},
    });
    assert_eq!(body["output_config"], json!({"format": {"type": "json_schema", "schema": expected}}));
    assert_eq!(losses.paths(), "response_format");
}

#[test]
fn a_model_that_cannot_be_held_to_a_schema_is_asked_to_keep_it() {
    for (model, format) in [(SONNET_3_5, schema()), (OPUS_5, ResponseFormat::JsonObject)] {
        let system = vec![Part::text("Be brief.")];
        let (body, losses) = encode(model, &Request { system, response_format: Some(format), ..question() });
        assert_eq!((body.get("output_config"), &body["system"][0]["text"]), (None, &json!("Be brief.")));
        assert!(body["system"][1]["text"].as_str().unwrap().starts_with("Answer with one JSON"));
        assert_eq!(kind_of(&losses, "response_format"), Some(LossKind::Approximated));
    }
    let (body, losses) = encode(OPUS_5, &Request { response_format: Some(ResponseFormat::Text), ..question() });
    assert_eq!((body.get("system"), losses.is_empty()), (None, true));
}

#[test]
fn at_most_the_last_four_cache_marks_are_sent() {
    let marked = |ttl: Option<&str>| {
        Part::Text(Text {
            text: "t".into(),
            cache: Some(Cache { ttl: ttl.map(str::to_owned), place: "system[0].cache_control".into() }),
            signature: None,
            ..Text::default()
        })
    };
    let mut tool = FunctionTool { name: "f".into(), ..FunctionTool::default() };
    tool.cache = Some(Cache { place: "tools[0].cache_control".into(), ..Cache::default() });
    let request = Request {
        tools: vec![Tool::Function(tool)],
        system: vec![marked(Some("1h"))],
        messages: vec![Message::new(Role::User, vec![marked(None), marked(None), marked(Some("5m"))])],
        ..Request::default()
    };
    let (body, losses) = encode(OPUS_5, &request);
    assert_eq!(body["tools"][0].get("cache_control"), None);
    assert_eq!(body["system"][0]["cache_control"], json!({"type": "ephemeral", "ttl": "1h"}));
    assert_eq!(body["messages"][0]["content"][0]["cache_control"], json!({"type": "ephemeral"}));
    assert_eq!(losses.paths(), "tools[0].cache_control");
}

#[test]
fn the_rest_is_sent_dropped_or_refused_by_what_it_means() {
    let request = Request {
        stop: vec!["END".into(), " \n".into()],
        user: Some("u-1".into()),
        stream: true,
        candidates: Some(2),
        logprobs: Some(0),
        sampling: Sampling {
            seed: Some(1),
            presence_penalty: Some(0.0),
            frequency_penalty: Some(0.5),
            ..Sampling::default()
        },
        rest: vec![
            Unmapped { path: "logit_bias".into(), refusal: Some("no"), ..Unmapped::default() },
            Unmapped { path: "store".into(), refusal: None, ..Unmapped::default() },
        ],
        ..question()
    };
    let (body, losses) = encode(OPUS_5, &request);
    assert_eq!((&body["stop_sequences"], &body["metadata"]), (&json!(["END"]), &json!({"user_id": "u-1"})));
    assert_eq!(body["stream"], true);
    assert!(is_refused(&losses, "n") && is_refused(&losses, "logprobs") && is_refused(&losses, "logit_bias"));
    assert_eq!(losses.paths(), "n,logprobs,seed,frequency_penalty,logit_bias,store,stop");
    let (_, losses) = encode(OPUS_5, &Request { candidates: Some(1), ..question() });
    assert!(losses.is_empty());
    let (body, losses) = encode(OPUS_5, &Request { user: Some("é".repeat(257)), ..question() });
    assert_eq!((body.get("metadata"), losses.paths().as_str()), (None, "user"));
}

#[test]
fn a_request_of_the_same_protocol_changes_nothing_but_its_model() {
    let body = br#"{"model":"a","later":[1.0]}"#;
    let members = crate::splice::Members::read(body).unwrap();
    let rules = Models::builtin().rules(ProtocolId::Anthropic, "anthropic", "b");
    let edits = Anthropic.adapt_request(&members, Target { model: "b\"", rules: &rules });
    assert_eq!(members.edit(&edits), br#"{"model":"b\"","later":[1.0]}"#);
}

#[test]
fn thoughts_that_nobody_wants_to_see_stay_hidden_and_wanted_ones_are_asked_for() {
    let thinking = |model: &str, effort: Option<Effort>, visible: Option<bool>| {
        let reasoning = Some(ReasoningRequest { effort, budget: None, visible });
        encode(model, &Request { reasoning, ..question() }).0["thinking"].clone()
    };
    let low = Some(Effort::Low);
    assert_eq!(thinking(OPUS_5, low, Some(false)), json!({"type": "adaptive"}));
    assert_eq!(thinking(OPUS_5, low, Some(true)), json!({"type": "adaptive", "display": "summarized"}));
    assert_eq!(thinking(OPUS_5, None, Some(true)), json!({"type": "adaptive", "display": "summarized"}));
    assert_eq!(thinking(SONNET_4_6, None, Some(true)), json!({"type": "adaptive"}));
    assert_eq!(thinking(OPUS_5, None, None), Value::Null);
}

#[test]
fn a_chat_clients_search_of_the_web_is_anthropics_tool() {
    let rest = vec![Unmapped { path: "web_search_options".into(), refusal: Some("…"), ..Unmapped::default() }];
    let request = Request { rest, ..Request::default() };
    let (body, losses) = encode("claude-opus-5", &request);
    assert_eq!(body["tools"], json!([{"type": "web_search_20250305", "name": "web_search"}]));
    assert_eq!(kind_of(&losses, "web_search_options"), Some(LossKind::Approximated));
}
