//! JSON in the one form that all spellings of a value have: without spaces, keys in order, numbers and strings by what they mean.
//!
//! The form is not JSON. Every value begins with a letter that says what it is, and texts with their length, so that two values
//! that differ never have the same form.

use std::{borrow::Cow, ops::Range};

use memchr::memchr2;

/// Appends the form of a value to `out`. `json` must be valid; `None` where a string in it is no text all the same, as one with
/// half a surrogate pair.
pub fn write(json: &str, out: &mut Vec<u8>) -> Option<()> {
    Reader { json, at: 0 }.value(out)
}

/// Appends a text with its length.
pub fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text);
}

struct Reader<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, out: &mut Vec<u8>) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(out),
            b'[' => self.array(out),
            b'"' => {
                out.push(b's');
                write_text(self.string()?.as_bytes(), out);
                Some(())
            }
            b'-' | b'0'..=b'9' => {
                out.push(b'd');
                write_text(number(self.word()).as_bytes(), out);
                Some(())
            }
            _ => {
                // Of `true`, `false` and `null` the first letter tells which it is.
                out.push(*self.word().as_bytes().first()?);
                Some(())
            }
        }
    }

    fn array(&mut self, out: &mut Vec<u8>) -> Option<()> {
        out.push(b'[');
        self.at += 1;
        while self.another(b']')? {
            self.value(out)?;
        }
        out.push(b']');
        Some(())
    }

    /// Writes the members as they come, and then in the order of their keys. Keys that repeat stay in the order written.
    fn object(&mut self, out: &mut Vec<u8>) -> Option<()> {
        out.push(b'{');
        self.at += 1;
        let start = out.len();
        let mut members: Vec<(Cow<'a, str>, Range<usize>)> = Vec::new();
        while self.another(b'}')? {
            self.peek()?;
            let (from, key) = (out.len(), self.string()?);
            write_text(key.as_bytes(), out);
            // Past the colon.
            self.peek()?;
            self.at += 1;
            self.value(out)?;
            members.push((key, from - start..out.len() - start));
        }
        if !members.is_sorted_by(|one, next| one.0 <= next.0) {
            members.sort_by(|one, other| one.0.cmp(&other.0));
            let written = out.split_off(start);
            members.iter().for_each(|(_, range)| out.extend_from_slice(&written[range.clone()]));
        }
        // No length of a key is so great.
        out.extend_from_slice(&u64::MAX.to_le_bytes());
        Some(())
    }

    /// Whether another item comes before `end`, which is passed, as is the comma before an item.
    fn another(&mut self, end: u8) -> Option<bool> {
        let next = self.peek()?;
        if next == end || next == b',' {
            self.at += 1;
        }
        Some(next != end)
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.json.as_bytes()[self.at..];
        let spaces = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.at += spaces;
        Some(rest[spaces])
    }

    /// The text of a string that begins here.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        let bytes = self.json.as_bytes();
        let mut at = start + 1;
        let mut plain = true;
        loop {
            at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
            if bytes[at] == b'"' {
                break;
            }
            plain = false;
            at += 2;
        }
        self.at = at + 1;
        if plain {
            return self.json.get(start + 1..at).map(Cow::Borrowed);
        }
        serde_json::from_str(self.json.get(start..=at)?).ok().map(Cow::Owned)
    }

    /// A number, or one of the three words.
    fn word(&mut self) -> &'a str {
        let rest = &self.json[self.at..];
        let ends = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}');
        let length = rest.bytes().position(ends).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }
}

/// A number as its digits without zeros at either end, and the power of ten that they are multiplied by: exactly, however large
/// or fine it is. One whose exponent is beyond all sense stays as it was written.
fn number(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let without_tail = digits.trim_end_matches('0');
    let zeros = (digits.len() - without_tail.len()) as i64;
    let power = exponent.parse::<i64>().ok().and_then(|power| power.checked_add(zeros - fraction.len() as i64));
    match (without_tail.trim_start_matches('0'), power) {
        ("", _) => "0".to_owned(),
        (digits, Some(power)) => format!("{sign}{digits}e{power}"),
        (_, None) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn form(json: &str) -> Vec<u8> {
        let mut out = Vec::new();
        write(json, &mut out).unwrap_or_else(|| panic!("{json} has a form"));
        out
    }

    #[test]
    fn spellings_of_a_value_have_one_form() {
        for (one, other) in [
            (r#"{"a":1,"b":[true,null]}"#, " {\n\t\"b\" : [ true , null ] , \"a\" : 1.0 }\r\n"),
            (r#"{"b":{"d":1,"c":2},"a":{}}"#, r#"{"a":{},"b":{"c":2,"d":1}}"#),
            (r#""A/é\n""#, r#""\u0041\/\u00e9\u000a""#),
            (r#"{"\u0061":"\""}"#, r#"{"a":"\u0022"}"#),
            ("100", "1e2"),
            ("0.5", "5E-1"),
            ("-0", "0.000"),
            ("120.00e+1", "1200"),
        ] {
            assert_eq!(form(one), form(other), "{one} and {other}");
        }
    }

    #[test]
    fn values_that_differ_have_different_forms() {
        let values = [
            "1",
            "-1",
            "10",
            "0.1",
            "\"1\"",
            "true",
            "false",
            "null",
            "[]",
            "{}",
            "[1]",
            "[[1]]",
            "[1,1]",
            "[11]",
            "\"\"",
            "{\"a\":1}",
            "{\"a\":\"1\"}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":2,\"a\":1}",
            "[{\"a\":1}]",
            "[\"a\",1]",
            "{\"\":1}",
            "18446744073709551617",
            "18446744073709551618",
            "0.1000000000000000055",
            "1e999999999999999999999",
            "{\"a\":{\"b\":1},\"c\":2}",
            "{\"a\":{\"b\":1,\"c\":2}}",
            "[\"a\",\"b\"]",
            "[\"ab\"]",
        ];
        for (at, one) in values.iter().enumerate() {
            for other in &values[at + 1..] {
                assert_ne!(form(one), form(other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn half_a_surrogate_pair_has_no_form() {
        assert_eq!(write(r#""\ud800""#, &mut Vec::new()), None);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(|number: f64| Value::from(number)),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,3}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The same value in another spelling: keys the other way round, spaces everywhere, letters escaped.
    fn respelled(value: &Value) -> String {
        let text = |text: &str| {
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            format!("\"{escaped}\"")
        };
        match value {
            Value::Object(members) => {
                let members = members.iter().rev().map(|(key, value)| format!("{} :\t{}", text(key), respelled(value)));
                format!("{{ {} }}", members.collect::<Vec<_>>().join(" ,\n"))
            }
            Value::Array(items) => format!("[ {} ]", items.iter().map(respelled).collect::<Vec<_>>().join(" , ")),
            Value::String(string) => text(string),
            Value::Number(number) if number.is_i64() => format!("{number}.0e0"),
            other => other.to_string(),
        }
    }

    proptest! {
        #[test]
        fn a_value_has_the_form_of_its_other_spelling(value in json()) {
            prop_assert_eq!(form(&value.to_string()), form(&respelled(&value)));
        }

        #[test]
        fn two_values_have_one_form_only_if_they_are_equal(one in json(), other in json()) {
            prop_assert_eq!(form(&one.to_string()) == form(&other.to_string()), one == other);
        }
    }
}
