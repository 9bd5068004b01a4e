//! Tests of the whole program, over real sockets.

mod conformance;
mod gateway;
mod resilience;
mod support;
