//! The small requests that show what a model can do.

use llm_protocol::{
    ir::{
        FunctionTool, Media, MediaKind, MediaSource, Message, Part, Place, Request, ResponseFormat, Role, Tool,
        ToolChoice,
    },
    json::Json,
};

/// Tokens of an answer: enough for a model that thinks first, and few enough to cost next to nothing.
const LONGEST_ANSWER: u64 = 512;

/// The one tool that is offered.
pub const TOOL: &str = "get_weather";

/// A red square of 64 by 64 pixels, as PNG in base64: smaller ones are refused by some.
const RED_SQUARE: &str = "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAS0lEQVR42u3PQQkAAAgAsetfWiP4FgYrsKZeS0BAQEBAQEBAQEBA\
QEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEDgsqnc8OJg6Ln3AAAAAElFTkSuQmCC";

fn said(role: Role, text: &str) -> Message {
    Message::new(role, vec![Part::text(text)])
}

fn question(text: &str) -> Request {
    Request { messages: vec![said(Role::User, text)], max_output_tokens: Some(LONGEST_ANSWER), ..Request::default() }
}

pub fn chat() -> Request {
    question("Reply with the word OK.")
}

pub fn stream() -> Request {
    Request { stream: true, include_usage: true, ..chat() }
}

fn weather(text: &str) -> Request {
    let schema = Json::object([
        ("type", Json::from("object")),
        ("properties", Json::object([("city", Json::object([("type", Json::from("string"))]))])),
        ("required", Json::Array(vec![Json::from("city")])),
        ("additionalProperties", Json::Bool(false)),
    ]);
    let tool = FunctionTool {
        name: TOOL.to_owned(),
        description: Some("Tells what the weather is in a city now.".to_owned()),
        parameters: Some(schema),
        ..FunctionTool::default()
    };
    Request { tools: vec![Tool::Function(tool)], ..question(text) }
}

pub fn tools() -> Request {
    weather("What is the weather in Paris now? Use the tool.")
}

pub fn forced_tool() -> Request {
    Request { tool_choice: Some(ToolChoice::Named(TOOL.to_owned())), ..tools() }
}

pub fn parallel_tools() -> Request {
    let asked = weather("What is the weather in Paris and in Rome now? Call the tool for both cities at once.");
    Request { parallel_tool_calls: Some(true), ..asked }
}

pub fn image() -> Request {
    let picture = Media {
        kind: MediaKind::Image,
        source: MediaSource::Base64(RED_SQUARE.to_owned()),
        mime: Some("image/png".to_owned()),
        name: None,
        detail: None,
        cache: None,
        place: Place::default(),
    };
    let parts = vec![Part::Media(picture), Part::text("Which colour is this picture? Answer with one English word.")];
    Request { messages: vec![Message::new(Role::User, parts)], ..chat() }
}

pub fn json_schema() -> Request {
    let schema = Json::object([
        ("type", Json::from("object")),
        ("properties", Json::object([("sum", Json::object([("type", Json::from("integer"))]))])),
        ("required", Json::Array(vec![Json::from("sum")])),
        ("additionalProperties", Json::Bool(false)),
    ]);
    let format =
        ResponseFormat::JsonSchema { name: Some("sum".to_owned()), description: None, schema, strict: Some(true) };
    Request { response_format: Some(format), ..question("What is 2 plus 2?") }
}

pub fn system_later() -> Request {
    let messages = vec![
        said(Role::User, "Hello."),
        said(Role::Assistant, "Hello!"),
        said(Role::System, "From now on answer in capital letters."),
        said(Role::User, "Reply with the word ok."),
    ];
    Request { messages, ..chat() }
}
