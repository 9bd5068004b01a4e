//! Talking to providers over HTTP: connections, deadlines, bodies, and what their failures mean.

mod body;
mod client;
mod error;
mod framing;
mod lookup;
mod pool;
mod proxy;
mod reported;

pub use body::{Pieces, late, malformed, read_whole, stalled, too_long, truncated};
pub use client::{Client, ClientConfig};
pub use error::{Verdict, blames_upstream, retry_after, verdict};
pub use framing::{Frames, Framing};
pub use pool::Incoming;
pub use proxy::{Proxy, mask_proxy};
pub use reported::{Limited, Reported, reported};
