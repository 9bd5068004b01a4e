//! The gateway as a library; the binary only parses the command line and calls it.

pub mod config;
pub mod http;
