//! What differs where the same conversation is told in another vendor's words.

use super::wire::Block;
use crate::{
    ProtocolId,
    ir::{Losses, Media},
};

/// A protocol whose requests are Anthropic's in other words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// Who takes the request, as losses name it.
    pub name: &'static str,
    /// The block that shows a piece of media, or why there is none.
    pub media: for<'a> fn(&'a Media, &mut Losses) -> Result<Block<'a>, String>,
    /// Whether blocks that only Anthropic's own protocol has are understood.
    pub opaque: bool,
    /// Whose encrypted reasoning is understood.
    pub redacted: ProtocolId,
    /// Longest name of a tool.
    pub longest_name: usize,
}

/// Anthropic's own.
pub(super) const NATIVE: Dialect = Dialect {
    name: "Anthropic",
    media: super::media::block,
    opaque: true,
    redacted: ProtocolId::Anthropic,
    longest_name: 128,
};
