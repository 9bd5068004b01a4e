//! Server-sent events: splitting a byte stream into frames, and writing them.
//!
//! By the standard (WHATWG HTML, "Server-sent events"): lines end with LF, CRLF or CR, a blank line ends an event,
//! several `data` lines are joined by LF, one space after the colon is not part of the value, a line that begins
//! with a colon is a comment, and a byte order mark at the start is skipped.

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// One event as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// All its bytes, blank line included. The frames of a stream, put together, are the stream.
    pub raw: Bytes,
    /// The `event:` field.
    pub event: Option<Bytes>,
    /// The `data:` field, lines joined; `None` for a frame of comments alone.
    pub data: Option<Bytes>,
}

/// An event longer than the framer's bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Bytes allowed.
    pub limit: usize,
}

/// Splits bytes that come in pieces of any size into frames.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    /// Up to here the buffer was searched for line ends.
    searched: usize,
    /// Where the line that is being searched begins.
    line: usize,
    /// The byte before `line` was a CR, so an LF at `line` belongs to the same line end.
    after_cr: bool,
    /// Whether anything but line ends stands in the buffer.
    content: bool,
    limit: usize,
    first: bool,
}

impl Framer {
    /// A framer that refuses events of more than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), searched: 0, line: 0, after_cr: false, content: false, limit, first: true }
    }

    /// Takes the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole event, if it has arrived.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, TooLong> {
        while let Some(found) = memchr2(b'\n', b'\r', &self.buffer[self.searched..]) {
            let at = self.searched + found;
            let is_lf = self.buffer[at] == b'\n';
            let second_half = is_lf && self.after_cr && at == self.line;
            self.after_cr = !is_lf;
            self.searched = at + 1;
            if second_half {
                self.line = at + 1;
                continue;
            }
            let blank = at == self.line;
            self.line = at + 1;
            if !blank {
                self.content = true;
                continue;
            }
            if self.content {
                // An LF that belongs to this CR goes with the frame if it is here already.
                if !is_lf && self.buffer.get(at + 1) == Some(&b'\n') {
                    self.after_cr = false;
                    self.line += 1;
                }
                if self.line > self.limit {
                    return Err(TooLong { limit: self.limit });
                }
                let length = self.line;
                return Ok(Some(self.take(length)));
            }
        }
        self.searched = self.buffer.len();
        if self.buffer.len() > self.limit {
            return Err(TooLong { limit: self.limit });
        }
        Ok(None)
    }

    /// What is left when the stream has ended: an event whose blank line is missing, or stray line ends.
    pub fn finish(&mut self) -> Option<Frame> {
        let length = self.buffer.len();
        (length > 0).then(|| self.take(length))
    }

    fn take(&mut self, length: usize) -> Frame {
        let raw = self.buffer.split_to(length).freeze();
        self.searched = 0;
        self.line = 0;
        self.content = false;
        let first = std::mem::take(&mut self.first);
        parse(raw, first)
    }
}

fn parse(raw: Bytes, first: bool) -> Frame {
    let mut frame = Frame { raw: raw.clone(), event: None, data: None };
    let mut joined: Option<BytesMut> = None;
    let mut at = if first && raw.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    while at < raw.len() {
        let end = memchr2(b'\n', b'\r', &raw[at..]).map_or(raw.len(), |found| at + found);
        let line = raw.slice(at..end);
        at = end + 1;
        let (name, value) = field(&line);
        match name {
            b"data" => match (&mut frame.data, &mut joined) {
                (None, _) => frame.data = Some(value),
                (Some(known), None) => {
                    let mut both = BytesMut::from(&known[..]);
                    both.extend_from_slice(b"\n");
                    both.extend_from_slice(&value);
                    joined = Some(both);
                }
                (Some(_), Some(both)) => {
                    both.extend_from_slice(b"\n");
                    both.extend_from_slice(&value);
                }
            },
            b"event" => frame.event = Some(value),
            _ => {}
        }
    }
    if let Some(both) = joined {
        frame.data = Some(both.freeze());
    }
    frame
}

/// A line's field name and value; a comment has an empty name.
fn field(line: &Bytes) -> (&[u8], Bytes) {
    match memchr::memchr(b':', line) {
        Some(colon) => {
            let value = line.slice(colon + 1..);
            let value = if value.starts_with(b" ") { value.slice(1..) } else { value };
            (&line[..colon], value)
        }
        None => (line, Bytes::new()),
    }
}

/// Writes one event without a name. `data` must hold no line end, as compact JSON does not.
pub fn write_data(data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

/// Writes one named event. Neither text may hold a line end.
pub fn write_event(name: &str, data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    write_data(data, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(pieces: &[&[u8]]) -> Vec<Frame> {
        let mut framer = Framer::new(1 << 20);
        let mut out = Vec::new();
        for piece in pieces {
            framer.push(piece);
            while let Some(frame) = framer.next_frame().unwrap() {
                out.push(frame);
            }
        }
        out.extend(framer.finish());
        out
    }

    fn data(stream: &[u8]) -> Vec<String> {
        let texts = frames(&[stream]).into_iter().filter_map(|frame| frame.data);
        texts.map(|data| String::from_utf8(data.to_vec()).unwrap()).collect()
    }

    #[test]
    fn every_line_end_of_the_standard_is_understood() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = format!("event: a{end}data: 1{end}{end}data:2{end}data: 3{end}{end}");
            assert_eq!(data(stream.as_bytes()), ["1", "2\n3"], "{end:?}");
        }
    }

    #[test]
    fn comments_marks_and_leading_blank_lines_are_no_data() {
        assert_eq!(data(b"\xef\xbb\xbfdata: 1\n\n: ping\n\n\n\ndata: 2\n\n"), ["1", "2"]);
    }

    #[test]
    fn a_last_event_without_its_blank_line_is_still_an_event() {
        assert_eq!(data(b"data: 1\n\ndata: [DONE]"), ["1", "[DONE]"]);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut framer = Framer::new(16);
        framer.push(b"data: 12345678901");
        assert_eq!(framer.next_frame(), Err(TooLong { limit: 16 }));
        let mut framer = Framer::new(16);
        framer.push(b"data: 1\n\ndata: 1234567890\n\n");
        assert!(framer.next_frame().is_ok());
        assert_eq!(framer.next_frame(), Err(TooLong { limit: 16 }));
    }

    #[test]
    fn a_named_event_is_read_back_as_it_was_written() {
        let mut out = Vec::new();
        write_event("ping", b"{}", &mut out);
        let frame = frames(&[&out]).remove(0);
        assert_eq!((frame.event.as_deref(), frame.data.as_deref()), (Some(&b"ping"[..]), Some(&b"{}"[..])));
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "data: é漢😀",
            "data:",
            ": c",
            "event: x",
            "id: 1",
            "\n",
            "\r\n",
            "\r",
            "\n\n",
            "\r\n\r\n",
            "\r\r",
            "x",
        ]);
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn frames_put_together_are_the_stream_however_it_was_cut(stream in stream(), cut in 1usize..7) {
            let pieces: Vec<&[u8]> = stream.chunks(cut).collect();
            let cut_up = frames(&pieces);
            let joined: Vec<u8> = cut_up.iter().flat_map(|frame| frame.raw.to_vec()).collect();
            prop_assert_eq!(&joined, &stream);
            let told = |frames: &[Frame]| -> Vec<_> {
                frames.iter().filter(|frame| frame.data.is_some()).map(|f| (f.event.clone(), f.data.clone())).collect()
            };
            prop_assert_eq!(told(&cut_up), told(&frames(&[&stream])));
        }
    }
}
