//! How the events of a stream are told apart.

use llm_protocol::{
    aws_events::Messages,
    ir::ApiError,
    sse::{Frame, Framer},
};

use super::{malformed, truncated};

/// How a provider frames its streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    #[default]
    Sse,
    /// Amazon's binary event streams.
    AwsEvents,
    /// The same, with another protocol's events inside.
    AwsWrapped,
}

/// Splits a stream into frames, whatever its framing. The frames are those of server-sent events either way.
#[derive(Debug)]
pub enum Frames {
    Sse(Framer),
    AwsEvents(Messages),
    AwsWrapped(Messages),
}

impl Frames {
    /// Refuses events of more than `limit` bytes.
    pub fn new(framing: Framing, limit: usize) -> Self {
        match framing {
            Framing::Sse => Self::Sse(Framer::new(limit)),
            Framing::AwsEvents => Self::AwsEvents(Messages::new(limit)),
            Framing::AwsWrapped => Self::AwsWrapped(Messages::new(limit)),
        }
    }

    /// Takes the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        match self {
            Self::Sse(framer) => framer.push(piece),
            Self::AwsEvents(messages) | Self::AwsWrapped(messages) => messages.push(piece),
        }
    }

    /// The next whole event, if it has arrived.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ApiError> {
        match self {
            Self::Sse(framer) => {
                let too_long = |limit| malformed(&format!("an event is longer than {limit} bytes"));
                framer.next_frame().map_err(|error| too_long(error.limit))
            }
            Self::AwsEvents(messages) => messages.next_named(),
            Self::AwsWrapped(messages) => messages.next_wrapped(),
        }
    }

    /// What is left when the stream has ended: possibly an event that was not ended. Fails where that cannot be one.
    pub fn finish(&mut self) -> Result<Option<Frame>, ApiError> {
        match self {
            Self::Sse(framer) => Ok(framer.finish()),
            Self::AwsEvents(messages) | Self::AwsWrapped(messages) if messages.is_within() => Err(truncated()),
            Self::AwsEvents(_) | Self::AwsWrapped(_) => Ok(None),
        }
    }
}
