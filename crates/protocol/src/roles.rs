//! The cheap check of a conversation: a list of objects, each with a role that the protocol knows. Nothing else in them
//! is read.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    fields::must_be,
    ir::Malformed,
    splice::{BorrowedStr, Members},
};

/// Checks that `messages` is there and holds at least one message, all of them said by one of `roles`.
pub fn check(members: &Members<'_>, roles: &[&str]) -> Result<(), Malformed> {
    let Some(text) = members.get("messages") else {
        return Err(Malformed::new("messages", "`messages` is required: an array of at least one message"));
    };
    let turns: Vec<Turn<'_>> =
        serde_json::from_str(text).map_err(|_| must_be("messages", "an array of at least one message"))?;
    if turns.is_empty() {
        return Err(must_be("messages", "an array of at least one message"));
    }
    for (at, turn) in turns.iter().enumerate() {
        match turn {
            Turn::NoObject => return Err(must_be(&format!("messages[{at}]"), "an object")),
            Turn::Said { role } if !role.is_some_and(|role| is_one_of(role, roles)) => {
                return Err(must_be(&format!("messages[{at}].role"), &format!("one of {}", roles.join(", "))));
            }
            Turn::Said { .. } => {}
        }
    }
    Ok(())
}

fn is_one_of(role: &str, roles: &[&str]) -> bool {
    serde_json::from_str::<BorrowedStr<'_>>(role).is_ok_and(|role| roles.contains(&&*role.0))
}

/// A message as far as it is read.
enum Turn<'a> {
    Said {
        /// JSON text.
        role: Option<&'a str>,
    },
    NoObject,
}

impl<'de: 'a, 'a> Deserialize<'de> for Turn<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(One)
    }
}

struct One;

impl<'de> Visitor<'de> for One {
    type Value = Turn<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Turn<'de>, A::Error> {
        let mut role = None;
        while let Some(key) = map.next_key::<BorrowedStr<'de>>()? {
            if key.0 == "role" {
                role = Some(map.next_value::<&'de RawValue>()?.get());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Turn::Said { role })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Turn<'de>, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Turn::NoObject)
    }

    fn visit_str<E>(self, _: &str) -> Result<Turn<'de>, E> {
        Ok(Turn::NoObject)
    }

    fn visit_unit<E>(self) -> Result<Turn<'de>, E> {
        Ok(Turn::NoObject)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Turn<'de>, E> {
        Ok(Turn::NoObject)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Turn<'de>, E> {
        Ok(Turn::NoObject)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Turn<'de>, E> {
        Ok(Turn::NoObject)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Turn<'de>, E> {
        Ok(Turn::NoObject)
    }
}
