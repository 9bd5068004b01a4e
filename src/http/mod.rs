//! HTTP: the server, the middleware and the router.

pub mod server;
