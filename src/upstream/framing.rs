//! How the events of a stream are told apart.

use llm_protocol::{
    ir::ApiError,
    sse::{Frame, Framer},
};

use super::malformed;

/// How a provider frames its streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    #[default]
    Sse,
}

/// Splits a stream into frames, whatever its framing. The frames are those of server-sent events either way.
#[derive(Debug)]
pub enum Frames {
    Sse(Framer),
}

impl Frames {
    /// Refuses events of more than `limit` bytes.
    pub fn new(framing: Framing, limit: usize) -> Self {
        match framing {
            Framing::Sse => Self::Sse(Framer::new(limit)),
        }
    }

    /// Takes the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        match self {
            Self::Sse(framer) => framer.push(piece),
        }
    }

    /// The next whole event, if it has arrived.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ApiError> {
        match self {
            Self::Sse(framer) => {
                let too_long = |limit| malformed(&format!("an event is longer than {limit} bytes"));
                framer.next_frame().map_err(|error| too_long(error.limit))
            }
        }
    }

    /// What is left when the stream has ended: possibly an event that was not ended.
    pub fn finish(&mut self) -> Option<Frame> {
        match self {
            Self::Sse(framer) => framer.finish(),
        }
    }
}
