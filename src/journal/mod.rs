//! The way of log rows into the store: a bounded queue and one writer, so that no request ever waits for the database.
//!
//! What does not fit is dropped and counted. Rows wait in memory for at most the flush interval while the database is
//! well; while it is not, they wait until the queue is full. What was said in a request goes with its row, where the log is to
//! have it, within a bound of its own: the row stays where there is no room for that.

mod contents;

use std::{
    collections::{BTreeSet, VecDeque},
    ops::Range,
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

use self::contents::Contents;
pub use self::contents::{Content, Excerpt};
use crate::{
    clock,
    secret::ContentKey,
    store::{LogRow, Store, StoreError},
};

/// How long a look at the log waits for rows that are on their way.
const SETTLING: Duration = Duration::from_secs(1);

/// How long to wait after the database failed the first time; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Ids that are reserved at a time; those left when the program ends are never given.
const IDS: i64 = 1000;

/// How much the journal holds, and how it hands rows on.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Rows that may wait.
    pub capacity: usize,
    /// Rows a transaction.
    pub batch: usize,
    /// How long a row waits for others to share its transaction.
    pub flush_interval: Duration,
    /// Bytes of what was said that may wait.
    pub content_capacity: usize,
}

/// A row, and what was said in its request where the log is to have that.
type Entry = (LogRow, Option<Box<Content>>);

/// The queue's near end.
pub struct Journal {
    queue: Arc<Queue>,
    counts: Arc<Counts>,
    contents: Arc<Contents>,
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
    rows: VecDeque<Entry>,
    closed: bool,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the row back where there is no room for it.
    fn push(&self, entry: Entry) -> Option<Entry> {
        let mut waiting = self.waiting();
        if waiting.closed || waiting.rows.len() >= self.settings.capacity {
            return Some(entry);
        }
        waiting.rows.push_back(entry);
        let length = waiting.rows.len();
        drop(waiting);
        if length == 1 || length == self.settings.batch {
            self.filled.notify_one();
        }
        None
    }

    fn close(&self) {
        self.waiting().closed = true;
        self.filled.notify_one();
    }

    /// A batch, or what there is of one.
    fn take(&self) -> (Vec<LogRow>, Vec<Option<Box<Content>>>) {
        let mut waiting = self.waiting();
        let count = waiting.rows.len().min(self.settings.batch);
        waiting.rows.drain(..count).unzip()
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
    /// Starts the writer. `key` seals what was said.
    pub fn start(store: Store, key: Arc<ContentKey>, settings: Settings) -> Self {
        let settings = Settings { capacity: settings.capacity.max(1), batch: settings.batch.max(1), ..settings };
        let queue = Arc::new(Queue { settings, waiting: Mutex::default(), filled: Notify::new() });
        let counts = Arc::new(Counts::default());
        let contents = Arc::new(Contents::new(key, settings.content_capacity));
        let abandon = CancellationToken::new();
        let writer = Writer {
            store,
            queue: queue.clone(),
            ids: 0..0,
            counts: counts.clone(),
            contents: contents.clone(),
            abandon: abandon.clone(),
        };
        let writer = tokio::spawn(writer.run());
        Self { queue, counts, contents, abandon, writer: Mutex::new(Some(writer)) }
    }

    /// Queues a row, or drops it if the queue is full or closed. Never waits.
    pub fn record(&self, row: LogRow) {
        self.push((row, None));
    }

    /// The same for a row with what was said in its request. If there is no room for that, the row goes without.
    pub fn record_with(&self, row: LogRow, content: Content) {
        self.push((row, self.contents.admit(content)));
    }

    fn push(&self, entry: Entry) {
        // Counted before it is queued, lest the writer settles it first.
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if let Some((_, content)) = self.queue.push(entry) {
            self.counts.settle(1, &self.counts.dropped);
            content.iter().for_each(|content| self.contents.drop_one(content));
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

    /// Contents of requests that are in the database.
    pub fn contents_written(&self) -> u64 {
        self.contents.written()
    }

    /// Contents of requests that are lost.
    pub fn contents_dropped(&self) -> u64 {
        self.contents.dropped()
    }

    /// Waits until the rows that wait now are in the database, or a second: who looks at the log expects to find there what
    /// has just happened.
    pub async fn settle(&self) {
        let done = || self.written() + self.dropped() + self.contents.written() + self.contents.dropped();
        let goal = done() + (self.depth() + self.contents.waiting()) as u64;
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
        self.contents.drop_all();
        left == 0
    }
}

/// The queue's far end.
struct Writer {
    store: Store,
    queue: Arc<Queue>,
    /// Those that no row has got yet.
    ids: Range<i64>,
    counts: Arc<Counts>,
    contents: Arc<Contents>,
    abandon: CancellationToken,
}

impl Writer {
    async fn run(mut self) {
        let abandon = self.abandon.clone();
        let writing = async {
            while self.gather().await {
                let (mut rows, contents) = self.queue.take();
                if self.write(&mut rows).await {
                    self.contents.write(&self.store, &rows, contents).await;
                } else {
                    contents.iter().flatten().for_each(|content| self.contents.drop_one(content));
                }
                self.counts.settled.notify_waiters();
            }
        };
        abandon.run_until_cancelled(writing).await;
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

    /// Says whether all went well: what belongs to rows of which some are lost is lost too.
    async fn write(&mut self, rows: &mut [LogRow]) -> bool {
        if let Err(error) = self.number(rows).await {
            tracing::error!(%error, rows = rows.len(), "The request log gave out no ids: the rows are lost");
            self.counts.settle(rows.len(), &self.counts.dropped);
            return false;
        }
        match self.insert(rows).await {
            Ok(missing) => {
                self.note_key_use(rows).await;
                self.counts.settle(rows.len() - missing, &self.counts.written);
                self.counts.settle(missing, &self.counts.dropped);
                if missing > 0 {
                    tracing::error!(rows = missing, "The database has gone back in time: rows with taken ids are lost");
                    self.ids = 0..0;
                }
                missing == 0
            }
            Err(error) => {
                tracing::warn!(%error, rows = rows.len(), "The request log refused a batch; trying its rows one by one");
                self.write_one_by_one(rows).await;
                false
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
            match self.insert(std::slice::from_ref(row)).await {
                Ok(_) => self.counts.settle(1, &self.counts.written),
                Err(error) => {
                    tracing::error!(%error, request_id = %row.request_id, "The request log refused a row: it is lost");
                    self.counts.settle(1, &self.counts.dropped);
                }
            }
        }
    }

    /// Gives the rows their ids before they are written, so that a batch of which nobody knows whether it arrived can be
    /// written again.
    async fn number(&mut self, rows: &mut [LogRow]) -> Result<(), StoreError> {
        for row in rows {
            if self.ids.is_empty() {
                self.ids = self.reserve().await?;
            }
            row.id = self.ids.next().unwrap_or_default();
        }
        Ok(())
    }

    /// Tries until it works or fails for a reason that will not pass.
    async fn reserve(&self) -> Result<Range<i64>, StoreError> {
        let mut patience = Patience::default();
        loop {
            match self.store.reserve_log_ids(IDS).await {
                Err(error) if error.is_passing() => {
                    patience.pause(&error, self.counts.waiting.load(Ordering::Relaxed)).await
                }
                first => {
                    patience.end();
                    return first.map(|first| first..first.saturating_add(IDS));
                }
            }
        }
    }

    /// Tries until it works or fails for a reason that will not pass. Says how many rows are missing all the same, because
    /// others have their ids.
    async fn insert(&self, rows: &[LogRow]) -> Result<usize, StoreError> {
        let mut patience = Patience::default();
        loop {
            match self.store.insert_logs(rows).await {
                Err(error) if error.is_passing() => {
                    patience.pause(&error, self.counts.waiting.load(Ordering::Relaxed)).await
                }
                added => {
                    let first_try = patience.end();
                    // What is there after more than one try came with an earlier one.
                    let missing = |added: u64| rows.len() - usize::try_from(added).unwrap_or(rows.len());
                    return added.map(|added| if first_try { missing(added) } else { 0 });
                }
            }
        }
    }
}

/// Pauses that grow, while the database is away; tells of that once, and of its end.
#[derive(Default)]
struct Patience {
    pauses: u32,
}

impl Patience {
    async fn pause(&mut self, error: &StoreError, waiting: usize) {
        if self.pauses == 0 {
            tracing::warn!(waiting, "The request log cannot be written, so its rows wait: {error}");
        }
        sleep((FIRST_PAUSE * 2_u32.pow(self.pauses.min(8))).min(LONGEST_PAUSE)).await;
        self.pauses += 1;
    }

    /// Says whether there was no need for any.
    fn end(&self) -> bool {
        if self.pauses > 0 {
            tracing::info!("The request log can be written again");
        }
        self.pauses == 0
    }
}
