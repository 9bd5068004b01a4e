//! Forms with files (`multipart/form-data`, RFC 7578): reading the small fields and editing them without touching the rest
//! of the bytes.

use std::ops::Range;

use memchr::memmem;

use crate::ir::Malformed;

/// Parts that a form may have.
const MOST_PARTS: usize = 1000;

/// Bytes of a boundary, by RFC 2046.
const LONGEST_BOUNDARY: usize = 70;

/// A form's parts, as ranges of its bytes.
#[derive(Debug)]
pub struct Form<'a> {
    body: &'a [u8],
    boundary: &'a str,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    name: String,
    is_file: bool,
    /// From its delimiter to the next one.
    whole: Range<usize>,
    value: Range<usize>,
}

impl<'a> Form<'a> {
    /// Reads a body of this `Content-Type`.
    pub fn read(content_type: &'a str, body: &'a [u8]) -> Result<Self, Malformed> {
        let boundary = boundary(content_type).ok_or_else(|| malformed("its Content-Type names no boundary"))?;
        let delimiter = [b"--", boundary.as_bytes()].concat();
        let mut starts = Vec::new();
        let mut closed = false;
        for at in memmem::find_iter(body, &delimiter) {
            let after = &body[at + delimiter.len()..];
            let begins_line = at == 0 || body[..at].ends_with(b"\n");
            let ends_line = after.trim_ascii_start().len() < after.len() || after.starts_with(b"--");
            if !begins_line || !ends_line {
                continue;
            }
            starts.push(at);
            if after.starts_with(b"--") {
                closed = true;
                break;
            }
            if starts.len() > MOST_PARTS {
                return Err(malformed(&format!("it has more than {MOST_PARTS} parts")));
            }
        }
        if !closed {
            return Err(malformed("it does not end with its boundary"));
        }
        let parts = starts.windows(2).map(|pair| part(body, pair[0]..pair[1], delimiter.len()));
        Ok(Self { body, boundary, parts: parts.collect::<Result<_, _>>()? })
    }

    /// The text of the first field named `name`; `None` for a file.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        let part = self.parts.iter().find(|part| part.name == name && !part.is_file)?;
        std::str::from_utf8(&self.body[part.value.clone()]).ok()
    }

    /// The form with the field `name` set to `value`, and without the fields `removed`; every other byte as it was.
    pub fn edit(&self, set: Option<(&str, &str)>, removed: &[&str]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 256);
        let mut copied = 0;
        if let Some((name, value)) = set
            && !self.parts.iter().any(|part| part.name == name)
        {
            let first = self.parts.first().map_or(0, |part| part.whole.start);
            out.extend_from_slice(&self.body[..first]);
            let head =
                format!("--{}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n", self.boundary);
            out.extend_from_slice(head.as_bytes());
            copied = first;
        }
        for part in &self.parts {
            if removed.contains(&part.name.as_str()) {
                out.extend_from_slice(&self.body[copied..part.whole.start]);
                copied = part.whole.end;
            } else if let Some((_, value)) = set.filter(|(name, _)| *name == part.name) {
                out.extend_from_slice(&self.body[copied..part.value.start]);
                out.extend_from_slice(value.as_bytes());
                copied = part.value.end;
            }
        }
        out.extend_from_slice(&self.body[copied..]);
        out
    }
}

/// The boundary that a `multipart/form-data` type names.
fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let named = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    (1..=LONGEST_BOUNDARY).contains(&named.len()).then_some(named)
}

fn part(body: &[u8], whole: Range<usize>, delimiter: usize) -> Result<Part, Malformed> {
    let line_end = |from: usize| memchr::memchr(b'\n', &body[from..whole.end]).map(|found| from + found + 1);
    let mut at = line_end(whole.start + delimiter).ok_or_else(|| malformed("a part has no head"))?;
    let (mut name, mut is_file) = (None, false);
    loop {
        let end = line_end(at).ok_or_else(|| malformed("a part's head does not end"))?;
        let line = String::from_utf8_lossy(body[at..end].trim_ascii());
        at = end;
        if line.is_empty() {
            break;
        }
        if let Some((header, value)) = line.split_once(':')
            && header.eq_ignore_ascii_case("content-disposition")
        {
            name = attribute(value, "name");
            is_file = attribute(value, "filename").is_some() || attribute(value, "filename*").is_some();
        }
    }
    let value = &body[at..whole.end];
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    let name = name.ok_or_else(|| malformed("a part has no name"))?;
    Ok(Part { name, is_file, value: at..at + value.len(), whole })
}

/// A parameter of a `Content-Disposition`, quoted or not. Quotes inside a name come percent-encoded, as browsers send them.
fn attribute(value: &str, name: &str) -> Option<String> {
    let mut rest = value;
    while let Some(at) = rest.find(';') {
        rest = rest[at + 1..].trim_start();
        let (key, after) = rest.split_once('=')?;
        let (text, left) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(';').unwrap_or(after.len())),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(text.trim().to_owned());
        }
        rest = left;
    }
    None
}

fn malformed(why: &str) -> Malformed {
    Malformed::new("", format!("body must be a form (multipart/form-data): {why}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIND: &str = "multipart/form-data; charset=utf-8; boundary=\"x-1\"";

    fn form(parts: &[&str]) -> Vec<u8> {
        let parts: String = parts.iter().map(|part| format!("--x-1\r\n{part}\r\n")).collect();
        format!("{parts}--x-1--\r\n").into_bytes()
    }

    fn text(name: &str, value: &str) -> String {
        format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}")
    }

    const FILE: &str = "content-disposition: form-data; filename=\"a;name=b.wav\"; name=file\r\nContent-Type: audio/wav\r\n\r\n--x-10\r\n--x-1x\r\n";

    #[test]
    fn fields_are_read_and_files_are_none() {
        let body = form(&[&text("model", "whisper-1"), FILE, &text("empty", "")]);
        let form = Form::read(KIND, &body).unwrap();
        assert_eq!((form.field("model"), form.field("empty")), (Some("whisper-1"), Some("")));
        assert_eq!((form.field("file"), form.field("b.wav")), (None, None));
    }

    #[test]
    fn only_the_named_fields_change() {
        let body = form(&[&text("provider", "a"), &text("model", "m"), FILE, &text("timeout", "3")]);
        let edited = Form::read(KIND, &body).unwrap().edit(Some(("model", "up")), &["provider", "timeout"]);
        assert_eq!(edited, form(&[&text("model", "up"), FILE]));
    }

    #[test]
    fn a_field_that_is_missing_is_put_first() {
        let body = form(&[FILE]);
        let edited = Form::read(KIND, &body).unwrap().edit(Some(("model", "up")), &[]);
        assert_eq!(edited, form(&[&text("model", "up"), FILE]));
    }

    #[test]
    fn what_is_no_form_says_why() {
        let cut = &form(&[FILE])[..30];
        for (kind, body, why) in [
            ("application/json", &b"{}"[..], "boundary"),
            ("multipart/form-data; boundary=", b"", "boundary"),
            (KIND, cut, "does not end"),
            (KIND, b"--x-1\r\nContent-Type: a/b\r\n\r\n1\r\n--x-1--", "no name"),
            (KIND, b"--x-1\r\nContent-Type: a/b\r\n--x-1--", "head does not end"),
        ] {
            let error = Form::read(kind, body).unwrap_err();
            assert!(error.message.contains(why), "{}", error.message);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_edit_is_the_same_form(body in prop::collection::vec(prop::sample::select(vec![b'-', b'x', b'1', b'\r', b'\n', b':', b';', b'"', b'=']), 0..80)) {
            if let Ok(form) = Form::read(KIND, &body) {
                prop_assert_eq!(form.edit(None, &[]), body.clone());
            }
        }

        #[test]
        fn any_file_stays_as_it_was(file in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut body = form(&[&text("model", "m")]);
            body.truncate(body.len() - "--x-1--\r\n".len());
            body.extend_from_slice(b"--x-1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n");
            body.extend_from_slice(&file);
            body.extend_from_slice(b"\r\n--x-1--\r\n");
            let edited = Form::read(KIND, &body).unwrap().edit(Some(("model", "longer")), &[]);
            let at = memmem::find(&body, b"Content-Disposition: form-data; name=\"file\"").unwrap();
            prop_assert!(edited.ends_with(&body[at..]));
        }
    }
}
