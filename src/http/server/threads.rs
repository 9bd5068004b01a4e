//! The threads that serve connections: one a core, each with a runtime of its own.
//!
//! A connection stays on its thread, and what it needs of upstreams is there too. So nothing that happens for a request
//! wakes another thread, and nobody looks for work elsewhere. Everything else that the gateway does has a thread apart.

use std::{io, thread, time::Duration};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// What may still run on a thread when it has to end gets so long.
const LAST_TASKS: Duration = Duration::from_secs(1);

/// Where connections are served. Dropping it ends the threads and what still runs on them.
#[derive(Debug)]
pub struct Threads {
    runtimes: Vec<Handle>,
    running: Vec<thread::JoinHandle<()>>,
    stop: CancellationToken,
}

impl Threads {
    /// A thread for each core that this process may use.
    pub fn per_core() -> io::Result<Self> {
        let stop = CancellationToken::new();
        let mut threads = Self { runtimes: Vec::new(), running: Vec::new(), stop };
        for number in 0..thread::available_parallelism()?.get() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            threads.runtimes.push(runtime.handle().clone());
            let stop = threads.stop.clone();
            let running = thread::Builder::new().name(format!("serve-{number}")).spawn(move || {
                runtime.block_on(stop.cancelled());
                runtime.shutdown_timeout(LAST_TASKS);
            })?;
            threads.running.push(running);
        }
        Ok(threads)
    }

    /// No thread of its own: what calls this serves as well. Its runtime must have this one thread only.
    pub fn this_one() -> Self {
        Self { runtimes: vec![Handle::current()], running: Vec::new(), stop: CancellationToken::new() }
    }

    /// Each runtime after the other, for ever.
    pub(super) fn in_turns(&self) -> impl Iterator<Item = &Handle> {
        self.runtimes.iter().cycle()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.running.drain(..) {
            if thread.join().is_err() {
                tracing::error!("A thread that served connections had ended before");
            }
        }
    }
}
