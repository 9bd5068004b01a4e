//! One pass over a JSON text that checks all of it and tells where the parts of its outermost value are.
//!
//! The grammar is that of RFC 8259. Nothing is read but what the caller asks for: a text of strings passes at the speed at
//! which memory does.

use std::borrow::Cow;

/// Arrays and objects inside one another that a text may have. `serde_json` stops at the same depth.
pub(crate) const MAX_DEPTH: usize = 128;

/// Why a text is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is no JSON: what was expected, and at which byte.
    Syntax {
        expected: &'static str,
        at: usize,
    },
    TooDeep,
}

/// The members of the object that `text` is, keys as they read, values as they are written.
pub(crate) fn members<'a>(text: &'a str, mut each: impl FnMut(Cow<'a, str>, &'a str)) -> Result<(), Fault> {
    object(text, |key, scan| {
        each(key, scan.value()?);
        Ok(())
    })
}

/// The object that `text` is, whose every value `each` has to pass: whole, or by looking into it.
pub(crate) fn object<'a>(
    text: &'a str,
    each: impl FnMut(Cow<'a, str>, &mut Scan<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut scan = Scan::of(text);
    scan.object(each)?;
    scan.end()
}

/// The members of each object in the array that `text` is, with the object's place. Says how many there are; where an item
/// is no object, which.
pub(crate) fn objects<'a>(
    text: &'a str,
    mut each: impl FnMut(usize, Cow<'a, str>, &'a str),
) -> Result<usize, NoObjects> {
    let mut scan = Scan::of(text);
    let mut count = 0;
    let mut more = scan.open(b'[', "an array").map(|()| !scan.closes(b']')).map_err(|_| NoObjects::NoArray)?;
    while more {
        let member = |key, scan: &mut Scan<'a>| {
            each(count, key, scan.value()?);
            Ok(())
        };
        scan.object(member).map_err(|_| NoObjects::At(count))?;
        count += 1;
        more = scan.goes_on(b']', "`,` or `]`").map_err(|_| NoObjects::NoArray)?;
    }
    scan.end().map(|()| count).map_err(|_| NoObjects::NoArray)
}

/// What stands where an array of objects should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoObjects {
    NoArray,
    /// An array whose item here is something else.
    At(usize),
}

/// A place in a text that is being passed.
pub(crate) struct Scan<'a> {
    text: &'a str,
    at: usize,
    /// Not even between its tokens is there a control character, as in all that is not laid out for people. So none has to be
    /// looked for in its strings.
    printable: bool,
}

impl<'a> Scan<'a> {
    fn of(text: &'a str) -> Self {
        // Without a way out, so that the compiler looks at many bytes at once.
        let least = text.bytes().fold(u8::MAX, u8::min);
        Self { text, at: 0, printable: least >= b' ' }
    }

    /// The object that stands here, whose every value `each` has to pass.
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(Cow<'a, str>, &mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.open(b'{', "an object")?;
        let mut more = !self.closes(b'}');
        while more {
            let key = self.key()?;
            each(key, self)?;
            more = self.goes_on(b'}', "`,` or `}`")?;
        }
        Ok(())
    }

    /// The array that stands here, whose every item `each` has to pass.
    pub(crate) fn array(&mut self, mut each: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.open(b'[', "an array")?;
        let mut more = !self.closes(b']');
        while more {
            each(self)?;
            more = self.goes_on(b']', "`,` or `]`")?;
        }
        Ok(())
    }

    fn open(&mut self, bracket: u8, expected: &'static str) -> Result<(), Fault> {
        self.space();
        if self.eat(bracket) { Ok(()) } else { self.fault(expected) }
    }

    fn closes(&mut self, bracket: u8) -> bool {
        self.space();
        self.eat(bracket)
    }

    /// Whether a comma follows; if not, the bracket has to.
    fn goes_on(&mut self, bracket: u8, expected: &'static str) -> Result<bool, Fault> {
        self.space();
        let comma = self.eat(b',');
        if comma || self.eat(bracket) { Ok(comma) } else { self.fault(expected) }
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { self.fault("the end") }
    }

    fn key(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.space();
        let start = self.at;
        let escaped = self.string()?;
        let written = &self.text[start..self.at];
        let key = match escaped {
            false => Cow::Borrowed(&written[1..written.len() - 1]),
            true => match serde_json::from_str(written) {
                Ok(key) => Cow::Owned(key),
                Err(_) => return self.fault("a key of whole characters"),
            },
        };
        self.colon()?;
        Ok(key)
    }

    fn colon(&mut self) -> Result<(), Fault> {
        self.space();
        if self.eat(b':') { Ok(()) } else { self.fault("`:`") }
    }

    /// Whether `null` stands here, which is then passed.
    pub(crate) fn null(&mut self) -> bool {
        self.space();
        self.peek() == Some(b'n') && self.word("null").is_ok()
    }

    /// A value that stands within the outermost one. What is open within it is kept as bits: those of objects are set.
    pub(crate) fn value(&mut self) -> Result<&'a str, Fault> {
        self.space();
        let start = self.at;
        let (mut depth, mut objects) = (1, 0_u128);
        loop {
            match self.peek() {
                Some(b'"') => drop(self.string()?),
                Some(bracket @ (b'{' | b'[')) => {
                    if depth == MAX_DEPTH {
                        return Err(Fault::TooDeep);
                    }
                    self.at += 1;
                    self.space();
                    let object = bracket == b'{';
                    if !self.eat(closing(object)) {
                        (depth, objects) = (depth + 1, objects << 1 | u128::from(object));
                        self.before_value(object)?;
                        continue;
                    }
                }
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.word("true")?,
                Some(b'f') => self.word("false")?,
                Some(b'n') => self.word("null")?,
                _ => return self.fault("a value"),
            }
            // It has ended, and with it perhaps what it stands in.
            loop {
                if depth == 1 {
                    return Ok(&self.text[start..self.at]);
                }
                self.space();
                let object = objects & 1 == 1;
                if self.eat(b',') {
                    self.space();
                    self.before_value(object)?;
                    break;
                }
                if !self.eat(closing(object)) {
                    return self.fault("`,` or a closing bracket");
                }
                (depth, objects) = (depth - 1, objects >> 1);
            }
        }
    }

    /// Passes what stands before a value: in an object its key.
    fn before_value(&mut self, object: bool) -> Result<(), Fault> {
        if object {
            self.string()?;
            self.colon()?;
            self.space();
        }
        Ok(())
    }

    /// Says whether anything in it is escaped.
    fn string(&mut self) -> Result<bool, Fault> {
        if !self.eat(b'"') {
            return self.fault("a string");
        }
        let mut escaped = false;
        loop {
            self.at += plain(&self.text.as_bytes()[self.at..], self.printable);
            if self.eat(b'"') {
                return Ok(escaped);
            }
            escaped = true;
            if !self.eat(b'\\') {
                return self.fault("the end of a string");
            }
            let hexadecimal = |bytes: &[u8]| bytes.len() == 4 && bytes.iter().all(u8::is_ascii_hexdigit);
            match self.peek() {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                Some(b'u') if self.text.as_bytes().get(self.at + 1..self.at + 5).is_some_and(hexadecimal) => {
                    self.at += 5
                }
                _ => return self.fault("an escape"),
            }
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _signed = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count > 0 { Ok(()) } else { self.fault("a digit") }
    }

    fn word(&mut self, word: &'static str) -> Result<(), Fault> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.fault("a value");
        }
        self.at += word.len();
        Ok(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    pub(crate) fn fault<T>(&self, expected: &'static str) -> Result<T, Fault> {
        Err(Fault::Syntax { expected, at: self.at })
    }
}

fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}

/// So many bytes are looked at one word after the other. Most strings end within them.
const FEW: usize = 32;

/// How many bytes of a string's inside stand before its end, an escape, or what may not stand there, which a printable text
/// does not have.
fn plain(bytes: &[u8], printable: bool) -> usize {
    let beginning = &bytes[..bytes.len().min(FEW)];
    let first = plain_words(beginning);
    if first < beginning.len() || first == bytes.len() {
        return first;
    }
    if printable {
        return memchr::memchr2(b'"', b'\\', &bytes[FEW..]).map_or(bytes.len(), |at| FEW + at);
    }
    let (blocks, _) = bytes[FEW..].as_chunks::<64>();
    let whole = FEW + blocks.iter().take_while(|block| is_plain(block)).count() * 64;
    whole + plain_words(&bytes[whole..])
}

/// Without a way out within the block, so that the compiler looks at its bytes all at once.
fn is_plain(block: &[u8; 64]) -> bool {
    let special = |byte: u8| u8::from(byte < b' ') | u8::from(byte == b'"') | u8::from(byte == b'\\');
    block.iter().fold(0, |any, byte| any | special(*byte)) == 0
}

/// As [`plain`], by words of eight bytes: Anderson, "Bit Twiddling Hacks", "Determine if a word has a byte less than n".
fn plain_words(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    let less = |word: u64, than: u64| word.wrapping_sub(ONES * than) & !word;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let equal = |byte: u8| less(word ^ (ONES * u64::from(byte)), 1);
        // A borrow may raise bits behind the first hit, never before it.
        let special = (less(word, 0x20) | equal(b'"') | equal(b'\\')) & (ONES << 7);
        if special != 0 {
            return at * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    words.len() * 8 + rest.iter().position(special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    /// An object's members as the other reader finds them.
    fn expected(text: &str) -> Option<BTreeMap<String, String>> {
        let map: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).ok()?;
        Some(map.into_iter().map(|(key, value)| (key, value.get().to_owned())).collect())
    }

    fn found(text: &str) -> Option<BTreeMap<String, String>> {
        let mut map = BTreeMap::new();
        members(text, |key, value| drop(map.insert(key.into_owned(), value.to_owned()))).ok().map(|()| map)
    }

    #[test]
    fn what_is_no_json_is_refused_at_its_place() {
        for (text, expected, at) in [
            ("", "an object", 0),
            ("[]", "an object", 0),
            ("{\"a\":1}x", "the end", 7),
            ("{\"a\" 1}", "`:`", 5),
            ("{\"a\":1,}", "a string", 7),
            ("{\"a\":[1 2]}", "`,` or a closing bracket", 8),
            ("{\"a\":[1,]}", "a value", 8),
            ("{\"a\":{]}", "a string", 6),
            ("{\"a\":\"\n\"}", "the end of a string", 6),
            ("{\"a\":\"\\x\"}", "an escape", 7),
            ("{\"a\":01}", "`,` or `}`", 6),
            ("{\"a\":nul}", "a value", 5),
        ] {
            assert_eq!(members(text, |_, _| {}), Err(Fault::Syntax { expected, at }), "{text}");
        }
    }

    #[test]
    fn a_key_is_told_as_it_reads_and_a_value_as_it_is_written() {
        let mut seen = Vec::new();
        members(" { \"\\u0061\" : [ {\"x\": {} }, [] ] , \"b\":-1.5e+3 } ", |key, value| seen.push((key, value)))
            .unwrap();
        assert_eq!(seen, [("a".into(), "[ {\"x\": {} }, [] ]"), ("b".into(), "-1.5e+3")]);
    }

    #[test]
    fn the_end_of_a_plain_string_is_found_wherever_it_is() {
        for special in [b'"', b'\\', b'\n', 0] {
            for length in 0..200 {
                let mut text = vec![b'\xe9'; length];
                text.push(special);
                text.extend(b"\"more\\");
                assert_eq!(plain(&text, false), length, "{special}");
                assert!(special < b' ' || plain(&text, true) == length, "{special}");
            }
        }
        assert!(
            (0..200)
                .all(|length| [false, true].iter().all(|printable| plain(&vec![b' '; length], *printable) == length))
        );
    }

    #[test]
    fn an_array_of_objects_is_read_in_one_go() {
        let mut seen = Vec::new();
        let read = objects(r#" [ {"a":1,"b":[{}]} , {} , {"a":"x"}]"#, |at, key, value| seen.push((at, key, value)));
        assert_eq!(
            (read, seen),
            (Ok(3), vec![(0, "a".into(), "1"), (0, "b".into(), "[{}]"), (2, "a".into(), "\"x\"")])
        );
        for (text, fault) in [("{}", NoObjects::NoArray), ("[{},1]", NoObjects::At(1)), ("[{}", NoObjects::NoArray)] {
            assert_eq!(objects(text, |_, _, _| {}), Err(fault), "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_takes_what_another_reader_takes_and_finds_the_same_parts(
            parts in prop::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"a\"", "\"\\n\\u00e9\"", "\"é\"", "\"", "\\", "1", "-0.5e9", "01", "true", "null", " ",
                "{\"k\":", "[[", "]]", "\"a long string that fills more than a block of bytes, and \\\"more\\\" of it\"",
            ]), 0..12)
        ) {
            let text = parts.concat();
            for text in [format!("{{{text}}}"), format!("{{\"a\":1,{text}}}"), format!("{{\"a\":[{text}]}}")] {
                prop_assert_eq!(found(&text), expected(&text), "{}", text);
            }
        }
    }
}
