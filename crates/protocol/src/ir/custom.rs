//! Tools that take free text, at upstreams that know functions only.
//!
//! There such a tool is declared as a function with one string argument, `input`. Its calls become free text again
//! here, since an answer alone does not tell which of its calls were meant that way.

use std::collections::BTreeSet;

use super::{Block, Delta, Event, Part, Request, Response, Tool, ToolCall};
use crate::json::Json;

/// Gives calls of free-text tools their text back: to one answer, or to the events of one stream.
#[derive(Clone, Debug)]
pub struct CustomCalls {
    names: BTreeSet<String>,
    /// The arguments of the open call, if it is one of these. They make sense only when they are complete.
    held: Option<String>,
}

impl CustomCalls {
    /// `None` if the request defines no such tool, so that there is nothing to do.
    pub fn of(request: &Request) -> Option<Self> {
        let names = request.tools.iter().filter_map(|tool| match tool {
            Tool::Custom { name, .. } => Some(name.clone()),
            Tool::Function(_) | Tool::Hosted { .. } => None,
        });
        let names: BTreeSet<String> = names.collect();
        (!names.is_empty()).then_some(Self { names, held: None })
    }

    /// Changes the calls of a whole answer.
    pub fn response(&self, response: &mut Response) {
        let parts = response.outputs.iter_mut().flat_map(|output| &mut output.parts);
        for call in parts.filter_map(|part| if let Part::ToolCall(call) = part { Some(call) } else { None }) {
            if self.means(&call.name, call.custom) {
                *call = ToolCall { arguments: text(&call.arguments), custom: true, ..std::mem::take(call) };
            }
        }
    }

    /// Hands on an event, changed where it belongs to such a call.
    pub fn event(&mut self, event: Event, out: &mut Vec<Event>) {
        match event {
            Event::Open(Block::ToolCall { id, name, custom }) if self.means(&name, custom) => {
                self.held = Some(String::new());
                out.push(Event::Open(Block::ToolCall { id, name, custom: true }));
            }
            Event::Delta(Delta::Arguments(more)) if self.held.is_some() => {
                if let Some(held) = &mut self.held {
                    held.push_str(&more);
                }
            }
            Event::Close => {
                let text = self.held.take().map(|arguments| text(&arguments)).filter(|text| !text.is_empty());
                out.extend(text.map(|text| Event::Delta(Delta::Arguments(text))));
                out.push(Event::Close);
            }
            other => out.push(other),
        }
    }

    fn means(&self, name: &str, custom: bool) -> bool {
        !custom && self.names.contains(name)
    }
}

/// The one argument; what a model wrote instead of it stays as it is.
fn text(arguments: &str) -> String {
    let parsed = Json::parse(arguments.as_bytes()).ok();
    match parsed.as_ref().map(|value| (value.get("input"), value.members())) {
        Some((Some(Json::String(text)), _)) => text.clone(),
        Some((None, Some([]))) => String::new(),
        _ => arguments.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Place, *};

    fn calls() -> CustomCalls {
        let custom = Tool::Custom {
            name: "patch".into(),
            namespace: None,
            description: None,
            format: None,
            place: Place::default(),
        };
        CustomCalls::of(&Request { tools: vec![custom], ..Request::default() }).unwrap()
    }

    fn events(name: &str, pieces: &[&str]) -> Vec<Event> {
        let open = Event::Open(Block::ToolCall { id: "x".into(), name: name.into(), custom: false });
        let deltas = pieces.iter().map(|piece| Event::Delta(Delta::Arguments((*piece).into())));
        [open].into_iter().chain(deltas).chain([Event::Close]).collect()
    }

    fn arguments(name: &str, pieces: &[&str]) -> (String, bool) {
        let mut calls = calls();
        let mut out = Vec::new();
        for event in events(name, pieces) {
            calls.event(event, &mut out);
        }
        let mut whole = Response::fold(&events(name, pieces));
        calls.response(&mut whole);
        let streamed = Response::fold(&out);
        assert_eq!(streamed, whole);
        let Some(Part::ToolCall(call)) = whole.outputs[0].parts.pop() else { panic!("no call") };
        (call.arguments, call.custom)
    }

    #[test]
    fn a_free_text_tool_gets_its_text_in_one_piece() {
        assert_eq!(arguments("patch", &["{\"inp", "ut\":\"a\\nb\"}"]), ("a\nb".into(), true));
        assert_eq!(arguments("patch", &[]), (String::new(), true));
        assert_eq!(arguments("patch", &["{}"]), (String::new(), true));
    }

    #[test]
    fn what_the_model_wrote_instead_of_the_text_is_kept() {
        for odd in ["{\"input\":1}", "{\"inp", "{\"a\":\"b\"}"] {
            assert_eq!(arguments("patch", &[odd]), (odd.into(), true));
        }
    }

    #[test]
    fn functions_stay_functions() {
        assert_eq!(arguments("f", &["{\"input\":", "\"a\"}"]), ("{\"input\":\"a\"}".into(), false));
        assert!(CustomCalls::of(&Request::default()).is_none());
    }
}
