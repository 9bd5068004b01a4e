//! How long log rows are kept.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    app::App,
    clock,
    store::{Store, StoreError},
};

/// How often somebody looks.
const INTERVAL: Duration = Duration::from_secs(600);

/// How long others write between two steps of forgetting.
const PAUSE: Duration = Duration::from_millis(20);

/// Starts looking after the log: makes room for what comes, and forgets what was kept long enough.
pub fn spawn(app: &Arc<App>) {
    let (store, stopping) = (app.store.clone(), app.stopping.clone());
    let keep = match app.config.journal.retention_days {
        0 => None,
        days => Some(Duration::from_secs(86_400 * u64::from(days))),
    };
    app.tasks.spawn(stopping.run_until_cancelled_owned(async move {
        loop {
            match tend(&store, keep).await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(rows, "Forgot {rows} log rows that were kept long enough"),
                Err(error) => tracing::warn!(%error, "The request log was not tended; trying again later: {error}"),
            }
            sleep(INTERVAL).await;
        }
    }));
}

/// Says how many rows it forgot.
async fn tend(store: &Store, keep: Option<Duration>) -> Result<u64, StoreError> {
    let now = clock::now_micros();
    store.prepare_log(now, keep).await?;
    let Some(keep) = keep else { return Ok(0) };
    let before = now.saturating_sub(i64::try_from(keep.as_micros()).unwrap_or(i64::MAX));
    // What was said goes first, so that it never outlives its row.
    while store.forget_log_contents(before).await? > 0 {
        sleep(PAUSE).await;
    }
    let mut forgotten = 0;
    while let Some(rows) = store.forget_logs(before).await? {
        forgotten += rows;
        sleep(PAUSE).await;
    }
    Ok(forgotten)
}
