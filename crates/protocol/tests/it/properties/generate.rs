//! Canonical requests, answers and streams of any kind.

use llm_protocol::{
    ProtocolId,
    ir::{
        Block, Delta, Event, Finish, FinishReason, FunctionTool, Message, Part, Request, Role, Sampling, Text, Tool,
        ToolCall, ToolChoice, ToolResult, Usage,
    },
    json::Json,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// Words with a beginning and an end, so that no protocol takes them for blank.
pub fn text() -> impl Strategy<Value = String> {
    "[a-zé中\"\\\\]([a-z é中\n\"\\\\<&]{0,20}[a-zé中😀])?"
}

/// Never one that begins with `fn__`, by which names are told that had to be changed for Gemini.
fn name() -> impl Strategy<Value = String> {
    "[a-eg-z][a-z_]{0,11}"
}

/// The exact text of a small object.
fn arguments() -> impl Strategy<Value = String> {
    vec((name(), prop_oneof![text().prop_map(Json::from), any::<bool>().prop_map(Json::from)]), 0..3).prop_map(
        |members| {
            let mut unique = members;
            unique.sort_by(|(a, _), (b, _)| a.cmp(b));
            unique.dedup_by(|(a, _), (b, _)| a == b);
            Json::object(unique).to_string()
        },
    )
}

fn tool() -> impl Strategy<Value = FunctionTool> {
    (name(), option::of(text()), vec(name(), 0..3)).prop_map(|(name, description, mut fields)| {
        fields.sort();
        fields.dedup();
        let string = || Json::object([("type", Json::from("string"))]);
        let properties = Json::object(fields.iter().map(|field| (field.clone(), string())));
        let parameters = Json::object([("type", Json::from("object")), ("properties", properties)]);
        FunctionTool { name, description, parameters: Some(parameters), ..FunctionTool::default() }
    })
}

fn sampling() -> impl Strategy<Value = Sampling> {
    (option::of(0u32..=4), option::of(1u32..=4)).prop_map(|(temperature, top_p)| Sampling {
        temperature: temperature.map(|quarters| f64::from(quarters) / 4.0),
        top_p: top_p.map(|quarters| f64::from(quarters) / 4.0),
        ..Sampling::default()
    })
}

/// What one round of a conversation holds: what the user says, what the assistant says, the arguments of its calls.
type Round = (String, Option<String>, Vec<(String, String)>);

fn round() -> impl Strategy<Value = Round> {
    (text(), option::of(text()), vec((arguments(), text()), 0..3))
}

/// A conversation whose calls are all answered, and which ends with the user.
fn messages(rounds: &[Round], tool: &str, last: &str) -> Vec<Message> {
    let said = |role, parts| Message::new(role, parts);
    let mut messages = Vec::new();
    for (round, (asked, answered, calls)) in rounds.iter().enumerate() {
        messages.push(said(Role::User, vec![Part::text(asked)]));
        let mut parts: Vec<Part> = answered.iter().map(Part::text).collect();
        let id = |call: usize| format!("call_{round}_{call}");
        parts.extend(calls.iter().enumerate().map(|(call, (arguments, _))| {
            let (name, arguments) = (tool.to_owned(), arguments.clone());
            Part::ToolCall(ToolCall { id: id(call), name, arguments, ..ToolCall::default() })
        }));
        if parts.is_empty() {
            parts.push(Part::text("yes"));
        }
        messages.push(said(Role::Assistant, parts));
        let results = calls.iter().enumerate().map(|(call, (_, result))| {
            let (name, content) = (Some(tool.to_owned()), vec![Part::text(result)]);
            Part::ToolResult(ToolResult { id: id(call), name, content, ..ToolResult::default() })
        });
        let results: Vec<Part> = results.collect();
        if !results.is_empty() {
            messages.push(said(Role::User, results));
        }
    }
    messages.push(said(Role::User, vec![Part::text(last)]));
    messages
}

/// A request as a careful client writes one.
pub fn request() -> impl Strategy<Value = Request> {
    let conversation = (vec(text(), 0..3), vec(round(), 0..4), text());
    let tools = vec(tool(), 1..4);
    let choice = select(vec![0u8, 1, 2, 3]);
    let limits = (option::of(1u64..4000), vec(name(), 0..3), option::of(any::<bool>()));
    (conversation, tools, choice, sampling(), limits, any::<bool>()).prop_map(
        |((system, rounds, last), mut tools, choice, sampling, (limit, mut stop, parallel), stream)| {
            tools.sort_by(|a, b| a.name.cmp(&b.name));
            tools.dedup_by(|a, b| a.name == b.name);
            stop.dedup();
            let named = tools[0].name.clone();
            Request {
                model: "any".into(),
                system: system.iter().map(Part::text).collect(),
                messages: messages(&rounds, &named, &last),
                tools: tools.into_iter().map(Tool::Function).collect(),
                tool_choice: match choice {
                    0 => None,
                    1 => Some(ToolChoice::Auto),
                    2 => Some(ToolChoice::Required),
                    _ => Some(ToolChoice::Named(named)),
                },
                parallel_tool_calls: parallel,
                sampling,
                max_output_tokens: limit,
                stop,
                stream,
                ..Request::default()
            }
        },
    )
}

/// One block of an answer with the pieces that it comes in.
fn block() -> impl Strategy<Value = Vec<Event>> {
    let pieces = || vec(text(), 1..4);
    let said = |block: Block| {
        move |pieces: Vec<String>| {
            let deltas = pieces.into_iter().map(|piece| Event::Delta(Delta::Text(piece)));
            [Event::Open(block.clone())].into_iter().chain(deltas).chain([Event::Close]).collect()
        }
    };
    let call = (name(), arguments(), 1..5usize).prop_map(|(name, arguments, pieces)| {
        let letters: Vec<char> = arguments.chars().collect();
        let size = letters.len().div_ceil(pieces).max(1);
        let deltas = letters.chunks(size).map(|piece| Event::Delta(Delta::Arguments(piece.iter().collect())));
        let open = Event::Open(Block::ToolCall { id: String::new(), name, custom: false });
        [open].into_iter().chain(deltas).chain([Event::Close]).collect()
    });
    prop_oneof![pieces().prop_map(said(Block::Text)), pieces().prop_map(said(Block::Reasoning)), call]
}

/// A whole stream of any blocks, with one usage.
pub fn events() -> impl Strategy<Value = Vec<Event>> {
    (vec(block(), 1..5), 10u64..1000, 0u64..10, 1u64..1000, select(vec![FinishReason::Stop, FinishReason::Length]))
        .prop_map(|(blocks, input, cache_read, output, reason)| {
            let mut events = vec![Event::Start { id: "id1".into(), model: "m".into() }];
            let mut calls = 0;
            for mut event in blocks.into_iter().flatten() {
                if let Event::Open(Block::ToolCall { id, .. }) = &mut event {
                    calls += 1;
                    *id = format!("call_{calls}");
                }
                events.push(event);
            }
            let reason = if calls > 0 && reason == FinishReason::Stop { FinishReason::ToolCalls } else { reason };
            events.push(Event::Usage(Usage { input, output, cache_read, ..Usage::default() }));
            events.push(Event::Finish(Finish { reason, raw: String::new(), stop_sequence: None }));
            events
        })
}

/// What of a conversation every protocol carries, in order.
pub fn gist(request: &Request) -> Vec<String> {
    let mut gist: Vec<String> = Vec::new();
    let system: String = request.system.iter().map(words).collect();
    // Some protocols join its parts, with blank lines between them.
    gist.push(format!("system: {}", system.split_whitespace().collect::<String>()));
    for message in &request.messages {
        for part in &message.parts {
            gist.push(match part {
                Part::Text(Text { text, .. }) => format!("{:?}: {text}", message.role),
                Part::ToolCall(call) => format!("call {} {}", call.name, json(&call.arguments)),
                Part::ToolResult(result) => format!("result {}", result.content.iter().map(words).collect::<String>()),
                other => format!("{other:?}"),
            });
        }
    }
    let tools = request.tools.iter().map(|tool| match tool {
        Tool::Function(tool) => format!("tool {} {:?}", tool.name, tool.description),
        other => format!("{other:?}"),
    });
    gist.extend(tools);
    gist
}

fn words(part: &Part) -> String {
    if let Part::Text(text) = part { text.text.clone() } else { format!("{part:?}") }
}

/// The same text for arguments that mean the same.
pub fn json(arguments: &str) -> String {
    serde_json::from_str::<serde_json::Value>(arguments).map_or_else(|_| arguments.to_owned(), |json| json.to_string())
}

/// What of an answer every protocol carries: what was said, what was thought, which calls were made.
pub fn said(parts: &[Part]) -> (String, String, Vec<String>) {
    let (mut text, mut thought, mut calls) = (String::new(), String::new(), Vec::new());
    for part in parts {
        match part {
            Part::Text(part) => text.push_str(&part.text),
            Part::Reasoning(part) => thought.push_str(&part.text),
            Part::ToolCall(call) => calls.push(format!("{} {} {}", call.id, call.name, json(&call.arguments))),
            other => text.push_str(&format!("{other:?}")),
        }
    }
    (text, thought, calls)
}

/// Any protocol there is.
pub fn protocols() -> impl Strategy<Value = ProtocolId> {
    select(llm_protocol::OUTBOUND.iter().map(|protocol| protocol.id()).collect::<Vec<_>>())
}
