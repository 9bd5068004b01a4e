//! Every integration test, in one binary so that it is linked once.

mod config;
mod middleware;
mod server;
