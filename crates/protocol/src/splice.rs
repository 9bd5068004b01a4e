//! Reading and editing the top level of a JSON object without touching the rest of its bytes.

use std::{borrow::Cow, collections::HashSet, fmt, ops::Range, sync::OnceLock};

use serde::{Deserialize, Deserializer, de::Visitor};

use crate::{
    ir::Malformed,
    json::Json,
    scan::{self, Fault, MAX_DEPTH},
};

/// So many keys are compared one by one; of more, as only somebody who means harm sends, a set is made.
const FEW: usize = 32;

/// The top-level members of a JSON object, in order, as ranges of its text.
#[derive(Debug)]
pub struct Members<'a> {
    body: &'a [u8],
    list: Vec<Member<'a>>,
    /// Which of [`WORDS`] stand in the body, once somebody has asked.
    words: OnceLock<u32>,
}

/// Keys that are looked for at any depth, cut at their first underscore: a text has few of those, and so all are found in one
/// fast pass.
const WORDS: [(&str, &str); 6] = [
    ("image", "_url"),
    ("input", "_image"),
    ("file", "_id"),
    ("reasoning", "_content"),
    ("thinking", "_blocks"),
    ("extra", "_content"),
];

#[derive(Debug)]
struct Member<'a> {
    key: Cow<'a, str>,
    value: &'a str,
}

/// One change to the top level of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Replaces a member's value, or appends the member. The value is JSON text.
    Set(Cow<'static, str>, String),
    /// Takes a member out, if it is there.
    Remove(Cow<'static, str>),
}

impl Edit {
    pub fn set(key: &'static str, json: impl Into<String>) -> Self {
        Self::Set(Cow::Borrowed(key), json.into())
    }

    pub fn remove(key: &'static str) -> Self {
        Self::Remove(Cow::Borrowed(key))
    }

    fn key(&self) -> &str {
        match self {
            Self::Set(key, _) | Self::Remove(key) => key,
        }
    }
}

impl<'a> Members<'a> {
    /// Reads and checks a whole body: valid JSON in UTF-8, an object, no top-level key twice, nesting of at most 128 levels.
    ///
    /// A key that stands twice is refused rather than resolved: two parsers that resolve it differently could be made
    /// to check one model and run another.
    pub fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let text = simdutf8::compat::from_utf8(body)
            .map_err(|error| Malformed::new("", format!("body is not UTF-8 (byte {})", error.valid_up_to())))?;
        let mut list = Vec::with_capacity(16);
        scan::members(text, |key, value| list.push(Member { key, value })).map_err(|fault| {
            let message = match fault {
                Fault::TooDeep => format!("body is nested deeper than {MAX_DEPTH} levels"),
                Fault::Syntax { expected, at } => {
                    format!("body must be a JSON object: {expected} was expected at byte {at}")
                }
            };
            Malformed::new("", message)
        })?;
        match repeated(&list) {
            Some(key) => Err(Malformed::new(key.to_owned(), format!("`{key}` stands twice in the body"))),
            None => Ok(Self { body, list, words: OnceLock::new() }),
        }
    }

    /// The JSON text of a member's value; `None` if it is absent or `null`, which mean the same.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.list.iter().find(|member| member.key == key).map(|member| member.value).filter(|value| *value != "null")
    }

    /// Whether the object has the member, be it `null`.
    pub fn contains(&self, key: &str) -> bool {
        self.list.iter().any(|member| member.key == key)
    }

    /// Whether a word stands anywhere in the body, as a key or in a text. Where it does not, nobody need look closer. Those
    /// of [`WORDS`] are looked for once and together.
    pub fn mentions(&self, word: &str) -> bool {
        match WORDS.iter().position(|(before, behind)| word.strip_prefix(before) == Some(behind)) {
            Some(at) => self.words.get_or_init(|| words(self.body)) & (1 << at) != 0,
            None => memchr::memmem::find(self.body, word.as_bytes()).is_some(),
        }
    }

    /// A member's value, if it is a string.
    pub fn string(&self, key: &str) -> Option<Cow<'a, str>> {
        let value = self.get(key)?;
        serde_json::from_str::<BorrowedStr<'a>>(value).ok().map(|text| text.0)
    }

    /// The keys in the order written.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|member| &*member.key)
    }

    /// An object of these members alone, as far as they are there, each as it was written.
    pub fn keep(&self, keys: &[&str]) -> Vec<u8> {
        let kept = self.list.iter().filter(|member| keys.contains(&&*member.key));
        let members: Vec<String> =
            kept.map(|member| format!("{}:{}", Json::from(&*member.key), member.value)).collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    }

    /// The body with `edits` made, every other byte as it was. Of two edits of one key the first counts.
    pub fn edit(&self, edits: &[Edit]) -> Vec<u8> {
        let grown: usize =
            edits.iter().map(|edit| if let Edit::Set(key, json) = edit { key.len() + json.len() + 4 } else { 0 }).sum();
        let mut out = Vec::with_capacity(self.body.len() + grown);
        let mut copied = 0;
        let mut kept = false;
        for (at, member) in self.list.iter().enumerate() {
            match edits.iter().find(|edit| edit.key() == member.key) {
                None => kept = true,
                Some(Edit::Set(_, json)) => {
                    let value = self.range(member.value);
                    out.extend_from_slice(&self.body[copied..value.start]);
                    out.extend_from_slice(json.as_bytes());
                    copied = value.end;
                    kept = true;
                }
                Some(Edit::Remove(_)) => {
                    let cut = self.removal(at, kept);
                    out.extend_from_slice(&self.body[copied..cut.start.max(copied)]);
                    copied = cut.end;
                }
            }
        }
        let mut end = self.body.iter().rposition(|byte| *byte == b'}').unwrap_or(self.body.len());
        while end > copied && self.body[end - 1].is_ascii_whitespace() {
            end -= 1;
        }
        out.extend_from_slice(&self.body[copied..end]);
        for (at, edit) in edits.iter().enumerate() {
            if let Edit::Set(key, json) = edit
                && !self.contains(key)
                && !edits[..at].iter().any(|earlier| earlier.key() == key)
            {
                if kept {
                    out.push(b',');
                }
                kept = true;
                out.extend_from_slice(format!("\"{key}\":{json}").as_bytes());
            }
        }
        out.extend_from_slice(&self.body[end..]);
        out
    }

    /// The bytes to cut so that a member is gone: from the end of what stands before it, its comma included, to its own
    /// end; or, where nothing before it is kept, from the opening brace to the start of the next member.
    fn removal(&self, at: usize, kept_before: bool) -> Range<usize> {
        let value = self.range(self.list[at].value);
        let before = if at == 0 { self.opening() } else { self.range(self.list[at - 1].value).end };
        if kept_before {
            return before..value.end;
        }
        match self.body[value.end..].iter().position(|byte| *byte == b',') {
            Some(comma) if at + 1 < self.list.len() => before..value.end + comma + 1,
            _ => before..value.end,
        }
    }

    /// The place just after the opening brace.
    fn opening(&self) -> usize {
        self.body.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1)
    }

    fn range(&self, value: &str) -> Range<usize> {
        let start = value.as_ptr().addr() - self.body.as_ptr().addr();
        start..start + value.len()
    }
}

/// Which of [`WORDS`] stand in `text`, as bits.
fn words(text: &[u8]) -> u32 {
    memchr::memchr_iter(b'_', text).fold(0, |found, at| {
        let (before, behind) = text.split_at(at);
        let stands = |word: &(&str, &str)| before.ends_with(word.0.as_bytes()) && behind.starts_with(word.1.as_bytes());
        found | WORDS.iter().position(stands).map_or(0, |word| 1 << word)
    })
}

/// The first key that stood before.
fn repeated<'m>(list: &'m [Member<'_>]) -> Option<&'m str> {
    let mut keys = list.iter().map(|member| &*member.key).enumerate();
    if list.len() <= FEW {
        return keys.find(|(at, key)| list[..*at].iter().any(|known| known.key == *key)).map(|(_, key)| key);
    }
    let mut seen = HashSet::with_capacity(list.len());
    keys.find(|(_, key)| !seen.insert(*key)).map(|(_, key)| key)
}

/// A string, borrowed where nothing in it is escaped.
pub(crate) struct BorrowedStr<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for BorrowedStr<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edited(body: &str, edits: &[Edit]) -> String {
        String::from_utf8(Members::read(body.as_bytes()).unwrap().edit(edits)).unwrap()
    }

    #[test]
    fn only_the_named_value_changes() {
        let body = "{ \"model\" : \"a\",\n \"n\":1.0, \"x\":{\"model\":1e3} }\n";
        assert_eq!(
            edited(body, &[Edit::set("model", "\"b\"")]),
            "{ \"model\" : \"b\",\n \"n\":1.0, \"x\":{\"model\":1e3} }\n"
        );
    }

    #[test]
    fn a_key_that_stands_twice_is_found_among_few_and_among_very_many() {
        for count in [1, FEW - 1, FEW, 200_000] {
            let keys: Vec<String> = (0..count).map(|number| format!("\"k{number}\":0")).collect();
            let keys = keys.join(",");
            assert!(Members::read(format!("{{{keys}}}").as_bytes()).is_ok());
            let twice = Members::read(format!("{{{keys},\"\\u006b0\":1}}").as_bytes()).unwrap_err();
            assert_eq!(twice.param, "k0", "{count}");
        }
    }

    #[test]
    fn members_go_and_come_without_stray_commas() {
        assert_eq!(edited(r#"{"a":1,"b":2,"c":3}"#, &[Edit::remove("a"), Edit::remove("c")]), r#"{"b":2}"#);
        assert_eq!(edited(r#"{"a":1,"b":2}"#, &[Edit::remove("a"), Edit::remove("b")]), "{}");
        assert_eq!(edited(r#"{"a":1, "b":2}"#, &[Edit::remove("b"), Edit::set("d", "4")]), r#"{"a":1,"d":4}"#);
        assert_eq!(edited("{ }", &[Edit::set("d", "4")]), r#"{"d":4 }"#);
        assert_eq!(edited("{}", &[Edit::set("d", "4"), Edit::set("d", "5")]), r#"{"d":4}"#);
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_however_it_is_spelled() {
        for body in [r#"{"model":"a","model":"b"}"#, r#"{"model":"a","\u006dodel":"b"}"#] {
            let error = Members::read(body.as_bytes()).unwrap_err();
            assert_eq!(error.param, "model");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in ["", "[]", "1", "{", "{\"a\":}", "{\"a\":1}x", "\u{feff}{}", "{\"a\":\"\\ud800\",}"] {
            assert!(Members::read(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Members::read(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn deep_nesting_is_refused_and_brackets_in_strings_are_not_nesting() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(128), "]".repeat(128));
        assert!(Members::read(deep.as_bytes()).is_err());
        let text = format!("{{\"a\":\"{}\\\"{}\"}}", "[".repeat(500), "{".repeat(500));
        assert!(Members::read(text.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_mentioned_anywhere_is_known() {
        let members =
            Members::read(br#"{"a":[{"image_url":{}}],"b":"file_idea extra__content \u0066ile_id"}"#).unwrap();
        let words = ["image_url", "file_id", "extra_content", "reasoning_content", "thinking_blocks", "input_image"];
        assert_eq!(words.map(|word| members.mentions(word)), [true, true, false, false, false, false]);
        assert!(members.mentions("idea") && !members.mentions("nobody looked for it"));
    }

    #[test]
    fn null_is_the_same_as_absent() {
        let members = Members::read(br#"{"a":null}"#).unwrap();
        assert_eq!((members.get("a"), members.contains("a")), (None, true));
    }

    proptest! {
        #[test]
        fn an_edited_body_reads_as_edited(keys in prop::collection::btree_set("[a-e]", 0..5), remove in "[a-e]", set in "[a-e]", space in "[ \n]{0,2}") {
            let body = format!("{{{}}}", keys.iter().map(|key| format!("{space}\"{key}\"{space}:{space}1{space}")).collect::<Vec<_>>().join(","));
            let mut edits = vec![Edit::Set(set.clone().into(), "2".into())];
            if remove != set { edits.push(Edit::Remove(remove.clone().into())); }
            let out = edited(&body, &edits);
            let value: serde_json::Value = serde_json::from_str(&out).unwrap();
            let mut expected: serde_json::Map<String, serde_json::Value> = keys.iter().map(|key| (key.clone(), 1.into())).collect();
            if remove != set { expected.remove(&remove); }
            expected.insert(set, 2.into());
            prop_assert_eq!(value, serde_json::Value::Object(expected));
        }
    }
}
