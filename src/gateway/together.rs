//! Requests that are ready at the same time write at the same time.
//!
//! Whoever waits for a write sleeps, and waking it costs more than the write itself: on the same machine an interrupt of another
//! core. Of many writes in a row only the first one finds it asleep. So a request lets the others that are ready come as
//! far as it has come before it writes, as a server does that writes all its answers when it has read all there is to read.

use std::{future::poll_fn, mem, task::Poll};

use crate::app::App;

/// Lets whoever is ready go first, once; where no other request runs, nothing.
pub async fn others_first(app: &App) {
    let mut ready = !app.metrics.others_run();
    poll_fn(|cx| {
        if mem::replace(&mut ready, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
