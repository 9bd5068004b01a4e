//! The cheap check of a conversation: a list of objects, each with a role that the protocol knows. Nothing else in them
//! is read.

use crate::{
    fields::must_be,
    ir::Malformed,
    scan,
    splice::{BorrowedStr, Members},
};

/// Checks that `messages` is there and holds at least one message, all of them said by one of `roles`.
pub fn check(members: &Members<'_>, roles: &[&str]) -> Result<(), Malformed> {
    let Some(text) = members.get("messages") else {
        return Err(Malformed::new("messages", "`messages` is required: an array of at least one message"));
    };
    let no_list = || must_be("messages", "an array of at least one message");
    let mut turns = Vec::new();
    scan::items(text, |turn| turns.push(turn)).map_err(|_| no_list())?;
    if turns.is_empty() {
        return Err(no_list());
    }
    for (at, turn) in turns.into_iter().enumerate() {
        let mut role = None;
        scan::members(turn, |key, value| role = if key == "role" { Some(value) } else { role })
            .map_err(|_| must_be(&format!("messages[{at}]"), "an object"))?;
        if !role.is_some_and(|role| is_one_of(role, roles)) {
            return Err(must_be(&format!("messages[{at}].role"), &format!("one of {}", roles.join(", "))));
        }
    }
    Ok(())
}

fn is_one_of(role: &str, roles: &[&str]) -> bool {
    serde_json::from_str::<BorrowedStr<'_>>(role).is_ok_and(|role| roles.contains(&&*role.0))
}
