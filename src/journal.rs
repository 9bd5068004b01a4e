//! The way of log rows into the store: a bounded queue and one writer, so that no request ever waits for the database.
//!
//! What does not fit is dropped and counted. Rows wait in memory for at most the flush interval while the database is
//! well; while it is not, they wait until the queue is full.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    store::{LogRow, Store, StoreError},
};

/// How long a look at the log waits for rows that are on their way.
const SETTLING: Duration = Duration::from_secs(1);

/// How long to wait after the database failed the first time; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How much the journal holds, and how it hands rows on.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Rows that may wait.
    pub capacity: usize,
    /// Rows a transaction.
    pub batch: usize,
    /// How long a row waits for others to share its transaction.
    pub flush_interval: Duration,
}

/// The queue's near end.
pub struct Journal {
    queue: Arc<Queue>,
    counts: Arc<Counts>,
    /// Cancelled when there is no more time to write what is left.
    abandon: CancellationToken,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Rows that wait for the writer, who is woken once a batch rather than once a row: waking another thread costs a request
/// more than all else that its row does.
struct Queue {
    settings: Settings,
    waiting: Mutex<Waiting>,
    /// The first row has come, or a batch is full, or no more will come.
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    rows: VecDeque<LogRow>,
    closed: bool,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was room for the row.
    fn push(&self, row: LogRow) -> bool {
        let mut waiting = self.waiting();
        if waiting.closed || waiting.rows.len() >= self.settings.capacity {
            return false;
        }
        waiting.rows.push_back(row);
        let length = waiting.rows.len();
        drop(waiting);
        if length == 1 || length == self.settings.batch {
            self.filled.notify_one();
        }
        true
    }

    fn close(&self) {
        self.waiting().closed = true;
        self.filled.notify_one();
    }

    /// A batch, or what there is of one.
    fn take(&self) -> Vec<LogRow> {
        let mut waiting = self.waiting();
        let count = waiting.rows.len().min(self.settings.batch);
        waiting.rows.drain(..count).collect()
    }
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    waiting: AtomicUsize,
    /// Somebody wants to see the rows that wait: the writer need not wait for more.
    wanted: Notify,
    /// Rows were written or given up.
    settled: Notify,
}

impl Counts {
    fn settle(&self, rows: usize, into: &AtomicU64) {
        self.waiting.fetch_sub(rows, Ordering::Relaxed);
        into.fetch_add(rows as u64, Ordering::Relaxed);
        self.settled.notify_waiters();
    }
}

impl Journal {
    /// Starts the writer.
    pub fn start(store: Store, settings: Settings) -> Self {
        let settings = Settings { capacity: settings.capacity.max(1), batch: settings.batch.max(1), ..settings };
        let queue = Arc::new(Queue { settings, waiting: Mutex::default(), filled: Notify::new() });
        let counts = Arc::new(Counts::default());
        let abandon = CancellationToken::new();
        let writer = Writer { store, queue: queue.clone(), counts: counts.clone(), abandon: abandon.clone() };
        let writer = tokio::spawn(writer.run());
        Self { queue, counts, abandon, writer: Mutex::new(Some(writer)) }
    }

    /// Queues a row, or drops it if the queue is full or closed. Never waits.
    pub fn record(&self, row: LogRow) {
        // Counted before it is queued, lest the writer settles it first.
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if !self.queue.push(row) {
            self.counts.settle(1, &self.counts.dropped);
        }
    }

    /// Rows that are in the database.
    pub fn written(&self) -> u64 {
        self.counts.written.load(Ordering::Relaxed)
    }

    /// Rows that are lost.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Rows that are neither yet.
    pub fn depth(&self) -> usize {
        self.counts.waiting.load(Ordering::Relaxed)
    }

    /// Waits until the rows that wait now are in the database, or a second: who looks at the log expects to find there what
    /// has just happened.
    pub async fn settle(&self) {
        let done = || self.written() + self.dropped();
        let goal = done() + self.depth() as u64;
        let settling = async {
            while done() < goal {
                let settled = self.counts.settled.notified();
                self.counts.wanted.notify_one();
                if done() < goal {
                    settled.await;
                }
            }
        };
        // Where the database is slow or away, an older view is better than none.
        let _ = timeout(SETTLING, settling).await;
    }

    /// Takes no more rows and writes those that wait, within `deadline`; what is left after it counts as dropped. Says
    /// whether nothing had to be left.
    pub async fn close(&self, deadline: Duration) -> bool {
        self.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut writer) = writer else { return true };
        if timeout(deadline, &mut writer).await.is_ok() {
            return true;
        }
        self.abandon.cancel();
        if timeout(Duration::from_secs(1), &mut writer).await.is_err() {
            writer.abort();
        }
        let left = self.depth();
        self.counts.settle(left, &self.counts.dropped);
        left == 0
    }
}

/// The queue's far end.
struct Writer {
    store: Store,
    queue: Arc<Queue>,
    counts: Arc<Counts>,
    abandon: CancellationToken,
}

impl Writer {
    async fn run(self) {
        let writing = async {
            while self.gather().await {
                self.write(&self.queue.take()).await;
            }
        };
        self.abandon.run_until_cancelled(writing).await;
    }

    /// Waits for rows, and a while for more of them. False when no more will come.
    async fn gather(&self) -> bool {
        let Settings { batch, flush_interval, .. } = self.queue.settings;
        let state = || {
            let waiting = self.queue.waiting();
            (waiting.rows.len(), waiting.closed)
        };
        while state() == (0, false) {
            self.queue.filled.notified().await;
        }
        let flush_at = Instant::now() + flush_interval;
        while matches!(state(), (rows, false) if rows < batch) {
            tokio::select! {
                biased;
                () = self.queue.filled.notified() => {}
                () = sleep_until(flush_at) => break,
                () = self.counts.wanted.notified() => break,
            }
        }
        state().0 > 0
    }

    async fn write(&self, rows: &[LogRow]) {
        match self.write_patiently(rows).await {
            Ok(()) => {
                self.note_key_use(rows).await;
                self.counts.settle(rows.len(), &self.counts.written);
            }
            Err(error) => {
                tracing::warn!(%error, rows = rows.len(), "The request log refused a batch; trying its rows one by one");
                self.write_one_by_one(rows).await;
            }
        }
    }

    /// Notes which keys were used. Where that fails the next rows will tell.
    async fn note_key_use(&self, rows: &[LogRow]) {
        let ids: BTreeSet<i64> = rows.iter().filter_map(|row| row.key_id).collect();
        let ids: Vec<i64> = ids.into_iter().collect();
        if let Err(error) = self.store.note_key_use(&ids, clock::now_micros()).await {
            tracing::debug!(%error, "When keys were last used could not be noted");
        }
    }

    async fn write_one_by_one(&self, rows: &[LogRow]) {
        for row in rows {
            match self.write_patiently(std::slice::from_ref(row)).await {
                Ok(()) => self.counts.settle(1, &self.counts.written),
                Err(error) => {
                    tracing::error!(%error, request_id = %row.request_id, "The request log refused a row: it is lost");
                    self.counts.settle(1, &self.counts.dropped);
                }
            }
        }
    }

    /// Tries until it works or fails for a reason that will not pass.
    async fn write_patiently(&self, rows: &[LogRow]) -> Result<(), StoreError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.store.insert_logs(rows).await {
                Err(error) if error.is_passing() => {
                    let waiting = self.counts.waiting.load(Ordering::Relaxed);
                    tracing::warn!(%error, waiting, "The request log cannot be written; trying again in {pause:?}");
                }
                other => return other,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
