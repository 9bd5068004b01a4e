//! One address in front of every large-language-model provider: the gateway as a library, which the binary starts.
//!
//! A request comes in through [`http`], is handled by the [`gateway`] from the [`catalog`] in memory, and leaves a row in
//! the [`journal`]. Operators change what the catalog is built from through [`admin`], which alone waits for the [`store`].

pub mod admin;
pub mod app;
pub mod cache;
pub mod catalog;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod doctor;
pub mod fidelity;
pub mod gateway;
pub mod health;
pub mod http;
pub mod journal;
pub mod limits;
pub mod metrics;
pub mod network;
pub mod pricing;
pub mod providers;
pub mod retention;
pub mod routing;
pub mod secret;
pub mod serve;
pub mod shared;
pub mod standby;
pub mod store;
pub mod telemetry;
pub mod traces;
pub mod upstream;
