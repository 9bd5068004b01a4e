//! HTTP: the server, what every request passes through, the router, and errors.

pub mod body;
pub mod error;
pub mod middleware;
pub mod server;
