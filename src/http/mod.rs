//! HTTP: the server, what every request passes through, the router, and errors.

pub mod body;
pub mod error;
pub mod middleware;
mod router;
pub mod server;
mod status;

pub use router::{openapi, router};
