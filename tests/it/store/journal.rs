//! The journal, in front of a database that is well, and of one that is not.

use std::{sync::Arc, time::Duration};

use llm_orchestrator::{
    journal::{Journal, Settings},
    secret::{ContentKey, MasterKey},
    store::{LogFilter, LogRow, Store},
};
use sqlx::{Connection as _, SqliteConnection};

use super::sqlite;

const QUICK: Settings =
    Settings { capacity: 100, batch: 10, flush_interval: Duration::from_millis(10), content_capacity: 0 };

fn key() -> Arc<ContentKey> {
    MasterKey::derive(b"a long enough master key").log()
}

fn row(n: usize) -> LogRow {
    LogRow { request_id: format!("req_{n}").into(), ..LogRow::default() }
}

async fn stored(store: &Store) -> i64 {
    store.logs(&LogFilter::default(), 1, 1).await.unwrap().total
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn rows_reach_the_database_without_being_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let journal = Journal::start(store.clone(), key(), QUICK);
    (0..25).for_each(|n| journal.record(row(n)));
    eventually("all rows written", || journal.written() == 25).await;
    assert_eq!((stored(&store).await, journal.dropped(), journal.depth()), (25, 0, 0));
}

#[tokio::test]
async fn a_look_at_the_log_need_not_wait_for_the_flush_interval() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let journal = Journal::start(store.clone(), key(), Settings { flush_interval: Duration::from_secs(60), ..QUICK });
    for round in 1..=3 {
        (0..7).for_each(|n| journal.record(row(n)));
        journal.settle().await;
        assert_eq!((stored(&store).await, journal.depth()), (7 * round, 0));
    }
    tokio::time::timeout(Duration::from_millis(100), journal.settle()).await.expect("nothing to wait for");
}

#[tokio::test]
async fn closing_writes_what_waits_and_takes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let journal = Journal::start(store.clone(), key(), Settings { flush_interval: Duration::from_secs(60), ..QUICK });
    (0..95).for_each(|n| journal.record(row(n)));
    assert!(journal.close(Duration::from_secs(5)).await);
    assert_eq!((stored(&store).await, journal.written(), journal.depth()), (95, 95, 0));
    journal.record(row(95));
    assert_eq!((journal.dropped(), journal.depth()), (1, 0));
    assert!(journal.close(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_locked_database_costs_nothing_but_what_the_queue_cannot_hold() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let url = format!("sqlite://{}/test.db", folder.path().display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    let held = other.begin_with("begin exclusive").await.unwrap();

    let journal = Journal::start(store.clone(), key(), QUICK);
    (0..151).for_each(|n| journal.record(row(n)));
    // The queue holds a hundred, and the writer up to ten more in its hands.
    let dropped = journal.dropped();
    assert!((41..=51).contains(&dropped), "{dropped}");
    assert_eq!(journal.depth() as u64, 151 - dropped);
    held.rollback().await.unwrap();
    eventually("the rest written", || journal.written() == 151 - dropped).await;
    assert_eq!(stored(&store).await as u64, 151 - dropped);
}

#[tokio::test]
async fn closing_in_front_of_a_locked_database_ends_in_time_and_counts_the_loss() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let url = format!("sqlite://{}/test.db", folder.path().display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    let _held = other.begin_with("begin exclusive").await.unwrap();

    let journal = Journal::start(store, key(), QUICK);
    (0..5).for_each(|n| journal.record(row(n)));
    let closing = tokio::time::timeout(Duration::from_secs(3), journal.close(Duration::from_millis(200)));
    assert!(!closing.await.expect("it ends in time"));
    assert_eq!((journal.written(), journal.dropped(), journal.depth()), (0, 5, 0));
}

#[tokio::test]
async fn a_row_that_the_database_refuses_does_not_take_others_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let url = format!("sqlite://{}/test.db", folder.path().display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    let trigger = "create trigger picky before insert on request_log when new.request_id = 'req_3' \
                   begin select raise(abort, 'not this one'); end";
    sqlx::query(trigger).execute(&mut other).await.unwrap();

    let journal = Journal::start(store.clone(), key(), QUICK);
    (0..8).for_each(|n| journal.record(row(n)));
    assert!(journal.close(Duration::from_secs(5)).await);
    assert_eq!((journal.written(), journal.dropped(), stored(&store).await), (7, 1, 7));
}
