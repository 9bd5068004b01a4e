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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let outcome = runtime.block_on(crate::serve::run(config));
    runtime.shutdown_timeout(LAST_TASKS);
    outcome.map(|()| Exit::Ok)
}
