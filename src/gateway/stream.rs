//! An upstream's stream: frames, the events they mean, and the first of them held back until there is content.

use std::{borrow::Cow, collections::VecDeque};

use llm_protocol::{
    StreamDecoder,
    ir::{ApiError, Event, Grammar},
    sse::Frame,
};
use tokio::time::{Instant, timeout_at};

use crate::upstream::{Frames, Framing, Pieces, late, truncated};

/// The same frame with what is not UTF-8 in its data replaced; nothing where all of it is.
fn legible(frame: &Frame) -> Option<Frame> {
    match String::from_utf8_lossy(frame.data.as_deref()?) {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(Frame { data: Some(text.into()), ..frame.clone() }),
    }
}

/// One step of a stream.
#[derive(Debug)]
pub struct Step {
    /// `None` where the upstream closed.
    pub frame: Option<Frame>,
    /// What it means; possibly nothing.
    pub events: Vec<Event>,
    /// A frame that makes no sense, or the upstream's own error.
    pub error: Option<ApiError>,
}

/// A stream that is being read.
pub struct Upstream {
    /// `None` once nothing more is to be read.
    pieces: Option<Pieces>,
    frames: Frames,
    decoder: Box<dyn StreamDecoder>,
    grammar: Grammar,
    /// Read and not handed on yet.
    held: VecDeque<Step>,
    over: bool,
}

impl Upstream {
    pub fn new(pieces: Pieces, framing: Framing, decoder: Box<dyn StreamDecoder>, max_event_bytes: usize) -> Self {
        Self {
            pieces: Some(pieces),
            frames: Frames::new(framing, max_event_bytes),
            decoder,
            grammar: Grammar::default(),
            held: VecDeque::new(),
            over: false,
        }
    }

    /// A stream that came as a whole.
    pub fn already_read(events: &[u8], decoder: Box<dyn StreamDecoder>) -> Self {
        let mut frames = Frames::new(Framing::Sse, usize::MAX);
        frames.push(events);
        Self { pieces: None, frames, decoder, grammar: Grammar::default(), held: VecDeque::new(), over: false }
    }

    /// Reads until the answer has content, or has ended well without any, or `bound` bytes have come. Until then nothing
    /// was promised to the client, so that an error can still be somebody else's answer.
    pub async fn hold_until_content(&mut self, bound: usize, deadline: Instant) -> Result<(), ApiError> {
        let mut bytes = 0;
        loop {
            let Some(step) = timeout_at(deadline, self.read()).await.map_err(|_| late())?? else {
                return if self.held.is_empty() { Err(truncated()) } else { Ok(()) };
            };
            if let Some(error) = step.error {
                return Err(error);
            }
            bytes += step.frame.as_ref().map_or(0, |frame| frame.raw.len());
            let content = step.events.iter().any(|event| matches!(event, Event::Open(_) | Event::Finish(_)));
            self.held.push_back(step);
            if content || bytes > bound {
                return Ok(());
            }
        }
    }

    /// The next step, held back or new; `None` after the end. Can be dropped while it waits without losing anything.
    pub async fn next(&mut self) -> Result<Option<Step>, ApiError> {
        match self.held.pop_front() {
            Some(step) => {
                if self.held.is_empty() {
                    // A stream may last long after this, and nothing is held back any more.
                    self.held = VecDeque::new();
                }
                Ok(Some(step))
            }
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Result<Option<Step>, ApiError> {
        loop {
            if self.over {
                return Ok(None);
            }
            if let Some(frame) = self.frames.next_frame()? {
                return Ok(Some(self.decode(frame)));
            }
            let Some(pieces) = &mut self.pieces else { return self.end().map(Some) };
            match pieces.next().await? {
                Some(piece) => self.frames.push(&piece),
                None => self.pieces = None,
            }
        }
    }

    fn decode(&mut self, frame: Frame) -> Step {
        let mut events = Vec::new();
        let mut error = self.decoder.push(&frame, &mut events).err();
        // What is no text was not taken in: only its bad bytes are to be lost, not the stream.
        if error.is_some()
            && let Some(text) = legible(&frame)
        {
            error = self.decoder.push(&text, &mut events).err();
        }
        self.check(&events);
        if self.decoder.is_over()
            && let Some(pieces) = self.pieces.take()
        {
            pieces.linger();
        }
        Step { frame: Some(frame), events, error }
    }

    /// The upstream closed: what is left in the framer may be one last frame, then the decoder says whether that was the
    /// end.
    fn end(&mut self) -> Result<Step, ApiError> {
        if let Some(step) = self.frames.finish()?.and_then(|frame| self.last(frame)) {
            return Ok(step);
        }
        self.over = true;
        let mut events = Vec::new();
        self.decoder.end(&mut events)?;
        self.check(&events);
        Ok(Step { frame: None, events, error: None })
    }

    /// An event without its blank line: taken for whole if it makes sense, and then given its end, since something may
    /// follow it. Otherwise the stream broke off in it, and a piece of an event is none.
    fn last(&mut self, frame: Frame) -> Option<Step> {
        frame.data.as_ref().filter(|data| !data.is_empty())?;
        let mut step = self.decode(frame);
        if step.error.as_ref().is_some_and(|error| error.reason == Some("malformed")) {
            return None;
        }
        if let Some(frame) = &mut step.frame {
            frame.raw = [&frame.raw[..], b"\n\n"].concat().into();
        }
        Some(step)
    }

    fn check(&mut self, events: &[Event]) {
        for event in events {
            let accepted = self.grammar.accept(event);
            debug_assert!(accepted.is_ok(), "{accepted:?}: {event:?}");
        }
    }
}
