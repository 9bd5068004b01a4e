//! Reads the conversation.

use std::collections::HashMap;

use super::{
    content::Blocks,
    fields::{below, must_be, need_string, take},
    leftovers, unmapped,
};
use crate::{
    ir::{Malformed, Message, Part, Request, Role},
    json::Json,
};

/// How the text begins that Claude Code sends its accounting in. It is addressed to Anthropic's servers, not to the model.
const BILLING: &str = "x-anthropic-billing-header:";

/// Reads `system`.
pub fn system(value: Option<Json>, request: &mut Request) -> Result<(), Malformed> {
    let Some(value) = value else { return Ok(()) };
    let mut blocks = Blocks::new(&mut request.rest);
    blocks.read(value, "system")?;
    let mut parts = blocks.parts;
    let billing = |part: &mut Part| matches!(part, Part::Text(text) if text.text.starts_with(BILLING));
    for left_out in parts.extract_if(.., billing) {
        unmapped(left_out.place().as_str().to_owned(), &mut request.rest);
    }
    request.system = parts;
    Ok(())
}

/// Reads `messages`.
pub fn read(messages: Vec<Json>, request: &mut Request) -> Result<(), Malformed> {
    let mut names = HashMap::new();
    for (at, message) in messages.into_iter().enumerate() {
        read_one(message, &format!("messages[{at}]"), &mut names, request)?;
    }
    Ok(())
}

/// Reads one message; `names` are those of the tools called so far, by the ids of the calls.
fn read_one(
    mut message: Json,
    path: &str,
    names: &mut HashMap<String, String>,
    request: &mut Request,
) -> Result<(), Malformed> {
    let role = need_string(&mut message, "role", path, "a role")?;
    let place = below(path, "content");
    let content = take(&mut message, "content");
    let content = content.ok_or_else(|| must_be(&place, "a string or an array of blocks"))?;
    leftovers(&message, path, &mut request.rest);
    let mut blocks = Blocks::new(&mut request.rest);
    blocks.read(content, &place)?;
    let mut parts = blocks.finish();
    for part in &mut parts {
        match part {
            Part::ToolCall(call) => {
                names.insert(call.id.clone(), call.name.clone());
            }
            Part::ToolResult(result) => result.name = names.get(&result.id).cloned(),
            _ => {}
        }
    }
    match role.as_str() {
        "assistant" => request.messages.push(Message { role: Role::Assistant, parts, place: path.into() }),
        "system" if request.messages.is_empty() => request.system.extend(parts),
        "system" => request.messages.push(Message { role: Role::System, parts, place: path.into() }),
        "user" => user(parts, path, request),
        _ => return Err(must_be(&below(path, "role"), "one of user, assistant, system")),
    }
    Ok(())
}

/// Results of tools stand before everything else that the user says, in a message of their own.
fn user(parts: Vec<Part>, path: &str, request: &mut Request) {
    let (results, said): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| matches!(part, Part::ToolResult(_)));
    let silent = said.is_empty() && !results.is_empty();
    for parts in [Some(results).filter(|results| !results.is_empty()), Some(said).filter(|_| !silent)] {
        request.messages.extend(parts.map(|parts| Message { role: Role::User, parts, place: path.into() }));
    }
}
