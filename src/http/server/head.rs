//! A look at the head of a request before the HTTP library takes it apart.
//!
//! A head with both a Content-Length and a Transfer-Encoding is how one request is smuggled inside another. The library
//! removes the length silently and closes the connection after the answer, which is safe; saying so is better. Heads that
//! were sent ahead of the former answer are not looked at here, since only the library knows where those begin.

use memchr::memchr;

/// The names whose meeting is looked for, and which of them were seen.
const LENGTH: &[u8] = b"content-length";
const ENCODING: &[u8] = b"transfer-encoding";

/// Reads the names of the headers as their bytes come, in pieces of any size.
#[derive(Debug, Default)]
pub struct HeadScan {
    /// The name of the current line so far; only the longest name looked for has to fit.
    name: [u8; ENCODING.len()],
    /// Bytes of the current line so far, up to its colon.
    length: usize,
    /// The line's name is complete.
    past_name: bool,
    /// The request line is over.
    in_headers: bool,
    has_length: bool,
    has_encoding: bool,
    over: bool,
}

impl HeadScan {
    /// Takes further bytes of the head. Whether both headers have been seen by now.
    pub fn push(&mut self, mut bytes: &[u8]) -> bool {
        while !self.over && !bytes.is_empty() {
            let end = memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
            let (piece, rest) = bytes.split_at(end);
            match piece.strip_suffix(b"\n") {
                Some(line) if self.length == 0 && !self.past_name => self.line(line),
                _ => piece.iter().for_each(|byte| self.step(*byte)),
            }
            bytes = rest;
        }
        self.has_length && self.has_encoding
    }

    /// Takes a line that has come whole.
    fn line(&mut self, line: &[u8]) {
        let empty = line.iter().all(|byte| *byte == b'\r');
        let begins = |name: &[u8]| line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name);
        // Empty lines before the request line are allowed and mean nothing.
        self.over = self.in_headers && empty;
        self.has_length |= self.in_headers && begins(LENGTH);
        self.has_encoding |= self.in_headers && begins(ENCODING);
        self.in_headers |= !empty;
    }

    fn step(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                // Empty lines before the request line are allowed and mean nothing.
                self.over = self.in_headers && self.length == 0 && !self.past_name;
                self.in_headers |= self.length > 0 || self.past_name;
                (self.length, self.past_name) = (0, false);
            }
            b'\r' => {}
            _ if self.past_name => {}
            b':' => {
                self.past_name = true;
                self.note_name();
            }
            _ => {
                if let Some(place) = self.name.get_mut(self.length) {
                    *place = byte;
                }
                self.length += 1;
            }
        }
    }

    fn note_name(&mut self) {
        let Some(name) = self.name.get(..self.length).filter(|_| self.in_headers) else { return };
        self.has_length |= name.eq_ignore_ascii_case(LENGTH);
        self.has_encoding |= name.eq_ignore_ascii_case(ENCODING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ambiguous(head: &str) -> bool {
        let whole = HeadScan::default().push(head.as_bytes());
        let mut scan = HeadScan::default();
        let in_pieces = head.bytes().fold(false, |_, byte| scan.push(&[byte]));
        assert_eq!(whole, in_pieces, "{head:?}");
        whole
    }

    #[test]
    fn both_headers_are_found_in_any_order_and_case() {
        assert!(ambiguous("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(ambiguous("\r\nPOST / HTTP/1.1\nTRANSFER-ENCODING:x\nhost: a\ncontent-length:3\n\n"));
    }

    #[test]
    fn one_header_or_their_words_elsewhere_are_fine() {
        assert!(!ambiguous("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n"));
        assert!(!ambiguous("POST /content-length: HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(!ambiguous("POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\nTransfer-Encoding: chunked\r\n"));
        assert!(!ambiguous("POST / HTTP/1.1\r\nContent-Length: 3\r\nX-Transfer-Encoding: chunked\r\n\r\n"));
    }
}
