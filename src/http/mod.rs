//! HTTP: the server, the middleware and the router.

pub mod body;
pub mod error;
pub mod middleware;
pub mod server;
