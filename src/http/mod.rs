//! HTTP: the server, what every request passes through, the router, and errors.

pub mod body;
pub mod dialect;
mod document;
pub mod error;
pub mod middleware;
pub mod room;
mod router;
pub mod server;
pub mod status;

pub use router::{handler, openapi};
