//! What was said in requests, on its way into the log beside the rows.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

use super::Patience;
use crate::{
    secret::{CannotOpen, ContentKey},
    store::{LogContent, LogRow, Store},
};

/// The beginning of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    pub text: Bytes,
    /// Bytes of the whole.
    pub length: u64,
}

/// What was said in one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// What the client sent.
    pub request: Excerpt,
    /// What it got.
    pub answer: Excerpt,
}

impl Content {
    fn bytes(&self) -> usize {
        self.request.text.len() + self.answer.text.len()
    }

    fn seal(self, row: &LogRow, key: &ContentKey) -> LogContent {
        let seal = |part: &str, text: &Bytes| key.seal(&name(row.id, part), text.to_vec());
        LogContent {
            log_id: row.id,
            created_at: row.created_at,
            request: seal(REQUEST, &self.request.text),
            request_bytes: i64::try_from(self.request.length).unwrap_or(i64::MAX),
            answer: seal(ANSWER, &self.answer.text),
            answer_bytes: i64::try_from(self.answer.length).unwrap_or(i64::MAX),
        }
    }

    /// Opens what was sealed on its way into the log.
    pub fn open(sealed: &LogContent, key: &ContentKey) -> Result<Self, CannotOpen> {
        let open = |part: &str, text: &[u8], length: i64| {
            let text = key.open(&name(sealed.log_id, part), text)?.into();
            Ok(Excerpt { text, length: length.unsigned_abs() })
        };
        Ok(Self {
            request: open(REQUEST, &sealed.request, sealed.request_bytes)?,
            answer: open(ANSWER, &sealed.answer, sealed.answer_bytes)?,
        })
    }
}

const REQUEST: &str = "request";
const ANSWER: &str = "answer";

/// Binds what is sealed to its row and its place there.
fn name(log_id: i64, part: &str) -> String {
    format!("log:{log_id}:{part}")
}

/// Bytes that go in one transaction, more of them only if one content has more.
const BYTES_PER_TRANSACTION: usize = 1 << 20;

/// What waits, and what became of the rest.
pub(super) struct Contents {
    key: Arc<ContentKey>,
    /// Bytes that may wait.
    capacity: usize,
    bytes: AtomicUsize,
    waiting: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
}

impl Contents {
    pub(super) fn new(key: Arc<ContentKey>, capacity: usize) -> Self {
        let (bytes, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { key, capacity, bytes, waiting, written: AtomicU64::new(0), dropped: AtomicU64::new(0) }
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The same content, if it may wait.
    pub(super) fn admit(&self, content: Content) -> Option<Box<Content>> {
        let bytes = content.bytes();
        let room = |waiting: usize| waiting.checked_add(bytes).filter(|all| *all <= self.capacity);
        if self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Some(Box::new(content))
    }

    /// Contents of so many bytes wait no more.
    fn settle(&self, contents: usize, bytes: usize, into: &AtomicU64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.waiting.fetch_sub(contents, Ordering::Relaxed);
        into.fetch_add(contents as u64, Ordering::Relaxed);
    }

    /// A content that waited is lost.
    pub(super) fn drop_one(&self, content: &Content) {
        self.settle(1, content.bytes(), &self.dropped);
    }

    /// All that still wait are lost.
    pub(super) fn drop_all(&self) {
        self.settle(self.waiting(), self.bytes.load(Ordering::Relaxed), &self.dropped);
    }

    /// Writes what belongs to these rows, each beside the row of its place. Tries until it works or fails for a reason that
    /// will not pass; what cannot be written is lost.
    pub(super) async fn write(&self, store: &Store, rows: &[LogRow], contents: Vec<Option<Box<Content>>>) {
        let (mut some, mut bytes) = (Vec::new(), 0);
        for (row, content) in rows.iter().zip(contents) {
            let Some(content) = content else { continue };
            bytes += content.bytes();
            some.push(content.seal(row, &self.key));
            if bytes >= BYTES_PER_TRANSACTION {
                self.insert(store, mem::take(&mut some), mem::take(&mut bytes)).await;
            }
        }
        if !some.is_empty() {
            self.insert(store, some, bytes).await;
        }
    }

    async fn insert(&self, store: &Store, contents: Vec<LogContent>, bytes: usize) {
        let mut patience = Patience::default();
        let into = loop {
            match store.insert_log_contents(&contents).await {
                Ok(()) => break &self.written,
                Err(error) if error.is_passing() => patience.pause(&error, self.waiting()).await,
                Err(error) => {
                    let contents = contents.len();
                    tracing::error!(%error, contents, "The request log refused what was said: its rows stay without");
                    break &self.dropped;
                }
            }
        };
        patience.end();
        self.settle(contents.len(), bytes, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::MasterKey;

    fn content(text: &'static str) -> Content {
        let excerpt = |text| Excerpt { text: Bytes::from_static(text), length: 9 };
        Content { request: excerpt(text.as_bytes()), answer: excerpt(b"") }
    }

    #[test]
    fn what_is_sealed_opens_for_its_row_and_its_place_only() {
        let key = MasterKey::derive(b"a long enough master key").log();
        let sealed = content("words").seal(&LogRow { id: 7, ..LogRow::default() }, &key);
        assert_eq!(Content::open(&sealed, &key), Ok(content("words")));
        let moved = LogContent { log_id: 8, ..sealed.clone() };
        assert_eq!(Content::open(&moved, &key), Err(CannotOpen));
        let swapped = LogContent { request: sealed.answer.clone(), answer: sealed.request.clone(), ..sealed };
        assert_eq!(Content::open(&swapped, &key), Err(CannotOpen));
    }

    #[test]
    fn what_does_not_fit_is_counted_and_what_was_lost_makes_room() {
        let contents = Contents::new(MasterKey::derive(b"a long enough master key").log(), 10);
        let first = contents.admit(content("12345678")).unwrap();
        assert!(contents.admit(content("123")).is_none());
        contents.drop_one(&first);
        let second = contents.admit(content("1234567890"));
        assert!(second.is_some());
        assert_eq!((contents.waiting(), contents.dropped(), contents.written()), (1, 2, 0));
    }
}
