//! The cheap check of a conversation: a list of objects, each with a role that the protocol knows. Nothing else in them
//! is read.

use std::borrow::Cow;

use crate::{
    fields::must_be,
    ir::Malformed,
    scan::{self, NoObjects},
    splice::{BorrowedStr, Members},
};

/// Checks that `messages` is there and holds at least one message, all of them said by one of `roles`.
pub fn check(members: &Members<'_>, roles: &[&str]) -> Result<(), Malformed> {
    let Some(text) = members.get("messages") else {
        return Err(Malformed::new("messages", "`messages` is required: an array of at least one message"));
    };
    let no_list = || must_be("messages", "an array of at least one message");
    let mut said = Vec::new();
    let note = |at: usize, key: Cow<'_, str>, value| {
        if key == "role" {
            said.resize(at + 1, None);
            said[at] = Some(value);
        }
    };
    let (count, odd) = match scan::objects(text, note) {
        Ok(0) | Err(NoObjects::NoArray) => return Err(no_list()),
        Ok(count) => (count, None),
        Err(NoObjects::At(at)) => (at, Some(at)),
    };
    said.resize(count, None);
    if let Some(at) = said.iter().position(|role| !role.is_some_and(|role| is_one_of(role, roles))) {
        return Err(must_be(&format!("messages[{at}].role"), &format!("one of {}", roles.join(", "))));
    }
    odd.map_or(Ok(()), |at| Err(must_be(&format!("messages[{at}]"), "an object")))
}

fn is_one_of(role: &str, roles: &[&str]) -> bool {
    serde_json::from_str::<BorrowedStr<'_>>(role).is_ok_and(|role| roles.contains(&&*role.0))
}
