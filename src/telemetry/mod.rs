//! The log: what is written to standard output, without ever waiting for whoever reads it.
//!
//! Lines go through a bounded queue to a thread of their own. When standard output is a pipe that nobody reads, the
//! queue fills, further lines are dropped and counted, and requests go on as if nothing had happened.

mod plain;

use std::{
    io::{self, IsTerminal, Write},
    iter,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::{Layer, Registry, fmt::MakeWriter, layer::SubscriberExt};

use crate::config::{LogFormat, LoggingConfig};

/// Lines that may wait to be written.
const QUEUE: usize = 8192;

/// How long the writer lets lines gather once there is one, and how many it writes at once. A writer that slept for every
/// line would have to be woken for every line, and the request that logs it would pay for that.
const GATHER: Duration = Duration::from_millis(5);
const BATCH: usize = 256;

/// How long the last lines may take to be written when the process ends.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The running log. Dropping it writes what still waits.
#[derive(Debug)]
pub struct Telemetry {
    queue: Queue,
}

/// Sets up the log of this process, panics included. Must be called once at most.
pub fn start(config: &LoggingConfig) -> io::Result<Telemetry> {
    let queue = Queue::start(io::stdout())?;
    let layer = tracing_subscriber::fmt::layer().with_writer(queue.clone());
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match config.format {
        LogFormat::Text if io::stdout().is_terminal() => layer.boxed(),
        LogFormat::Text => layer.event_format(plain::Plain).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    let subscriber = Registry::default().with(layer.with_filter(config.level.filter()));
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
    // The usual hook writes to standard error, which may be a pipe that nobody reads either.
    std::panic::set_hook(Box::new(|panic| tracing::error!("A bug: {}", panic.to_string().replace('\n', " "))));
    Ok(Telemetry { queue })
}

impl Telemetry {
    /// Lines dropped so far because nobody took them.
    pub fn dropped_lines(&self) -> u64 {
        self.queue.dropped.load(Relaxed)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let deadline = Instant::now() + LAST_LINES;
        let (done, wait) = sync_channel(1);
        // The queue has no send with a deadline, and it is empty unless nobody reads.
        while self.queue.sender.try_send(Entry::End(done.clone())).is_err() {
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        // Too late is as good as done: the process must end, read or not.
        let _ = wait.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

/// How often at most the log tells that it lost lines.
const TELL_AGAIN: Duration = Duration::from_secs(10);

enum Entry {
    Line(Box<[u8]>),
    /// Answer when everything before has been written.
    End(SyncSender<()>),
}

/// The writing end of the queue.
#[derive(Clone, Debug)]
struct Queue {
    sender: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    fn start(target: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let seen = dropped.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&receiver, &seen, target))?;
        Ok(Self { sender, dropped })
    }
}

/// A formatted event arrives in one piece.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.sender.try_send(Entry::Line(line.into())).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Writes until there is nobody left to send. A target that fails loses the line; there is nowhere to tell of it.
fn write_all(receiver: &Receiver<Entry>, dropped: &AtomicU64, mut target: impl Write) {
    let mut told: Option<(u64, Instant)> = None;
    let mut lines = Vec::new();
    while let Ok(first) = receiver.recv() {
        if matches!(first, Entry::Line(_)) {
            thread::sleep(GATHER);
        }
        let mut ends = Vec::new();
        for entry in iter::once(first).chain(receiver.try_iter()).take(BATCH) {
            match entry {
                Entry::Line(line) => lines.extend_from_slice(&line),
                Entry::End(done) => ends.push(done),
            }
        }
        // Here there is room for one more line; a moment later the queue may be full again.
        let lost = dropped.load(Relaxed);
        if lost > told.map_or(0, |told| told.0) && told.is_none_or(|told| told.1.elapsed() > TELL_AGAIN) {
            told = Some((lost, Instant::now()));
            tracing::warn!(lost, "Log lines were dropped, because nobody read them in time: {lost} so far");
        }
        let _ = target.write_all(&lines);
        let _ = target.flush();
        lines.clear();
        for done in ends {
            let _ = done.try_send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Takes nothing until the lock is free.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_pipe_that_nobody_reads_loses_lines_instead_of_stopping_the_writer() {
        let pipe = Pipe::default();
        let mut queue = Queue::start(pipe.clone()).unwrap();
        let full = pipe.0.lock().unwrap();
        for _ in 0..QUEUE + 2 * BATCH {
            queue.write_all(b"line\n").unwrap();
        }
        let lost = queue.dropped.load(Relaxed);
        assert!((BATCH as u64..=2 * BATCH as u64).contains(&lost), "{lost}");
        drop(full);
        drop(Telemetry { queue });
        let written = pipe.0.lock().unwrap();
        assert!(written.starts_with(b"line\nline\n"));
    }
}
