//! `serve`: the gateway itself.

use std::time::Duration;

use anyhow::Context;

use super::Exit;
use crate::{config::Config, telemetry};

/// What may still run when everything has been told to end gets so long.
const LAST_TASKS: Duration = Duration::from_secs(1);

pub fn run(config: Config) -> anyhow::Result<Exit> {
    // Dropped last, so that everything before it can still log.
    let _telemetry = telemetry::start(&config.logging).context("cannot set up the log")?;
    allow_open_files(config.server.max_connections);
    // Connections have threads of their own; here runs what goes on beside them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let outcome = runtime.block_on(crate::serve::run(config));
    runtime.shutdown_timeout(LAST_TASKS);
    outcome.map(|()| Exit::Ok)
}

/// Files besides those of clients: the database, the log, the listener, connections to providers.
const OTHER_FILES: u64 = 100;

/// Raises this process's limit of open files as far as it may: shells and supervisors set it low for the sake of old
/// programs, and every connection takes one.
fn allow_open_files(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let allowed = if raised.is_ok() { limit.maximum } else { limit.current };
    let wanted = connections as u64 + OTHER_FILES;
    if let Some(allowed) = allowed.filter(|allowed| *allowed < wanted) {
        tracing::warn!("This process may open {allowed} files, too few for server.max_connections = {connections}");
    }
}
