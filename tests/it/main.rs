//! Everything that is tested from outside the crate, in one binary so that it links once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod admin;
mod agents;
mod cache;
mod cli;
mod cluster;
mod config;
mod conformance;
mod docs;
mod faults;
mod gateway;
mod limits;
mod metrics;
mod middleware;
mod packaging;
mod redis;
mod resilience;
mod sdk;
mod server;
mod store;
mod support;
mod telemetry;
mod tidy;
mod vendors;
