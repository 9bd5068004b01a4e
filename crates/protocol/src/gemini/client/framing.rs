//! How the pieces of a stream are told apart: by server-sent events, or as the items of one JSON array.

/// The framing of one stream.
#[derive(Debug)]
pub enum Framing {
    Events,
    Array { begun: bool },
}

impl Framing {
    pub fn new(array: bool) -> Self {
        if array { Self::Array { begun: false } } else { Self::Events }
    }

    /// Writes one piece, which is JSON; on one line, if in events.
    pub fn write(&mut self, json: &[u8], out: &mut Vec<u8>) {
        let (before, after): (&[u8], &[u8]) = match self {
            Self::Events => (b"data: ", b"\r\n\r\n"),
            Self::Array { begun } => (if std::mem::replace(begun, true) { b",\n" } else { b"[" }, b"\n"),
        };
        out.extend_from_slice(before);
        out.extend_from_slice(json);
        out.extend_from_slice(after);
    }

    /// Writes what ends the stream, well or not: events have no end but the closed body.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Events => {}
            Self::Array { begun: true } => out.extend_from_slice(b"]\n"),
            Self::Array { begun: false } => out.extend_from_slice(b"[]\n"),
        }
    }
}
