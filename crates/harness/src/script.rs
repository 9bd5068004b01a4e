//! What an upstream answers, byte for byte, and how it misbehaves.

use std::time::Duration;

use serde_json::Value;

use super::Dialect;

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked,
    /// By the connection's end.
    Close,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Send(Vec<u8>),
    Pause(Duration),
}

impl Step {
    fn bytes(&self) -> Option<&Vec<u8>> {
        if let Self::Send(bytes) = self { Some(bytes) } else { None }
    }
}

/// What comes after the last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The body ends as its framing promises.
    Whole,
    /// The connection is closed in the middle.
    Cut,
    /// The connection is reset in the middle.
    Reset,
    /// Nothing more ever comes; the connection stays until the peer leaves.
    Stall,
}

/// One answer, byte for byte.
#[derive(Clone, Debug)]
pub struct Script {
    /// `None` sends no head: the script's end is all there is.
    pub(super) status: Option<u16>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) wait: Duration,
    pub(super) framing: Framing,
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
}

impl Script {
    fn new(status: Option<u16>, framing: Framing, body: Vec<u8>) -> Self {
        let steps = vec![Step::Send(body)];
        Self { status, headers: Vec::new(), wait: Duration::ZERO, framing, steps, end: End::Whole }
    }

    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(Some(status), Framing::Length, body.to_string().into()).header("Content-Type", "application/json")
    }

    /// An error in OpenAI's words.
    pub fn error(status: u16, message: &str) -> Self {
        Self::json(status, &Dialect::OpenAi.error(status, message))
    }

    pub fn bytes(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Some(status), Framing::Length, body.into()).header("Content-Type", kind)
    }

    pub fn html(status: u16) -> Self {
        Self::bytes(status, "text/html", "<html><body><h1>Bad Gateway at proxy-17.internal</h1></body></html>")
    }

    /// A stream, one chunk of the transfer coding a frame.
    pub fn sse<T: AsRef<[u8]>>(frames: &[T]) -> Self {
        let mut script = Self::new(Some(200), Framing::Chunked, Vec::new()).header("Content-Type", "text/event-stream");
        script.steps = frames.iter().map(|frame| Step::Send(frame.as_ref().to_vec())).collect();
        script
    }

    /// A whole stream in OpenAI's words.
    pub fn stream(texts: &[&str]) -> Self {
        Self::sse(&Dialect::OpenAi.stream(texts))
    }

    /// Exactly these bytes, head and all; then the connection is closed.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { end: End::Cut, ..Self::new(None, Framing::Close, bytes.into()) }
    }

    /// Takes the request and never answers.
    pub fn silent() -> Self {
        Self { end: End::Stall, ..Self::new(None, Framing::Close, Vec::new()) }
    }

    /// Takes the request and closes the connection.
    pub fn hang_up() -> Self {
        Self { end: End::Cut, ..Self::new(None, Framing::Close, Vec::new()) }
    }

    /// Takes the request and resets the connection.
    pub fn slam() -> Self {
        Self { end: End::Reset, ..Self::new(None, Framing::Close, Vec::new()) }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status < 300)
    }

    /// Waits before the head.
    pub fn after(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Waits before each step but the first.
    pub fn paced(mut self, pause: Duration) -> Self {
        let steps = std::mem::take(&mut self.steps);
        for (position, step) in steps.into_iter().enumerate() {
            if position > 0 {
                self.steps.push(Step::Pause(pause));
            }
            self.steps.push(step);
        }
        self
    }

    /// Writes the same bytes one at a time.
    pub fn byte_by_byte(mut self) -> Self {
        let split = |step: Step| match step {
            Step::Send(bytes) => bytes.into_iter().map(|byte| Step::Send(vec![byte])).collect(),
            pause @ Step::Pause(_) => vec![pause],
        };
        self.steps = self.steps.into_iter().flat_map(split).collect();
        self
    }

    /// Writes the same bytes of the body in pieces of this size.
    pub fn in_pieces(mut self, size: usize) -> Self {
        let body: Vec<u8> = self.steps.iter().filter_map(Step::bytes).flatten().copied().collect();
        self.steps = body.chunks(size.max(1)).map(|piece| Step::Send(piece.to_vec())).collect();
        self
    }

    /// Writes only the first bytes of the body.
    pub fn up_to(mut self, offset: usize) -> Self {
        let body: Vec<u8> = self.steps.iter().filter_map(Step::bytes).flatten().copied().take(offset).collect();
        self.steps = vec![Step::Send(body)];
        self
    }

    /// Ends the body by closing the connection, without a length.
    pub fn close_delimited(mut self) -> Self {
        self.framing = Framing::Close;
        self
    }

    pub fn then_cut(mut self) -> Self {
        self.end = End::Cut;
        self
    }

    pub fn then_reset(mut self) -> Self {
        self.end = End::Reset;
        self
    }

    pub fn then_stall(mut self) -> Self {
        self.end = End::Stall;
        self
    }

    pub(super) fn head(&self, status: u16) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let declared = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        match self.framing {
            Framing::Length if declared => {}
            Framing::Length => head.push_str(&format!("Content-Length: {}\r\n", self.length())),
            Framing::Chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            Framing::Close => head.push_str("Connection: close\r\n"),
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The length that its head says, where the framing has one.
    pub(super) fn promise(&self) -> Option<usize> {
        (self.framing == Framing::Length).then(|| self.length())
    }

    fn length(&self) -> usize {
        self.steps.iter().filter_map(Step::bytes).map(Vec::len).sum()
    }
}
